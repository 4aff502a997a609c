"""The page of the benchmarks, from what is kept of them. Nothing is measured here."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from .benchmark import Section, Target
from .kept import Kept
from .plots import write_plot

Row = Sequence[str]
#: What tells one checkout from another rather than one machine.
COMMIT = "tenuto"

HEAD = """# Benchmarks

This page is written by `make bench` from the results kept in `benchmarks/results/`. Do not edit it: what you write is
gone the next time.

What budget forcing costs, against plain vLLM and against the other ways in which people do it today. Each figure stands
against its peer's from the same run on the same machine, measured in turns; of repetitions the median is given, and in
parentheses the lowest and the highest. Budget forcing on GPUs has a benchmark of its own, `make bench-gpu`:
[gpu.md](gpu.md).

## How to reproduce

```
make bench                        # all of them, one after the other
make bench ARGS="overhead soak"   # these two
make bench ARGS=--page            # writes this page anew, without measuring
make bench ARGS=--quick           # only shows that they run
```

Nothing has to be installed by hand, and nothing else should run on the machine meanwhile. Results are kept as each
benchmark is done, and the page is written anew from all that are kept."""


def write_page(docs: Path, names: Sequence[str], kept: Mapping[str, Kept], sections: Mapping[str, Section]) -> None:
    """Write `benchmarks.md` and its plots below `docs`; plots that no section draws any more are removed."""
    plots = {f"{plot.name}.svg": plot for section in sections.values() for plot in section.plots}
    folder = docs / "benchmarks"
    folder.mkdir(parents=True, exist_ok=True)
    for name, plot in plots.items():
        write_plot(plot, folder / name)
    for path in folder.glob("*.svg"):
        if path.name not in plots:
            path.unlink()
    (docs / "benchmarks.md").write_text(page(names, kept, sections))


def page(names: Sequence[str], kept: Mapping[str, Kept], sections: Mapping[str, Section]) -> str:
    """The page in Markdown.

    Args:
        names: of all benchmarks, in their order.
        kept, sections: by name, of those that were measured.
    """
    measured = [name for name in names if name in kept]
    missing = [f"`{name}`" for name in names if name not in kept]
    parts = [HEAD]
    if measured:
        parts += ["## Targets", table(TARGETS_HEAD, target_rows(measured, sections))]
    if missing:
        parts += [f"Nothing is kept yet of: {', '.join(missing)}."]
    if measured:
        parts += ["## Where the figures come from", *_origins([kept[name] for name in measured])]
    for name in measured:
        parts += _section(name, sections[name])
    return "\n\n".join(parts) + "\n"


TARGETS_HEAD = ("benchmark", "to reach", "found", "")


def target_rows(names: Sequence[str], sections: Mapping[str, Section]) -> list[Row]:
    """A line of cells for each target."""
    return [(name, target.text, target.found, verdict(target)) for name in names for target in sections[name].targets]


def verdict(target: Target) -> str:
    if target.reached is None:
        return "not measured"
    return "reached" if target.reached else "NOT REACHED"


def table(head: Row, rows: Sequence[Row]) -> str:
    """In Markdown, figures to the right; a cell may hold anything but line ends."""
    rule = ["---:" if all(map(_is_figure, column)) else "---" for column in zip(*rows, strict=True)] or ["---"] * len(
        head
    )
    escaped = [[cell.replace("|", "\\|") for cell in row] for row in (head, rule, *rows)]
    return "\n".join(f"| {' | '.join(row)} |" for row in escaped)


def _is_figure(cell: str) -> bool:
    return cell[:1].isdigit() or cell[:1] in "+-"


def _section(name: str, section: Section) -> Iterator[str]:
    yield f"## {section.title}"
    yield f"`make bench ARGS={name}`"
    yield section.text.strip()
    if section.targets:
        yield "\n".join(f"- {each.text}: {each.found}. **{verdict(each)}**" for each in section.targets)
    for each in section.tables:
        yield f"{each.caption}:"
        yield table(each.head, each.rows)
    for plot in section.plots:
        yield f"![{plot.title}](benchmarks/{plot.name}.svg)"
    yield from (note.strip() for note in section.notes)


def _origins(every: Sequence[Kept]) -> Iterator[str]:
    rows = [(kept.benchmark, kept.date, kept.machine[COMMIT], _duration(kept.seconds)) for kept in every]
    yield table(("benchmark", "date", "version and commit", "took"), rows)
    machines: dict[str, list[str]] = {}
    for kept in every:
        facts = "; ".join(f"{name}: {fact}" for name, fact in kept.machine.items() if name != COMMIT)
        machines.setdefault(facts, []).append(kept.benchmark)
    for facts, names in machines.items():
        of = "" if len(machines) == 1 else f" of {', '.join(names)}"
        yield f"Machine{of}: {facts}."


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
