"""The benchmark of the GPU path, in its small form under Triton's interpreter."""

import json
import os
import subprocess
import sys
from itertools import product
from pathlib import Path

import pytest
import torch

from benchmarks.gpu.costs import CopyCost, Cost, judge, table
from benchmarks.gpu.steps import FULL, STATES, TINY
from benchmarks.spread import Spread

ROOT = Path(__file__).resolve().parents[2]
#: Packages that a machine with the benchmark need not have.
ABSENT = ("vllm", "hypothesis", "pytest", "transformers", "tokenizers", "safetensors")
CUDA = torch.device("cuda")


def run_without_them(program: str, *arguments: str) -> str:
    """Run a Python program in a process that cannot import any of ABSENT, with interpreted kernels."""
    block = f"import sys; sys.modules.update(dict.fromkeys({ABSENT}))"
    environment = {
        **os.environ,
        "TRITON_INTERPRET": "1",
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": f"{ROOT / 'decoding'}:{ROOT / 'testing'}",
    }
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", f"{block}\n{program}", *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_tiny(tmp_path: Path) -> None:
    """Requests are compared, all states and sizes are measured, and the file is complete."""
    out = tmp_path / "results.json"
    program = "import runpy; runpy.run_module('benchmarks.gpu', run_name='__main__', alter_sys=True)"
    printed = run_without_them(program, "--tiny", "--cases", "60", "--out", str(out))
    found = json.loads(out.read_text())

    assert set(found) == {"machine", "scale", "equality", "costs", "copies", "targets"}
    assert found["machine"]["torch"] == torch.__version__
    equality = found["equality"]
    assert (equality["equal"], equality["difference"], equality["cases"]) == (True, "", 60)
    events = equality["events"]
    assert events["admitted"] + events["admitted without a budget"] == 60
    assert events["drafts accepted"] > 100
    assert "60 requests: all equal to the automaton" in printed

    sizes = list(product(STATES, TINY.batches, TINY.drafts, TINY.histories))
    assert [tuple(cost[name] for name in ("state", "batch", "drafts", "history")) for cost in found["costs"]] == sizes
    spreads = [cost[side] for cost in found["costs"] for side in ("device", "host")]
    assert all(spread["lowest"] <= spread["median"] <= spread["highest"] for spread in spreads)
    assert [copy["rows"] for copy in found["copies"]] == TINY.row_counts
    assert [target["reached"] for target in found["targets"]] == [None, None, None]
    assert printed.count("not measured") == 3
    lines = [line.split()[1] for line in printed.splitlines() if line.startswith("| ") and "---" not in line]
    assert lines == ["state", *(state for state in STATES for _ in TINY.drafts)]


def test_a_difference_is_found() -> None:
    """With an automaton that never waits, the device no longer agrees."""
    run_without_them(
        "import torch\n"
        "from benchmarks.gpu.equality import compare\n"
        "from tenuto_decoding import ThinkingAutomaton\n"
        "ThinkingAutomaton.extends = property(lambda self: False)\n"
        "found = compare(400, 0, torch.device('cpu'))\n"
        "assert not found.equal and found.difference, found\n"
    )


def test_the_full_form_has_these_sizes() -> None:
    assert FULL.vocabulary == 152_064
    assert FULL.batches == (1, 64, 256, 1024)
    assert FULL.histories == (1024, 8192, 32_768)
    assert FULL.drafts == (0, 3)
    assert set(STATES) >= {"idle", "redirect", "force"}


@pytest.mark.parametrize(
    ("changed", "reached"),
    [
        ({}, [True, True, True]),
        ({("idle", 256, 0, 1024): 30.2, ("idle", 256, 0, 32_768): 30.2}, [False, True, True]),
        ({("redirect", 256, 3, 8192): 31.0}, [True, False, True]),
        ({("redirect", 1024, 0, 1024): 99.0}, [True, True, True]),
        ({("force", 64, 0, 32_768): 25.0}, [True, True, False]),
    ],
)
def test_targets_are_judged(changed: dict[tuple[str, int, int, int], float], reached: list[bool]) -> None:
    verdicts = list(judge(costs(changed), CUDA))
    assert [verdict.reached for verdict in verdicts] == reached
    assert [("NOT REACHED" in str(verdict)) for verdict in verdicts] == [not each for each in reached]


def test_forced_and_suppressed_states_have_no_target() -> None:
    slow = {(state, 256, drafts, size): 400.0 for state in ("force", "suppress") for drafts in (0, 3) for size in SIZES}
    assert all(verdict.reached for verdict in judge(costs(slow), CUDA))


def test_the_table_has_a_line_for_each_state_batch_and_drafts() -> None:
    copies = [CopyCost(rows, spread(7.0)) for rows in FULL.row_counts]
    head, rule, *lines = table(costs({("idle", 64, 3, 8192): 12.3}), copies)
    assert head.count("|") == rule.count("|") == 9
    assert len(lines) == len(STATES) * len(FULL.batches) * len(FULL.drafts)
    (line,) = [line for line in lines if line.startswith("| idle | 64 | 3 |")]
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    ten, seven = "10.0 (9.0 to 11.0)", "7.0 (6.0 to 8.0)"
    assert cells[3:] == [ten, "12.3 (11.3 to 13.3)", ten, ten, seven]


SIZES = FULL.histories


def spread(median: float) -> Spread:
    return Spread(median, median - 1, median + 1)


def costs(changed: dict[tuple[str, int, int, int], float]) -> list[Cost]:
    """Ten microseconds each, except the changed ones."""
    return [
        Cost(*size, spread(changed.get(size, 10.0)), spread(10.0))
        for size in product(STATES, FULL.batches, FULL.drafts, SIZES)
    ]
