"""Which texts of a reply were forced, and where they are in its text."""

from typing import Any

import pytest

from tenuto_decoding.budget import ThinkingBudget
from tenuto_decoding.worker_messages import Steer
from tenuto_server.engine.accounting import CountedChoice
from tenuto_server.engine.forced_text import ForcedText
from tests.server.resolved import resolved

PROMPT = "<|im_start|>assistant\n"
START, END, PREFIX = "<|im_start|>think", "<|im_start|>answer", "\nFinal Answer:"
Spans = list[tuple[str, int, str]]


def followed(
    tokenizer: Any, *, family: str = "s1", prompt: str = PROMPT, **budget: Any
) -> tuple[CountedChoice, ForcedText]:
    budget_in_force = ThinkingBudget(**budget) if budget else None
    choice = CountedChoice(resolved(tokenizer, budget_in_force, tokenizer.encode(prompt), family=family))
    return choice, ForcedText(choice, tokenizer)


def spans(found: Any) -> Spans:
    return [(span.kind, span.start, span.text) for span in found]


def forced_in(tokenizer: Any, text: str, **budget: Any) -> Spans:
    """All forced texts, which are the same whether the tokens come one by one or all at once."""
    pieces, follower = followed(tokenizer, **budget)
    found = []
    for token in tokenizer.encode(text):
        pieces.take([token])
        found += spans(follower.new_spans())
    whole, at_once = followed(tokenizer, **budget)
    whole.take(tokenizer.encode(text))
    result = spans(at_once.all_spans())
    assert result[: len(found)] == found
    assert spans(follower.all_spans()) == result
    return result


def test_waits_are_found_where_they_are(chatml: Any) -> None:
    thought, more = "\nabc\n", " more\n"
    reply = f"{START}{thought}Wait{more}Wait again\n{END}\nx"
    second = len(thought) + len("Wait") + len(more)
    expected = [("wait", len(thought), "Wait"), ("wait", second, "Wait")]
    assert forced_in(chatml, reply, num_waits=2) == expected


def test_a_wait_text_of_the_models_own_is_not_marked_once_the_workers_are_asked(chatml: Any) -> None:
    """While it streams it is taken for a forced one, as the count of waits is."""
    choice, follower = followed(chatml, num_waits=1)
    choice.take(chatml.encode(f"{START}\nabc\nWait, no\n{END}\nx"))
    assert spans(follower.new_spans()) == [("wait", 5, "Wait")]
    choice.settle(redirects=[])
    assert follower.all_spans() == []


def test_a_wait_text_that_the_model_only_began_is_not_marked(chatml: Any) -> None:
    """It begins with a line feed, as thinking does; once the workers are asked, the real one is found."""
    choice, follower = followed(chatml, num_waits=1, wait_text="\nHold on")
    begun = chatml.encode(f"{START}\nabc")
    choice.take(begun)
    choice.take(chatml.encode(f"\nHold on, x\n{END}\nx"))
    assert follower.new_spans() == []
    choice.settle(redirects=[len(begun)])
    assert spans(follower.all_spans()) == [("wait", 4, "\nHold on")]


def test_the_closing_at_the_cap_and_the_beginning_of_the_answer_are_found(chatml: Any) -> None:
    reply = f"{START}\nabcdef\n{END}{PREFIX} 9"
    assert forced_in(chatml, reply, max_thinking_tokens=7) == [("end", 7, "\n"), ("answer", 0, PREFIX)]


@pytest.mark.parametrize("tokens", [7, 2], ids=["follows", "cuts"])
def test_a_closing_may_follow_a_wait_or_cut_it(chatml: Any, tokens: int) -> None:
    written = "Hold on"[:tokens]
    assert len(chatml.encode(written)) == tokens
    reply = f"{START}\nabc{written}\n{END}{PREFIX} 9"
    assert forced_in(chatml, reply, num_waits=1, wait_text="Hold on", max_thinking_tokens=4 + tokens) == [
        ("wait", 4, written),
        ("end", 4 + tokens, "\n"),
        ("answer", 0, PREFIX),
    ]


def test_a_cap_text_is_part_of_the_end(chatml: Any) -> None:
    reply = f"{START}\nabc\nEnough.\n{END}{PREFIX} 9"
    assert forced_in(chatml, reply, max_thinking_tokens=12, cap_text="Enough.\n") == [
        ("end", 4, "\nEnough.\n"),
        ("answer", 0, PREFIX),
    ]


def test_without_thinking_the_beginning_of_the_answer_is_forced(chatml: Any) -> None:
    tokens = f"\n{START}\n{END}{PREFIX} 9"
    choice, follower = followed(chatml, max_thinking_tokens=0)
    automaton = choice.start()
    while (token := getattr(automaton.action(), "token", None)) is not None:
        choice.take([token])
        automaton.advance(token)
    choice.take(chatml.encode(" 9"))
    assert tokens.endswith(f"{PREFIX} 9")
    assert spans(follower.all_spans()) == [("answer", 0, PREFIX)]


def test_a_reply_that_ends_on_its_own_has_none(chatml: Any) -> None:
    assert forced_in(chatml, f"{START}\nabc\n{END}\nx<|im_end|>", max_thinking_tokens=100) == []
    assert forced_in(chatml, f"{START}\nabc\n{END}\nx<|im_end|>") == []


def test_an_end_is_found_after_steering(chatml: Any) -> None:
    choice, follower = followed(chatml, min_thinking_tokens=1000)
    begun, rest = chatml.encode(f"{START}\nabc"), chatml.encode(f"\n{END}{PREFIX} 9")
    choice.take(begun)
    assert follower.new_spans() == []
    choice.settle(redirects=[], steers=[Steer(number=1, until=None, position=len(begun))])
    choice.take(rest)
    assert spans(follower.new_spans()) == [("end", 4, "\n"), ("answer", 0, PREFIX)]


@pytest.mark.parametrize("text", ["\n🍲 🐟 時\n", "\n  spaces  \n"])
def test_offsets_count_characters(chatml: Any, text: str) -> None:
    assert forced_in(chatml, f"{START}{text}Wait, x\n{END}\nx", num_waits=1) == [("wait", len(text), "Wait")]


def test_a_block_that_follows_another_goes_on_where_that_ended(thinker: Any) -> None:
    """Clients see the reasoning of all blocks as one text, without markers."""
    reply = "abc</think>x<think>defWait, gh</think>y"
    found = forced_in(
        thinker, reply, family="think", prompt="<|im_start|>assistant\n<think>", num_waits=1, scope="block"
    )
    assert ("wait", 6, "Wait") in found
