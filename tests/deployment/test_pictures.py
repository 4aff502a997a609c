"""What the pictures of the boards are drawn from. `make dashboard-pictures` draws them, with a browser and servers."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from PIL import Image

from tenuto_dashboards.__main__ import BOARDS, FOLDER
from tenuto_pictures.answers import Selection, drawing
from tenuto_pictures.browser import OUT, PAGE, SCRIPTS

LARGEST_BYTES = 300_000
SELECTION = Selection(start=0, end=60, step=30, rate=30, variables={})


@dataclass(frozen=True)
class Answer:
    labels: Mapping[str, str]
    points: Sequence[tuple[float, float]]


class Recorded:
    """Gives the same answer to every query, and keeps the queries."""

    def __init__(self, *answers: Answer) -> None:
        self._answers, self.asked = answers, list[str]()

    def query(self, expr: str, at: float | None = None) -> Sequence[Answer]:
        self.asked.append(expr)
        return self._answers

    def query_range(self, expr: str, start: float, end: float, step: float) -> Sequence[Answer]:
        self.asked.append(expr)
        return self._answers


def board(kind: str, options: Mapping[str, Any], legend: str, expr: str = "x", **field: Any) -> dict[str, Any]:
    target: dict[str, Any] = {"expr": expr, "legendFormat": legend, "instant": kind != "heatmap"}
    panel: dict[str, Any] = {
        "type": kind,
        "title": "Of $cap",
        "gridPos": {"x": 0, "y": 0, "w": 24, "h": 8},
        "options": options,
    }
    panel |= {"targets": [target], "fieldConfig": {"defaults": {"unit": "short", **field}}}
    variable: dict[str, Any] = {"name": "cap", "label": "Cap", "current": {"value": "50.0"}}
    return {"title": "A", "description": "About it. More", "templating": {"list": [variable]}, "panels": [panel]}


def test_a_heatmap_has_what_is_in_each_bucket_from_the_first_to_the_last_that_holds_anything() -> None:
    counts = {"1.0": 0.0, "2.0": 3.0, "5.0": 3.0, "10.0": 4.0, "+Inf": 4.0}
    answers = Recorded(*(Answer({"le": le}, [(0, 0.0), (30, count)]) for le, count in counts.items()))
    [panel] = drawing(board("heatmap", {"yAxis": {"unit": "s"}}, "{{le}}"), answers, SELECTION)["panels"]
    assert [(row["name"], row["points"][1][1]) for row in panel["series"]] == [
        ("≤ 2 s", 3),
        ("≤ 5 s", 0),
        ("≤ 10 s", 1),
    ]


def test_bars_for_each_bound_are_in_the_order_of_the_bounds() -> None:
    found = [Answer({"model_name": "m", "le": le}, [(60, value)]) for le, value in (("10.0", 0.1), ("2.0", 0.9))]
    options = {"xField": "le\\model_name"}
    [panel] = drawing(board("barchart", options, "{{model_name}}"), Recorded(*found), SELECTION)["panels"]
    assert panel["series"] == [{"name": "m", "points": [(2.0, 0.9), (10.0, 0.1)]}]


def test_a_panel_says_what_it_shows_without_data_and_has_no_series_of_what_is_not_a_number() -> None:
    nothing = Recorded(Answer({"a": "b"}, [(60, float("nan"))]))
    drawn = drawing(board("stat", {}, "{{a}}", noValue="No traffic"), nothing, SELECTION)
    assert (drawn["panels"][0]["empty"], drawn["panels"][0]["series"]) == ("No traffic", [])
    assert (drawn["selection"], drawn["panels"][0]["title"]) == (
        "About it · 1.0 minutes of traffic, rates over 30 s, UTC · Cap: 50",
        "Of 50",
    )


def test_variables_are_put_into_the_queries() -> None:
    asked = Recorded()
    expr = 'rate(x{le="$cap"}[$__rate_interval]) + increase(x[$__range])'
    drawing(board("stat", {}, "", expr), asked, SELECTION)
    assert asked.asked == ['rate(x{le="50.0"}[30s]) + increase(x[60s])']


@pytest.mark.parametrize("name", BOARDS)
def test_the_page_draws_every_kind_of_panel_and_unit_of_the_boards(name: str) -> None:
    script = "".join((PAGE / file).read_text() for file in SCRIPTS)
    kinds = set(re.findall(r'^  "?([\w-]+)"?: draw', script, re.MULTILINE))
    units = set(re.findall(r"(\w+):", re.findall(r"UNIT_NAMES = {(.*?)}", script)[0]))
    panels = [panel for panel in json.loads((FOLDER / f"{name}.json").read_text())["panels"] if panel["type"] != "row"]
    assert {panel["type"] for panel in panels} <= kinds
    assert {panel["fieldConfig"]["defaults"]["unit"] for panel in panels} <= units


@pytest.mark.parametrize("name", BOARDS)
def test_the_docs_have_a_picture_of_each_board(name: str) -> None:
    path = OUT / f"{name}.png"
    assert f"](dashboards/{name}.png)" in (OUT.parent / "dashboards.md").read_text()
    assert path.stat().st_size < LARGEST_BYTES
    assert Image.open(path).width == 1280
