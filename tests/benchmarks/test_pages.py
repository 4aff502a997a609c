"""Tables and plots show the saved summaries, and those in the repository are up to date."""

import re
import xml.etree.ElementTree
from pathlib import Path

import pytest

from benchmarks.__main__ import NAMES, ROOT, Folders
from benchmarks.benchmark import Plot
from benchmarks.estimates import Estimate
from benchmarks.pages import BEGIN, END, with_figures, write_plots, write_tables
from benchmarks.plots import draw, write_plot
from benchmarks.results import read_all, save

from .example_benchmark import record, report


def test_the_page_keeps_its_text_and_gets_every_target_with_its_command() -> None:
    reports = {"pace": report("pace", 1.5, 1.0, 3.0), "drift": report("drift", 2.5)}
    page = with_figures(f"# By hand\n\n{BEGIN}\nold\n{END}\n\nMore.\n", {"pace": record("pace", {})}, reports)
    assert page == (
        f"# By hand\n\n{BEGIN}\n\n"
        "| claim | measured (95 % interval) | verdict | command |\n| --- | ---: | --- | --- |\n"
        "| pace within 2 % | 1.5 (1.0 to 3.0) | not distinguishable | `make bench ARGS=pace` |\n"
        "| drift within 2 % | 2.5 | MISSED | `make bench ARGS=drift` |\n\n"
        "| benchmark | measured on | versions | machine |\n| --- | ---: | ---: | --- |\n"
        "| pace | 2026-11-23 | 0.1.0 abcdef0123, vLLM 0.32.0, Python 3.11.7 | Abacus, 2 cores, 1 GiB |\n\n"
        f"{END}\n\nMore.\n"
    )


def test_the_tables_of_a_benchmark_have_a_file_of_their_own(tmp_path: Path) -> None:
    write_tables(record("pace", {}), report("pace", 1.5, 1.0, 3.0), tmp_path)
    text = (tmp_path / "pace.md").read_text()
    assert "Measured on 2026-11-23 17:05 UTC in 1 minutes. processor: Abacus; cores: 2;" in text
    assert text.endswith(
        "pace in per cent:\n\n| streams | cost \\| % |\n| ---: | --- |\n| 1 | 1.5 (1.0 to 3.0) |\n| 64 | a\\|b |\n"
    )


def test_plots_of_earlier_reports_are_removed(tmp_path: Path) -> None:
    for name in ("pace", "drift"):
        write_plots({name: report(name, 1.0)}, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["drift-cost.svg"]


@pytest.mark.parametrize("log_y", [False, True])
@pytest.mark.parametrize(
    ("xs", "log_x", "scale"), [((1, 64), True, "log"), ((0, 6), True, "symlog"), ((0, 6), False, "linear")]
)
def test_a_plot_is_the_same_for_the_same_figures(
    tmp_path: Path, xs: tuple[int, ...], log_x: bool, scale: str, log_y: bool
) -> None:
    curves = {
        "ours": [(x, Estimate(x + 1, x + 0.5, x + 2)) for x in xs],
        "theirs": [(x, Estimate(x + 2)) for x in xs],
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
    assert xml.etree.ElementTree.fromstring(text).tag.endswith("svg")


def test_a_saved_record_is_read_back_and_replaces_an_earlier_one(tmp_path: Path) -> None:
    first = record("pace", {"seconds": [1.5, 2.0], "by streams": {"64": None}})
    save(record("pace", {"seconds": [9.0]}), tmp_path / "results")
    save(first, tmp_path / "results")
    assert [path.name for path in (tmp_path / "results").iterdir()] == ["pace.json"]
    assert read_all(tmp_path / "results") == {"pace": first}
    assert read_all(tmp_path / "nothing") == {}


def test_a_record_with_nan_is_not_saved_and_the_earlier_one_stays(tmp_path: Path) -> None:
    first = record("pace", {"seconds": 1.0})
    save(first, tmp_path)
    with pytest.raises(ValueError, match="not JSON compliant"):
        save(record("pace", {"seconds": float("nan")}), tmp_path)
    assert read_all(tmp_path) == {"pace": first}


def test_the_repository_has_the_tables_and_plots_of_its_summaries(tmp_path: Path) -> None:
    """Generated parts are not edited by hand, and are written again when the code for them changes."""
    (tmp_path / "results").mkdir()
    for path in ROOT.glob("benchmarks/results/*.json"):
        (tmp_path / "results" / path.name).write_text(path.read_text())
    Folders(tmp_path / "results", tmp_path).write()
    page = (ROOT / "docs/benchmarks.md").read_text()
    assert (tmp_path / "benchmarks.md").read_text() == page
    for name in NAMES:
        assert (tmp_path / f"results/{name}.md").read_text() == (ROOT / f"benchmarks/results/{name}.md").read_text()
        assert f"(../benchmarks/results/{name}.md)" in page
    plots = {path.name for path in (tmp_path / "benchmarks").iterdir()}
    assert plots == {path.name for path in ROOT.glob("docs/benchmarks/*")}
    assert set(re.findall(r"\(benchmarks/(.*?)\)", page)) == plots
    assert read_all(ROOT / "benchmarks/results").keys() <= set(NAMES)
