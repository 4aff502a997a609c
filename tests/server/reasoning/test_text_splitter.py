"""Text is split at the markers, however it is cut into pieces."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from tenuto_decoding.prompt import Phase
from tenuto_server.reasoning.text_splitter import Markup, TextSplitter

S1 = Markup(
    start="<|im_start|>think", end="<|im_start|>answer", dropped=("<|im_start|>", "<|im_end|>", "<|endoftext|>")
)
THINK = Markup(start="<think>", end="</think>", openers=("<tool_call>",))
SPELT = Markup(start="Here is my thought process:", end="Here is my response:", exclusive=False)

PIECES = st.sampled_from(
    [*S1.texts, *THINK.texts, *SPELT.texts, "a", "\n", "Wait", "<", "<|im_", "<thi", "</", "Here is my ", "think"]
)


def split(markup: Markup, *pieces: str, phase: Phase = Phase.BEFORE) -> tuple[str, str]:
    splitter = TextSplitter(markup, phase)
    parts = [splitter.feed(piece) for piece in pieces] + [splitter.finish()]
    return "".join(reasoning for reasoning, _ in parts), "".join(content for _, content in parts)


def test_reasoning_is_between_the_markers() -> None:
    assert split(S1, "<|im_start|>think\nab\n<|im_start|>answer\nc<|im_end|>") == ("\nab\n", "\nc")
    assert split(THINK, "<think>ab</think>c") == ("ab", "c")


def test_what_no_marker_opened_is_content() -> None:
    assert split(THINK, "just an answer") == ("", "just an answer")


def test_thinking_that_the_prompt_opened_continues() -> None:
    assert split(THINK, "ab</think>c", phase=Phase.THINKING) == ("ab", "c")


def test_an_answer_that_begins_with_the_end_marker_has_no_reasoning() -> None:
    assert split(S1, "<|im_start|>answer\nFinal Answer: 3") == ("", "\nFinal Answer: 3")


def test_a_second_block_of_thinking_is_reasoning_too() -> None:
    assert split(THINK, "<think>a</think>b<think>c</think>d") == ("ac", "bd")


def test_a_tool_call_ends_thinking_and_stays_in_the_content() -> None:
    assert split(THINK, "<think>a<tool_call>{}") == ("a", "<tool_call>{}")


def test_a_marker_that_was_cut_off_is_dropped() -> None:
    assert split(S1, "<|im_start|>thi") == ("", "")
    assert split(S1, "<|im_start|>think\na<|im_start|>") == ("\na", "")
    assert split(THINK, "<think>a</thi") == ("a", "")


def test_a_spelt_marker_is_text_outside_of_thinking() -> None:
    assert split(SPELT, "Here is my response: no thoughts") == ("", "Here is my response: no thoughts")
    assert split(SPELT, "Here is my thought process: a Here is my resp") == (" a Here is my resp", "")


def test_text_that_cannot_become_a_marker_is_not_held_back() -> None:
    splitter = TextSplitter(THINK)
    assert splitter.feed("a<th") == ("", "a")
    assert splitter.feed("e") == ("", "<the")


@given(
    st.sampled_from([S1, THINK, SPELT]),
    st.sampled_from(list(Phase)),
    st.lists(PIECES, max_size=12).map("".join),
    st.lists(st.integers(0, 200), max_size=20),
)
def test_where_the_text_is_cut_makes_no_difference(markup: Markup, phase: Phase, text: str, cuts: list[int]) -> None:
    edges = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    pieces = [text[left:right] for left, right in pairwise(edges)]
    assert split(markup, *pieces, phase=phase) == split(markup, text, phase=phase)
    assert split(markup, *text, phase=phase) == split(markup, text, phase=phase)
