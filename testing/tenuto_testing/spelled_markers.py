"""Vocabularies with markers that they spell in ordinary text, and models that write those, for several tests."""

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from random import Random
from typing import Any

from transformers import AutoTokenizer

from tenuto_decoding import FAMILIES, Phase, ThinkingBudget, ThinkingMarkers, ThinkingPlan, compile_plan

from .decoded_count import DecodedCount
from .random_model import Ids
from .real_tokenizers import deepseek, qwen25
from .scripted_model import ScriptedModel, Written, tokenizers
from .spelled_stories import prose

NAMES = ("think, Qwen2.5", "thought, DeepSeek", "granite, Qwen2.5")


@dataclass(frozen=True)
class SpelledMarkers:
    """A vocabulary and markers that it spells.

    Attributes:
        turn: the text that begins a reply.
        attempts: beginnings of the end marker's spellings after which the model is taken to write one.
        before: texts after which one token may be an attempt.
    """

    name: str
    tokenizer: Any
    markers: ThinkingMarkers
    turn: str
    attempts: tuple[str, ...]
    before: tuple[str, ...]

    @property
    def starts(self) -> tuple[str, ...]:
        return (self.markers.start, *self.markers.start_spellings)

    @property
    def ends(self) -> tuple[str, ...]:
        return (self.markers.end, *self.markers.end_spellings, *self.markers.also_ends)

    @property
    def spelled_ends(self) -> tuple[str, ...]:
        """Those that are no added tokens."""
        return tuple(text for text in self.ends if text not in self.tokenizer.added_tokens_encoder)

    @cached_property
    def decoded(self) -> DecodedCount:
        return DecodedCount(self.tokenizer, self.starts, self.ends, self.markers.also_ends)

    def plan(self, **budget: Any) -> ThinkingPlan:
        """The plan of a budget, by default without a cap text; without a budget, the one that counts."""
        given = ThinkingBudget(**{"cap_text": "", **budget}) if budget else None
        return compile_plan(given, self.markers, self.tokenizer)

    def ids(self, text: str) -> Ids:
        return tuple(self.tokenizer.encode(text, add_special_tokens=False))

    def prompt(self, *, opened: bool) -> Ids:
        return self.ids(self.turn) + (self.ids(self.markers.start) if opened else ())


def spelled_markers(name: str, smollm2: Path | None = None) -> SpelledMarkers:
    """One of NAMES, or "think, SmolLM2" with the model's folder."""
    think = ThinkingMarkers(family="think", start="<think>", end="</think>", also_ends=("<tool_call>", "<function="))
    thought = replace(think, start="<thought>", end="</thought>", also_ends=("<｜tool▁calls▁begin｜>",))
    turn = "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    tags = (("</",), ("", "x.", "<", "x <"))
    if name == "think, Qwen2.5":
        return SpelledMarkers(name, qwen25(), think, turn, *tags)
    if name == "thought, DeepSeek":
        return SpelledMarkers(name, deepseek(), thought, "<｜User｜>Hi<｜Assistant｜>", *tags)
    if name == "think, SmolLM2":
        return SpelledMarkers(name, AutoTokenizer.from_pretrained(smollm2), replace(think, also_ends=()), turn, *tags)
    sentences = (("Here is my", "Here's my"), ("Here is", " so Here's", "Here is m", "**Here is"))
    return SpelledMarkers(name, qwen25(), FAMILIES["granite"], turn, *sentences)


def model(setting: SpelledMarkers, chance: Random, answer: str, attempts: int = 1) -> ScriptedModel:
    """A model that tries to stop at most that often; its thinking holds nothing that looks like a marker."""

    def thinking() -> str:
        text = prose(chance, 12)
        return thinking() if any(begun in text for begun in ("</", "<t", "Here is my")) else text

    usual, unusual = tokenizers(setting.tokenizer, chance)
    tokenize, ends = chance.choice(((usual, setting.ends), (unusual, setting.spelled_ends)))
    return ScriptedModel(
        attempts=[thinking() + chance.choice(ends) for _ in range(attempts)],
        answer=answer,
        tokenize=tokenize,
        other=setting.ids("x")[0],
        stop=setting.tokenizer.eos_token_id,
    )


def check(setting: SpelledMarkers, written: Written, answer: str) -> tuple[int, str]:
    """Check what holds for every reply that ends its thinking; returns the naive count and the thinking.

    Raises:
        AssertionError: showing the reply.
    """
    ids, automaton = tuple(written.ids), written.automaton
    text = setting.tokenizer.decode(ids)
    thinking, after = first_of(setting.ends, text)
    assert after == answer, text
    count = setting.decoded.count(ids, thinks=True)
    assert automaton.tokens == count.tokens, text
    assert automaton.phase is Phase.ANSWER, text
    before = setting.decoded.count(ids[: max(written.forced, default=0)], thinks=True)
    assert before.thinks, f"forced after the end marker: {text!r}"
    return count.tokens, thinking


def first_of(ends: tuple[str, ...], text: str) -> tuple[str, str]:
    """What is before and after the first of the texts."""
    parts = [text.partition(end) for end in ends if end in text]
    thinking, _, after = min(parts, key=lambda part: len(part[0]))
    return thinking, after


def answer_of(setting: SpelledMarkers, chance: Random) -> str:
    """An answer that quotes end markers, and has what begins like a start marker."""
    quoted = ("<thead>", "</b>", setting.markers.end, setting.markers.start[:3])
    return chance.choice((" 7.", "\n\n7", "7", "", ">", ".\n")) + prose(chance, 8) + chance.choice((*quoted, "", ""))


@dataclass(frozen=True)
class SpelledCase:
    """A request with a budget, and what becomes of it by the automaton alone."""

    fields: dict[str, Any]
    prompt: Ids
    answer: str
    written: Written


def draw_case(setting: SpelledMarkers, chance: Random) -> SpelledCase:
    """A random budget, and a model that thinks after a prompt that has opened it."""
    fields: dict[str, Any] = {"cap_text": chance.choice(("", "", "\nEnough.\n"))}
    if chance.random() < 0.7:
        fields["max_thinking_tokens"] = chance.randint(0, 25)
    if chance.random() < 0.5:
        fields |= {"num_waits": chance.randint(0, 3), "wait_text": chance.choice(("Wait", "\nWait", " Hmm,"))}
    if chance.random() < 0.3:
        fields["min_thinking_tokens"] = chance.randint(0, fields.get("max_thinking_tokens", 15))
    answer, prompt = answer_of(setting, chance), setting.prompt(opened=True)
    written = model(setting, chance, answer, 100).write(setting.plan(**fields), prompt)
    return SpelledCase(fields, prompt, answer, written)
