"""Vendor the playground's libraries from npm's tarballs, with a manifest of versions, licences and digests.

    python -m scripts.vendor_playground           write server/tenuto_server/playground/static/vendor
    python -m scripts.vendor_playground --check   compare it with npm's tarballs

It needs npm, which downloads the tarballs; nothing of a package is run.
"""

import hashlib
import json
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

VENDOR = Path(__file__).resolve().parent.parent / "server/tenuto_server/playground/static/vendor"
MANIFEST = VENDOR / "manifest.json"


@dataclass(frozen=True)
class Package:
    """A package of npm, and what is taken of it: names in the tarball by the names of our files."""

    name: str
    version: str
    files: dict[str, str]


PACKAGES = (
    Package("htm", "3.1.1", {"htm-preact.js": "preact/standalone.module.js", "LICENSE.htm": "LICENSE"}),
    Package("preact", "10.7.2", {"LICENSE.preact": "LICENSE"}),  # htm's file holds Preact 10
    Package(
        "uplot",
        "1.6.32",
        {"uplot.js": "dist/uPlot.esm.js", "uplot.css": "dist/uPlot.min.css", "LICENSE.uplot": "LICENSE"},
    ),
    Package("marked", "18.2.1", {"marked.js": "lib/marked.esm.js", "LICENSE.marked": "LICENSE"}),
    Package("dompurify", "3.5.0", {"purify.js": "dist/purify.es.mjs", "LICENSE.dompurify": "LICENSE"}),
    Package("katex", "0.19.1", {"katex.js": "dist/katex.min.js", "LICENSE.katex": "LICENSE"}),
)


def fetch(package: Package, folder: Path) -> tuple[str, dict[str, bytes], str]:
    """The tarball's sha256, the files that are taken of it, and the licence that its package.json names."""
    command = ["npm", "pack", "--silent", "--ignore-scripts", f"{package.name}@{package.version}"]
    run = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    tarball = folder / run.stdout.split()[-1]
    with tarfile.open(tarball) as archive:

        def read(name: str) -> bytes:
            member = archive.extractfile(f"package/{name}")
            assert member is not None, f"{package.name} has no {name}"
            return member.read()

        files = {ours: read(theirs) for ours, theirs in package.files.items()}
        licence = str(json.loads(read("package.json"))["license"])
    return sha256(tarball.read_bytes()), files, licence


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def vendored() -> tuple[dict[str, Any], dict[str, bytes]]:
    """The manifest and the files, made of npm's tarballs."""
    entries: list[dict[str, Any]] = []
    contents: dict[str, bytes] = {}
    with TemporaryDirectory() as folder:
        for package in PACKAGES:
            digest, files, licence = fetch(package, Path(folder))
            contents |= files
            entries.append(
                {
                    "name": package.name,
                    "version": package.version,
                    "licence": licence,
                    "tarball_sha256": digest,
                    "files": {
                        ours: {"from": theirs, "sha256": sha256(files[ours])} for ours, theirs in package.files.items()
                    },
                }
            )
    return {"packages": entries}, contents


def differences() -> list[str]:
    """What of the vendored folder is not as in npm's tarballs."""
    manifest, contents = vendored()
    found = [] if json.loads(MANIFEST.read_text()) == manifest else ["manifest.json"]
    own = {path.with_suffix(".d.ts") for path in VENDOR.glob("*.js")}  # types, for the type checker only
    present = {path.name: path.read_bytes() for path in VENDOR.iterdir() if path not in {MANIFEST, *own}}
    return found + sorted(name for name in contents.keys() | present.keys() if contents.get(name) != present.get(name))


def main() -> int:
    if "--check" in sys.argv:
        found = differences()
        print(*(f"differs from npm's tarball: {name}" for name in found), sep="\n")
        return 1 if found else 0
    manifest, contents = vendored()
    VENDOR.mkdir(exist_ok=True)
    for name, content in contents.items():
        (VENDOR / name).write_bytes(content)
    MANIFEST.write_text(json.dumps(manifest, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
