"""The text of every model in the table is split where its budget counts, whole and piece by piece."""

from collections.abc import Sequence

import pytest

from tenuto_decoding import ThinkingAutomaton, ThinkingBudget, ThinkingMarkers, compile_plan, detect
from tenuto_decoding.actions import Force
from tenuto_decoding.prompt import Phase
from tenuto_server.reasoning import parser as reasoning
from tenuto_testing.family_table import KINDS, Kind

THOUGHT, ANSWER = "Light scatters.", "It is blue."

each_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.models[0].rpartition("/")[2])


@pytest.fixture
def markers(kind: Kind, monkeypatch: pytest.MonkeyPatch) -> ThinkingMarkers:
    found = detect(kind.tokenizer, kind.template, name=kind.models[0]).markers
    monkeypatch.setenv("TENUTO_THINKING_MARKERS", "")  # restored afterwards
    reasoning.use_markers(found)
    return found


def split(kind: Kind, phase: Phase, ids: Sequence[int], size: int) -> tuple[str, str]:
    """The reasoning and the content of a reply that arrives `size` tokens at a time."""
    splitter = reasoning.MarkerReasoningParser(kind.tokenizer).splitter(phase, keeps_special_tokens=True)
    parts = [splitter.feed(kind.tokenizer.decode(ids[at : at + size])) for at in range(0, len(ids), size)]
    parts.append(splitter.finish())
    return "".join(part for part, _ in parts), "".join(part for _, part in parts)


@each_kind
@pytest.mark.parametrize("size", [2, 1000])
@pytest.mark.parametrize("phase", [Phase.BEFORE, Phase.THINKING])
def test_a_forced_end(kind: Kind, markers: ThinkingMarkers, phase: Phase, size: int) -> None:
    plan = compile_plan(ThinkingBudget(max_thinking_tokens=200), markers, kind.tokenizer)
    automaton = ThinkingAutomaton(plan, Phase.THINKING)
    ids = kind.tokenizer.encode(THOUGHT, add_special_tokens=False)
    for token in ids:
        automaton.advance(token)
    while not isinstance(action := automaton.action(), Force):
        automaton.advance(ids[0])
        ids.append(ids[0])
    while isinstance(action := automaton.action(), Force):
        automaton.advance(action.token)
        ids.append(action.token)
    closers = [text for text in markers.answer_wrappers if text.lower().startswith(("</", "[end", "<|close", "<|end"))]
    ids += kind.tokenizer.encode(ANSWER + "".join(closers), add_special_tokens=False)
    if phase is Phase.BEFORE:
        ids = [*plan.start.ids, *ids]
    thought, answer = split(kind, phase, ids, size)
    assert thought.startswith(THOUGHT)
    assert thought.strip().endswith(markers.cap_text.strip())
    assert answer.removeprefix(markers.answer_prefix if kind.family == "s1" else "").strip() == ANSWER


@each_kind
def test_the_models_own_end(kind: Kind, markers: ThinkingMarkers) -> None:
    for end in (markers.end, *markers.end_spellings):
        prefix = "" if end.endswith(markers.answer_prefix) else markers.answer_prefix
        text = f"{markers.start}{THOUGHT}\n{end}{prefix}{ANSWER}"
        ids = kind.tokenizer.encode(text, add_special_tokens=False)
        thought, answer = split(kind, Phase.BEFORE, ids, 2)
        assert thought.strip() == THOUGHT
        assert answer.removeprefix(markers.answer_prefix if kind.family == "s1" else "").strip() == ANSWER
