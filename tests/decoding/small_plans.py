"""Plans over a few ids, for tests of the automaton.

Ids: 1 and 2 make the start marker, 3 and 4 the end marker, 9 ends the reply, 7 and 8 are waits, 5 is a newline, 6 is a
tool opener; everything from 20 on is text.
"""

from collections.abc import Sequence
from typing import Any

from tenuto_decoding import Force, Marker, Pattern, Phase, ThinkingAutomaton, ThinkingPlan

START, END, EOS, WAIT, HMM, NEWLINE, TOOL = (1, 2), (3, 4), 9, 7, 8, 5, 6
OPENERS = (Pattern.of_ids((TOOL,)),)
TEXT = 20


def plan(**changes: Any) -> ThinkingPlan:
    fields: dict[str, Any] = {
        "start": Marker.of_ids(START),
        "end": Marker.of_ids(END),
        "stops": (EOS,),
        "waits": ((WAIT,),),
    }
    return ThinkingPlan(**(fields | changes))


def thinking(**changes: Any) -> ThinkingAutomaton:
    return ThinkingAutomaton(plan(**changes), Phase.THINKING)


def feed(automaton: ThinkingAutomaton, tokens: Sequence[int]) -> ThinkingAutomaton:
    automaton.advance_all(tokens)
    return automaton


def forced(automaton: ThinkingAutomaton) -> list[int]:
    """Take every token that is forced from here on."""
    taken = []
    while isinstance(action := automaton.action(), Force):
        taken.append(action.token)
        automaton.advance(action.token)
    return taken
