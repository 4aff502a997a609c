"""The contract with vLLM holds for the installed release, and its checker reports every kind of change."""

import ast
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.vllm_contract.comparison import Kind, differences
from tests.vllm_contract.objects import RELIED
from tests.vllm_contract.releases import PACKAGES, contract_on, installed
from tests.vllm_contract.sources import Sources
from tests.vllm_contract.uses import Use, uses_of

#: vLLM's documented interfaces: our modules may import these, and nothing else outside of their `vllm_compat`.
DOCUMENTED = {
    "vllm": {"SamplingParams", "__version__", "envs"},
    "vllm.config": {"ModelConfig", "VllmConfig"},
    "vllm.config.logging": {"LoggingConfig"},
    "vllm.engine.arg_utils": {"AsyncEngineArgs"},
    "vllm.exceptions": {"VLLMError", "VLLMValidationError"},
    "vllm.outputs": {"CompletionOutput", "RequestOutput"},
    "vllm.platforms": {"current_platform"},
    "vllm.reasoning": {"ReasoningParser", "ReasoningParserManager"},
    "vllm.sampling_params": {"RequestOutputKind", "SamplingParams"},
    "vllm.usage.usage_lib": {"UsageContext"},
    "vllm.v1.engine.async_llm": {"AsyncLLM"},
    "vllm.v1.executor": {"Executor"},
    "vllm.v1.sample.logits_processor": {"BatchUpdate", "LogitsProcessor"},
    "vllm.v1.worker.gpu.sample.logits_processor": {"LogitsContext", "LogitsProcRequestState", "LogitsProcessor"},
}

Written = Callable[..., list[Use]]


def test_the_installed_vllm_and_uvicorn_satisfy_the_contract() -> None:
    problems = [f"{use.name}: {use.problem} ({use.where})" for use in contract_on(installed("vllm")) if use.problem]
    assert problems == []


def test_only_vllm_compat_imports_undocumented_names_of_vllm() -> None:
    found = []
    for package, folder in PACKAGES.items():
        for path in sorted(folder.rglob("*.py")):
            if path.name == "vllm_compat.py":
                continue
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "vllm":
                    others = {alias.name for alias in node.names} - DOCUMENTED.get(node.module or "", set())
                    found += [f"{package}/{path.relative_to(folder)}: {node.module}.{name}" for name in sorted(others)]
                elif isinstance(node, ast.Import):
                    assert not [alias.name for alias in node.names if alias.name.partition(".")[0] == "vllm"], path
    assert found == []


def test_each_listed_name_has_a_reason_and_appears_once() -> None:
    assert all(relied.why for relied in RELIED)
    assert len({relied.path for relied in RELIED}) == len(RELIED)


@pytest.fixture
def written(tmp_path: Path) -> Written:
    """What our code, given as text, relies on in a vLLM of two modules, also given as text."""

    def write(ours: str, engine: str, name: str = "vllm") -> list[Use]:
        for folder, files in ((name, {"__init__": "", "engine": engine}), ("ours", {"__init__": "", "code": ours})):
            for module, text in files.items():
                path = tmp_path / folder / f"{module}.py"
                path.parent.mkdir(exist_ok=True)
                path.write_text(text)
        sources = Sources({"vllm": tmp_path / name, "ours": tmp_path / "ours"})
        return list(uses_of(sources, ("ours",)))

    return write


def problems(uses: list[Use]) -> list[str]:
    return [f"{use.name} {use.problem}" for use in uses if use.problem]


ENGINE = """
class Base:
    def __init__(self, config):
        self.config = config
    def run(self, request, *, priority=0): ...
class Engine(Base): ...
def start(config, workers=1): ...
"""


@pytest.mark.parametrize(
    ("ours", "expected"),
    [
        ("from vllm.engine import Engine, start\nstart(1)\nEngine(2)", []),
        ("from vllm.engine import stop", ["vllm.engine.stop does not exist"]),
        ("from vllm.gone import stop", ["vllm.gone.stop does not exist"]),
        ("from vllm import engine\nengine.stop", ["vllm.engine.stop does not exist"]),
        ("from vllm.engine import start\nstart(1, threads=2)", ["vllm.engine.start takes no threads"]),
        ("from vllm.engine import start\nstart()", ["vllm.engine.start needs config"]),
        ("from vllm.engine import start\nstart(1, 2, 3)", ["vllm.engine.start takes 2 positional arguments"]),
        ("from vllm.engine import start\nstart(**options)", []),
        ("from vllm import engine\nengine.start(workers=1)", ["vllm.engine.start needs config"]),
        ("from vllm.engine import Engine\nEngine()", ["vllm.engine.Engine.__init__ needs config"]),
        (
            "from vllm.engine import Engine\nclass Ours(Engine):\n    def run(self, request): ...",
            ["vllm.engine.Base.run called with priority"],
        ),
        (
            "from vllm.engine import Engine\nclass Ours(Engine):\n    def run(self, body, **options): ...",
            ["vllm.engine.Base.run called with (self, request)"],
        ),
        ("from vllm.engine import Engine\nclass Ours(Engine):\n    def run(self, request, **more): ...", []),
        (
            "from vllm.engine import Engine\nclass Ours(Engine):\n    def halt(self): return self.config, self.workers",
            ["vllm.engine.Engine.workers does not exist"],
        ),
        (
            "from vllm.engine import Engine\nclass Ours(Engine):\n    def run(self, **all): super().run(all, cache=1)",
            ["vllm.engine.Base.run called with (self, request)", "vllm.engine.Engine.run takes no cache"],
        ),
    ],
)
def test_a_use_that_does_not_fit_is_reported(written: Written, ours: str, expected: list[str]) -> None:
    assert problems(written(ours, ENGINE)) == expected


MOVED = """
try:
    from vllm.newer import start
except ImportError:
    from vllm.engine import start
start(1)
"""


def test_an_import_needs_only_one_of_its_alternatives(written: Written) -> None:
    assert problems(written(MOVED, ENGINE)) == []
    assert problems(written(MOVED, "", "later")) == [
        "vllm.newer.start does not exist",
        "vllm.engine.start does not exist",
    ]


def test_a_comparison_shows_what_changed_and_how_much_it_matters(written: Written) -> None:
    ours = (
        "from vllm.engine import Engine, start\nstart(1)\nclass Ours(Engine):\n    def ends(self): return self.config"
    )
    before = written(ours, ENGINE)
    changed = ENGINE.replace("workers=1", "workers=1, name=''").replace("= config", "= dict(config)")
    found = [(each.kind, each.name) for each in differences(before, written(ours, changed, "later"))]
    assert found == [(Kind.SIGNATURE, "vllm.engine.start")]
    found = [(each.kind, each.name) for each in differences(before, written(ours, "", "last"))]
    assert found == [(Kind.PROBLEM, "vllm.engine.Engine"), (Kind.PROBLEM, "vllm.engine.start")]
    assert differences(before, before) == []
