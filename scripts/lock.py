"""Write the lock files, or check that they match the requirements they were made from.

    python scripts/lock.py            # resolve again: the locks in requirements/
    python scripts/lock.py --check    # exit 1 and name each lock that is older than its inputs

One lock serves all supported Pythons: it is the union of one resolution for each, and a package that only one of them
needs does no harm on the others. The first line holds a digest of the inputs, so the check needs no network. Resolving
keeps the versions that a lock already pins; delete the file to take the newest of everything.
"""

import argparse
import hashlib
import re
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).resolve().parent.parent
REQUIREMENTS = ROOT / "requirements"
PLATFORM = "x86_64-manylinux_2_28"
PYTHONS = ("3.11", "3.12", "3.13")


class ConflictingPins(Exception):
    """A package has different versions for different Pythons."""


@dataclass(frozen=True)
class Lock:
    """One lock file.

    Attributes:
        name: of the file.
        extra_inputs: the requirement files that it is made from.
        of_project: whether it is made from pyproject.toml too.
        extra: of pyproject.toml; all of them by default.
        part_of: the lock that has the versions to take.
    """

    name: str
    extra_inputs: tuple[str, ...] = ()
    overrides: tuple[str, ...] = ()
    of_project: bool = True
    extra: str | None = None
    part_of: str | None = None

    @property
    def path(self) -> Path:
        return REQUIREMENTS / self.name

    def digest(self) -> str:
        """SHA-256 over the project's declared requirements and this lock's own input files."""
        declared = _declared_requirements() if self.of_project else []
        files = [*self.extra_inputs, *self.overrides]
        text = "\n".join([PLATFORM, *PYTHONS, *declared, *((REQUIREMENTS / name).read_text() for name in files)])
        return hashlib.sha256(text.encode()).hexdigest()

    def header(self) -> str:
        return f"# inputs sha256:{self.digest()}; made by `make lock`, not by hand"

    def is_fresh(self) -> bool:
        return self.path.exists() and self.path.read_text().partition("\n")[0] == self.header()

    def write(self) -> None:
        """Resolve with uv for each Python and write the union, with the digest of the inputs on the first line.

        Raises:
            ConflictingPins: if one version of a package cannot serve all Pythons.
        """
        earlier = self._earlier()
        union: dict[str, str] = {}
        for python in PYTHONS:
            resolved = self._resolve(python, earlier | union)
            for name in union.keys() & resolved.keys():
                if _pin(union[name]) != _pin(resolved[name]):
                    raise ConflictingPins(f"{self.name}: {_pin(union[name])} or {_pin(resolved[name])}, by Python")
            union = resolved | union
        self.path.write_text(f"{self.header()}\n{_joined(union)}")

    def _earlier(self) -> dict[str, str]:
        path = self.path if self.part_of is None else REQUIREMENTS / self.part_of
        return _blocks(path.read_text()) if path.exists() else {}

    def _resolve(self, python: str, preferred: dict[str, str]) -> dict[str, str]:
        """The entries for one Python, with the preferred versions where the requirements admit them."""
        with TemporaryDirectory() as folder:
            output = Path(folder) / self.name
            output.write_text(_joined(preferred))  # uv keeps what its output file pins already
            subprocess.run(self._command(python, output), cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
            return _blocks(output.read_text())

    def _command(self, python: str, output: Path) -> list[str]:
        command = [sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--no-header", "--generate-hashes"]
        command += ["--python-version", python, "--python-platform", PLATFORM, "--output-file", str(output)]
        extras = ["--all-extras"] if self.extra is None else ["--extra", self.extra]
        command += [*extras, "pyproject.toml"] if self.of_project else []
        command += [f"requirements/{name}" for name in self.extra_inputs]
        for name in self.overrides:
            command += ["--overrides", f"requirements/{name}"]
        return command


def _blocks(text: str) -> dict[str, str]:
    """The entries of a lock by package name: the pinned version with its hashes and comments."""
    found = re.findall(r"^([a-z0-9][^=\s]*)(==.*(?:\n[ \t].*)*)", text, re.MULTILINE)
    return {name: name + rest for name, rest in found}


def _pin(block: str) -> str:
    return block.split()[0]


def _joined(blocks: dict[str, str]) -> str:
    return "".join(f"{blocks[name]}\n" for name in sorted(blocks))


def _declared_requirements() -> list[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    return [
        repr(project["build-system"]["requires"]),
        repr(project["project"]["dependencies"]),
        repr(sorted(project["project"]["optional-dependencies"].items())),
    ]


LOCKS = (
    Lock("cpu.txt", ("cpu.in",), ("cpu.overrides",)),
    Lock("gpu.txt", ("gpu.in",)),
    Lock("clients.txt", ("clients.in",), of_project=False),
    # What the Dockerfile installs: all of the CPU target; what vLLM's image lacks; what builds our wheel.
    Lock(
        "image-cpu.txt", ("image-cpu.in",), ("cpu.overrides", "image-cpu.overrides"), extra="server", part_of="cpu.txt"
    ),
    Lock("image-gpu.txt", ("image-gpu.in",), of_project=False, part_of="gpu.txt"),
    Lock("image-build.txt", ("image-build.in",), of_project=False, part_of="cpu.txt"),
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="only report whether the locks match their inputs")
    if not parser.parse_args().check:
        for lock in LOCKS:
            lock.write()
        return 0
    stale = [lock.name for lock in LOCKS if not lock.is_fresh()]
    for name in stale:
        print(f"requirements/{name} is older than its inputs: run `make lock`", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
