"""Replies at temperature 0, in one pass and by stop-append-resume: are they equal token for token?"""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from tenuto_testing.block_counts import respects_cap
from tenuto_testing.built_in_problems import FOLDER, built_in, draw_problems
from tenuto_testing.cases import Case, Family, draw_cases, families
from tenuto_testing.comparison import run_both_ways
from tenuto_testing.engines import Engine, in_process_engines
from tenuto_testing.random_model import save_small

from .benchmark import Report, Results, Run, Table, Target, Verdict

EXACT, COARSE = "float32", "bfloat16"
#: For each family and number format; the families that a check takes.
CASES, CHECKED_CASES, CHECKED_FAMILIES = 1000, 60, 1
SEED = 5
#: All cases of a family run at once: the cost of a step hardly depends on their number.
BATCH: Mapping[str, Any] = {"max_num_seqs": 1024, "kv_cache_memory_bytes": 256 << 20}
#: How many wrong sequences are named.
SHOWN = 5
FEWEST = 10_000


def measure(run: Run) -> Results:
    """In this process: engines on the small random model and on the built-in one, one for each number format."""
    model = save_small(run.work / "small")
    number = CHECKED_CASES if run.check else CASES
    chosen = list(families().values())[: CHECKED_FAMILIES if run.check else None]
    tallies: dict[str, dict[str, dict[str, int]]] = {EXACT: {}, COARSE: {}}
    named: list[str] = []
    logging.disable(logging.WARNING)
    with in_process_engines() as engines:

        def compare(engine: Engine, family: Family, cases: Sequence[Case], dtype: str) -> None:
            tally = _compare(engine, family, cases, dtype, named)
            tallies[dtype][family.name] = dict(tally)
            run.say(f"{dtype}, {family.name}: {tally['equal']} of {tally['sequences']} equal")

        for dtype in tallies:
            engine = engines.start(model, markers=chosen[0].markers, dtype=dtype, **BATCH)
            for family in chosen:
                compare(engine, family, draw_cases(family, number, SEED), dtype)
            engine = engines.start(FOLDER, markers=built_in().markers, dtype=dtype, **BATCH)
            compare(engine, built_in(), draw_problems(number, SEED), dtype)
    return {"tallies": tallies, "named": named}


def _compare(engine: Engine, family: Family, cases: Sequence[Case], dtype: str, named: list[str]) -> Counter[str]:
    """Counts of what the cases resulted in; the first wrong ones are added to `named`.

    `ties` and `different` are sequences that are not equal; `misreported` are equal ones whose report has another count
    or another end; `cap_broken` are those with more thinking than their cap or than reported.
    """
    names = (
        "sequences",
        "equal",
        "ties",
        "different",
        "misreported",
        "cap_broken",
        "with_cap",
        "closed_by_cap",
        "waits",
    )
    tally = Counter[str](dict.fromkeys(names, 0))
    for each in run_both_ways(engine, family, cases):
        tokens, waits, ended_by = each.report
        is_exact = tokens == each.procedure.count or not each.is_equal
        cap_broken = not (respects_cap(each.case, each.ids, tokens) and is_exact)
        tie = not each.is_equal and dtype == EXACT and each.is_tie(engine)
        kind = "equal" if each.is_equal else "ties" if tie else "different"
        misreported = each.is_equal and not each.reports_agree
        tally.update({"sequences": 1, kind: 1, "misreported": misreported, "cap_broken": cap_broken})
        tally.update(closed_by_cap=ended_by == "cap", with_cap=each.case.budget.cap is not None, waits=waits)
        if (cap_broken or (dtype == EXACT and (misreported or kind == "different"))) and len(named) < SHOWN:
            named.append(f"{dtype}, {family.name}: {each}: {each.ids} {each.report}")
    return tally


def report(results: Results) -> Report:
    tallies = results["tallies"]
    return Report(_targets(*(_sum(tallies[dtype]) for dtype in (EXACT, COARSE))), _tables(tallies, results["named"]))


def _targets(exact: Mapping[str, int], coarse: Mapping[str, int]) -> list[Target]:
    sequences, broken = (exact[name] + coarse[name] for name in ("sequences", "cap_broken"))
    enough = min(exact["sequences"], coarse["sequences"]) >= FEWEST

    def verdict(wrong: int) -> Verdict:
        if wrong:
            return Verdict.MISSED
        return Verdict.REACHED if enough else Verdict.NOT_MEASURED

    ties = f", {exact['ties']:,} differ at a tie" if exact["ties"] else ""
    return [
        Target(
            "float32: one pass gives the same tokens, counts and ends as stop-append-resume",
            f"{exact['equal']:,} of {exact['sequences']:,} equal{ties}; {exact['misreported']:,} reports differ",
            verdict(exact["different"] + exact["misreported"]),
        ),
        Target(
            "bfloat16: the share of equal sequences is reported",
            f"{_share(coarse)} of {coarse['sequences']:,} equal; {coarse['misreported']:,} of their reports differ",
            verdict(0),
        ),
        Target(
            "the cap is exact in every sequence",
            f"{broken:,} of {sequences:,} broken; {exact['with_cap'] + coarse['with_cap']:,} had one, "
            f"which ended the thinking of {exact['closed_by_cap'] + coarse['closed_by_cap']:,}",
            verdict(broken),
        ),
    ]


def _sum(by_family: Mapping[str, Mapping[str, int]]) -> Counter[str]:
    total = Counter[str]()
    for tally in by_family.values():
        total.update(tally)
    return total


def _share(tally: Mapping[str, int]) -> str:
    return f"{100 * tally['equal'] / tally['sequences']:.2f} %"


def _tables(tallies: Mapping[str, Mapping[str, Mapping[str, int]]], named: Sequence[str]) -> list[Table]:
    pairs = {name: (tally, tallies[COARSE][name]) for name, tally in tallies[EXACT].items()}
    pairs["all"] = (_sum(tallies[EXACT]), _sum(tallies[COARSE]))
    rows = [
        (
            name,
            *(f"{exact[count]:,}" for count in ("sequences", "waits", "equal", "ties", "different")),
            _share(coarse),
            f"{exact['cap_broken'] + coarse['cap_broken']:,}",
        )
        for name, (exact, coarse) in pairs.items()
    ]
    head = ("markers", "sequences", "waits", "float32: equal", "ties", "different", "bfloat16: equal", "cap broken")
    tables = [Table("Sequences in each number format, by how thinking is marked", head, rows)]
    return [
        *tables,
        *([Table("Wrong, the first of them", ("sequence",), [(name,) for name in named])] if named else []),
    ]
