"""Take the pictures of the playground for its page in the docs, from a real server of the built-in model.

    python -m scripts.playground_pictures [--chromium COMMAND]

Each is a PNG in docs/playground. What they show is what the model answers at temperature 0.
"""

import argparse
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from playwright.sync_api import Browser, Page, ViewportSize, sync_playwright

from tenuto_testing.servers import serving

FOLDER = Path(__file__).resolve().parent.parent / "docs/playground"
DESKTOP, PHONE = ViewportSize(width=1280, height=800), ViewportSize(width=390, height=780)
SCALE = 1.5
BILL = "Add up this bill: soup 9, fish 4, juice 4, beans 9, plums 9"
LONG_BILL = "Add up this bill: eggs 9, plums 7, juice 3, tea 3, nuts 3, water 1, rice 9, bread 4, butter 2"
#: In milliseconds.
PATIENCE = 300_000
#: Larger files make pages of the docs slow.
MAX_BYTES = 300_000


def _set(page: Page, label: str, value: str) -> None:
    page.get_by_role("textbox", name=label, exact=True).fill(value)


def _ask(page: Page, text: str) -> None:
    page.get_by_label("Message", exact=True).fill(text)
    page.keyboard.press("Enter")
    page.locator(".facts").last.wait_for()


def chat(page: Page) -> None:
    _set(page, "Waits", "2")
    _set(page, "Temperature", "0")
    _ask(page, BILL)


def dark(page: Page) -> None:
    _set(page, "Cap", "25")
    _set(page, "Temperature", "0")
    _ask(page, LONG_BILL)


def phone(page: Page) -> None:
    page.get_by_label("Preset", exact=True).select_option("Wait twice")
    _ask(page, BILL)


def compare(page: Page) -> None:
    _set(page, "Temperature", "0")
    page.get_by_role("navigation").get_by_role("button", name="Compare").click()
    page.get_by_label("Question").fill(LONG_BILL)
    page.get_by_label("Values").fill("0, 2, 6")
    page.locator("form button[type=submit]").click()
    page.locator(".facts").nth(2).wait_for()


def scaling(page: Page) -> None:
    page.get_by_role("navigation").get_by_role("button", name="Scaling").click()
    page.get_by_text("of 400").wait_for()
    page.get_by_label("Questions", exact=True).fill("40")
    page.get_by_role("button", name="Run").click()
    page.get_by_text("560 of 560").wait_for()
    page.locator(".results").evaluate("results => results.scrollIntoView({ block: 'start' })")


PICTURES: dict[str, tuple[Callable[[Page], None], ViewportSize, str]] = {
    "chat": (chat, DESKTOP, "light"),
    "dark": (dark, DESKTOP, "dark"),
    "phone": (phone, PHONE, "light"),
    "compare": (compare, DESKTOP, "light"),
    "scaling": (scaling, DESKTOP, "light"),
}


def take(browser: Browser, url: str, name: str) -> Path:
    """Take one picture."""
    act, viewport, scheme = PICTURES[name]
    context = browser.new_context(viewport=viewport, device_scale_factor=SCALE, color_scheme=scheme)  # type: ignore[arg-type]
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    page.goto(url)
    act(page)
    page.evaluate("() => { document.activeElement?.blur(); document.querySelector('.budget').scrollTop = 0; }")
    file = FOLDER / f"{name}.png"
    page.screenshot(path=file)
    context.close()
    return file


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--chromium", default=shutil.which("chromium"), help="the browser's command")
    parser.add_argument("names", nargs="*", help=f"of {', '.join(PICTURES)}; default: all")
    arguments = parser.parse_args()
    FOLDER.mkdir(exist_ok=True)
    with TemporaryDirectory() as folder, serving(Path(folder) / "log") as server, sync_playwright() as playwright:
        server.wait_until(server.ready)
        flags = ["--no-sandbox", "--disable-gpu"]
        browser = playwright.chromium.launch(executable_path=arguments.chromium, args=flags)
        files = [take(browser, server.url, name) for name in arguments.names or PICTURES]
        browser.close()
    too_large = [file.name for file in files if file.stat().st_size > MAX_BYTES]
    print(*(f"{file}: {file.stat().st_size // 1000} kB" for file in files), sep="\n")
    return 1 if too_large else 0


if __name__ == "__main__":
    sys.exit(main())
