"""The decoder returns the same events wherever the bytes are split."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenuto.sse_decoder import ServerSentEvent, SSEDecoder

STREAM = (
    ": keep-alive\n\n"
    'data: {"text": "é – 漢字 🙂"}\n\n'
    "event: error\r\ndata: first\r\ndata:second\r\n\r\n"
    "id: 7\rretry: 10\rdata\rdata:  two spaces\r\r"
    "data: [DONE]\n\n"
    "data: never ended"
).encode()
EVENTS = [
    ServerSentEvent("message", '{"text": "é – 漢字 🙂"}'),
    ServerSentEvent("error", "first\nsecond"),
    ServerSentEvent("message", "\n two spaces"),
    ServerSentEvent("message", "[DONE]"),
]


def decode(*chunks: bytes) -> list[ServerSentEvent]:
    decoder = SSEDecoder()
    return [event for chunk in chunks for event in decoder.feed(chunk)]


def test_one_chunk() -> None:
    assert decode(STREAM) == EVENTS


@pytest.mark.parametrize("cut", range(len(STREAM) + 1))
def test_split_in_two_at_every_byte(cut: int) -> None:
    assert decode(STREAM[:cut], STREAM[cut:]) == EVENTS


def test_one_byte_at_a_time() -> None:
    assert decode(*(STREAM[i : i + 1] for i in range(len(STREAM)))) == EVENTS


@given(st.lists(st.integers(0, len(STREAM))))
def test_split_anywhere(cuts: list[int]) -> None:
    bounds = [0, *sorted(cuts), len(STREAM)]
    assert decode(*(STREAM[a:b] for a, b in itertools.pairwise(bounds))) == EVENTS


@given(
    st.lists(st.lists(st.text(st.characters(exclude_characters="\r\n")), min_size=1)),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.data(),
)
def test_encoded_events_are_decoded(events: list[list[str]], newline: str, data: st.DataObject) -> None:
    lines = [[*(f"data: {line}" for line in event), ""] for event in events]
    encoded = "".join(f"{line}{newline}" for event in lines for line in event).encode(errors="replace")
    cuts = data.draw(st.lists(st.integers(0, len(encoded))))
    bounds = [0, *sorted(cuts), len(encoded)]
    decoded = decode(*(encoded[a:b] for a, b in itertools.pairwise(bounds)))
    expected = ["\n".join(event).encode(errors="replace").decode() for event in events]
    assert [event.data for event in decoded] == expected


def test_an_event_without_data_is_dropped() -> None:
    assert decode(b"event: error\n\ndata: x\n\n") == [ServerSentEvent("message", "x")]


def test_invalid_utf8_does_not_stop_the_stream() -> None:
    assert decode(b"data: a\xffb\n\n") == [ServerSentEvent("message", "a\ufffdb")]
