"""This server's own Prometheus metrics, exported together with vLLM's.

`definitions` has all of them as a table. Requests are counted as they end, choices when they have ended, and what is
going on is computed at each scrape. Names have no colon: colons are for recording rules, and starting the engine
unregisters all names that begin with `vllm:`.
"""

from collections.abc import Callable, Iterable, Iterator

from prometheus_client import REGISTRY
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from .definitions import STAGES
from .factory import counter, family, gauge

REQUESTS = counter("tenuto_requests_total", REGISTRY)
REJECTED = counter("tenuto_rejected_requests_total", REGISTRY)
CANCELLED = counter("tenuto_cancelled_requests_total", REGISTRY)
STREAM_ERRORS = counter("tenuto_stream_errors_total", REGISTRY)
SEQUENCES = gauge("tenuto_sequences", REGISTRY)
CAPACITY = gauge("tenuto_sequences_capacity", REGISTRY)


class ScrapedMetrics(Collector):
    """What is not kept by the library: the stage of the server, and the metrics of its engine once there is one.

    Attributes:
        stage: gives the stage that the server is in.
        choices: the metrics of the engine.
    """

    def __init__(self) -> None:
        self.stage: Callable[[], str] | None = None
        self.choices: Collector | None = None

    def collect(self) -> Iterator[Metric]:
        if self.stage is not None:
            current, stages = self.stage(), family("tenuto_server_stage", "gauge")
            for stage in STAGES:
                stages.add_metric([stage], stage == current)
            yield stages
        if self.choices is not None:
            yield from self.choices.collect()

    def describe(self) -> Iterable[Metric]:
        """Nothing: what an engine's metrics are called is known without asking for them."""
        return ()


SCRAPED = ScrapedMetrics()
REGISTRY.register(SCRAPED)
