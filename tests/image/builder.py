"""Builds images with Debian's buildah, without a daemon, and gives access to their files.

Everything is in one folder, which is removed at the end.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class BuiltImage:
    """An image, and its files in a folder that containers can share read-only."""

    config: Mapping[str, Any]
    files: Path
    size: int


@dataclass(frozen=True)
class ImageBuilder:
    """buildah, with all it keeps in a folder.

    Attributes:
        driver: of its storage. `overlay` keeps what each layer adds; `vfs`, which works everywhere, whole copies.
    """

    folder: Path
    driver: str

    @classmethod
    def in_folder(cls, folder: Path) -> "ImageBuilder":
        """A builder with the best driver that works in the folder, from which earlier images are removed."""
        folder.mkdir(parents=True, exist_ok=True)
        overlay = cls(folder, "overlay")
        overlay.remove_all()
        works = subprocess.run([*overlay._storage(), "info"], capture_output=True).returncode == 0
        return overlay if works else cls(folder, "vfs")

    def base(self, packages: Sequence[str]) -> None:
        """Write `base.tar` with a minimal Debian bookworm, unless an earlier run has left it."""
        archive = self.folder / "base.tar"
        if not archive.exists():
            part = self.folder / "part.tar"
            include = f"--include={','.join(packages)}"
            self._run("mmdebstrap", "--quiet", "--variant=minbase", include, "bookworm", str(part))
            part.rename(archive)

    def build(self, context: Path, file: Path, tag: str, target: str | None = None) -> None:
        """Build an image from local ones only. Containers of RUN see this machine's settings of pip.

        Raises:
            subprocess.CalledProcessError: if it cannot be built; what buildah printed is in the report.
        """
        options = ["--isolation=chroot", "--pull-never", "--format=docker", "--layers=false"]
        options += [f"--volume={volume}" for volume in self._pip_volumes()]
        options += [f"--target={target}"] if target is not None else []
        self._buildah("bud", *options, f"--tag={tag}", f"--file={file}", str(context))

    def open(self, tag: str) -> BuiltImage:
        """An image's configuration and files, which are in place until `remove_all`."""
        container = self._buildah("from", "--pull-never", tag)
        files = Path(self._buildah("mount", container))
        inspected = json.loads(self._buildah("inspect", "--type=image", tag))
        size = json.loads(self._buildah("images", "--json", tag))[0]["size"]
        return BuiltImage(inspected["Docker"]["config"], files, _bytes(size))

    def remove_all(self) -> None:
        """Remove everything but `base.tar`, which takes a minute to make and has a quarter of a gigabyte."""
        for place in reversed(self._mounted()):  # one inside another is listed after it
            self._run("umount", "--lazy", place)
        for path in self.folder.iterdir():
            if path.name != "base.tar":
                shutil.rmtree(path) if path.is_dir() else path.unlink()

    def _mounted(self) -> list[str]:
        """Where in the folder file systems are mounted: buildah's overlays, and their folder on top of itself."""
        places = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
        return [place for place in places if self.folder in Path(place).parents]

    def _pip_volumes(self) -> list[str]:
        """The settings of this machine's pip as one file, and the paths that they name, to be mounted read-only."""
        settings = _pip_settings()
        file = self.folder / "pip.conf"
        file.write_text("[global]\n" + "".join(f"{name} = {value}\n" for name, value in settings.items()))
        named = {_path(word) for value in settings.values() for word in value.split()}
        present = sorted(path for path in named if path.is_absolute() and path.exists())
        return [f"{file}:/etc/pip.conf:ro", *(f"{path}:{path}:ro" for path in present)]

    def _storage(self) -> list[str]:
        places = [f"--root={self.folder / 'storage'}", f"--runroot={self.folder / 'run'}"]
        return ["buildah", *places, f"--storage-driver={self.driver}"]

    def _buildah(self, *arguments: str) -> str:
        return self._run(*self._storage(), *arguments)

    def _run(self, *command: str) -> str:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        if done.returncode:
            sys.stderr.write(f"{' '.join(command)}\n{done.stdout[-8000:]}\n{done.stderr[-8000:]}\n")
            done.check_returncode()
        return done.stdout.strip()


def _pip_settings() -> dict[str, str]:
    """Options in force on this machine, from files and from the environment, which takes precedence."""
    done = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], stdout=subprocess.PIPE, text=True, check=True
    )
    found = [line.partition("=") for line in done.stdout.splitlines()]
    chosen = sorted((name for name, _, _ in found), key=lambda name: name.startswith(":env:"))
    values = {name: value.strip("'").replace("\\n", " ") for name, _, value in found}
    return {name.rpartition(".")[2]: values[name] for name in chosen}


def _path(word: str) -> Path:
    """The path that a word of a setting names: of an index on disk, the folder with its pages and its files."""
    url = urlparse(word)
    return Path(url.path).parent if url.scheme == "file" else Path(word)


def _bytes(size: str) -> int:
    """The size that buildah prints, such as `2.81 GB`."""
    number, unit = size.split()
    return int(float(number) * {"B": 1, "KB": 1e3, "MB": 1e6, "GB": 1e9}[unit.upper()])
