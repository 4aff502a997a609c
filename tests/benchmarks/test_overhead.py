"""Summaries and verdicts of the overhead, on made-up figures."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from benchmarks import overhead
from benchmarks.benchmark import Report, Run, Verdict
from benchmarks.estimates import Estimate
from benchmarks.overhead import CONTROL, DEFAULT, GUARD, NO_BUDGET, OTHER, PLAIN, REDIRECT, TENUTO

LUCK = (0.97, 0.98, 0.99, 1.0, 1.01, 1.02, 1.03)


def figures(ratio: float) -> dict[str, float]:
    """Of a run with a share of 100 tokens a second."""
    return {
        "tokens_per_second": 100 * ratio,
        "gap_ms": 10 / ratio,
        "gap_p99_ms": 11.0,
        "api_us": 60.0,
        "engine_us": 40.0,
        "worker_us": 120.0,
    }


def groups(ratio: float, luck: Sequence[float] = LUCK, *, other: float | None = None) -> list[overhead.Group]:
    more = {} if other is None else {OTHER: figures(other)}
    return [{PLAIN: figures(1.0), TENUTO: figures(ratio * each), **more} for each in luck]


def report(**ratios: float) -> Report:
    """Of one model at 1 and 64 streams; ratios are those at 64 streams, and 1 where none is given."""
    modes = (CONTROL, NO_BUDGET, GUARD, REDIRECT)
    names = {"control": CONTROL, "none": NO_BUDGET, "guard": GUARD, "redirect": REDIRECT}
    at_64 = dict.fromkeys(modes, 1.0) | {names[name]: ratio for name, ratio in ratios.items()}
    quiet = (0.995, 0.998, 1.0, 1.0, 1.0, 1.002, 1.005)
    found = {
        "1": {mode: groups(1.0, quiet) for mode in modes},
        "64": {mode: groups(ratio, quiet) for mode, ratio in at_64.items()},
    }
    return overhead.report({overhead.WIDE: overhead.summarize(found)})


@pytest.mark.parametrize(
    ("ratios", "verdicts"),
    [
        ({}, ["reached", "reached", "reached"]),
        ({"none": 0.98, "guard": 0.95}, ["reached", "reached", "reached"]),
        ({"none": 0.965}, ["MISSED", "reached", "reached"]),
        ({"redirect": 0.9}, ["reached", "reached", "MISSED"]),
        ({"control": 0.93}, ["not distinguishable", "reached", "reached"]),
        ({"control": 0.93, "none": 0.9}, ["MISSED", "reached", "reached"]),
    ],
)
def test_targets(ratios: dict[str, float], verdicts: list[str]) -> None:
    assert [target.verdict for target in report(**ratios).targets] == verdicts


def test_a_load_that_misses_its_target_is_not_example_benchmark_for_by_others() -> None:
    shares = {"all": Estimate(1.0, 0.99, 1.01), "1": Estimate(0.9, 0.88, 0.97), "64": Estimate(1.1, 1.05, 1.15)}
    assert overhead.verdict(shares, None, 0.98) is Verdict.MISSED
    assert overhead.verdict(shares | {"1": Estimate(0.9, 0.88, 0.98)}, None, 0.98) is Verdict.REACHED


def test_a_control_that_varies_by_more_than_the_claim_leaves_nothing_to_say() -> None:
    shares = {"all": Estimate(1.0, 0.99, 1.01)}
    assert overhead.verdict(shares, Estimate(1.0, 0.99, 1.01), 0.98) is Verdict.REACHED
    for noisy in (Estimate(1.0, 0.97, 1.01), Estimate(1.0, 0.99, 1.03)):
        assert overhead.verdict(shares, noisy, 0.98) is Verdict.NOT_DISTINGUISHABLE


def test_tables_have_a_row_for_every_mode_and_a_column_for_every_load() -> None:
    shown = report(guard=0.9)
    shares, gaps, _, medians, _, runs = shown.tables
    assert shares.head == ["", "all loads", "1 stream", "64 streams"]
    assert shares.rows[2][0] == GUARD
    assert shares.rows[2][3].startswith("0.900 (")
    assert gaps.rows[2][3].startswith("1.111 ")
    assert medians.rows[0] == [PLAIN, "100.0, 10.0, 11.0", "100.0, 10.0, 11.0"]
    assert runs.rows[1] == [NO_BUDGET, "7", "7"]
    assert all(len(row) == len(table.head) for table in shown.tables for row in table.rows)
    (plot,) = shown.plots
    assert [x for x, _ in plot.curves[NO_BUDGET]] == [1.0, 64.0]


def test_another_checkout_is_compared_with_plain_vllm_and_with_this_one() -> None:
    found = overhead.summarize({"8": {NO_BUDGET: groups(0.9, other=0.95)}})
    ratios = {
        title: Estimate(*by_figure["tokens_per_second"][NO_BUDGET]["all"]).value
        for title, by_figure in found["ratios"].items()
    }
    assert ratios == {
        "Tenuto / plain vLLM": pytest.approx(0.9),
        "other checkout / plain vLLM": pytest.approx(0.95),
        "Tenuto / other checkout": pytest.approx(0.9 / 0.95),
    }
    shown = overhead.report({overhead.TINY: found})
    assert [table.caption for table in shown.tables if "other checkout, tokens/s" in table.caption]


def test_every_budget_ends_within_the_reply() -> None:
    for mode in (GUARD, REDIRECT, overhead.FORCE):
        bounds = [value for value in overhead.budget(mode, 24).values() if isinstance(value, int)]
        assert bounds == [24]
    assert len(str(overhead.budget(overhead.FORCE, 24)["cap_text"]).split()) == 24 - overhead.FREE_BEFORE_FORCED


def test_servers_take_turns_and_share_a_group(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(overhead, "save_model", lambda folder: folder)
    order: list[object] = []

    def figures_of(server: object, *_: object) -> dict[str, float]:
        order.append(server)
        return figures(1.0)

    monkeypatch.setattr(overhead, "_figures", figures_of)
    (wide,) = overhead._models(Run(tmp_path, check=True))
    servers = {name: name for name in (PLAIN, TENUTO, CONTROL, DEFAULT)}
    for turn, expected in ((0, [PLAIN, CONTROL, PLAIN, DEFAULT]), (7, [DEFAULT, PLAIN, TENUTO, PLAIN])):
        order.clear()
        modes = [mode for mode, _ in overhead._repetition(servers, wide, 8, wide.loads[8], turn, iter(range(99)))]  # type: ignore[arg-type]
        first = turn % len(wide.modes)
        assert modes == [*wide.modes[first:], *wide.modes[:first]]
        assert order[:4] == expected
