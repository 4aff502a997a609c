"""What passes between a server and vLLM's workers about running sequences: how they are steered, what became of them.

Tuples, since that is what survives the way between vLLM's processes.
"""

from typing import NamedTuple

#: So often a sequence can be steered: its steers have their place on the device.
MAX_STEERS = 16


class Steer(NamedTuple):
    """One change of a sequence's bounds while it runs.

    Attributes:
        number: by which the server knows it; unique within the request.
        position: in the reply: the bounds hold for the token there and what follows. None while it is to come.
        until: as of `ThinkingAutomaton.steer`.
    """

    number: int
    position: int | None
    until: int | None


class SequenceReport(NamedTuple):
    """What a worker knows of a sequence.

    Attributes:
        ids: what its automaton has taken: a prefix of the reply, or somewhat more where more was sampled than was kept.
        fires: positions in the reply at which a redirect fired, of plain text not all; what lies behind the reply's end
            counts for nothing.
        steers: in their order.
    """

    ids: list[int]
    fires: list[int]
    steers: list[Steer]
