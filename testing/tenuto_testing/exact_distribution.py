"""The distribution of stop-append-resume replies, as exact probabilities.

They come from the model's own next-token distributions, filtered as the engine filters them, and from replacing stop
tokens by the wait text.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from .random_model import Ids, core
from .reference import Format

Distribution = Mapping[Ids, float]


@dataclass(frozen=True, slots=True)
class Sampling:
    """The engine's sampling parameters."""

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0

    def __str__(self) -> str:
        return f"temperature {self.temperature}, top-p {self.top_p}, top-k {self.top_k}"


def next_tokens(texts: Sequence[Ids], form: Format) -> torch.Tensor:
    """Logits after each of the texts, which have the same length, in float64; rows without a token are masked."""
    with torch.no_grad():
        logits: torch.Tensor = core()(torch.tensor(texts)).logits[:, -1].double()
    logits[:, list(form.unknown)] = -torch.inf
    return logits


def sampling_probabilities(logits: torch.Tensor, sampling: Sampling) -> torch.Tensor:
    """Probabilities of the next token: temperature, then the `top_k` likeliest, then the smallest set with `top_p`."""
    z = logits / sampling.temperature
    if sampling.top_k:
        z = z.masked_fill(z < z.topk(sampling.top_k).values[:, -1:], -torch.inf)
    chances, order = z.softmax(1).sort(descending=True)
    chances = chances.masked_fill(chances.cumsum(1) - chances >= sampling.top_p, 0.0)
    kept = torch.zeros_like(z).scatter(1, order, chances)
    return kept / kept.sum(1, keepdim=True)


def resumed_distribution(prompt: Ids, form: Format, wait: Ids, sampling: Sampling) -> Distribution:
    """Probabilities of the beginnings of a reply, while thinking, if the first attempt to stop is replaced.

    They are one token longer than the wait text: a second attempt can only come last.
    """
    length = len(wait) + 1
    open_texts: dict[tuple[Ids, bool], float] = {((), True): 1.0}
    exact: dict[Ids, float] = {}
    while open_texts:
        size = min(len(text) for text, _ in open_texts)
        batch = {key: chance for key, chance in open_texts.items() if len(key[0]) == size}
        open_texts = {key: chance for key, chance in open_texts.items() if key not in batch}
        chances = sampling_probabilities(next_tokens([prompt + text for text, _ in batch], form), sampling)
        for ((text, waits), chance), row in zip(batch.items(), chances.tolist(), strict=True):
            for token, own in enumerate(row):
                if own == 0.0:
                    continue
                stops = token in form.interruptions
                longer = text + (wait if stops and waits else form.end if token in form.stops else (token,))
                if len(longer) >= length:
                    exact[longer[:length]] = exact.get(longer[:length], 0.0) + chance * own
                else:
                    key = (longer, waits and not stops)
                    open_texts[key] = open_texts.get(key, 0.0) + chance * own
    return exact


def redirected_before_filters(prompt: Ids, form: Format, wait: Ids, sampling: Sampling) -> Distribution:
    """Probabilities of the first token if stop tokens were replaced before the filters instead of after them."""
    logits = next_tokens([prompt], form) / sampling.temperature
    sources = list(form.interruptions)
    logits[:, wait[0]] = logits[:, [*sources, wait[0]]].logsumexp(1)
    logits[:, sources] = -torch.inf
    chances = sampling_probabilities(logits, Sampling(1.0, sampling.top_p, sampling.top_k))[0].tolist()
    return {(token,): chance for token, chance in enumerate(chances) if chance}


def first_token(exact: Distribution) -> Distribution:
    """The exact of the first token alone."""
    chances: dict[Ids, float] = {}
    for text, chance in exact.items():
        chances[text[:1]] = chances.get(text[:1], 0.0) + chance
    return chances
