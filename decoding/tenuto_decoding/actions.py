"""What is done to the logits of one step: nothing, one token is forced, or probability is redirected."""

from dataclasses import dataclass

from .matching import Ids


@dataclass(frozen=True, slots=True)
class Free:
    """Leave the logits alone."""


@dataclass(frozen=True, slots=True)
class Force:
    """Every other logit becomes minus infinity."""

    token: int


@dataclass(frozen=True, slots=True)
class Redirect:
    """The probability of the sources moves to the target, or is taken away where there is none.

    With temperature T, sources s and target t: l'[t] = T * logaddexp(l[t] / T, logsumexp(l[s] / T)), l'[s] = -inf; the
    limit for T = 0 is the maximum. So the target is drawn exactly as often as a source would have been.
    """

    sources: Ids
    target: int | None


Action = Free | Force | Redirect

FREE = Free()
