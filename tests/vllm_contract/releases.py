"""The sources of vLLM releases: the installed one, and others downloaded but never installed."""

import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from zipfile import ZipFile

from .options import option_uses
from .sources import Sources
from .uses import Use, uses_of, uses_through_objects

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = {
    "tenuto_decoding": ROOT / "decoding" / "tenuto_decoding",
    "tenuto_server": ROOT / "server" / "tenuto_server",
}
_PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_31_x86_64", "manylinux_2_35_x86_64", "manylinux1_x86_64")


def contract_on(vllm: Path) -> list[Use]:
    """What our packages rely on in a vLLM whose package folder is given, and in the installed uvicorn."""
    sources = Sources({**PACKAGES, "uvicorn": installed("uvicorn"), "vllm": vllm})
    return [*uses_of(sources, PACKAGES), *uses_through_objects(sources), *option_uses(sources)]


def installed(package: str) -> Path:
    """The folder of an installed package, found without importing it."""
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"{package} is not installed")
    return Path(spec.origin).parent


def downloaded(version: str) -> Path:
    """The package folder of a release's sources, from the package index or the cache.

    Raises:
        subprocess.CalledProcessError: if the index has no such release.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tenuto" / f"vllm-{version}"
    if not cache.exists():
        cache.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=cache.parent) as folder:
            wheel = _wheel(version, Path(folder))
            with ZipFile(wheel) as archive:
                names = [name for name in archive.namelist() if name.startswith("vllm/") and name.endswith(".py")]
                archive.extractall(Path(folder) / "sources", names)
            shutil.move(Path(folder) / "sources", cache)
    return cache / "vllm"


def _wheel(version: str, folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
    command += [part for platform in _PLATFORMS for part in ("--platform", platform)]
    command += ["--python-version", "3.12", "--dest", str(folder), f"vllm=={version}"]
    subprocess.run(command, check=True)
    return next(folder.glob("vllm-*.whl"))
