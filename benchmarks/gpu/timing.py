"""How long a step takes: on the device, and on the host until it is queued."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch

from benchmarks.spread import Spread

Step = Callable[[], None]


@dataclass(frozen=True)
class Repetitions:
    """How often a step is carried out: `steps` times in each of `warm` runs, then in each of `measured` runs."""

    steps: int
    warm: int
    measured: int

    @property
    def most(self) -> int:
        """Most steps that both measurements carry out together."""
        return 2 * self.steps * (self.warm + self.measured + 1)


def device_time(step: Step, device: torch.device, repetitions: Repetitions) -> Spread:
    """The time of a step on the device, without the host's time to queue it.

    The steps are captured in a CUDA graph, which fails for a step that waits for the device, and each replay is timed
    by a pair of events. The step must have run before: capturing compiles nothing.
    """
    if device.type != "cuda":
        return host_time(step, device, repetitions)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for _ in range(repetitions.steps):
            step()
    for _ in range(repetitions.warm):
        graph.replay()
    events = [_replayed(graph) for _ in range(repetitions.measured)]
    torch.cuda.synchronize(device)
    return Spread.of([start.elapsed_time(end) * 1e3 / repetitions.steps for start, end in events])


def _replayed(graph: torch.cuda.CUDAGraph) -> tuple[torch.cuda.Event, torch.cuda.Event]:
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    graph.replay()
    end.record()
    return start, end


def host_time(step: Step, device: torch.device, repetitions: Repetitions) -> Spread:
    """The time on the host until a step is queued; on a CPU, until it is done."""
    measured = list(_host_times(step, device, repetitions))
    return Spread.of(measured[repetitions.warm :])


def _host_times(step: Step, device: torch.device, repetitions: Repetitions) -> Iterator[float]:
    for _ in range(repetitions.warm + repetitions.measured):
        if device.type == "cuda":
            torch.cuda.synchronize(device)  # with an empty queue the host never waits for space in it
        started = time.perf_counter()
        for _ in range(repetitions.steps):
            step()
        yield (time.perf_counter() - started) * 1e6 / repetitions.steps
