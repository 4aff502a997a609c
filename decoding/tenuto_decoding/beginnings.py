"""What the beginning of a reply, as a chat template writes it, shows about markers."""

from .chat_templates import Beginning
from .families import SIGNS
from .markers import ThinkingMarkers


def starts(markers: ThinkingMarkers) -> tuple[str, ...]:
    return (markers.start, *markers.start_spellings)


def ends(markers: ThinkingMarkers) -> tuple[str, ...]:
    return (markers.end, *markers.end_spellings)


def start_in(markers: ThinkingMarkers, tail: str) -> str | None:
    """The start marker that the tail has last."""
    found = [(tail.rfind(start), start) for start in starts(markers) if start in tail]
    return max(found)[1] if found else None


def opens(markers: ThinkingMarkers, reply: Beginning) -> bool:
    """Whether the reply begins inside thinking."""
    start = start_in(markers, reply.tail)
    return start is not None and not any(end in reply.tail.rpartition(start)[2] for end in ends(markers))


def closes(markers: ThinkingMarkers, reply: Beginning) -> bool:
    """Whether the reply begins after thinking.

    An end marker shows it after a start marker, or as the last text. Some end markers end the user's turn too: these
    need what follows them in front of an answer.
    """
    if start_in(markers, reply.tail) is not None:
        return not opens(markers, reply)
    if markers.family in SIGNS:
        return reply.tail.endswith(markers.end + markers.answer_prefix)
    return reply.tail.rstrip().endswith(ends(markers))


def header_of(markers: ThinkingMarkers, reply: Beginning) -> str:
    """What the template writes after the user's text, up to where the reply begins to think or to answer."""
    tail, start = reply.tail, start_in(markers, reply.tail)
    if start is not None:
        return tail.rpartition(start)[0]
    if closes(markers, reply):
        return tail[: max(tail.rfind(end) for end in ends(markers))]
    return tail


def after(header: str, tail: str) -> str:
    """What a tail has after the header, of which its last part is enough: a switch may write into the turn before."""
    core = header.rstrip()
    space = header[len(core) :]
    for cut in range(len(core)):
        _, found, rest = tail.rpartition(core[cut:])
        if found:
            return rest[len(space) :] if rest.startswith(space) else rest
    return "" if core else tail
