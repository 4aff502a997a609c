"""The page says what is kept, and is what stands in the repository."""

import re
import xml.etree.ElementTree
from pathlib import Path

import pytest

from benchmarks.__main__ import NAMES, ROOT, Shelf
from benchmarks.benchmark import Plot
from benchmarks.kept import keep, read_kept
from benchmarks.page import page, write_page
from benchmarks.plots import draw, write_plot
from benchmarks.spread import Spread

from .made_up import MACHINE, kept, section

HERE = ("pace", "memory", "drift")


def test_every_target_stands_in_one_table_with_what_came_of_it() -> None:
    sections = {"pace": section("pace", 1.0, 1.5, 3.0), "memory": section("memory", 2.5), "drift": section("drift")}
    text = page(HERE, {name: kept(name, {}) for name in HERE}, sections)
    found = [line for line in text.splitlines() if line.startswith(("| pace", "| memory", "| drift")) and "%" in line]
    assert found == [
        "| pace | within 2.0 % | 1.5 (1.0 to 3.0) | reached |",
        "| memory | within 2.0 % | 2.5 (2.5 to 2.5) | NOT REACHED |",
        "| drift | within 2.0 % | 0.0 (0.0 to 0.0) | not measured |",
    ]
    assert "Nothing is kept yet" not in text


def test_a_section_shows_all_that_a_benchmark_says() -> None:
    text = page(HERE, {"memory": kept("memory", {})}, {"memory": section("memory", 2.5)})
    begin = text.index("## The cost of memory")
    assert text[begin:] == (
        "## The cost of memory\n\n`make bench ARGS=memory`\n\nA paragraph.\n\nAnother one.\n\n"
        "- within 2.0 %: 2.5 (2.5 to 2.5). **NOT REACHED**\n\n"
        "Per cent by streams:\n\n"
        "| streams | cost \\| % |\n| ---: | --- |\n| 1 | 2.5 (2.5 to 2.5) |\n| 64 | a\\|b |\n\n"
        "![Cost of memory](benchmarks/memory-cost.svg)\n\nA note.\n"
    )


def test_what_is_not_kept_is_named() -> None:
    text = page(HERE, {"memory": kept("memory", {})}, {"memory": section("memory", 2.5)})
    assert "Nothing is kept yet of: `pace`, `drift`." in text
    nothing = page(HERE, {}, {})
    assert "Nothing is kept yet of: `pace`, `memory`, `drift`." in nothing
    assert "## Targets" not in nothing


def test_machines_are_told_apart_and_commits_are_not_machines() -> None:
    other = {**MACHINE, "cores": "64"}
    later = {**MACHINE, "tenuto": "0.1.0 fedcba9876"}
    every = {"pace": kept("pace", {}), "memory": kept("memory", {}, machine=later, seconds=9.6)}
    text = page(HERE, every, {name: section(name, 1.0) for name in every})
    assert "\nMachine: processor: Abacus; cores: 2.\n" in text
    assert "| pace | 2026-11-23 17:05 | 0.1.0 abcdef0123 | 1 min 15 s |" in text
    assert "| memory | 2026-11-23 17:05 | 0.1.0 fedcba9876 | 10 s |" in text

    every["drift"] = kept("drift", {}, machine=other)
    text = page(HERE, every, {name: section(name, 1.0) for name in every})
    assert "\nMachine of pace, memory: processor: Abacus; cores: 2.\n" in text
    assert "\nMachine of drift: processor: Abacus; cores: 64.\n" in text


def test_writing_draws_the_plots_and_removes_those_of_earlier_pages(tmp_path: Path) -> None:
    write_page(tmp_path, HERE, {"pace": kept("pace", {})}, {"pace": section("pace", 1.0)})
    write_page(tmp_path, HERE, {"drift": kept("drift", {})}, {"drift": section("drift", 1.0)})
    assert [path.name for path in (tmp_path / "benchmarks").iterdir()] == ["drift-cost.svg"]


@pytest.mark.parametrize("log_y", [False, True])
@pytest.mark.parametrize(
    ("xs", "log_x", "scale"), [((1, 64), True, "log"), ((0, 6), True, "symlog"), ((0, 6), False, "linear")]
)
def test_a_plot_is_the_same_for_the_same_figures(
    tmp_path: Path, xs: tuple[int, ...], log_x: bool, scale: str, log_y: bool
) -> None:
    curves = {
        label: [(x, Spread(x + y, x + y - 0.5, x + y + 1)) for x in xs] for y, label in ((1, "ours"), (2, "theirs"))
    }
    plot = Plot("a", "Cost & time", "streams", "ms", curves, log_x=log_x, log_y=log_y)
    [axes] = draw(plot).axes
    assert (axes.get_xscale(), axes.get_yscale()) == (scale, "log" if log_y else "linear")
    legend = axes.get_legend()
    assert legend
    assert [text.get_text() for text in legend.get_texts()] == ["ours", "theirs"]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == [str(x) for x in xs]
    for name in ("one.svg", "two.svg"):
        write_plot(plot, tmp_path / name)
    text = (tmp_path / "one.svg").read_text()
    assert text == (tmp_path / "two.svg").read_text()
    assert len(text) < 100_000
    assert "20" + "26-" not in text
    assert xml.etree.ElementTree.fromstring(text).tag.endswith("svg")


def test_what_is_kept_is_read_back(tmp_path: Path) -> None:
    first = kept("pace", {"seconds": [1.5, 2.0], "by streams": {"64": None}})
    keep(kept("pace", {"seconds": [9.0]}), tmp_path / "results")
    keep(first, tmp_path / "results")
    assert [path.name for path in (tmp_path / "results").iterdir()] == ["pace.json"]
    assert read_kept(tmp_path / "results") == {"pace": first}
    assert read_kept(tmp_path / "nothing") == {}


def test_figures_that_are_no_numbers_are_not_kept_and_what_was_kept_stays(tmp_path: Path) -> None:
    first = kept("pace", {"seconds": 1.0})
    keep(first, tmp_path)
    with pytest.raises(ValueError, match="not JSON compliant"):
        keep(kept("pace", {"seconds": float("nan")}), tmp_path)
    assert read_kept(tmp_path) == {"pace": first}


def test_the_page_is_written_from_what_is_kept(tmp_path: Path) -> None:
    """Nobody edits it by hand, and nobody forgets to write it after a change of what it says."""
    Shelf(ROOT / "benchmarks/results", tmp_path).write_page()
    assert (tmp_path / "benchmarks.md").read_text() == (ROOT / "docs/benchmarks.md").read_text()
    plots = {path.name for path in (tmp_path / "benchmarks").iterdir()}
    assert plots == {path.name for path in ROOT.glob("docs/benchmarks/*")}
    assert set(re.findall(r"\(benchmarks/(.*?)\)", (ROOT / "docs/benchmarks.md").read_text())) == plots
    assert read_kept(ROOT / "benchmarks/results").keys() <= set(NAMES)
