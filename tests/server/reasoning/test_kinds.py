"""The text of a reply of every kind of model, split where its thinking was closed by force, and without thinking."""

import re
from dataclasses import replace
from functools import cache
from itertools import cycle
from typing import Any

import pytest
from vllm.sampling_params import SamplingParams

from tenuto_decoding import Force, ThinkingAutomaton, ThinkingMarkers, detect
from tenuto_decoding.chat_templates import render_chat
from tenuto_decoding.prompt import Phase
from tenuto_server.budgets.request_fields import CAP, BudgetRequest
from tenuto_server.budgets.resolution import Generation, ThinkingPolicy
from tenuto_server.reasoning import MarkerReasoningParser, use_markers
from tenuto_testing.family_table import KINDS, Kind

USER = {"role": "user", "content": "Which colour is the sky?"}
ANSWER = "It is blue."

#: The text of gpt-oss's replies is split by vLLM's parser. Published tokenizers take seconds to load, and how text is
#: divided into tokens makes no difference here.
SPLIT = [
    replace(kind, pretrained="", spelled=kind.spelled or kind.pretrained.startswith("qwen"))
    for kind in KINDS
    if kind.family != "gpt-oss"
]
each_kind = pytest.mark.parametrize("kind", SPLIT, ids=lambda kind: kind.models[0].rpartition("/")[2])


@pytest.fixture(autouse=True)
def _restored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TENUTO_THINKING_MARKERS", "")


@cache
def markers_of(kind: Kind) -> ThinkingMarkers:
    return detect(kind.tokenizer, kind.template, name=kind.models[0]).markers


def encode(kind: Kind, text: str) -> list[int]:
    ids: list[int] = kind.tokenizer.encode(text, add_special_tokens=False)
    return ids


def written(kind: Kind, automaton: ThinkingAutomaton, thoughts: str) -> list[int]:
    """The ids of a reply that thinks as long as it may, and then begins its answer."""
    ids = list[int]()
    letters = cycle(encode(kind, thoughts))
    while automaton.phase is not Phase.ANSWER or isinstance(automaton.action(), Force):
        action = automaton.action()
        token = action.token if isinstance(action, Force) else next(letters)
        automaton.advance(token)
        ids.append(token)
    return ids


def split(kind: Kind, ids: list[int], phase: Phase) -> tuple[str, str]:
    """(reasoning, content) of a whole reply, the same a character at a time."""
    use_markers(markers_of(kind))
    parser = MarkerReasoningParser(kind.tokenizer)
    hides = parser.adjust_request(SamplingParams()).skip_special_tokens
    text = kind.tokenizer.decode(ids, skip_special_tokens=hides)
    found = []
    for pieces in ([text], list(text)):
        splitter = parser.splitter(phase, keeps_special_tokens=False)
        parts = [*map(splitter.feed, pieces), splitter.finish()]
        found.append(("".join(reasoning for reasoning, _ in parts), "".join(content for _, content in parts)))
    assert found[0] == found[1]
    return found[0]


def resolved(kind: Kind, body: dict[str, Any], **variables: Any) -> ThinkingAutomaton:
    """The automaton of a reply to a chat, rendered as the server does."""
    request, policy = BudgetRequest.from_body(body), ThinkingPolicy(markers_of(kind), template=kind.template)
    variables = {**policy.template_variables(request), **variables}
    prompt = encode(kind, render_chat(kind.tokenizer, kind.template, [USER], **variables))
    found = policy.resolve(request, Generation(prompt, SamplingParams(max_tokens=900), context=9000), kind.tokenizer)
    assert found is not None
    return found.start()


def ended(kind: Kind) -> str:
    """What a model writes after its answer."""
    return "".join(text for text in markers_of(kind).answer_wrappers if re.match(r"</|.{2}(END|end|close)", text))


@each_kind
def test_a_forced_end_divides_the_reply(kind: Kind) -> None:
    markers = markers_of(kind)
    automaton = resolved(kind, {CAP: 90, "min_thinking_tokens": 90}) if kind.phase is not Phase.ANSWER else None
    if automaton is None:  # a prompt that has closed the thinking: the switch opens it
        assert kind.on is not None
        automaton = resolved(kind, {CAP: 90, "min_thinking_tokens": 90}, **dict([kind.on[0]]))
    phase = automaton.phase
    ids = written(kind, automaton, "a")
    assert (automaton.ended_by, automaton.tokens) == ("cap", 90)
    reasoning, content = split(kind, ids + encode(kind, ANSWER + ended(kind)), phase)
    assert re.fullmatch(rf"\n?a+\n?{re.escape(markers.cap_text)}\n?", reasoning), reasoning
    prefix = "" if set(markers.answer_wrappers) & {markers.answer_prefix.strip("\n")} else markers.answer_prefix
    assert content == prefix + ANSWER


@each_kind
def test_a_cap_of_0_leaves_an_answer_alone(kind: Kind) -> None:
    """Whether the template has closed the thinking, or the engine closes it or keeps it from being opened."""
    automaton = resolved(kind, {CAP: 0})
    phase = automaton.phase
    ids = [] if phase is Phase.BEFORE else written(kind, automaton, "")
    while isinstance(action := automaton.action(), Force):
        automaton.advance(action.token)
        ids.append(action.token)
    assert (automaton.tokens, automaton.max_thinking_tokens) == (0, 0)
    assert automaton.phase is not Phase.THINKING
    reasoning, content = split(kind, ids + encode(kind, ANSWER + ended(kind)), phase)
    assert reasoning == ""
    assert content.removeprefix(markers_of(kind).answer_prefix).strip("\n") == ANSWER


@each_kind
def test_the_prompt_is_the_templates_own_where_it_has_a_switch(kind: Kind) -> None:
    policy = ThinkingPolicy(markers_of(kind))
    assert policy.template_variables(BudgetRequest({CAP: 0})) == ({} if kind.off is None else dict([kind.off]))
    assert kind.off is None or resolved(kind, {CAP: 0}).phase is not Phase.THINKING
