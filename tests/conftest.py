"""Options, markers and settings of the whole suite.

What a test needs follows from its folder: NEEDS maps folders to markers, and each entry of LANES is the part of the
suite that one pytest process runs (see scripts/test.py). Without `--lane` one process runs everything, except the tests
that need Triton's interpreter: these run alone, with TRITON_INTERPRET=1.
"""

import os
import re
import signal
from pathlib import Path

import pytest
from hypothesis import settings

ROOT = Path(__file__).parent
#: Markers by path. The last one names the lane.
NEEDS = {
    **{
        f"integration/test_{name}.py": ("engine", "processes")
        for name in ("client_commands", "http_guarded", "http_lifecycle", "startup_output", "tensor_parallel")
    },
    "integration": ("engine", "server"),
    "nodes": ("engine", "server"),
    "fleet": ("engine", "fleet"),
    "image": ("image",),
    "decoding/gpu/interpreted": ("engine", "interpreter"),
    "engine": ("engine",),
    "benchmarks/test_gpu.py": ("engine",),
    "browser": ("engine", "browser"),
    "test_examples.py": ("engine",),
    "training/tiny": ("training",),
    "server": ("http",),
}
LANES = ("unit", "training", "http", "server", "processes", "fleet", "engine", "interpreter")

# What tests assert is behaviour, so an example of a property may be slow.
settings.register_profile("behaviour", deadline=None)
settings.load_profile("behaviour")

# Ctrl-C works in everything that tests start: a shell ignores SIGINT in background jobs, and children inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)


def needs(path: Path) -> tuple[str, ...]:
    """The markers of the tests under a path."""
    return next((markers for place, markers in NEEDS.items() if path.is_relative_to(ROOT / place)), ())


def lane(path: Path) -> str:
    return (needs(path) or ("unit",))[-1]


def excluded(config: pytest.Config) -> set[str]:
    """Markers whose tests `-m "not A and not B"` leaves out, so that their files need not be imported either."""
    expression = config.option.markexpr
    return set(re.findall(r"not (\w+)", expression)) if re.fullmatch(r"not \w+( and not \w+)*", expression) else set()


def is_interpreting() -> bool:
    return os.environ.get("TRITON_INTERPRET") == "1"


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("tenuto")
    group.addoption("--lane", choices=LANES, help="run this part of the suite only")
    group.addoption("--smollm2", type=Path, help="run the tests marked `smollm2`, on the model in this folder")
    group.addoption("--image", action="store_true", help="run the tests that build and run the image, as root")
    group.addoption("--ray", type=Path, help="run the tests marked `ray`, with Ray from this folder")
    group.addoption("--browser", help="run the tests marked `browser`, with this command")
    group.addoption("--long", action="store_true", help="run the long forms: more cases, and the tests marked `long`")


def is_chosen(path: Path, config: pytest.Config) -> bool:
    """Whether this process runs the tests of a file."""
    if (lane(path) == "interpreter") != is_interpreting() or not excluded(config).isdisjoint(needs(path)):
        return False
    return config.option.lane in (None, lane(path))


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Files of other lanes are not even imported, nor the conftest of a folder that holds nothing else."""
    if not (collection_path.suffix == ".py" or needs(collection_path)):
        return None
    within = [collection_path, *(ROOT / place for place in NEEDS if (ROOT / place).is_relative_to(collection_path))]
    return None if any(is_chosen(path, config) for path in within) else True


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        for marker in needs(item.path):
            item.add_marker(marker)
    left_out = [item for item in items if not is_chosen(item.path, config) or _is_left_out(item, config)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in set(left_out)]


def _is_left_out(item: pytest.Item, config: pytest.Config) -> bool:
    options = {name: getattr(config.option, name) for name in ("browser", "image", "long", "ray", "smollm2")}
    return any(item.get_closest_marker(name) is not None and not given for name, given in options.items())


@pytest.fixture(scope="session")
def smollm2_folder(pytestconfig: pytest.Config) -> Path:
    """SmolLM2-135M, for tests marked `smollm2`."""
    folder: Path = pytestconfig.option.smollm2
    return folder.resolve()


@pytest.fixture(scope="session")
def is_long(pytestconfig: pytest.Config) -> bool:
    """Whether tests run in their long form."""
    return bool(pytestconfig.option.long)
