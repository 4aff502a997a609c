"""Text is split at the markers, however it is cut into pieces."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenuto_decoding.prompt import Phase
from tenuto_server.reasoning.answer_wrappers import AnswerWrappers
from tenuto_server.reasoning.text_splitter import Markup, TextSplitter

S1 = Markup(
    start="<|im_start|>think", end="<|im_start|>answer", dropped=("<|im_start|>", "<|im_end|>", "<|endoftext|>")
)
THINK = Markup(start="<think>", end="</think>", openers=("<tool_call>",))
SPELT = Markup(
    start="Here is my thought process:",
    end="Here is my response:",
    start_spellings=("Here's my thought process:",),
    end_spellings=("Here's my response:",),
    exclusive=False,
)
WRAPPED = Markup(
    start="<think>",
    end="</think>",
    openers=("<tool_call>",),
    dropped=("</s>",),
    wrappers=AnswerWrappers(("<response>", "</response>")),
    no_thinking="<think>\n\n</think>\n\n",
)
#: Several wrappers in a row; some hold special tokens.
NESTED = Markup(
    start="<|open|>think<|sep|>",
    end="<|close|>think<|sep|>",
    dropped=("<|open|>", "<|close|>", "<|sep|>"),
    wrappers=AnswerWrappers(("<|open|>response<|sep|>", "<|close|>response<|sep|>", "<|close|>message<|sep|>", "<t>")),
)

PIECES = st.sampled_from(
    [
        *(*S1.texts, *WRAPPED.texts, *SPELT.texts, *WRAPPED.wrappers.texts, *NESTED.texts, *NESTED.wrappers.texts),
        *(
            "a",
            "\n",
            " ",
            "Wait",
            "<",
            "<|im_",
            "<thi",
            "</",
            "Here is my ",
            "think",
            "*",
            "**",
            "_",
            "#",
            "## ",
            "<re",
        ),
    ]
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
    assert split(SPELT, "Here is my response: 3 Here is my response:") == ("", " 3 Here is my response:")


@pytest.mark.parametrize(("text", "phase"), [("<think>\n\n</think>", Phase.BEFORE), ("\n</think>", Phase.THINKING)])
def test_the_templates_own_form_without_thinking_is_no_reasoning(text: str, phase: Phase) -> None:
    """A cap of 0 forces it, or what of it follows the opener that the prompt wrote."""
    for pieces in ([text, "\n\na"], [*text, *"\n\na"]):
        assert split(WRAPPED, *pieces, phase=phase) == ("", "\n\na")
        assert split(THINK, *pieces, phase=phase)[0] == text[:-8].removeprefix("<think>")
    for thinking in ("\n", "\n\n", "\n\n\n", "\n\na", "a\n\n", " "):
        kept = "" if thinking in ("\n", "\n\n") else thinking
        assert split(WRAPPED, f"<think>{thinking}</think>a") == (kept, "a")
        assert split(WRAPPED, *f"<think>{thinking}") == (kept, "")
        assert split(WRAPPED, *f"<think>{thinking}<tool_call>") == (kept, "<tool_call>")
    assert split(WRAPPED, "<think>\n\n</think>a<think>\n\nb</think>c") == ("\n\nb", "ac")
    assert split(WRAPPED, "<think>a<think>\n</think>b") == ("a\n", "b")


def test_a_second_block_of_thinking_is_reasoning_too() -> None:
    assert split(THINK, "<think>a</think>b<think>c</think>d") == ("ac", "bd")


def test_a_tool_call_ends_thinking_and_stays_in_the_content() -> None:
    assert split(THINK, "<think>a<tool_call>{}") == ("a", "<tool_call>{}")


def test_a_marker_that_was_cut_off_is_dropped() -> None:
    assert split(S1, "<|im_start|>thi") == ("", "")
    assert split(S1, "<|im_start|>think\na<|im_start|>") == ("\na", "")
    assert split(THINK, "<think>a</thi") == ("a", "")


def test_a_spelt_marker_is_text_outside_of_thinking() -> None:
    assert split(SPELT, "So. Here is my response: no thoughts") == ("", "So. Here is my response: no thoughts")
    answer = "Here is my response: no thoughts"
    assert split(SPELT, answer, phase=Phase.ANSWER) == ("", answer)
    assert split(SPELT, "Here is my thought process: a Here is my resp") == (" a Here is my resp", "")


def test_other_spellings_are_markers_too() -> None:
    assert split(SPELT, "Here's my thought process: a Here is my response: b") == (" a ", " b")
    assert split(SPELT, "Here is my thought process: a Here's my response: b") == (" a ", " b")


@pytest.mark.parametrize("around", ["", "**", "*", "***", "__", "## ", "### **"])
def test_markup_around_a_phrase_is_removed_with_it(around: str) -> None:
    after = around.lstrip("# ")
    text = f"{around}Here is my thought process:{after} a\n\n{around}Here's my response:{after} **b** c"
    assert split(SPELT, text) == (" a\n\n", " **b** c")
    assert split(SPELT, *text) == (" a\n\n", " **b** c")


def test_other_markup_stays() -> None:
    thinking = "Here is my thought process: # a * b ** c\n**d**\n"
    assert split(SPELT, f"{thinking}Here is my response:**e**") == (" # a * b ** c\n**d**\n", "**e**")
    assert split(SPELT, f"{thinking}**Here is my response: e**") == (" # a * b ** c\n**d**\n", " e**")
    assert split(SPELT, "**Here is my response:** e") == ("", " e")
    assert split(SPELT, "a **Here is my response:** e") == ("", "a **Here is my response:** e")  # outside of thinking
    assert split(SPELT, "# a\n#b **c") == ("", "# a\n#b **c")
    assert split(THINK, "**<think>a</think>**") == ("a", "****")  # no phrase


@pytest.mark.parametrize(
    ("answer", "content"),
    [
        ("\n\n<response>\na\n</response>\n", "a"),
        ("<response>a</response></s>", "a"),
        ("\n\na", "\n\na"),
        ("\n\na\n", "\n\na\n"),
        ("<response>\na\n", "a\n"),  # cut off
        ("\na\n</response>", "\na"),  # a forced end wrote no opening one
        ("a <response> b </response> c", "a <response> b </response> c"),
        ("<response>\n<response>a</response>\n</response>", "<response>a</response>"),
        ("<response>\n\n  a\n\n  b</response>", "  a\n\n  b"),
        ("<response>\na\n</response>\n<tool_call>{}</response>", "a<tool_call>{}</response>"),
        ("<response>\na\n</response>\n<think>b</think>\n<response>\nc\n</response>", "ac"),
        ("<response>\n</response>", ""),
        ("<respo", "<respo"),
        ("a</respo", "a</respo"),
        ("<response>" + 9 * "\n" + "a" + 9 * "\n" + "</response>", 5 * "\n" + "a" + 5 * "\n"),
    ],
)
def test_what_is_written_around_an_answer_is_left_out_at_its_ends_only(answer: str, content: str) -> None:
    for pieces in ([answer], list(answer)):
        assert split(WRAPPED, "<think>x</think>", *pieces)[1] == content
        assert split(WRAPPED, *pieces, phase=Phase.ANSWER)[1] == content


def test_several_wrappers_may_follow_each_other() -> None:
    """As many as can begin or end an answer; those that hold special tokens are never its text."""
    before, after = "<|open|>response<|sep|>", "<|close|>response<|sep|><|close|>message<|sep|>"
    shown = Markup(start=NESTED.start, end=NESTED.end, wrappers=NESTED.wrappers)
    for pieces in (lambda text: [text], list):
        for markup in (NESTED, shown):
            text = f"<|open|>think<|sep|>a<|close|>think<|sep|>{before}b{after}"
            assert split(markup, *pieces(text)) == ("a", "b")
            assert split(markup, *pieces(f"{before}\n<t>\nb<t>\n{after[:24]}\n")) == ("", "b")
        assert split(NESTED, *pieces(f"a{before}b{after}c")) == ("", "abc")
        assert split(shown, *pieces(f"a{before}b{after}c")) == ("", f"a{before}b{after}c")
        assert split(NESTED, *pieces(f"{before}b<|close|>respo")) == ("", "b")  # cut off


def test_without_wrappers_nothing_of_an_answer_is_held_back() -> None:
    assert TextSplitter(THINK, Phase.ANSWER).feed("\n") == ("", "\n")
    splitter = TextSplitter(WRAPPED, Phase.ANSWER)
    assert [splitter.feed(piece)[1] for piece in ("a", "\n", "</", "b", "\n\n\n\n\n", "c")] == [
        *("a", "", "", "\n</b", "\n", "\n\n\n\nc"),
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a</think>b", True),
        ("<think>a</think>b", False),
        ("a", False),
        ("</think><think>", True),
    ],
)
def test_a_whole_text_shows_whether_the_prompt_had_opened_thinking(text: str, expected: bool) -> None:
    assert THINK.closes_unopened(text) is expected


def test_any_spelling_closes_what_the_prompt_has_opened() -> None:
    assert SPELT.closes_unopened("a Here's my response: b")
    assert not SPELT.closes_unopened("Here's my thought process: a Here's my response: b")


def test_pieces_end_where_thinking_begins() -> None:
    assert THINK.pieces("a<think>b</think>c<think>") == ["a<think>", "b</think>c<think>"]
    assert THINK.pieces("a") == ["a"]
    assert THINK.pieces("") == [""]
    assert SPELT.pieces("aHere's my thought process:b") == ["aHere's my thought process:", "b"]


def test_text_that_cannot_become_a_marker_is_not_held_back() -> None:
    splitter = TextSplitter(THINK)
    assert splitter.feed("a<th") == ("", "a")
    assert splitter.feed("e") == ("", "<the")


@given(
    st.sampled_from([S1, THINK, SPELT, WRAPPED, NESTED]),
    st.sampled_from(list(Phase)),
    st.lists(PIECES, max_size=12).map("".join),
    st.lists(st.integers(0, 200), max_size=20),
)
def test_where_the_text_is_cut_makes_no_difference(markup: Markup, phase: Phase, text: str, cuts: list[int]) -> None:
    edges = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    pieces = [text[left:right] for left, right in pairwise(edges)]
    assert split(markup, *pieces, phase=phase) == split(markup, text, phase=phase)
    assert split(markup, *text, phase=phase) == split(markup, text, phase=phase)
