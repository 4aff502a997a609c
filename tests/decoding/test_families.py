"""Every model of the table: detection, the phase of a reply to many prompts, the forced end, and no thinking at all."""

from collections.abc import Mapping, Sequence
from functools import cache
from importlib import import_module
from typing import Any

import pytest

from tenuto_decoding import FAMILIES, ThinkingAutomaton, ThinkingBudget, ThinkingMarkers, compile_plan, detect
from tenuto_decoding.actions import Force
from tenuto_decoding.chat_templates import render_chat
from tenuto_decoding.detection import Detection
from tenuto_decoding.families import TOOL_OPENERS
from tenuto_decoding.prompt import Phase, initial_phase
from tenuto_testing.family_table import KINDS, MODELS, Kind
from tenuto_testing.real_tokenizers import deepseek, mistral

USER = {"role": "user", "content": "Which colour is the sky?"}
TOOL = {"type": "function", "function": {"name": "look", "description": "Looks.", "parameters": {"type": "object"}}}
CALL = {"role": "assistant", "content": "I look."}

each_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.models[0].rpartition("/")[2])


@cache
def detected(kind: Kind) -> Detection:
    return detect(kind.tokenizer, kind.template, name=kind.models[0])


def encode(kind: Kind, text: str) -> list[int]:
    ids: list[int] = kind.tokenizer.encode(text, add_special_tokens=False)
    return ids


def prompt(kind: Kind, messages: Sequence[Mapping[str, Any]] = (USER,), **variables: Any) -> list[int]:
    return encode(kind, render_chat(kind.tokenizer, kind.template, messages, **variables))


def phase(kind: Kind, ids: Sequence[int]) -> Phase:
    return initial_phase(compile_plan(None, detected(kind).markers, kind.tokenizer), ids)


@pytest.mark.parametrize("model", MODELS)
def test_a_model_is_recognised(model: str) -> None:
    kind = MODELS[model]
    found = detect(kind.tokenizer, kind.template, name=model)
    markers = found.markers
    assert (markers.family, (markers.start, markers.end)) == (kind.family, kind.pair), found.evidence
    assert (markers.no_thinking, markers.off_switch) == (kind.no_thinking, () if kind.off is None else (kind.off,))
    assert (markers.opens, markers.newline_before_end) == (kind.opens, kind.newline), found.evidence
    assert set(kind.openers) <= set(markers.also_ends)
    assert found.prompt is not None
    assert (found.off_prompt is None) == (kind.off is None)


@each_kind
def test_other_names_of_a_model_change_nothing_but_what_only_a_name_shows(kind: Kind) -> None:
    by_name = detect(kind.tokenizer, kind.template, name="" if kind.family != "s1" else "s1-1B").markers
    assert by_name.end == kind.pair[1]
    assert by_name.no_thinking == kind.no_thinking


@each_kind
def test_no_opener_of_another_model_ends_its_thinking(kind: Kind) -> None:
    markers = detected(kind).markers
    own = {*kind.openers, *kind.markers.also_ends}
    others = {text for text in markers.also_ends if text in TOOL_OPENERS} - own
    vocabulary = kind.tokenizer.get_vocab()
    assert others <= vocabulary.keys(), "the published vocabularies have some more"


@each_kind
def test_the_default_prompt(kind: Kind) -> None:
    assert phase(kind, prompt(kind)) is kind.phase


@each_kind
def test_a_system_message(kind: Kind) -> None:
    assert phase(kind, prompt(kind, [{"role": "system", "content": "Be brief."}, USER])) is kind.phase


@each_kind
def test_earlier_thinking(kind: Kind) -> None:
    start, end = kind.pair
    earlier = {
        "role": "assistant",
        "content": f"{start}It scatters.{end}It is blue.",
        "reasoning_content": "It scatters.",
    }
    assert phase(kind, prompt(kind, [USER, earlier, USER])) is kind.phase


@each_kind
def test_tools_that_are_offered(kind: Kind) -> None:
    assert phase(kind, prompt(kind, tools=[TOOL])) is kind.phase


@each_kind
def test_the_result_of_a_tool(kind: Kind) -> None:
    result = {"role": "tool", "content": "blue", "tool_call_id": "1", "name": "look"}
    assert phase(kind, prompt(kind, [USER, CALL, result], tools=[TOOL])) is kind.phase


@each_kind
@pytest.mark.parametrize("role", ["user", "system", "tool"])
def test_a_text_that_quotes_the_markers(kind: Kind, role: str) -> None:
    start, end = kind.pair
    for quoted in (f"What does {start} mean?", f"What does {end} mean?", f"{start}a{end}", start):
        message = {"role": role, "content": quoted}
        messages = [USER, CALL, message] if role == "tool" else [message, USER] if role == "system" else [message]
        assert phase(kind, prompt(kind, messages)) is kind.phase, quoted


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.off], ids=lambda kind: kind.models[0])
def test_thinking_that_is_switched_off(kind: Kind) -> None:
    assert kind.off is not None
    ids, markers = prompt(kind, (USER,), **dict[str, Any]([kind.off])), detected(kind).markers
    closes = markers.end in kind.no_thinking or kind.family == "hyperclovax"
    assert phase(kind, ids) is (Phase.ANSWER if closes and ids != prompt(kind) else kind_off(kind))


def kind_off(kind: Kind) -> Phase:
    """The phase after a switch that writes no end marker, or changes nothing."""
    return Phase.BEFORE if kind.phase is Phase.THINKING else kind.phase


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.on], ids=lambda kind: kind.models[0])
def test_thinking_that_is_switched_on(kind: Kind) -> None:
    assert kind.on is not None
    switch, expected = kind.on
    assert phase(kind, prompt(kind, (USER,), **dict[str, Any]([switch]))) is expected


@each_kind
def test_a_reply_that_has_begun(kind: Kind) -> None:
    start, end = kind.pair
    header = header_of(kind)
    assert phase(kind, encode(kind, f"{detected(kind).prompt}It is")) is kind.phase
    assert phase(kind, encode(kind, f"{header}{start}\nIt scatters")) is Phase.THINKING
    assert phase(kind, encode(kind, f"{header}{start}\nIt scatters.{end}\n\nIt is")) is Phase.ANSWER


def header_of(kind: Kind) -> str:
    """The default prompt up to where the reply begins to think or to answer."""
    text = detected(kind).prompt or ""
    for ending in ("\n\n", "\n", ""):
        for part in (kind.no_thinking, kind.pair[0] + ending):
            if part and text.endswith(part):
                return text.removesuffix(part)
    return text


# What is forced


def forced(automaton: ThinkingAutomaton) -> list[int]:
    """The tokens that are forced from here on, one after the other."""
    tokens = []
    while isinstance(action := automaton.action(), Force):
        tokens.append(action.token)
        automaton.advance(action.token)
    return tokens


def thinking(kind: Kind, markers: ThinkingMarkers, cap: int) -> ThinkingAutomaton:
    plan = compile_plan(ThinkingBudget(max_thinking_tokens=cap), markers, kind.tokenizer)
    automaton = ThinkingAutomaton.after(plan, encode(kind, f"{header_of(kind)}{kind.pair[0]}\n"))
    assert automaton.phase is Phase.THINKING
    return automaton


@each_kind
def test_the_end_at_the_cap(kind: Kind) -> None:
    markers = detected(kind).markers
    automaton = thinking(kind, markers, 80)
    letter = encode(kind, "a")[0]
    written = []
    while not (tokens := forced(automaton)):
        automaton.advance(letter)
        written.append(letter)
    line = "\n" if markers.newline_before_end else ""
    assert kind.tokenizer.decode(tokens) == f"{line}{markers.cap_text}{markers.end}{markers.answer_prefix}"
    assert (automaton.phase, automaton.ended_by) == (Phase.ANSWER, "cap")
    assert len(written) <= automaton.tokens <= 80


@each_kind
def test_the_end_at_a_cap_below_the_cap_text(kind: Kind) -> None:
    markers = detected(kind).markers
    automaton = thinking(kind, markers, 2)
    for _ in range(2):
        automaton.advance(encode(kind, "a")[0])
    line = "\n" if markers.newline_before_end else ""
    assert kind.tokenizer.decode(forced(automaton)) == f"{line}{markers.end}{markers.answer_prefix}"
    assert automaton.tokens == 2


@each_kind
def test_no_thinking_is_the_templates_own_form(kind: Kind) -> None:
    """With the prompt that the switch changes the most: the default one. A server renders the other one."""
    markers = detected(kind).markers
    plan = compile_plan(ThinkingBudget(max_thinking_tokens=0), markers, kind.tokenizer)
    default = prompt(kind)
    automaton = ThinkingAutomaton.after(plan, default)
    reply = kind.tokenizer.decode(forced(automaton))
    assert automaton.tokens == 0
    begun = (detected(kind).prompt or "").removeprefix(header_of(kind)) if kind.phase is Phase.THINKING else ""
    if kind.phase is Phase.ANSWER:
        assert reply == ""
    elif begun and not kind.no_thinking.startswith(kind.pair[0]):  # the form is in place of the opener, not after it
        assert reply.startswith(("\n" if markers.newline_before_end and not begun.endswith("\n") else "") + markers.end)
    elif kind.no_thinking:
        assert begun + reply == kind.no_thinking if not begun.strip() else reply in endings(kind, begun)
    else:
        assert reply in ("", markers.end + markers.answer_prefix)
        assert bool(reply) == (kind.phase is Phase.THINKING or markers.force_start)


def endings(kind: Kind, begun: str) -> tuple[str, ...]:
    """What may follow an opener that the prompt has written, white space after it included."""
    rest = kind.no_thinking.removeprefix(kind.pair[0])
    return (rest, rest.removeprefix("\n")) if begun.endswith("\n") else (rest,)


@each_kind
def test_a_tool_call_ends_thinking(kind: Kind) -> None:
    markers = detected(kind).markers
    for opener in kind.openers:
        automaton = thinking(kind, markers, 500)
        for token in encode(kind, f"I call it.\n{opener}"):
            automaton.advance(token)
        assert automaton.phase is Phase.ANSWER, opener
        assert automaton.ended_by == "model"


@each_kind
def test_every_spelling_of_the_end_is_seen(kind: Kind) -> None:
    markers = detected(kind).markers
    for end in (markers.end, *markers.end_spellings):
        for before, after in (("so", ""), ("so.", "\n\n"), ("so.\n", "It"), ("x = 1</", " is"), ("(", ")")):
            automaton = thinking(kind, markers, 500)
            for token in encode(kind, before + end + after):
                automaton.advance(token)
            assert automaton.phase is Phase.ANSWER, (before, end, after)


# Tokenizers that write chats in code


def test_vllms_mistral_tokenizer() -> None:
    found = detect(mistral(), None, name="mistralai/Magistral-Small-2509")
    assert (found.markers.family, found.markers.opens) == ("magistral", True)
    assert found.prompt is not None
    assert found.prompt.endswith("[INST]Which colour is the sky?[/INST]")


@pytest.mark.parametrize(("version", "opens"), [("v32", False), ("v4", True)])
def test_vllms_deepseek_tokenizers(version: str, opens: bool) -> None:
    module = import_module(f"vllm.tokenizers.deepseek_{version}")
    tokenizer = getattr(module, f"get_deepseek_{version}_tokenizer")(deepseek())
    found = detect(tokenizer, None)
    assert (found.markers.family, found.markers.no_thinking) == ("think", "</think>")
    assert found.markers.off_switch == (("enable_thinking", False),)
    assert (found.prompt or "").endswith("<think>" if opens else "</think>")
    assert any("DSML" in opener for opener in found.markers.also_ends)


# The registry


@pytest.mark.parametrize("family", FAMILIES)
def test_a_familys_texts_are_short_enough_for_the_search(family: str) -> None:
    """A table of the GPU has room for 31 symbols; those that are longer are tokens of their vocabulary."""
    markers = FAMILIES[family]
    for text in (markers.end, *markers.end_spellings, *markers.also_ends):
        assert len(text.encode()) <= 31 or "|" in text, text
    assert not markers.newline_before_end or not markers.cap_text.startswith("\n")
    assert markers.cap_text == "" or markers.cap_text.endswith(".\n")


def test_every_family_is_in_the_table() -> None:
    assert {kind.family for kind in KINDS} - {"custom"} == FAMILIES.keys()
