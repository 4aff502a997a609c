"""Budget forcing as in s1, by stop-append-resume with the `generate` of `transformers`.

It shares no code with the server's one-pass decoding, so its results are an independent reference.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from transformers import PreTrainedTokenizerFast, Qwen2ForCausalLM

from tenuto_training.formats import ANSWER, CAP_SUFFIX, END_OF_TEXT, IM_END, IM_START, THINK, WAIT, cap_suffix

TokenIds = list[int]
BATCH = 100


@dataclass(frozen=True, slots=True)
class Thinking:
    """Token ids after the start marker, including wait texts; `ended`: whether the model ended them, not a limit."""

    ids: TokenIds
    ended: bool

    def capped(self, cap: int) -> "Thinking":
        """Return the thinking under a cap of `cap` tokens."""
        return self if len(self.ids) < cap else Thinking(self.ids[:cap], ended=False)


class Resumer:
    """Greedy stop-append-resume on many problems at a time.

    `limit` is the maximum number of tokens of one round of thinking. As in s1, a round that reaches it is the last.
    """

    def __init__(self, model: Qwen2ForCausalLM, tokenizer: PreTrainedTokenizerFast, limit: int = 160) -> None:
        self._model = model
        self._tokenizer = tokenizer
        self._limit = limit

    def think(self, prompts: Sequence[str], waits: int) -> list[list[Thinking]]:
        """Return the thinking on every prompt, for each number of waits from 0 to `waits`.

        Thinking with one more wait is the previous thinking, "Wait", and what the model writes after it.
        """
        start, wait = self._ids(THINK), self._ids(WAIT)
        opened = [self._ids(prompt) + start for prompt in prompts]
        rounds = [self._next_round(opened, [Thinking([], ended=True)] * len(opened))]
        for _ in range(waits):
            extended = [Thinking(one.ids + wait, True) if one.ended else one for one in rounds[-1]]
            rounds.append(self._next_round(opened, extended))
        return rounds

    def answer(self, prompts: Sequence[str], thinking: Sequence[Thinking], limit: int = 16) -> list[str]:
        """Return the answer to every prompt after its thinking, including the text forced at its beginning."""
        closed = [self._close(prompt, one) for prompt, one in zip(prompts, thinking, strict=True)]
        written = self._generate([self._ids(text) for text, _ in closed], self._stops(IM_END, END_OF_TEXT), limit)
        return [forced + self._text(ids) for (_, forced), ids in zip(closed, written, strict=True)]

    def _next_round(self, opened: Sequence[TokenIds], thinking: Sequence[Thinking]) -> list[Thinking]:
        """Run one more round for the thinking that the model ended."""
        active = [index for index, one in enumerate(thinking) if one.ended]
        stops = self._stops(IM_START, IM_END, END_OF_TEXT)
        written = self._generate([opened[index] + thinking[index].ids for index in active], stops, self._limit)
        result = list(thinking)
        for index, ids in zip(active, written, strict=True):
            ended = bool(ids) and ids[-1] in stops
            result[index] = Thinking(thinking[index].ids + (ids[:-1] if ended else ids), ended)
        return result

    def _close(self, prompt: str, thinking: Thinking) -> tuple[str, str]:
        """Return the text to generate the answer from, and the part of it after the end marker."""
        if not thinking.ids and not thinking.ended:
            return prompt + CAP_SUFFIX, CAP_SUFFIX.removeprefix(ANSWER)
        text = self._text(thinking.ids)
        suffix = ANSWER if thinking.ended else cap_suffix(text)
        return prompt + THINK + text + suffix, suffix.partition(ANSWER)[2]

    def _generate(self, contexts: Sequence[TokenIds], stops: set[int], limit: int) -> list[TokenIds]:
        """Generate after each context; the result includes a final stop token. Batches have similar lengths."""
        order = sorted(range(len(contexts)), key=lambda index: len(contexts[index]))
        written: dict[int, TokenIds] = {}
        for begin in range(0, len(order), BATCH):
            group = order[begin : begin + BATCH]
            written.update(zip(group, self._generate_batch([contexts[i] for i in group], stops, limit), strict=True))
        return [written[index] for index in range(len(contexts))]

    @torch.inference_mode()
    def _generate_batch(self, contexts: Sequence[TokenIds], stops: set[int], limit: int) -> list[TokenIds]:
        width = max(map(len, contexts))
        pad = self._tokenizer.pad_token_id
        output = self._model.generate(
            input_ids=torch.tensor([[pad] * (width - len(ids)) + ids for ids in contexts]),
            attention_mask=torch.tensor([[0] * (width - len(ids)) + [1] * len(ids) for ids in contexts]),
            do_sample=False,
            max_new_tokens=limit,
            eos_token_id=sorted(stops),
            pad_token_id=pad,
        )
        return [_until(ids, stops) for ids in output[:, width:].tolist()]

    def _stops(self, *tokens: str) -> set[int]:
        return set(self._tokenizer.convert_tokens_to_ids(tokens))

    def _ids(self, text: str) -> TokenIds:
        ids: TokenIds = self._tokenizer.encode(text, add_special_tokens=False)
        return ids

    def _text(self, ids: TokenIds) -> str:
        text: str = self._tokenizer.decode(ids, skip_special_tokens=False)
        return text


def _until(ids: TokenIds, stops: set[int]) -> TokenIds:
    """Return `ids` up to and including the first stop token; the rest is padding."""
    first = next((position for position, token in enumerate(ids) if token in stops), len(ids))
    return ids[: first + 1]
