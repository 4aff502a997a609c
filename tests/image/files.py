"""What the files of an image must not be."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

#: Programs that build software.
BUILD_TOOLS = {"ar", "as", "c++", "cc", "clang", "cmake", "cpp", "g++", "gcc", "ld", "make", "nvcc", "rustc"}
#: Folders that tools fill while they install. In a clean image they are missing or empty.
CACHES = (
    "root/.cache",
    "var/lib/apt/lists",
    "var/cache/apt/archives",
    "tmp",
    "var/tmp",
    "wheels",
    "src",
    "requirements",
)


def build_tools(root: Path) -> list[Path]:
    """Programs on the usual paths that build software, under their plain or a versioned name."""
    folders = [root / name for name in ("bin", "sbin", "usr/bin", "usr/sbin", "usr/local/bin", "opt/tenuto/bin")]
    found = (path for folder in folders if folder.is_dir() for path in folder.iterdir())
    return [path for path in found if path.name.rstrip("0123456789.-").rpartition("gnu-")[2] in BUILD_TOOLS]


def cached(root: Path) -> list[Path]:
    """Files that an installation has left in folders for caches and temporary files."""
    return [path for name in CACHES for path in (root / name).rglob("*") if path.is_file() and path.name != "lock"]


def owned_by(root: Path, user: int) -> list[Path]:
    return [path for path, status in _all(root) if status.st_uid == user]


def writable_by_group(root: Path) -> list[str]:
    """Files and folders that users of group 0 may write to, except folders for everybody's temporary files."""
    found = [path for path, status in _all(root) if status.st_gid == 0 and _is_writable(status)]
    return sorted(f"/{path.relative_to(root)}" for path in found)


def _is_writable(status: os.stat_result) -> bool:
    is_stored = stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)
    return is_stored and bool(status.st_mode & stat.S_IWGRP) and not status.st_mode & stat.S_ISVTX


def _all(root: Path) -> Iterator[tuple[Path, os.stat_result]]:
    for folder, folders, files in os.walk(root):
        for name in (*folders, *files):
            path = Path(folder, name)
            yield path, path.lstat()
