"""A load on the servers of the fleet, observed by Prometheus and counted by its clients."""

import asyncio
import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tenuto_testing.client_counts import ClientCounts
from tenuto_testing.prometheus import Prometheus
from tenuto_testing.servers import RunningServer
from tenuto_testing.varied_load import KINDS, VariedLoad

PHASES = ("thinking", "answer", "whole")
IDLE_SECONDS = 3
AT_ONCE = 6
ROUNDS = 2

#: Time of a scrape of each instance, to the millisecond.
Mark = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Window:
    """A time between two scrapes of each instance, in which nothing ran at either end.

    Attributes:
        counts: of the clients, by instance.
    """

    begin: Mark
    end: Mark
    counts: Mapping[str, ClientCounts]

    def seconds(self, instance: str) -> float:
        return round(self.end[instance] - self.begin[instance], 3)

    def range(self, instance: str) -> str:
        """Of a selector at the window's end, so that its first and its last sample are those of the two scrapes.

        Between the first and the last sample of a range, Prometheus extrapolates nothing: increases are exact.
        """
        return f"{round(self.seconds(instance) * 1000)}ms"


@dataclass(frozen=True, slots=True)
class Observation:
    """What Prometheus has seen of the fleet.

    Attributes:
        models: the `model_name` of each instance.
        idle: no request is sent.
        answered: all requests are answered.
        whole: `answered`, then requests that are refused, rejected, or left by their clients.
    """

    prometheus: Prometheus
    models: Mapping[str, str]
    idle: Window
    answered: Window
    whole: Window


def observe(prometheus: Prometheus, servers: Mapping[str, RunningServer], models: Mapping[str, str]) -> Observation:
    """Send everything to all servers at once."""
    slots = {name: round(server.gauge("tenuto_sequences_capacity")) for name, server in servers.items()}
    begin = _mark(prometheus, servers)
    prometheus.wait_for_scrapes(list(servers), IDLE_SECONDS)
    idle = Window(begin, _mark(prometheus, servers), {})
    # Prometheus does not see the first increase of a series that did not exist before.
    asyncio.run(_everything(_loads(servers, models, seed=1), slots, rounds=1))
    begin, loads = _mark(prometheus, servers), _loads(servers, models, seed=2)
    asyncio.run(_answered(list(loads.values()), ROUNDS))
    counts = {name: copy.deepcopy(load.counts) for name, load in loads.items()}
    answered = Window(begin, _mark(prometheus, servers), counts)
    asyncio.run(_unanswered(loads, slots))
    end = _mark(prometheus, servers)
    whole = Window(begin, end, {name: load.counts for name, load in loads.items()})
    return Observation(prometheus, models, idle, answered, whole)


def _mark(prometheus: Prometheus, servers: Mapping[str, RunningServer]) -> Mark:
    """The next scrape at which nothing runs any more."""
    for server in servers.values():
        server.wait_until(lambda server=server: not _busy(server), seconds=60)  # type: ignore[misc]
    prometheus.wait_for_scrapes(list(servers), 1)
    return {name: prometheus.scraped(name) for name in servers}


def _busy(server: RunningServer) -> float:
    """Whether anything runs, or has not been recorded yet: a reply holds no slot from its client's disconnect on."""
    gauges = ("vllm:num_requests_running", "vllm:num_requests_waiting", "tenuto_sequences", "tenuto_running_choices")
    return sum(map(server.gauge, gauges))


def _loads(servers: Mapping[str, RunningServer], models: Mapping[str, str], seed: int) -> dict[str, VariedLoad]:
    return {name: VariedLoad(server.url, models[name], seed) for name, server in servers.items()}


async def _everything(loads: Mapping[str, VariedLoad], slots: Mapping[str, int], rounds: int) -> None:
    await _answered(list(loads.values()), rounds)
    await _unanswered(loads, slots)


async def _answered(loads: Sequence[VariedLoad], rounds: int) -> None:
    async def one(load: VariedLoad) -> None:
        await load.replies(rounds * len(KINDS), AT_ONCE)
        await load.steer("answer_now")
        await load.steer("think_until", min_thinking_tokens=200)

    await asyncio.gather(*map(one, loads))


async def _unanswered(loads: Mapping[str, VariedLoad], slots: Mapping[str, int]) -> None:
    async def one(name: str, load: VariedLoad) -> None:
        await load.refusals()
        for phase in PHASES:
            await load.leave(phase)
        await load.fill(slots[name])

    await asyncio.gather(*(one(name, load) for name, load in loads.items()))
