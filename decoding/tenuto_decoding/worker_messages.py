"""What passes between a server and vLLM's workers about running sequences: their steering, and reports on them.

Tuples, since that is what vLLM's channel between its processes preserves.
"""

from typing import NamedTuple

#: How often a sequence can be steered: its steers have fixed memory on the device.
MAX_STEERS = 16


class Steer(NamedTuple):
    """One change of a sequence's bounds while it runs.

    Attributes:
        number: chosen by the server; unique within the request.
        position: in the reply: the bounds hold from the token at it on. None until the worker has carried it out.
        until: as of `ThinkingAutomaton.steer`.
    """

    number: int
    position: int | None
    until: int | None


class SequenceReport(NamedTuple):
    """The state of a sequence on a worker.

    Attributes:
        ids: that its automaton has taken: a prefix of the reply, or somewhat more if more was sampled than was kept.
        fires: positions in the reply at which a redirect fired. Positions of plain text may be missing; ignore those
            past the end of the reply.
        steers: in their order.
    """

    ids: list[int]
    fires: list[int]
    steers: list[Steer]
