"""Markers that an operator describes: what is accepted for each field, and what is refused."""

import json
from dataclasses import asdict, replace
from typing import Any

import pytest

from tenuto_decoding import FAMILIES, ThinkingMarkers, UnknownMarkers
from tenuto_decoding.marker_fields import MARKER_FIELDS, read_fields


@pytest.mark.parametrize("family", FAMILIES)
def test_the_markers_of_a_family_survive_json(family: str) -> None:
    markers = replace(FAMILIES[family], off_switch=(("enable_thinking", False), ("effort", "none")))
    assert ThinkingMarkers(**read_fields(json.loads(json.dumps(asdict(markers))))) == markers


def test_every_field_can_be_read() -> None:
    markers = ThinkingMarkers(family="mine", start="<a>", end="</a>")
    assert read_fields(asdict(replace(markers, opens=False))).keys() == set(MARKER_FIELDS)


def test_fields_that_are_not_given_are_left_out() -> None:
    assert read_fields({"start": None, "stops": ["<end>"], "opens": None}) == {"stops": ("<end>",)}


def test_a_switch_may_be_a_table() -> None:
    assert read_fields({"off_switch": {"thinking": 0, "mode": "off"}}) == {
        "off_switch": (("thinking", 0), ("mode", "off"))
    }


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("opener", "<a>", "opener: is not one of family, start, end"),
        ("start", 5, "start: 5 is not a text"),
        ("answer_prefix", ["x"], "is not a text"),
        ("stops", "<end>", "stops: '<end>' is not a list of texts"),
        ("stops", [""], "none of them empty"),
        ("also_ends", [5], "is not a list of texts"),
        ("shared_start", "yes", "shared_start: 'yes' is neither true nor false"),
        ("opens", 1, "opens: 1 is neither true nor false"),
        ("off_switch", "off", "off_switch: 'off' is not a table"),
        ("off_switch", {"thinking": 0.5}, "is not a table"),
        ("off_switch", [["thinking"]], "is not a table"),
        ("off_switch", 5, "is not a table"),
    ],
)
def test_a_wrong_field_is_named(field: str, value: Any, message: str) -> None:
    with pytest.raises(UnknownMarkers) as refusal:
        read_fields({field: value})
    assert message in str(refusal.value)
    assert str(refusal.value).startswith(f"{field}: ")
