"""Under Triton's interpreter, on the CPU: the kernels are the automaton, and vLLM's V2 model runner keeps to budgets.

Whether Triton interprets is decided when it is imported, so each of these runs in a process of its own.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tenuto_decoding import ThinkingAutomaton, ThinkingBudget, compile_plan
from tenuto_testing.cases import Case
from tenuto_testing.comparison import is_tie
from tenuto_testing.engines import Engine, in_process_engines
from tenuto_testing.random_model import save_small
from tenuto_testing.reference import carry_out

from .runner_cases import cases_of

ROOT = Path(__file__).parents[2]
FOLDER = Path(__file__).parent / "interpreted"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_small(tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="module")
def v1(model: Path) -> Iterator[Engine]:
    """A plain engine on the V1 runner."""
    with in_process_engines() as engines:
        yield engines.start(model, processor=None)


@pytest.fixture(scope="module")
def interpreted(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, Future[Any]]]:
    """All of them, two at a time: each takes a core for a minute or two. After an interrupt no other one starts."""
    folder = tmp_path_factory.mktemp("replies")
    pool = ThreadPoolExecutor(2)
    try:
        yield {
            **{module: pool.submit(run_tests, module) for module in ("equivalence.py", "adapter.py")},
            **{how: pool.submit(run_cases, how, model, folder / f"{how}.json") for how in ("drafts", "plain")},
        }
    finally:
        pool.shutdown(cancel_futures=True)


def run_tests(module: str) -> None:
    """The tests of one module; their output is shown when one fails."""
    printed = run_interpreted("pytest", "-q", "-p", "no:cacheprovider", str(FOLDER / module))
    assert " passed" in printed, printed


def run_cases(how: str, model: Path, out: Path) -> Any:
    """What the V2 runner makes of `cases_of(how)`."""
    run_interpreted("tests.decoding.interpreted.replies", how, str(model), str(out))
    return json.loads(out.read_text())


def run_interpreted(*command: str) -> str:
    """What `python -m` printed with these arguments."""
    done = subprocess.run(
        [sys.executable, "-m", *command],
        env={**os.environ, "TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"},
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-20_000:]
    return done.stdout


def test_the_kernels_are_equal_to_the_automaton(interpreted: Mapping[str, Future[Any]]) -> None:
    """At least 2,000 random requests, each row and state of which is compared; TENUTO_KERNEL_CASES asks for more."""
    interpreted["equivalence.py"].result()


def test_in_the_real_runner(interpreted: Mapping[str, Future[Any]]) -> None:
    """Reports, steering, siblings, grammars and slots, on the built-in model."""
    interpreted["adapter.py"].result()


@pytest.mark.parametrize("how", ["drafts", "plain"])
def test_the_real_runner_gives_what_stop_append_resume_gives(
    how: str, interpreted: Mapping[str, Future[Any]], v1: Engine
) -> None:
    """At temperature 0, token for token, for random cases of all families of markers.

    `plain` with requests preempted in mid-thought, `drafts` with speculative decoding and asynchronous scheduling.
    """
    found = interpreted[how].result()

    named = cases_of(how)
    procedures = [case.procedure() for _, case in named]
    carry_out(v1.llm, procedures)
    ties = 0
    for (name, case), procedure, ids in zip(named, procedures, found["replies"], strict=True):
        if ids != procedure.text:
            assert is_tie(v1, case.prompt, tuple(ids), tuple(procedure.text)), (name, case)
            ties += 1
            continue
        assert account(v1, case, ids, *found["reports"][name]) == (procedure.count, procedure.waits, procedure.ended), (
            name,
            case,
        )
    assert ties <= 1
    tokens = sum(map(len, found["replies"]))
    if how == "plain":
        assert found["restored"] >= 3
    else:
        assert found["drafts"] > 500
        assert found["turns"] < tokens


def account(engine: Engine, case: Case, ids: list[int], taken: list[int], fires: list[int]) -> tuple[int, int, str]:
    """What following the reply comes to, knowing where redirects took effect."""
    size = min(len(taken), len(ids))
    assert taken[:size] == ids[:size]
    assert size >= len(ids) - 4  # the tokens of the last step are not taken
    plan = compile_plan(ThinkingBudget.from_mapping(case.fields), case.family.markers, engine.llm.get_tokenizer())
    automaton = ThinkingAutomaton.after(plan, case.prompt)
    for place, token in enumerate(ids):
        automaton.advance(token, place in fires)
    return automaton.tokens, automaton.waits, automaton.ended_by
