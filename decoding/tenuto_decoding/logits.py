"""The automaton's actions carried out on a batch of logits, with torch.

Used by the adapters that run on the host's side of the sampler: vLLM's V1 runner and `transformers`. Both hand over
float32 logits before temperature and before the top-k, top-p and min-p filters, and filter afterwards.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from .actions import Action, Force, Redirect
from .plan import Ids

#: Temperatures below this are greedy, as in vLLM's sampler.
GREEDY = 1e-5
#: The logit of a token that is forced: beside it all others are as good as impossible, at any temperature and after any
#: penalty, and remain so without being overwritten, which takes long for a large vocabulary.
_CERTAIN = 1e30
#: A source whose probability is at most exp(this) of the likeliest token's is too rare for a filter to matter.
_NEGLIGIBLE = -14.0
#: From so many on, numbers are better reduced at once than added one by one.
_MANY = 8


@dataclass(frozen=True, slots=True)
class Sampling:
    """How a row is sampled once its logits are edited: the request's own parameters.

    Attributes:
        temperature: 0 for greedy.
        top_k: 0 for all.
        top_p: 1 for all.
        min_p: 0 for all.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0

    @property
    def is_filtered(self) -> bool:
        """Whether unlikely tokens are cut off before the draw."""
        return self.temperature >= GREEDY and (self.top_k > 0 or self.top_p < 1.0 or self.min_p > 0.0)


class Edit(NamedTuple):
    """One row of the batch, what to do to it, and how it will be sampled."""

    row: int
    action: Action
    sampling: Sampling


def apply_edits(logits: torch.Tensor, edits: Sequence[Edit]) -> tuple[list[int], torch.Tensor]:
    """Carry the actions out once, in place. Arguments and results are those of `Edits`.

    Returns:
        `Edits.places`, and what `Edits.fired` returns.
    """
    prepared = Edits(edits, logits)
    prepared.apply(logits)
    return prepared.places, prepared.fired()


class Edits:
    """The actions for the rows of a batch, prepared to be carried out step after step while they stay the same.

    Args:
        edits: at most one for a row.
        logits: of the first step; only its shape and device are looked at.

    Attributes:
        places: the positions in `edits` of the redirects.
    """

    def __init__(self, edits: Sequence[Edit], logits: torch.Tensor) -> None:
        device = logits.device
        forces = [(edit.row, edit.action.token) for edit in edits if isinstance(edit.action, Force)]
        self._forces = tuple(torch.tensor(forces, device=device).unbind(1)) if forces else None
        self.places = [place for place, edit in enumerate(edits) if isinstance(edit.action, Redirect)]
        self._moves = [
            _Move(edit.row, edit.action.sources, edit.action.target, edit.sampling)
            for edit in edits
            if isinstance(edit.action, Redirect)
        ]
        self._plain = _Moves(self._moves, logits)
        self._fired: torch.Tensor | None = None  # where some were near a filter
        self._filtered = [
            at for at, move in enumerate(self._moves) if move.sampling.is_filtered and move.target is not None
        ]
        all_filtered = len(self._filtered) == len(self._moves)
        self._watch = self._plain if all_filtered else _Moves([self._moves[at] for at in self._filtered], logits)

    def apply(self, logits: torch.Tensor) -> None:
        """Carry the actions out, in place.

        Args:
            logits: float32, shape (rows of the batch, vocabulary), before temperature and filters.
        """
        if self._forces is not None:
            logits[self._forces] = _CERTAIN
        near = self._near_the_filter(logits)
        if not near:
            self._fired = None
            self._plain.apply(logits)
            return
        self._fired = torch.zeros(len(self._moves), dtype=torch.bool, device=logits.device)
        for at in near:  # sequences seldom try to stop in the same step: row by row keeps this plain
            self._fired[at] = _redirect_filtered(logits[self._moves[at].row], self._moves[at])
        far = [at for at in range(len(self._moves)) if at not in near]
        moves = _Moves([self._moves[at] for at in far], logits)
        moves.apply(logits)
        self._fired[far] = moves.fired()

    def fired(self) -> torch.Tensor:
        """What became of the redirects when they were last applied; worked out only now, as it is seldom asked for.

        Returns:
            For each of them, in the order of `places`, whether its sources weighed more than its target (without a
            target: than the likeliest other token); bools on the logits' device.
        """
        return self._plain.fired() if self._fired is None else self._fired

    def _near_the_filter(self, logits: torch.Tensor) -> set[int]:
        """Positions of the moves for which it matters that unlikely tokens are cut off after the edit.

        A filter counts ranks and mass, so it would let other tokens through once the sources are gone. Where no source
        has any weight to speak of, the difference is below float32's.
        """
        if not self._filtered:
            return set()
        near = self._watch.weigh(logits) > _NEGLIGIBLE
        return {at for at, is_near in zip(self._filtered, near.tolist(), strict=True) if is_near}


class _Move(NamedTuple):
    """A redirect, its row, and how that will be sampled."""

    row: int
    sources: Ids
    target: int | None
    sampling: Sampling


class _Moves:
    """Redirects of many rows at once, where nothing is filtered afterwards."""

    def __init__(self, moves: Sequence[_Move], logits: torch.Tensor) -> None:
        device, count = logits.device, len(moves)
        self._count = count
        self._weights = torch.zeros(0, device=device)
        if not moves:
            return
        sizes = [len(move.sources) for move in moves]
        most = max(sizes)
        tokens: list[int] = []
        for _, sources, target, _ in moves:  # with fewer sources, or without a target, the first source again
            tokens += sources
            tokens += sources[:1] * (most - len(sources))
            tokens.append(sources[0] if target is None else target)
        self._rows = _indices([move.row for move in moves], device)
        # Places in the logits, all first sources, all second ones and so on, and all targets.
        self._places = (_indices(tokens, device).view(count, -1).T + self._rows * logits.shape[1]).contiguous()
        self._repeats: torch.Tensor | None = None
        if min(sizes) < most:
            self._repeats = torch.arange(most, device=device)[:, None] >= _indices(sizes, device)
        self._unaimed = [at for at, move in enumerate(moves) if move.target is None]
        self._values = torch.full(self._places.shape, -torch.inf, dtype=logits.dtype, device=device)
        self._targets = self._values[-1]
        self._sum = _Sum([move.sampling.temperature for move in moves], device)

    def apply(self, logits: torch.Tensor) -> None:
        """Move the probabilities, in place."""
        if not self._count:
            return
        weights = logits.take(self._places)
        if self._repeats is not None:
            weights[:-1].masked_fill_(self._repeats, -torch.inf)
        self._sum(weights, out=self._targets)
        if self._unaimed:
            self._targets[self._unaimed] = -torch.inf
        logits.put_(self._places, self._values)
        if self._unaimed:
            weights[-1, self._unaimed] = logits[self._rows[self._unaimed]].amax(1)
        self._weights = weights

    def fired(self) -> torch.Tensor:
        """Which of the sources weighed more than their target, or than the likeliest other token, when last applied."""
        if not self._count:
            return self._weights > 0
        return self._sum(self._weights[:-1]) > self._weights[-1]

    def weigh(self, logits: torch.Tensor) -> torch.Tensor:
        """By how much each row's likeliest token leads its likeliest source, as logarithms of probabilities; <= 0."""
        # The maximum of every row is faster than a copy of those that matter.
        gap = logits.take(self._places[:-1]).amax(0) - logits.amax(1)[self._rows]
        return gap / self._sum.scale


def _indices(numbers: Sequence[int], device: torch.device) -> torch.Tensor:
    """As a tensor of int64; from a list, that is sooner done by way of NumPy."""
    return torch.from_numpy(np.array(numbers, dtype=np.int64)).to(device)


class _Sum:
    """T * logsumexp(weights / T) over the first dimension, T for each column; the maximum where T is 0."""

    def __init__(self, temperature: Sequence[float], device: torch.device) -> None:
        greedy = [each < GREEDY for each in temperature]
        self._all_greedy, self._all_unscaled = all(greedy), all(each == 1 for each in temperature)
        self._greedy = torch.tensor(greedy, device=device) if any(greedy) and not self._all_greedy else None
        self.scale: torch.Tensor | float = 1.0
        if not (self._all_greedy or self._all_unscaled):
            self.scale = torch.tensor(temperature, device=device).clamp(min=GREEDY)

    def __call__(self, weights: torch.Tensor, out: torch.Tensor | None = None) -> torch.Tensor:
        if self._all_greedy:
            return torch.amax(weights, 0, out=out)
        if self._all_unscaled:
            return _logsumexp(weights, out)
        soft = _logsumexp(weights / self.scale)
        if self._greedy is None:
            return torch.mul(soft, self.scale, out=out)
        return torch.where(self._greedy, weights.amax(0), soft * self.scale, out=out)


def _logsumexp(weights: torch.Tensor, out: torch.Tensor | None = None) -> torch.Tensor:
    """Over the first dimension. A few, the usual case, are added up three times as fast as torch reduces them."""
    first, *others = weights.unbind()
    if not 0 < len(others) < _MANY:
        return torch.logsumexp(weights, 0, out=out)
    for other in others:
        first = torch.logaddexp(first, other, out=out)
    return first


def _redirect_filtered(row: torch.Tensor, move: _Move) -> torch.Tensor:
    """Redirect within what the filters would have kept of the row, so that they keep just that.

    Top-k, top-p and min-p are applied here to the unedited row. What they cut is taken away, the sources' part of what
    they keep moves to the target, and as much mass as top-p had cut is laid on tokens that it will cut again: it
    looks at the same total, so its limit falls in the same place. (A min-p stays exact unless the target becomes the
    likeliest token of all: then it may cut a little more.) Returns whether it fired.
    """
    sources = list(move.sources)
    if move.sampling.top_k and int((row > row[sources].amax()).sum()) >= move.sampling.top_k:
        row[sources] = -torch.inf  # top-k cuts them anyway: without them it keeps the same tokens
        return torch.tensor(False)
    z = row / move.sampling.temperature
    candidates, kept = _survivors(z, move.sampling)
    result = z.masked_fill(~kept, -torch.inf)
    mass, own = result[sources].logsumexp(0), result[move.target].clone()
    result[sources] = -torch.inf
    result[move.target] = torch.logaddexp(mass, own)

    cut = candidates & ~kept
    spare = ~kept & ~torch.isneginf(z)
    spare[[*sources, move.target]] = False
    available = int(spare.sum())
    size = min(int(cut.sum()), available)
    if size:
        if size < available:
            likeliest = z.masked_fill(~spare, -torch.inf).topk(size).indices
            spare = torch.zeros_like(spare).index_fill(0, likeliest, True)
        result[spare] = z[cut].logsumexp(0) - math.log(size)
    row.copy_(result * move.sampling.temperature)
    return mass > own


def _survivors(z: torch.Tensor, sampling: Sampling) -> tuple[torch.Tensor, torch.Tensor]:
    """Which tokens of one row pass min-p and top-k, and which of those pass top-p as well; z is divided by T."""
    candidates = ~torch.isneginf(z)
    if sampling.min_p > 0:
        candidates &= z >= z.amax() + math.log(sampling.min_p)
    if 0 < sampling.top_k < z.numel():
        candidates &= z >= z.masked_fill(~candidates, -torch.inf).topk(sampling.top_k).values[-1]
    if sampling.top_p >= 1:
        return candidates, candidates
    ordered, order = z.masked_fill(~candidates, -torch.inf).softmax(0).sort(descending=True)
    inside = ordered.cumsum(0) - ordered < sampling.top_p
    return candidates, candidates & torch.zeros_like(candidates).scatter(0, order, inside)
