"""Samples of a running process: which function it was in, whose work that was, and what it called for it."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

#: Whose work a call is, by the package that it stands in. What they call elsewhere (torch, pydantic, Python's own
#: modules) is work of whoever calls it.
OWNERS = {
    "tenuto_server": "Tenuto",
    "tenuto_decoding": "Tenuto",
    "tenuto": "Tenuto",
    "vllm": "vLLM",
    "uvicorn": "web framework",
    "starlette": "web framework",
    "fastapi": "web framework",
}
NOBODY = "event loop and others"
#: Everything below the event loop is called by it: who started the loop does not matter.
LOOPS = ("uvloop/__init__.py", "asyncio/runners.py")
#: Functions that wait, by the file they stand in. On some systems py-spy does not see that a thread sleeps.
WAITING = (
    "threading.py",
    "selectors.py",
    "queue.py",
    "concurrent/futures/thread.py",
    "multiprocessing/connection.py",
    "multiprocessing/resource_tracker.py",
    "zmq/sugar/poll.py",
    "tenuto_server/lifeline.py",
)
#: vLLM's processes wait for each other's messages in here, by asking again and again.
WAITING_FOR_MESSAGES = "MessageQueue.acquire_read"
KEPT_FUNCTIONS = 15


@dataclass(frozen=True)
class Frame:
    """A call: the function's name, and the file it stands in below its import path."""

    name: str
    path: str

    @classmethod
    def read(cls, text: str) -> "Frame":
        """From py-spy's `name (path:line)`."""
        name, _, place = text.rpartition(" (")
        path = place.removesuffix(")")
        head, _, line = path.rpartition(":")
        return cls(name, head if line.isdigit() else path)

    @property
    def owner(self) -> str | None:
        return OWNERS.get(self.path.partition("/")[0])

    def __str__(self) -> str:
        return f"{self.name} ({self.path})"


Stack = Sequence[Frame]


def read_stacks(text: str) -> Iterator[tuple[Stack, int]]:
    """From py-spy's raw format: what was called, outermost first, and how often it was seen. Without what waits."""
    for line in text.splitlines():
        calls, _, count = line.rpartition(" ")
        stack = [Frame.read(call) for call in calls.split(";")]
        loops = [place for place, frame in enumerate(stack) if frame.path in LOOPS]
        if not _waits(stack):
            yield stack[loops[-1] + 1 :] if loops else stack, int(count)


def summarize(stacks: Iterator[tuple[Stack, int]]) -> dict[str, Any]:
    """What is kept of them, as JSON.

    `samples` of a process at work, `owners` with the number of theirs, and functions of ours and of all, the heaviest
    first, with numbers of samples: `own`, in the function itself; `work`, with what it called that is nobody's;
    `total`, with all that it called.
    """
    owners, own, work, total = Counter[str](), Counter[Frame](), Counter[Frame](), Counter[Frame]()
    for stack, count in stacks:
        owner = next((frame for frame in reversed(stack) if frame.owner), None)
        owners[owner.owner if owner and owner.owner else NOBODY] += count
        own.update(dict.fromkeys(stack[-1:], count))
        work.update({owner: count} if owner else {})
        total.update(dict.fromkeys(stack, count))

    def figures(frame: Frame) -> dict[str, Any]:
        return {"function": str(frame), "own": own[frame], "work": work[frame], "total": total[frame]}

    ours = sorted(
        (frame for frame in total if frame.owner == "Tenuto"),
        key=lambda frame: (-work[frame], -total[frame], str(frame)),
    )
    every = sorted(own, key=lambda frame: (-own[frame], str(frame)))
    return {
        "samples": owners.total(),
        "owners": dict(owners),
        "ours": [figures(frame) for frame in ours[:KEPT_FUNCTIONS]],
        "all": [figures(frame) for frame in every[:KEPT_FUNCTIONS]],
    }


def share(part: int, summary: Mapping[str, Any]) -> str:
    """In per cent of the samples."""
    return f"{100 * part / max(1, summary['samples']):.1f}"


def _waits(stack: Stack) -> bool:
    return stack[-1].path in WAITING or any(frame.name == WAITING_FOR_MESSAGES for frame in stack)
