"""Steering of running replies: sends steering requests to the workers, and finds the result for every choice."""

import asyncio
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tenuto_decoding.automaton import ThinkingAutomaton
from tenuto_decoding.prompt import Phase
from tenuto_decoding.worker_messages import SequenceReport

from .accounting import CountedChoice
from .registry import RunningReply
from .worker_calls import Call, read_reports

#: A choice and the workers' report of its sequence.
Followed = tuple[CountedChoice, SequenceReport | None]

#: How long to wait for the next step of all choices, in seconds. It takes milliseconds, unless one is queued.
_TIMEOUT = 10.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.005, 0.2


@dataclass(frozen=True, slots=True)
class SteeringResult:
    """The result of steering for one choice.

    Attributes:
        index: of the choice.
        applied: whether its bounds have changed; None while it waits for its next step, where that is decided.
        phase: when it was steered: `waiting` for a step, `before` thinking, `thinking`, `closing` (the end of
            thinking is being written), `answer`, `finished`.
        tokens: thinking tokens by then.
    """

    index: int
    applied: bool | None
    phase: str
    tokens: int

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


async def steer(replies: Sequence[RunningReply], until: int | None, call: Call) -> list[SteeringResult]:
    """Steer all choices of all parts of a response, and wait until that has taken effect.

    After an error nothing was steered: all parts are checked before the first steering request is sent.

    Args:
        until: the new floor; None for "answer now".

    Raises:
        SteeringError, InvalidBudget: as `RunningReply.check`.
    """
    for running in replies:
        running.check(until)
    numbers = [running.next_number() for running in replies]
    parts = zip(replies, numbers, strict=True)
    results = await asyncio.gather(*(_steer(running, number, until, call) for running, number in parts))
    return sorted((result for part in results for result in part), key=lambda result: result.index)


async def _steer(running: RunningReply, number: int, until: int | None, call: Call) -> list[SteeringResult]:
    followed = await _carried_out(running, number, until, call)
    return [_result(running, choice, report, number) for choice, report in followed]


def report_of(ids: Sequence[int], reports: Sequence[SequenceReport]) -> SequenceReport | None:
    """The report of the choice with these ids, or None where none is the choice's.

    A worker's automaton may lag the reply, or be ahead of it where more was sampled than was kept. So the ids are
    compared as far as both go, and among several sequences the one with the longest agreement is the choice's.
    """
    shared = ((min(len(ids), len(report.ids)), report) for report in reports)
    own = [(size, report) for size, report in shared if list(ids[:size]) == list(report.ids[:size])]
    return max(own, key=lambda each: each[0])[1] if own else None


def assign(choices: Sequence[CountedChoice], reports: Sequence[SequenceReport]) -> list[Followed]:
    """A report of its own for every choice; those that have come furthest choose first.

    Choices whose ids are equal so far take theirs in the order in which their sequences reached the workers, which is
    their own order too: the reports may differ, as when one was steered a token later.
    """
    left, found = list(reports), dict[int, SequenceReport | None]()
    for choice in sorted(choices, key=lambda choice: -len(choice.ids)):
        report = report_of(choice.ids, left)
        found[id(choice)] = report
        left = [other for other in left if other is not report]
    return [(choice, found[id(choice)]) for choice in choices]


async def _carried_out(running: RunningReply, number: int, until: int | None, call: Call) -> list[Followed]:
    """The choices and their reports, once all unfinished choices have been steered or the time is over."""
    deadline = asyncio.get_running_loop().time() + _TIMEOUT
    pause = _FIRST_PAUSE
    while True:
        # Before the workers are asked: their report of a choice that ends meanwhile is out of date.
        unfinished = [choice for choice in running.reply.choices if not (choice.is_finished or running.is_over)]
        await call("thinking_steer", running.key, number, until)  # no effect on sequences that have it already
        (reports,) = await read_reports([running.key], call)
        followed = assign(running.reply.choices, reports)
        waits = any(choice in unfinished and _position(report, number) is None for choice, report in followed)
        if not waits or asyncio.get_running_loop().time() > deadline:
            return followed
        await asyncio.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE)


def _position(report: SequenceReport | None, number: int) -> int | None:
    return next((steer.position for steer in report.steers if steer.number == number), None) if report else None


def _result(running: RunningReply, choice: CountedChoice, report: SequenceReport | None, number: int) -> SteeringResult:
    index = running.first_index + running.reply.choices.index(choice)
    is_over = choice.is_finished or running.is_over
    if report is None or all(steer.number != number for steer in report.steers):
        return SteeringResult(index, False, "finished" if is_over else "waiting", choice.report.tokens)
    if not choice.is_finished:
        choice.settle(report.fires, report.steers)
    automaton, fired = running.reply.resolved.start(), frozenset(report.fires)
    for position in range(len(report.ids) + 1):
        for steer in report.steers:
            if steer.position == position:
                phase, tokens = phase_of(automaton), automaton.tokens
                applied = automaton.steer(steer.until)
                if steer.number == number:
                    ended = choice.is_finished and position >= len(choice.ids)
                    return SteeringResult(index, applied and not ended, "finished" if ended else phase, tokens)
        if position < len(report.ids):
            automaton.advance(report.ids[position], position in fired)
    return (
        SteeringResult(index, False, "finished", automaton.tokens)
        if is_over
        else SteeringResult(index, None, "waiting", automaton.tokens)
    )


def phase_of(automaton: ThinkingAutomaton) -> str:
    """The automaton's phase, with a name of its own for an end that is being written."""
    closing = automaton.phase is Phase.THINKING and not automaton.is_steerable
    return "closing" if closing else automaton.phase.value
