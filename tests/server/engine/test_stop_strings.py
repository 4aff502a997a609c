"""Stop strings on vLLM's own detokenizer: searched for in the answer, and nowhere else."""

import random
from types import SimpleNamespace
from typing import Any

import pytest
from vllm.sampling_params import SamplingParams
from vllm.v1.engine.detokenizer import FastIncrementalDetokenizer

from tenuto_decoding.automaton import ThinkingAutomaton
from tenuto_decoding.budget import ThinkingBudget
from tenuto_decoding.families import FAMILIES
from tenuto_decoding.plan import compile_plan
from tenuto_server.engine.stop_strings import AnswerOnlyDetokenizer

PROMPT = "<|im_start|>assistant\n"


def detokenizer(tokenizer: Any, family: str, budget: dict[str, Any] | None, **more: Any) -> AnswerOnlyDetokenizer:
    params = SamplingParams(**{"skip_special_tokens": False, **more})
    prompt = tokenizer.encode(PROMPT)
    request: Any = SimpleNamespace(sampling_params=params, prompt_token_ids=prompt, request_id="x")
    plan = compile_plan(ThinkingBudget(**budget) if budget else None, FAMILIES[family], tokenizer)
    inner = FastIncrementalDetokenizer(tokenizer, request)
    return AnswerOnlyDetokenizer(inner, ThinkingAutomaton.after(plan, prompt), "key")


def run(
    tokenizer: Any,
    family: str,
    text: str,
    size: int,
    budget: dict[str, Any] | None = None,
    *,
    steered: bool = False,
    **more: Any,
) -> Any:
    """(stop string, text shown) when the text comes in pieces of that many tokens."""
    stops = detokenizer(tokenizer, family, budget, **more)
    stops.is_steered = steered
    ids = tokenizer.encode(text)
    for place in range(0, len(ids), size):
        found = stops.update(ids[place : place + size], False)
        assert stops.num_output_tokens() == len(stops.output_token_ids)
        if found is not None:
            return found, stops.get_next_output_text(True, False)
    return None, stops.get_next_output_text(True, False)


@pytest.mark.parametrize("size", [1, 3, 100])
@pytest.mark.parametrize("family", ["s1", "think"])
def test_a_stop_string_in_the_thinking_is_ignored(chatml: Any, thinker: Any, family: str, size: int) -> None:
    tokenizer, markers = (chatml, FAMILIES["s1"]) if family == "s1" else (thinker, FAMILIES["think"])
    thinking = f"{markers.start}a STOP b{markers.end}"
    assert run(tokenizer, family, f"{thinking}c", size, stop=["STOP"]) == (None, f"{thinking}c")
    assert run(tokenizer, family, f"{thinking}cd STOP e", size, stop=["STOP"]) == ("STOP", f"{thinking}cd ")
    assert run(tokenizer, family, f"x STOP {thinking}", size, stop=["STOP"]) == ("STOP", "x ")


def test_markers_and_forced_texts_are_not_searched(chatml: Any) -> None:
    closed = "<|im_start|>think\na\n<|im_start|>answer\nFinal Answer:"
    budget = {"max_thinking_tokens": 2}
    for stop in ("answer", "Final", ":", "\n"):
        assert run(chatml, "s1", f"{closed} 5", 1, budget, stop=[stop]) == (None, f"{closed} 5")
        assert run(chatml, "s1", f"{closed} 5{stop}6", 1, budget, stop=[stop]) == (stop, f"{closed} 5")


def test_text_forced_after_steered_thinking_is_not_searched(chatml: Any) -> None:
    closed = "<|im_start|>think\na\n<|im_start|>answer\nFinal Answer:"
    budget = {"max_thinking_tokens": 50}
    assert run(chatml, "s1", f"{closed} 5", 1, budget, stop=["Final"]) == ("Final", closed.partition("Final")[0])
    for stop in ("answer", "Final", ":", "\n"):
        assert run(chatml, "s1", f"{closed} 5", 1, budget, steered=True, stop=[stop]) == (None, f"{closed} 5")
        assert run(chatml, "s1", f"{closed} 5{stop}6", 1, budget, steered=True, stop=[stop]) == (stop, f"{closed} 5")
    own = "<|im_start|>think\na\n<|im_start|>answer\nIt is Final: 5"
    found = run(chatml, "s1", own, 1, budget, steered=True, stop=["Final"])
    assert found == ("Final", own.partition("Final")[0])


def test_min_tokens_still_holds(thinker: Any) -> None:
    text = "<think>a</think>b.c.d"
    assert run(thinker, "think", text, 1, stop=["."], min_tokens=0) == (".", "<think>a</think>b")
    assert run(thinker, "think", text, 1, stop=["."], min_tokens=5) == (".", "<think>a</think>b.c")


def test_a_stop_token_is_left_out_of_the_text(thinker: Any) -> None:
    params = SamplingParams(stop=["x"], stop_token_ids=[3])
    prompt = thinker.encode(PROMPT)
    request: Any = SimpleNamespace(sampling_params=params, prompt_token_ids=prompt, request_id="x")
    plan = compile_plan(None, FAMILIES["think"], thinker)
    stops = AnswerOnlyDetokenizer(
        FastIncrementalDetokenizer(thinker, request), ThinkingAutomaton.after(plan, prompt), "key"
    )
    assert stops.update([*thinker.encode("ab"), 3], True) is None
    assert (stops.get_next_output_text(True, False), stops.num_output_tokens()) == ("ab", 3)


def test_a_match_begins_in_the_answer(chatml: Any, thinker: Any) -> None:
    """The colon of a forced prefix and the space that the model writes after it are no match."""
    closed = "<|im_start|>think\na\n<|im_start|>answer\nFinal Answer:"
    budget = {"max_thinking_tokens": 2}
    assert run(chatml, "s1", f"{closed} 5", 1, budget, stop=[": "]) == (None, f"{closed} 5")
    assert run(chatml, "s1", f"{closed} 5: 6", 1, budget, stop=[": "]) == (": ", f"{closed} 5")
    assert run(chatml, "s1", f"{closed} 5", 1, {"max_thinking_tokens": 50}, steered=True, stop=[": "])[0] is None
    thinking = "<think>ab</think>"
    assert run(thinker, "think", f"{thinking}cd", 1, stop=["bc", ">c", "k>cd"]) == (None, f"{thinking}cd")
    assert run(thinker, "think", f"{thinking}cd", 1, stop=["bc"], skip_special_tokens=True)[0] is None
    assert run(thinker, "think", f"xa<think>b</think>cd{thinking}e", 1, stop=["ac", "de", "ae"])[0] is None


def first_stop(segments: list[tuple[str, bool]], stops: list[str], *, included: bool) -> tuple[str | None, str]:
    """(stop string, text) of a reply in segments, each with whether it is answer: the plainest way to find them."""
    text = ""
    for segment, is_answer in segments:
        for end in range(1, len(segment) + 1 if is_answer else 0):
            for stop in stops:
                if segment[:end].endswith(stop):
                    return stop, text + segment[: end if included else end - len(stop)]
        text += segment
    return None, text


SHAPES: dict[str, tuple[str, dict[str, Any] | None, list[tuple[str, bool]]]] = {
    "think": (
        "think",
        None,
        [("?", True), ("<think>?</think>", False), ("?", True), ("<think>?</think>", False), ("?", True)],
    ),
    "open": ("think", None, [("?", True), ("<think>?", False)]),
    "capped": (
        "s1",
        {"max_thinking_tokens": 2},
        [("<|im_start|>think\na\n<|im_start|>answer\nFinal Answer:", False), ("?", True)],
    ),
    "s1": ("s1", None, [("<|im_start|>think?<|im_start|>answer", False), ("?", True)]),
    "granite": (
        "granite",
        None,
        [("?", True), ("Here is my thought process:?Here is my response:", False), ("?", True)],
    ),
    "begun": ("granite", None, [("?Here is my?Here is my th?", True), ("Here is my thought process:?", False)]),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_random_stop_strings_match_where_the_plainest_search_finds_them(chatml: Any, thinker: Any, shape: str) -> None:
    family, budget, template = SHAPES[shape]
    tokenizer, draw, matches = thinker if family == "think" else chatml, random.Random(shape), 0
    for _ in range(250):
        # Without letters of the markers: a random text does not become one, or the end of one.
        segments = [
            (part.replace("?", "".join(draw.choice("ab: .") for _ in range(draw.randint(0, 8)))), is_answer)
            for part, is_answer in template
        ]
        text = "".join(part for part, _ in segments)
        stops = [_random_stop(text, draw) for _ in range(draw.randint(1, 4))]
        included = draw.random() < 0.5
        expected = first_stop(segments, stops, included=included)
        more: dict[str, Any] = {"stop": stops, "include_stop_str_in_output": included}
        assert run(tokenizer, family, text, draw.randint(1, 9), budget, **more) == expected, (text, stops)
        assert streamed(tokenizer, family, text, draw, budget, **more) == expected, (text, stops)
        matches += expected[0] is not None
    assert 25 < matches < 225


def _random_stop(text: str, draw: random.Random) -> str:
    start = draw.randrange(len(text))
    part = text[start : start + draw.randint(1, 6)]
    return part if part and draw.random() < 0.7 else "".join(draw.choice("ab: .") for _ in range(draw.randint(1, 3)))


def streamed(
    tokenizer: Any, family: str, text: str, draw: random.Random, budget: dict[str, Any] | None, **more: Any
) -> tuple[str | None, str]:
    """(stop string, text) when the text is sent in pieces as it comes."""
    stops, ids, sent = detokenizer(tokenizer, family, budget, **more), tokenizer.encode(text), ""
    while ids:
        size = draw.randint(1, 4)
        found = stops.update(ids[:size], False)
        ids = ids[size:]
        sent += stops.get_next_output_text(found is not None or not ids, True)
        if found is not None:
            return found, sent
    return None, sent
