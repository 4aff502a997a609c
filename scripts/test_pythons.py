"""Run the tests that need no engine on every other supported Python that is present.

    python -m scripts.test_pythons [pytest's arguments]

An interpreter is looked for on the PATH and among pyenv's versions. Each gets a small virtual environment in `.venv/`,
with the versions of requirements/cpu.txt. Which tests need no engine follows from their imports: those that reach
neither vLLM nor torch nor Triton, also through our own packages.
"""

import ast
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from scripts.lock import PYTHONS, ROOT

ENGINE = {"vllm", "torch", "triton"}
SOURCES = [ROOT / name for name in ("decoding", "server", "clients/python", "training", "evaluation", "testing")]
#: The folders of tests that mirror our packages.
FOLDERS = ("decoding", "server", "clients", "training", "evaluation")
REQUIREMENTS = (
    *("editables", "fastapi", "hatchling", "httptools", "httpx", "hypothesis", "matplotlib", "prometheus-client"),
    *("psutil", "pydantic", "pytest", "pytest-asyncio", "scipy", "starlette", "tokenizers", "transformers"),
    *("uvicorn", "uvloop"),
)


def interpreters() -> dict[str, Path]:
    """The supported versions other than the running one, each with a working interpreter."""
    running = "{}.{}".format(*sys.version_info)
    found = {}
    for version in PYTHONS:
        for candidate in () if version == running else _candidates(version):
            if subprocess.run([candidate, "-c", "import ssl"], capture_output=True, check=False).returncode == 0:
                found[version] = candidate
                break
    return found


def _candidates(version: str) -> Iterator[Path]:
    on_path = shutil.which(f"python{version}")
    if on_path:
        yield Path(on_path)
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    yield from sorted(pyenv.glob(f"versions/{version}.*/bin/python{version}"))


def prepare(version: str, interpreter: Path) -> Path:
    """Create or update the environment for a version; the path of its interpreter."""
    folder = ROOT / ".venv" / f"python{version}"
    python = folder / "bin" / "python"
    if not python.exists():
        _uv("venv", "--python", str(interpreter), "--no-python-downloads", str(folder))
    install = ("pip", "install", "--python", str(python))
    _uv(*install, "--constraint", str(ROOT / "requirements" / "cpu.txt"), *REQUIREMENTS)
    _uv(*install, "--no-deps", "--no-build-isolation", "--editable", str(ROOT))
    return python


def _uv(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "uv", "--quiet", *arguments], cwd=ROOT, check=True)


def tests_without_engine() -> list[Path]:
    """The test modules whose imports reach no engine."""
    tests = [path for name in FOLDERS for path in ROOT.glob(f"tests/{name}/**/test_*.py")]
    return sorted(path for path in tests if not _needs_engine(path))


def _needs_engine(test: Path) -> bool:
    """Follow a test's imports, and its conftests', through our own modules."""
    seen: set[Path] = set()
    pending = [test, *(folder / "conftest.py" for folder in test.parents if (folder / "conftest.py").is_file())]
    while pending:
        module = pending.pop()
        if module in seen:
            continue
        seen.add(module)
        for name in _imports(module):
            ours = list(_modules(name))
            if not ours and name.partition(".")[0] in ENGINE:
                return True
            pending += ours
    return False


@cache
def _imports(module: Path) -> frozenset[str]:
    """The dotted names that a module imports, at any depth; a name imported from a package may be its module."""
    base = next(base for base in (*SOURCES, ROOT) if module.is_relative_to(base))
    package = module.relative_to(base).parent.parts
    names: set[str] = set()
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            parents = package[: len(package) - node.level + 1] if node.level else ()
            source = ".".join([*parents, *([node.module] if node.module else [])])
            names |= {source, *(f"{source}.{alias.name}" for alias in node.names)}
    return frozenset(names)


def _modules(name: str) -> Iterator[Path]:
    """The files of ours that an import of this name executes: the module and the packages around it."""
    parts = name.split(".")
    for depth in range(1, len(parts) + 1):
        for base in (*SOURCES, ROOT):
            path = base.joinpath(*parts[:depth])
            yield from (file for file in (path / "__init__.py", path.with_suffix(".py")) if file.is_file())


def main() -> int:
    found = interpreters()
    if not found:
        print(f"No other Python of {', '.join(PYTHONS)} is present")
        return 0
    tests = [str(path.relative_to(ROOT)) for path in tests_without_engine()]
    failed = []
    for version, interpreter in found.items():
        print(f"Python {version}: {len(tests)} test modules", flush=True)
        command = [str(prepare(version, interpreter)), "-m", "pytest", "--quiet", *sys.argv[1:], *tests]
        if subprocess.run(command, cwd=ROOT, check=False).returncode:
            failed.append(version)
    if failed:
        print(f"Failed on Python {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
