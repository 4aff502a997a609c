"""Ten thousand replies at temperature 0, in one pass and by stop-append-resume: token for token the same?"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from tenuto_testing.block_counts import respects_cap
from tenuto_testing.built_in_problems import FOLDER, built_in, draw_problems
from tenuto_testing.cases import Case, Family, draw_cases, families
from tenuto_testing.comparison import run_both_ways
from tenuto_testing.engines import Engine
from tenuto_testing.random_model import save_small

from .benchmark import Results, Run, Section, Table, Target
from .in_process import engines_here

EXACT, COARSE = "float32", "bfloat16"
#: For each family and number format.
CASES, QUICK_CASES = 1000, 60
QUICK_FAMILIES = 1
SEED = 5
#: All cases of a family at once: what a step costs hardly depends on how many there are.
BATCH: Mapping[str, Any] = {"max_num_seqs": 1024, "kv_cache_memory_bytes": 256 << 20}
#: So many sequences are named that differ though they should not.
SHOWN = 5
FEWEST = 10_000


def measure(run: Run) -> Results:
    """In this process: engines on the small random model and on the built-in one, one for each number format."""
    model = save_small(run.work / "small")
    number = QUICK_CASES if run.quick else CASES
    chosen = list(families().values())[: QUICK_FAMILIES if run.quick else None]
    found: dict[str, dict[str, dict[str, int]]] = {EXACT: {}, COARSE: {}}
    named: list[str] = []
    with engines_here() as engines:

        def compare(engine: Engine, family: Family, cases: Sequence[Case], dtype: str) -> None:
            tally = _compare(engine, family, cases, dtype, named)
            found[dtype][family.name] = dict(tally)
            run.say(f"fidelity, {dtype}, {family.name}: {tally['equal']} of {tally['sequences']} equal")

        for dtype in found:
            engine = engines.start(model, markers=chosen[0].markers, dtype=dtype, **BATCH)
            for family in chosen:
                compare(engine, family, draw_cases(family, number, SEED), dtype)
            engine = engines.start(FOLDER, markers=built_in().markers, dtype=dtype, **BATCH)
            compare(engine, built_in(), draw_problems(number, SEED), dtype)
    return {"found": found, "named": named}


def _compare(engine: Engine, family: Family, cases: Sequence[Case], dtype: str, named: list[str]) -> Counter[str]:
    """What came of the cases; those that are wrong are named."""
    names = ("sequences", "equal", "ties", "different", "wrong", "retold", "capped", "bounded", "tokens", "thinking")
    tally = Counter[str](dict.fromkeys(names, 0))
    for each in run_both_ways(engine, family, cases):
        told, waits, _ = each.report
        kept = respects_cap(each.case, each.ids, told) and (told == each.procedure.count or not each.is_equal)
        tie = not each.is_equal and dtype == EXACT and each.is_tie(engine)
        verdict = "equal" if each.is_equal else "ties" if tie else "different"
        retold = each.is_equal and not each.reports_agree
        tally.update({"sequences": 1, verdict: 1, "wrong": not kept, "retold": retold})
        tally.update(tokens=len(each.ids), thinking=told)
        tally.update(capped=each.report[2] == "cap", bounded=each.case.budget.cap is not None, waits=waits)
        if (not kept or (dtype == EXACT and (retold or verdict == "different"))) and len(named) < SHOWN:
            named.append(f"{dtype}, {family.name}: {each}: {each.ids} {each.report}")
    return tally


def section(results: Results) -> Section:
    """Of the page."""
    found = results["found"]
    exact, coarse = (_sum(found[dtype]) for dtype in (EXACT, COARSE))
    wrong = exact["wrong"] + coarse["wrong"]
    sequences = exact["sequences"] + coarse["sequences"]
    enough = min(exact["sequences"], coarse["sequences"]) >= FEWEST
    exact_misses = exact["different"] + exact["retold"]
    ties = f", and {exact['ties']:,} part at a tie" if exact["ties"] else ""
    return Section(
        title="Fidelity",
        text=_TEXT,
        targets=[
            Target(
                f"in float32, all of at least {FEWEST:,} sequences token for token as by stop-append-resume",
                f"{exact['equal']:,} of {exact['sequences']:,} are identical{ties}; {exact['retold']:,} of them were "
                "told with other counts or another end",
                exact_misses == 0 if enough or exact_misses else None,
            ),
            Target(
                "in bfloat16, the share is reported",
                f"{_share(coarse)} of {coarse['sequences']:,} are identical; {coarse['retold']:,} of these were told "
                "with other counts or another end",
                True if enough else None,
            ),
            Target(
                "the cap exact in all of them",
                f"{wrong:,} of {sequences:,} above their cap or told wrong; {exact['bounded'] + coarse['bounded']:,} "
                f"had one, which closed the thinking of {exact['capped'] + coarse['capped']:,}",
                wrong == 0 if enough or wrong else None,
            ),
        ],
        tables=[_table(found)],
        notes=_notes(results),
    )


_TEXT = (
    "Random budgets (caps, floors, waits and their texts, landing, one budget for a reply or one for each block) on "
    "random prompts, for ten ways in which models mark their thinking: control tokens and spelt markers of one to "
    "three tokens, on a random model of 32 tokens that writes markers often; and the built-in model on its own "
    "problems. Each sequence is generated twice on the same engine: in one pass, and by s1's procedure, which "
    "generates up to a stop, appends, and generates again. A tie is a place where two tokens are equally likely as "
    "far as float32 can tell (1e-4 between their log-probabilities, fields of the engine again for that place), so "
    "that which of them comes first depends on what else was in the batch. bfloat16 rounds to 8 bits: a request may "
    "go another way whenever its batch is another, with budgets or without. Thinking tokens are counted between the "
    "markers in the ids, and compared with the report and the cap. In bfloat16 a stop token and another token may "
    "have the very same logit: whether the one that was not drawn had been tried is then anybody's guess, and the "
    "count of waits may differ though the text does not."
)


def _sum(by_family: Mapping[str, Mapping[str, int]]) -> Counter[str]:
    total = Counter[str]()
    for tally in by_family.values():
        total.update(tally)
    return total


def _share(tally: Mapping[str, int]) -> str:
    return f"{100 * tally['equal'] / tally['sequences']:.2f} %"


def _table(found: Mapping[str, Mapping[str, Mapping[str, int]]]) -> Table:
    rows = []
    for name in found[EXACT]:
        exact, coarse = found[EXACT][name], found[COARSE][name]
        rows.append(_row(name, exact, coarse))
    rows.append(_row("all", _sum(found[EXACT]), _sum(found[COARSE])))
    head = (
        "markers",
        "sequences",
        "waits",
        "float32: identical",
        "ties",
        "different",
        "bfloat16: identical",
        "cap broken",
    )
    return Table("Sequences in each number format, by how thinking is marked", head, rows)


def _row(name: str, exact: Mapping[str, int], coarse: Mapping[str, int]) -> tuple[str, ...]:
    counts = (exact["sequences"], exact["waits"], exact["equal"], exact["ties"], exact["different"])
    return (name, *(f"{count:,}" for count in counts), _share(coarse), f"{exact['wrong'] + coarse['wrong']:,}")


def _notes(results: Results) -> list[str]:
    return (
        ["Wrong, the first of them:\n\n" + "\n".join(f"- {name}" for name in results["named"])]
        if results["named"]
        else []
    )
