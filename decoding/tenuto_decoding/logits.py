"""The automaton's actions carried out on a batch of logits, with torch.

Used by the adapters that run on the host's side of the sampler: vLLM's V1 runner and `transformers`. Both hand over
float32 logits before temperature and before the top-k, top-p and min-p filters, and filter afterwards.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from .automaton import Action, Force, Redirect
from .plan import Ids

#: Temperatures below this are greedy, as in vLLM's sampler.
GREEDY = 1e-5
#: A source whose probability is at most exp(this) of the likeliest token's is too rare for a filter to matter.
_NEGLIGIBLE = -14.0


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


def apply_edits(logits: torch.Tensor, edits: Sequence[Edit]) -> tuple[list[int], torch.Tensor]:
    """Carry the actions out, in place.

    Args:
        logits: float32, shape (rows of the batch, vocabulary), before temperature and filters.
        edits: at most one for a row.

    Returns:
        The positions in `edits` of the redirects and, for each of them, whether its sources weighed more than its
        target (without a target: than the likeliest other token); bools on the logits' device.
    """
    forces = [(edit.row, edit.action.token) for edit in edits if isinstance(edit.action, Force)]
    if forces:
        rows, tokens = torch.tensor(forces, device=logits.device).unbind(1)
        logits[rows] = -torch.inf
        logits[rows, tokens] = 0.0
    places = [place for place, edit in enumerate(edits) if isinstance(edit.action, Redirect)]
    fired = torch.zeros(len(places), dtype=torch.bool, device=logits.device)
    moves = [_Move.of(edits[place]) for place in places]
    filtered = _near_the_filter(logits, moves)
    for index in filtered:  # sequences seldom try to stop in the same step: row by row keeps this plain
        fired[index] = _redirect_filtered(logits[moves[index].row], moves[index])
    plain = [index for index in range(len(moves)) if index not in filtered]
    if plain:
        fired[plain] = _redirect_plain(logits, [moves[index] for index in plain])
    return places, fired


@dataclass(frozen=True, slots=True)
class _Move:
    """A redirect and its row."""

    row: int
    sources: Ids
    target: int | None
    sampling: Sampling

    @staticmethod
    def of(edit: Edit) -> "_Move":
        if not isinstance(edit.action, Redirect):
            raise TypeError(f"{edit.action} is not a Redirect")
        return _Move(edit.row, edit.action.sources, edit.action.target, edit.sampling)


def _near_the_filter(logits: torch.Tensor, moves: Sequence[_Move]) -> set[int]:
    """Positions of the moves for which it matters that unlikely tokens are cut off after the edit.

    A filter counts ranks and mass, so it would let other tokens through once the sources are gone. Where no source has
    any weight to speak of, the difference is below float32's.
    """
    filtered = [index for index, move in enumerate(moves) if move.sampling.is_filtered and move.target is not None]
    if not filtered:
        return set()
    rows = torch.tensor([moves[index].row for index in filtered], device=logits.device)
    sources = _matrix([moves[index].sources for index in filtered], logits.device)
    temperature = torch.tensor([moves[index].sampling.temperature for index in filtered], device=logits.device)
    # The maximum of every row is faster than a copy of those that matter.
    gap = (logits[rows[:, None], sources].amax(1) - logits.amax(1)[rows]) / temperature
    return {index for index, near in zip(filtered, (gap > _NEGLIGIBLE).tolist(), strict=True) if near}


def _redirect_plain(logits: torch.Tensor, moves: Sequence[_Move]) -> torch.Tensor:
    """Redirect where nothing is filtered afterwards, all rows at once. Returns which of them fired."""
    device = logits.device
    rows = torch.tensor([move.row for move in moves], device=device)
    sources = _matrix([move.sources for move in moves], device)
    targets = torch.tensor([-1 if move.target is None else move.target for move in moves], device=device)
    temperature = torch.tensor([move.sampling.temperature for move in moves], device=device)
    has_target = targets >= 0

    weights = logits[rows[:, None], sources].masked_fill_(_repeats(sources), -torch.inf)
    logits[rows[:, None], sources] = -torch.inf
    own = logits[rows, targets.clamp(min=0)]
    mass = _sum(weights, temperature)
    aimed, rest = rows[has_target], rows[~has_target]
    logits[aimed, targets[has_target]] = _sum(torch.stack((own, mass), 1), temperature)[has_target]
    rival = own.masked_scatter(~has_target, logits.amax(1)[rest]) if len(rest) else own
    return mass > rival


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


def _sum(weights: torch.Tensor, temperature: torch.Tensor) -> torch.Tensor:
    """T * logsumexp(weights / T) over the second dimension; the maximum where T is greedy."""
    scale = temperature.clamp(min=GREEDY)[:, None]
    return torch.where(temperature < GREEDY, weights.amax(1), (weights / scale).logsumexp(1) * scale[:, 0])


def _matrix(sources: Sequence[Ids], device: torch.device) -> torch.Tensor:
    """Shape (moves, most sources): shorter ones are filled up with their first id."""
    width = max(map(len, sources))
    return torch.tensor([[*ids, *([ids[0]] * (width - len(ids)))] for ids in sources], device=device)


def _repeats(sources: torch.Tensor) -> torch.Tensor:
    """Where `_matrix` filled up."""
    repeated = sources == sources[:, :1]
    repeated[:, 0] = False
    return repeated
