"""Draws boards in Chromium, and saves what it shows."""

import io
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Browser, Error, sync_playwright

PAGE = Path(__file__).parent / "page"
OUT = Path(__file__).parents[3] / "docs/dashboards"
SCRIPTS = ("units.js", "drawing.js", "charts.js", "cells.js", "board.js")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
NAMES = ("chromium", "chromium-browser", "google-chrome")
#: Enough for the anti-aliased text and lines of a board.
COLORS = 96


def chromium() -> str:
    """The path of Chromium; Debian's is installed where it is missing and can be.

    Raises:
        FileNotFoundError: if there is none; says what to install.
    """
    if not _found() and shutil.which("apt-get"):
        for command in (("update", "-qq"), ("install", "-y", "-qq", "--no-install-recommends", "chromium")):
            subprocess.run(["apt-get", *command], check=False)
    if found := _found():
        return found
    raise FileNotFoundError("Chromium draws the pictures: install it (Debian: apt-get install chromium)")


def _found() -> str | None:
    return next((path for name in NAMES if (path := shutil.which(name))), None)


def draw(drawings: Mapping[Path, Mapping[str, Any]]) -> None:
    """Save a PNG of each drawing at its path.

    Raises:
        RuntimeError: if the page reports an error.
    """
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=list(FLAGS))
        try:
            for path, drawing in drawings.items():
                _save(_screenshot(browser, drawing), path)
        finally:
            browser.close()


def _screenshot(browser: Browser, drawing: Mapping[str, Any]) -> bytes:
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    errors: list[Error] = []
    page.on("pageerror", lambda error: errors.append(error))
    page.set_content("<!doctype html><html lang='en'><body></body></html>")
    page.add_style_tag(path=PAGE / "page.css")
    for script in SCRIPTS:
        page.add_script_tag(path=PAGE / script)
    if errors:
        raise RuntimeError(f"{drawing['title']}: {errors}")
    page.evaluate("board => drawBoard(board)", drawing)
    png: bytes = page.locator("#board").screenshot()
    page.close()
    return png


def _save(png: bytes, path: Path) -> None:
    """With a palette, which takes a third of the bytes."""
    image = Image.open(io.BytesIO(png)).convert("RGB")
    path.parent.mkdir(parents=True, exist_ok=True)
    image.quantize(COLORS, dither=Image.Dither.NONE).save(path, optimize=True)
