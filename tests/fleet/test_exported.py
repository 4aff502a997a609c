"""The list of series that boards and rules are checked against is what a running server exports."""

from collections.abc import Iterator

from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from tenuto_dashboards.exported import SCRAPE_SERIES, exported
from tenuto_testing.servers import RunningServer

PREFIXES = ("tenuto_", "vllm:", "http_")


def _families(server: RunningServer) -> Iterator[Metric]:
    """What a server exports; the time when each series began is in families of its own."""
    for family in text_string_to_metric_families(server.get("/metrics").text):
        if family.name.startswith(PREFIXES) and not family.name.endswith("_created"):
            yield family


def test_every_series_of_a_server_is_known_with_its_labels(fleet: tuple[RunningServer, RunningServer]) -> None:
    """Of vLLM's, those that are always there: what only an option fills is not read."""
    for server in fleet:
        samples = [sample for family in _families(server) for sample in family.samples]
        assert len(samples) > 300
        for sample in samples:
            if not sample.name.startswith("vllm:") or sample.name in exported():
                assert exported()[sample.name] == sample.labels.keys() | {"job", "instance"}, sample


def test_every_known_series_is_exported(fleet: tuple[RunningServer, RunningServer]) -> None:
    """Also one without samples yet: its metric is there, with its type and its help."""
    suffixes = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum"), "summary": ("_count", "_sum")}
    for server in fleet:
        found = {family.name + suffix for family in _families(server) for suffix in suffixes.get(family.type, ("",))}
        assert exported().keys() - SCRAPE_SERIES - found == set()
