"""Plots are PNG files; the tests read their content from matplotlib's objects."""

from pathlib import Path

import matplotlib.image
import numpy as np
import pytest

from tenuto_evaluation.methods import Method, waits_sweep
from tenuto_evaluation.plots import draw, label_positions, plot_accuracy
from tenuto_evaluation.summary import Summary

SWEEP = waits_sweep([0, 1, 4])


def summaries(*tokens: float) -> list[Summary]:
    labels = [method.label for method in SWEEP.methods]
    return [
        Summary(Method(label, {}), 100, 0, 20 * (index + 1), used, 0.0, {"model": 1.0})
        for index, (label, used) in enumerate(zip(labels, tokens, strict=True))
    ]


def test_each_run_is_a_point_with_a_label() -> None:
    [axes] = draw(SWEEP, summaries(25, 50, 100)).axes
    assert np.asarray(axes.lines[0].get_xydata()).tolist() == [[25, 0.2], [50, 0.4], [100, 0.6]]
    assert [text.get_text() for text in axes.texts] == ["waits 0", "waits 1", "waits 4"]
    assert axes.get_xlabel() == "mean thinking tokens"
    assert axes.get_title() == SWEEP.title


def test_runs_that_coincide_share_a_label() -> None:
    same = [Summary(Method(label, {}), 400, 0, 320, used, 0.0, {}) for label, used in (("192", 151.2), ("256", 151.4))]
    assert label_positions(same) == {(151, 0.84): ["192", "256"]}


@pytest.mark.parametrize(("tokens", "scale"), [((25, 50, 100), "log"), ((0, 50, 100), "symlog"), ((0, 0, 0), "symlog")])
def test_the_axis_is_logarithmic_and_linear_near_zero(tmp_path: Path, tokens: tuple[float, ...], scale: str) -> None:
    [axes] = draw(SWEEP, summaries(*tokens)).axes
    assert axes.get_xscale() == scale
    plot_accuracy(SWEEP, summaries(*tokens), tmp_path / "plot.png")
    height, width, _ = matplotlib.image.imread(tmp_path / "plot.png").shape
    assert (width, height) == (1050, 675)
