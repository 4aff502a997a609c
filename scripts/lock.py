"""Write the lock files, or check that they belong to the requirements beside them.

    python scripts/lock.py            # resolve again: cpu.txt, gpu.txt and clients.txt in requirements/
    python scripts/lock.py --check    # exit 1, with the file's name, where a lock is older than what it was made from

A lock's first line holds a digest of its inputs, so the check needs no network. Resolving keeps the versions that a
lock already pins; delete the file to take the newest of everything.
"""

import argparse
import hashlib
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REQUIREMENTS = ROOT / "requirements"
PLATFORM = "x86_64-manylinux_2_28"
PYTHON = "3.11"


@dataclass(frozen=True)
class Lock:
    """One lock file: its name, the requirement files it is made from, and whether pyproject.toml is one of them."""

    name: str
    extra_inputs: tuple[str, ...] = ()
    overrides: str | None = None
    of_project: bool = True

    @property
    def path(self) -> Path:
        return REQUIREMENTS / self.name

    def digest(self) -> str:
        """SHA-256 over the project's declared requirements and this lock's own input files."""
        declared = _declared_requirements() if self.of_project else []
        files = [*self.extra_inputs, *([self.overrides] if self.overrides else [])]
        text = "\n".join([PLATFORM, PYTHON, *declared, *((REQUIREMENTS / name).read_text() for name in files)])
        return hashlib.sha256(text.encode()).hexdigest()

    def header(self) -> str:
        return f"# inputs sha256:{self.digest()}; made by `make lock`, not by hand"

    def is_fresh(self) -> bool:
        return self.path.exists() and self.path.read_text().partition("\n")[0] == self.header()

    def write(self) -> None:
        """Resolve with uv and write the lock with the digest of its inputs on the first line."""
        command = [sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--no-header", "--generate-hashes"]
        command += ["--python-version", PYTHON, "--python-platform", PLATFORM, "--output-file", str(self.path)]
        command += ["--all-extras", "pyproject.toml"] if self.of_project else []
        command += [f"requirements/{name}" for name in self.extra_inputs]
        if self.overrides:
            command += ["--overrides", f"requirements/{self.overrides}"]
        subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        self.path.write_text(f"{self.header()}\n{self.path.read_text()}")


def _declared_requirements() -> list[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    return [
        repr(project["build-system"]["requires"]),
        repr(project["project"]["dependencies"]),
        repr(sorted(project["project"]["optional-dependencies"].items())),
    ]


LOCKS = (
    Lock("cpu.txt", ("cpu.in",), "cpu.overrides"),
    Lock("gpu.txt"),
    Lock("clients.txt", ("clients.in",), of_project=False),
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="only say whether the locks are fresh")
    if not parser.parse_args().check:
        for lock in LOCKS:
            lock.write()
        return 0
    stale = [lock.name for lock in LOCKS if not lock.is_fresh()]
    for name in stale:
        print(f"requirements/{name} is older than what it was made from: run `make lock`", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
