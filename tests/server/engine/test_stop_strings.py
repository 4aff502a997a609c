"""Stop strings on vLLM's own detokenizer: searched for in the answer, and nowhere else."""

from types import SimpleNamespace
from typing import Any

import pytest
from vllm.sampling_params import SamplingParams
from vllm.v1.engine.detokenizer import FastIncrementalDetokenizer

from tenuto_decoding.automaton import ThinkingAutomaton
from tenuto_decoding.budget import ThinkingBudget
from tenuto_decoding.markers import FAMILIES
from tenuto_decoding.plan import compile_plan
from tenuto_server.engine.stop_strings import AnswerOnlyDetokenizer

PROMPT = "<|im_start|>assistant\n"


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
    params = SamplingParams(**{"skip_special_tokens": False, **more})
    prompt = tokenizer.encode(PROMPT)
    request: Any = SimpleNamespace(sampling_params=params, prompt_token_ids=prompt, request_id="x")
    plan = compile_plan(ThinkingBudget(**budget) if budget else None, FAMILIES[family], tokenizer)
    inner = FastIncrementalDetokenizer(tokenizer, request)
    stops = AnswerOnlyDetokenizer(inner, ThinkingAutomaton.after(plan, prompt), "key")
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
