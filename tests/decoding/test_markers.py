"""Families of markers and their detection."""

from typing import Any

import pytest

from tenuto_decoding import FAMILIES, UnknownMarkers, detect_markers, resolve_markers
from tenuto_testing.byte_tokenizer import make_tokenizer


def test_the_s1_family_is_the_papers_format() -> None:
    s1 = FAMILIES["s1"]
    assert (s1.start, s1.end) == ("<|im_start|>think", "<|im_start|>answer")
    assert (s1.wait_text, s1.cap_text, s1.answer_prefix) == (("Wait",), "", "\nFinal Answer:")
    assert s1.newline_before_end
    assert s1.force_start


@pytest.mark.parametrize("family", sorted(set(FAMILIES) - {"s1", "gpt-oss"}))
def test_every_other_family_lands_with_a_sentence(family: str) -> None:
    assert FAMILIES[family].cap_text.endswith(".\n")


def test_gpt_oss_is_closed_with_the_header_of_the_final_channel() -> None:
    assert FAMILIES["gpt-oss"].answer_prefix == "<|start|>assistant<|channel|>final<|message|>"


def test_chatml_without_thinking_markers_is_s1(chatml: Any) -> None:
    assert detect_markers(chatml, chatml.chat_template).family == "s1"


def test_markers_in_the_vocabulary_are_evidence(thinker: Any) -> None:
    assert detect_markers(thinker, "<|im_start|>{{ messages }}").family == "think"


def test_markers_in_the_template_are_evidence(chatml: Any) -> None:
    assert detect_markers(chatml, "<|im_start|>{{ m }}<think></think>").family == "think"


@pytest.mark.parametrize("family", ["magistral", "seed", "minimax", "cohere", "granite"])
def test_a_family_is_known_by_both_of_its_markers(family: str) -> None:
    markers = FAMILIES[family]
    tokenizer = make_tokenizer("", (markers.start, markers.end))
    assert detect_markers(tokenizer, None) is markers


def test_gpt_oss_is_known_by_its_channels() -> None:
    tokenizer = make_tokenizer("", ("<|channel|>", "<|message|>"))
    assert detect_markers(tokenizer, "<|start|>assistant<|channel|>analysis").family == "gpt-oss"


def test_an_unknown_model_is_an_error_that_lists_the_families() -> None:
    tokenizer = make_tokenizer("")
    with pytest.raises(UnknownMarkers, match="s1, think, magistral"):
        detect_markers(tokenizer, "{{ messages }}")


def test_a_named_family_needs_no_evidence(chatml: Any) -> None:
    assert resolve_markers(chatml, "", family="seed").family == "seed"


def test_an_unknown_family_is_an_error_that_lists_the_known(chatml: Any) -> None:
    with pytest.raises(UnknownMarkers, match="'s2' is not a family of thinking markers; known are s1"):
        resolve_markers(chatml, "", family="s2")


def test_given_markers_win(chatml: Any) -> None:
    markers = resolve_markers(chatml, chatml.chat_template, start="<a>", end="</a>")
    assert (markers.family, markers.start, markers.end) == ("custom", "<a>", "</a>")


@pytest.mark.parametrize(("start", "end"), [("<a>", None), (None, "</a>"), ("", "</a>"), ("<a>", "")])
def test_markers_are_given_both_or_not_at_all(chatml: Any, start: str | None, end: str | None) -> None:
    with pytest.raises(UnknownMarkers, match="give both"):
        resolve_markers(chatml, "", start=start, end=end)
