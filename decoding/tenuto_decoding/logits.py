"""Carries out the automaton's actions on a batch of logits, with torch.

Used by the adapters that edit logits on the host's side of the sampler: vLLM's V1 runner and `transformers`. Both hand
over float32 logits before temperature and before the top-k, top-p and min-p filters, and filter afterwards.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import torch

from .actions import Action, Force, Redirect

#: Temperatures below this are greedy, as in vLLM's sampler.
GREEDY = 1e-5
#: The logit of a token that is forced: all others are impossible next to it, at any temperature and after any penalty,
#: without being overwritten, which takes long for a large vocabulary.
_CERTAIN = 1e30
#: A source whose probability is at most exp(this) of the likeliest token's is too rare for a filter to matter.
_NEGLIGIBLE = -14.0
#: Numbers that are added one by one. A marker in ordinary text has some hundred sources.
_FEW = 8


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


@dataclass(frozen=True, slots=True)
class Edit:
    """One row of the batch, what to do to it, and how it will be sampled."""

    row: int
    action: Action
    sampling: Sampling


class Edits:
    """The actions for the rows of a batch, as tensors: prepared once, applied in every step in which they hold.

    Args:
        edits: at most one for a row.
        logits: of the first step; only its shape and device matter.

    Attributes:
        redirected: rows with a redirect, in the order of `fired`.
    """

    def __init__(self, edits: Sequence[Edit], logits: torch.Tensor) -> None:
        forces = [(edit.row, edit.action.token) for edit in edits if isinstance(edit.action, Force)]
        self._forced = tuple(torch.tensor(forces, device=logits.device).unbind(1)) if forces else None
        redirects = [(edit.row, edit.action, edit.sampling) for edit in edits if isinstance(edit.action, Redirect)]
        self.redirected = [row for row, _, _ in redirects]
        self._redirects = _Redirects(redirects, logits) if redirects else None
        self._fired: list[bool] | None = None

    def apply(self, logits: torch.Tensor) -> None:
        """Carry the actions out, in place.

        Args:
            logits: float32, shape (rows of the batch, vocabulary), before temperature and filters.
        """
        if self._forced is not None:
            logits[self._forced] = _CERTAIN
        if self._redirects is not None:
            self._redirects.apply(logits)
        self._fired = None

    def fired(self) -> list[bool]:
        """For each of `redirected`, whether its sources weighed more than its target when it was last applied.

        Without a target: than the likeliest other token. Waits for the device; few steps need it.
        """
        if self._fired is None:
            self._fired = [] if self._redirects is None else self._redirects.fired()
        return self._fired


class _Redirects:
    """Redirects of many rows. Its tensors have a column for each."""

    def __init__(self, redirects: Sequence[tuple[int, Redirect, Sampling]], logits: torch.Tensor) -> None:
        device, width = logits.device, logits.shape[1]
        widest = max(len(redirect.sources) for _, redirect, _ in redirects)
        self._redirects = redirects
        self._rows = torch.tensor([row for row, _, _ in redirects], device=device)
        # Places in the flattened logits: the sources, the first one again where there are fewer; then the target, also
        # the first source where there is none.
        ids = [
            (*each.sources, *each.sources[:1] * (widest - len(each.sources)), _target(each)) for _, each, _ in redirects
        ]
        self._places = (torch.tensor(ids, device=device) + self._rows[:, None] * width).T.contiguous()
        sizes = [len(each.sources) for _, each, _ in redirects]
        self._has_repeats = min(sizes) < widest
        self._repeats = torch.arange(widest, device=device)[:, None] >= torch.tensor(sizes, device=device)
        self._without_target = [at for at, (_, each, _) in enumerate(redirects) if each.target is None]
        self._filtered = [
            at for at, (_, each, by) in enumerate(redirects) if by.is_filtered and each.target is not None
        ]
        temperatures = [sampling.temperature for _, _, sampling in redirects]
        self._scale = torch.tensor(temperatures, device=device).clamp(min=GREEDY)
        greedy = [temperature < GREEDY for temperature in temperatures]
        self._all_greedy, self._any_greedy = all(greedy), any(greedy)
        self._greedy = torch.tensor(greedy, device=device)
        self._weights = self._edited = torch.full(self._places.shape, -torch.inf, device=device)
        self._refiltered: list[tuple[int, torch.Tensor, torch.Tensor]] = []

    def apply(self, logits: torch.Tensor) -> None:
        """As `Edits.apply`."""
        self._weights = weights = logits.take(self._places)
        if self._has_repeats:
            weights[:-1].masked_fill_(self._repeats, -torch.inf)
        # Sequences seldom try to stop in the same step: row by row keeps the filters simple.
        near = self._near_a_filter(logits)
        self._refiltered = [(at, *_redirect_filtered(logits, *self._redirects[at])) for at in near]
        self._edited[-1] = self._sum(weights)
        if self._without_target:
            self._edited[-1, self._without_target] = -torch.inf
        logits.put_(self._places, self._edited)
        if self._without_target:
            weights[-1, self._without_target] = logits[self._rows[self._without_target]].amax(1)
        for at, row, _ in self._refiltered:
            logits[self._rows[at]] = row

    def fired(self) -> list[bool]:
        """As `Edits.fired`."""
        fired: list[bool] = (self._sum(self._weights[:-1]) > self._weights[-1]).tolist()
        for at, _, has_fired in self._refiltered:
            fired[at] = bool(has_fired)
        return fired

    def _sum(self, weights: torch.Tensor) -> torch.Tensor:
        """T * logsumexp(weights / T) of each column; the maximum where T is 0."""
        if self._all_greedy:
            return weights.amax(0)
        scaled = weights / self._scale
        # A few numbers are added sooner one by one than by torch's reduction, which starts threads.
        few = len(scaled) <= _FEW
        soft = (reduce(torch.logaddexp, scaled.unbind()) if few else scaled.logsumexp(0)) * self._scale
        return torch.where(self._greedy, weights.amax(0), soft) if self._any_greedy else soft

    def _near_a_filter(self, logits: torch.Tensor) -> list[int]:
        """Positions of the redirects for which it matters that unlikely tokens are cut off after the edit.

        A filter counts ranks and mass, so it would let other tokens through once the sources are gone. Where no source
        has a weight to speak of, the difference is below float32's.
        """
        if not self._filtered:
            return []
        # The maximum of every row is faster than a copy of those that matter.
        lag = (self._weights[:-1].amax(0) - logits.amax(1)[self._rows]) / self._scale
        near: list[bool] = (lag > _NEGLIGIBLE).tolist()
        return [at for at in self._filtered if near[at]]


def _target(redirect: Redirect) -> int:
    return redirect.sources[0] if redirect.target is None else redirect.target


def _redirect_filtered(
    logits: torch.Tensor, index: int, redirect: Redirect, sampling: Sampling
) -> tuple[torch.Tensor, torch.Tensor]:
    """Redirect within what the filters would have kept of the row, so that they keep just that.

    Top-k, top-p and min-p are applied here to the unedited row. What they cut is taken away, the sources' part of what
    they keep moves to the target, and as much mass as top-p had cut is laid on tokens that it will cut again: it
    looks at the same total, so its limit falls in the same place. (A min-p stays exact unless the target becomes the
    likeliest token of all: then it may cut a little more.)

    Returns:
        The edited row, and whether the redirect fired.
    """
    row, sources, target = logits[index], list(redirect.sources), redirect.target
    assert target is not None
    if sampling.top_k and int((row > row[sources].amax()).sum()) >= sampling.top_k:
        # Top-k cuts the sources anyway: without them it keeps the same tokens.
        return row.index_fill(0, torch.tensor(sources, device=row.device), -torch.inf), torch.tensor(False)
    z = row / sampling.temperature
    candidates, kept = _survivors(z, sampling)
    result = z.masked_fill(~kept, -torch.inf)
    mass, own = result[sources].logsumexp(0), result[target].clone()
    result[sources] = -torch.inf
    result[target] = torch.logaddexp(mass, own)

    cut = candidates & ~kept
    spare = ~kept & ~torch.isneginf(z)
    spare[[*sources, target]] = False
    available = int(spare.sum())
    size = min(int(cut.sum()), available)
    if size:
        if size < available:
            likeliest = z.masked_fill(~spare, -torch.inf).topk(size).indices
            spare = torch.zeros_like(spare).index_fill(0, likeliest, True)
        result[spare] = z[cut].logsumexp(0) - math.log(size)
    return result * sampling.temperature, mass > own


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
