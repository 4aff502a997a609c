"""The part of a text that is the beginning of a JSON value does not depend on how the text is split."""

import json
import random
from typing import Any

import pytest
from jiter import from_json

from tenuto_server.reasoning.json_prefix import JsonPrefix, is_beginning, read_object

VALUES: tuple[Any, ...] = (
    {"a": [1, -2.5e10, True, False, None, 'x\n\u00e9\U0001f600 \\ "'], "b": {"c": {}}, "d": []},
    [1, [2]],
    "text",
    -12.5,
    {},
)


@pytest.mark.parametrize("value", VALUES, ids=str)
@pytest.mark.parametrize("escaped", [True, False])
def test_every_beginning_of_a_value_is_one(value: Any, escaped: bool) -> None:
    text = json.dumps(value, ensure_ascii=escaped)
    assert all(is_beginning(text[:end]) for end in range(len(text) + 1))


def in_pieces(text: str, draw: random.Random) -> str:
    prefix, found = JsonPrefix(), ""
    while text:
        size = draw.randint(1, 6)
        found += prefix.feed(text[:size])
        text = text[size:]
    assert found == prefix.text
    return found


def test_any_split_passes_on_the_same_which_the_sdks_can_parse() -> None:
    draw = random.Random(1)
    for _ in range(3000):
        text = "".join(draw.choice('{}[]":,a1-.e \\nu0') for _ in range(draw.randint(0, 12)))
        text = draw.choice(["", '{"a": ', '{"a": "', '{"a": 1}', '{"a": 1, "b": [']) + text
        found = in_pieces(text, draw)
        assert found == in_pieces(text, draw) == JsonPrefix().feed(text)
        assert text.startswith(found)
        assert found == text or not is_beginning(text[: len(found) + 1])
        if found.startswith(("{", "[")):
            from_json(found.encode(), partial_mode=True)  # as the SDKs of Anthropic and OpenAI do


@pytest.mark.parametrize(
    ("text", "found"),
    [('{"a": 1},"z": 2', '{"a": 1}'), ('{"a": bad}', '{"a": '), ("abc", ""), ("", ""), ('{"a": 1', '{"a": 1')],
)
def test_what_does_not_fit_is_left_out(text: str, found: str) -> None:
    assert JsonPrefix().feed(text) == found


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": [1, {"b": "x"}]}', {"a": [1, {"b": "x"}]}),
        ('{"a": 1, "b": "cut o', {"a": 1}),
        ('{"a": 1, "b": [2, 3', {"a": 1, "b": [2, 3]}),
        ('{"a": 1}, "z": 2', {"a": 1}),
        ('{"a": 1, bad', {"a": 1}),
        ('{"a": 1e999, "b": [-1e999]}', {"a": 1.7976931348623157e308, "b": [-1.7976931348623157e308]}),
        ('{"a": NaN}', {"a": None}),
        *((text, {}) for text in ("", " ", "[1]", '"x"', "null", "3", "{", "abc", "{'a': 1}")),
    ],
)
def test_an_object_is_read_as_far_as_it_goes(text: str, value: Any) -> None:
    assert read_object(text) == value
    json.dumps(read_object(text), allow_nan=False)


def test_whatever_is_passed_on_of_an_object_is_what_is_read_whole() -> None:
    draw = random.Random(2)
    for _ in range(2000):
        text = '{"a": [1, "bc"], "d": 2}'
        place = draw.randrange(len(text))
        text = text[:place] + draw.choice('{}[]":,x1 ') + text[place + draw.randint(0, 3) :]
        prefix = JsonPrefix(objects_only=True)
        sent = "".join(prefix.feed(character) for character in text)
        read = from_json(sent.encode(), partial_mode=True) if sent.strip() else {}
        assert read == read_object(text), text
