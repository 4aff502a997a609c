"""Markers that a tokenizer spells in ordinary text are found in the text, however tokens divide and merge it.

The vocabularies are Qwen2.5's and DeepSeek's. Random replies are counted token by token by the automaton, and naively
on their decoded text.
"""

from collections.abc import Iterator
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from tenuto_decoding import Force, Phase, Redirect, ThinkingAutomaton, initial_phase
from tenuto_testing.decoded_count import Count
from tenuto_testing.random_model import Ids
from tenuto_testing.scripted_model import ScriptedModel, Written, tokenizers
from tenuto_testing.spelled_markers import NAMES, SpelledMarkers, answer_of, check, model, spelled_markers
from tenuto_testing.spelled_stories import mixed
from tenuto_testing.tokenizations import bytes_of_tokens

STORIES = 40


@pytest.fixture(scope="module", params=[*NAMES, pytest.param("think, SmolLM2", marks=pytest.mark.smollm2)])
def setting(request: pytest.FixtureRequest, pytestconfig: pytest.Config) -> SpelledMarkers:
    return spelled_markers(request.param, pytestconfig.option.smollm2)


def replies(setting: SpelledMarkers, seed: int) -> Iterator[Ids]:
    """Random replies with any number of markers, in the tokenizer's and in other tokenizations."""
    chance = Random(seed)
    for _ in range(STORIES):
        tokenize = chance.choice(tokenizers(setting.tokenizer, chance))
        yield tokenize(mixed(chance, setting.starts + setting.ends, 12))


def ended_by(count: Count) -> str:
    return "length" if count.thinks else "model" if count.has_thought else "none"


@pytest.mark.parametrize("opened", [False, True], ids=["unopened", "opened"])
def test_the_count_is_that_of_the_decoded_text(setting: SpelledMarkers, opened: bool) -> None:
    """After every token, also where a marker has only begun."""
    plan, prompt = setting.plan(), setting.prompt(opened=opened)
    for ids in replies(setting, 1):
        automaton = ThinkingAutomaton.after(plan, prompt)
        for size, token in enumerate(ids, 1):
            automaton.advance(token)
            expected = setting.decoded.count(ids[:size], thinks=opened)
            shown = setting.decoded.data(ids[:size])
            assert (automaton.phase is Phase.THINKING) == expected.thinks, shown
            assert automaton.tokens == expected.tokens, shown
            assert automaton.ended_by == ended_by(expected), shown


def budget(chance: Random) -> dict[str, Any]:
    """The fields of any budget that has a cap or lengthens the thinking."""
    cap = chance.choice((None, chance.randint(0, 30), chance.randint(0, 30)))
    fields: dict[str, Any] = {
        "cap_text": chance.choice(("", "\nEnough.\n")),
        "min_thinking_tokens": chance.choice((0, 0, chance.randint(0, 15 if cap is None else cap))),
        "num_waits": chance.choice((0, 0, 1, 3)),
        "wait_text": chance.choice(("Wait", "", " Hmm", "\nWait <")),
        "loop_tokens": chance.choice((0, 0, 0, 8, 16)),
        "scope": chance.choice(("response", "block")),
    }
    return fields if cap is None else fields | {"max_thinking_tokens": cap, "landing_tokens": chance.randint(0, 10)}


def test_any_budget_counts_what_the_decoded_text_shows(setting: SpelledMarkers) -> None:
    """After every token, except in a forced text, and nothing is forced outside of thinking."""
    chance, endings = Random(9), set()
    for _ in range(STORIES):
        opened, tokenize = chance.random() < 0.6, chance.choice(tokenizers(setting.tokenizer, chance))
        automaton = ThinkingAutomaton.after(setting.plan(**budget(chance)), setting.prompt(opened=opened))
        wanted, ids = list(tokenize(mixed(chance, setting.starts + setting.ends, 8))), list[int]()
        while wanted or isinstance(automaton.action(), Force):
            action, redirected = automaton.action(), False
            if isinstance(action, Force):
                assert automaton.phase is not Phase.ANSWER, setting.tokenizer.decode(ids)
                token = action.token
            else:
                token = wanted.pop(0)
                redirected = isinstance(action, Redirect) and token in action.sources
                if isinstance(action, Redirect) and redirected:
                    token = setting.ids("x")[0] if action.target is None else action.target
            automaton.advance(token, redirected)
            ids.append(token)
            if not isinstance(automaton.action(), Force):
                expected = setting.decoded.count(tuple(ids), thinks=opened)
                assert automaton.tokens == expected.tokens, setting.tokenizer.decode(ids)
                assert (automaton.phase is Phase.THINKING) == expected.thinks, setting.tokenizer.decode(ids)
        endings.add(automaton.ended_by)
    assert endings >= {"cap", "model", "length"}


def test_the_phase_of_a_prompt_is_that_of_its_last_marker(setting: SpelledMarkers) -> None:
    plan, chance = setting.plan(), Random(2)
    seen = set()
    for _ in range(STORIES):
        tokenize = chance.choice(tokenizers(setting.tokenizer, chance))
        markers = (*setting.starts, setting.markers.end, *setting.markers.end_spellings)
        text, earlier = mixed(chance, markers, 6), chance.choice((*markers, ""))
        for added in {"<think>", "</think>"} & setting.tokenizer.added_tokens_encoder.keys():
            text = text.rpartition(added)[2]  # a control token that is no marker separates turns
        expected = Phase.BEFORE
        if any(marker in text for marker in markers):
            last = max(markers, key=lambda marker: text.rfind(marker) + len(marker) if marker in text else 0)
            expected = Phase.THINKING if last in setting.starts else Phase.ANSWER
        seen.add(expected)
        assert initial_phase(plan, (*tokenize(earlier), *setting.ids(setting.turn), *tokenize(text))) is expected, text
    assert len(seen) == 3


def test_nothing_is_forced_into_the_answer(setting: SpelledMarkers) -> None:
    """At every cap: what follows the end marker is the model's own text. A cap it does not reach changes nothing."""
    chance, prompt = Random(3), setting.prompt(opened=True)
    ends = set()
    for _ in range(STORIES // 5):
        answer = answer_of(setting, chance)
        given = model(setting, chance, answer)
        own = model_count(setting, given)
        for cap in range(own + 3):
            written = given.write(setting.plan(max_thinking_tokens=cap), prompt)
            count, _ = check(setting, written, answer)
            assert count <= cap
            ends.add(written.automaton.ended_by)
            assert written.automaton.ended_by == "cap" or not written.forced
    assert ends == {"cap", "model"}


def model_count(setting: SpelledMarkers, given: ScriptedModel) -> int:
    """Tokens before the answer when nothing is enforced."""
    written = given.write(setting.plan(), setting.prompt(opened=True))
    return len(written.ids) - len(given.tokenize(given.answer))


def test_a_reply_within_its_cap_is_the_models_own(setting: SpelledMarkers) -> None:
    chance, prompt = Random(4), setting.prompt(opened=True)
    for _ in range(STORIES // 3):
        given = model(setting, chance, answer_of(setting, chance))
        attempt = setting.ids(setting.markers.end)
        own = given.write(setting.plan(), prompt)
        thought = setting.decoded.count(tuple(own.ids), thinks=True).tokens
        again = replace_tokenization(given, own)
        written = again.write(setting.plan(max_thinking_tokens=thought + len(attempt) + 40), prompt)
        assert written.ids == own.ids
        assert written.automaton.ended_by == "model"
        assert written.automaton.tokens == thought


def replace_tokenization(given: ScriptedModel, own: Written) -> ScriptedModel:
    """The same model, which writes the same tokens again."""
    return replace(given, tokenize=lambda _: tuple(own.ids))


@pytest.mark.parametrize("waits", [1, 3])
def test_a_wait_replaces_the_attempt_before_it_is_out(setting: SpelledMarkers, waits: int) -> None:
    chance, prompt = Random(5), setting.prompt(opened=True)
    plan = setting.plan(num_waits=waits, wait_text="Wait")
    for _ in range(STORIES // 3):
        answer = answer_of(setting, chance)
        written = model(setting, chance, answer, waits + 1).write(plan, prompt)
        _, thinking = check(setting, written, answer)
        assert not any(attempt in thinking for attempt in setting.attempts), thinking
        assert written.automaton.waits == len(written.redirected) == waits


def test_a_floor_replaces_every_attempt_below_it(setting: SpelledMarkers) -> None:
    chance, prompt = Random(6), setting.prompt(opened=True)
    for _ in range(STORIES // 5):
        answer, floor = answer_of(setting, chance), chance.randint(1, 40)
        written = model(setting, chance, answer, 200).write(setting.plan(min_thinking_tokens=floor), prompt)
        assert check(setting, written, answer)[0] >= floor


def test_every_token_that_begins_or_completes_the_end_is_redirected(setting: SpelledMarkers) -> None:
    """The sources are all tokens after which the text ends in an attempt, or in more of a marker, or holds one."""
    plan, ordinary = setting.plan(num_waits=1), bytes_of_tokens(setting.tokenizer)
    ends = [text.encode() for text in setting.spelled_ends]
    attempts = tuple(attempt.encode() for attempt in setting.attempts)
    begun = tuple({end[:size] for end in ends for size in range(1, len(end) + 1) if end[:size].startswith(attempts)})
    for before in setting.before:
        automaton = ThinkingAutomaton.after(plan, setting.prompt(opened=True))
        automaton.advance_all(setting.ids(before), ())
        action = automaton.action()
        assert isinstance(action, Redirect)
        expected = {
            token
            for token, data in ordinary.items()
            if (text := before.encode() + data).endswith(begun) or any(end in text for end in ends)
        }
        found = {*action.sources} & ordinary.keys()
        assert expected, before
        assert {ordinary[token] for token in found ^ expected} == set(), before


def test_a_stop_token_after_the_beginning_of_a_marker_closes_the_thinking(setting: SpelledMarkers) -> None:
    """The rest of the marker replaces it, however the beginning was divided, and the model goes on with its answer."""
    chance, prompt, end = Random(8), setting.prompt(opened=True), setting.markers.end
    stop = setting.tokenizer.eos_token
    plan = setting.plan(max_thinking_tokens=1000)
    for _ in range(STORIES // 5):
        begun, answer = "x." + end[: chance.randint(0, len(end) - 1)], answer_of(setting, chance)
        usual, _ = tokenizers(setting.tokenizer, chance)
        given = ScriptedModel(attempts=(begun + stop, ""), answer=answer, tokenize=usual, other=0, stop=0)
        written = given.write(plan, prompt)
        _, thinking = check(setting, written, answer)
        assert (thinking, written.automaton.ended_by) == ("x.", "stop_token")


def test_thinking_is_not_opened_again_after_a_cap(setting: SpelledMarkers) -> None:
    """The start marker is kept from being completed; whatever begins like it is the model's own."""
    chance, prompt = Random(7), setting.prompt(opened=True)
    start = setting.markers.start
    for _ in range(STORIES // 5):
        written = model(setting, chance, f" The tag {start[:4]} is no {start}a").write(
            setting.plan(max_thinking_tokens=0), prompt
        )
        text = setting.tokenizer.decode(written.ids)
        assert f"The tag {start[:4]} is no" in text
        assert start not in text
        assert len(written.masked) == 1
        assert written.automaton.tokens == 0
