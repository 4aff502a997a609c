"""Run one method over a set of problems: many requests at once, every one of them accounted for."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TextIO

import tenuto
from tenuto_evaluation.methods import Method
from tenuto_evaluation.tasks import Problem, extract, is_correct


@dataclass(frozen=True)
class Settings:
    """What all runs have in common. `max_tokens` None leaves the limit to the server."""

    model: str | None = None
    temperature: float = 0.0
    max_tokens: int | None = None
    concurrency: int = 64


@dataclass(frozen=True, slots=True)
class Answer:
    """What one reply came to."""

    reasoning: str
    content: str
    extracted: str
    correct: bool
    thinking_tokens: int
    waits: int
    ended_by: str
    finish_reason: str | None


@dataclass(frozen=True, slots=True)
class Record:
    """One problem under one method: an answer, or the reason why there is none."""

    problem: Problem
    answer: Answer | None = None
    failure: str | None = None


@dataclass
class Progress:
    """A line on a terminal that counts; elsewhere only its last state is written."""

    label: str
    total: int
    stream: TextIO
    done: int = 0
    failed: int = 0

    def count(self, record: Record) -> None:
        if record.failure and not self.failed:
            self._line(f"first failure: {record.failure}", ended=True)
        self.done += 1
        self.failed += record.failure is not None
        last = self.done == self.total
        if last or self.stream.isatty():
            self._line(f"{self.done}/{self.total}" + (f", {self.failed} failed" if self.failed else ""), ended=last)

    def _line(self, text: str, ended: bool) -> None:
        start = "\r" if self.stream.isatty() else ""
        self.stream.write(f"{start}{self.label}: {text}" + ("\n" if ended else ""))
        self.stream.flush()


async def run(
    client: tenuto.AsyncClient, method: Method, problems: Sequence[Problem], settings: Settings, progress: Progress
) -> list[Record]:
    """One record for each problem, in their order. At most `settings.concurrency` requests are in flight."""
    slots = asyncio.Semaphore(settings.concurrency)

    async def work(problem: Problem) -> Record:
        async with slots:
            record = await ask(client, method, problem, settings)
        progress.count(record)
        return record

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(work(problem)) for problem in problems]
    return [task.result() for task in tasks]


async def ask(client: tenuto.AsyncClient, method: Method, problem: Problem, settings: Settings) -> Record:
    """Ask one problem and grade the answer; what the client raises becomes the record's failure."""
    try:
        reply = await client.chat(
            problem.question,
            settings.model,
            temperature=settings.temperature,
            max_tokens=settings.max_tokens,
            **method.budget,
        )
    except tenuto.TenutoError as error:
        return Record(problem, failure=f"{type(error).__name__}: {error}")
    return graded(problem, reply.choices[0])


def graded(problem: Problem, choice: tenuto.Choice) -> Record:
    if choice.thinking is None:
        return Record(problem, failure="the reply has no thinking report: is this a Tenuto server?")
    extracted = extract(choice.content)
    answer = Answer(
        reasoning=choice.reasoning,
        content=choice.content,
        extracted=extracted,
        correct=is_correct(extracted, problem.answer),
        thinking_tokens=choice.thinking.tokens,
        waits=choice.thinking.waits,
        ended_by=choice.thinking.ended_by,
        finish_reason=choice.finish_reason,
    )
    return Record(problem, answer)
