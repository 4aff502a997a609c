"""Makes metrics from the table in `definitions`, so that no name and no help text is written twice."""

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Literal, overload

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from .definitions import BY_NAME, Buckets, Series

#: Upper bounds of histograms by their family; those that depend on the model and on options are vLLM's.
Bounds = Mapping[Buckets, Sequence[float]]

RATIO_BOUNDS = tuple(step / 10 for step in range(11))
WAITS_BOUNDS = (0, 1, 2, 3, 4, 5, 6, 8, 10, 20, 50, 100)
#: The families that are the same for every model.
OWN_BOUNDS: Bounds = {"ratio": RATIO_BOUNDS, "waits": WAITS_BOUNDS}


def counter(name: str, registry: CollectorRegistry | None = None) -> Counter:
    """A counter of the table, known to a registry if one is given."""
    series = _series(name, "counter")
    return Counter(series.name, series.meaning, series.labels, registry=registry)


def gauge(name: str, registry: CollectorRegistry | None = None) -> Gauge:
    """A gauge of the table, known to a registry if one is given."""
    series = _series(name, "gauge")
    return Gauge(series.name, series.meaning, series.labels, registry=registry)


def histogram(name: str, bounds: Bounds) -> Histogram:
    """A histogram of the table, in no registry: its bounds are known only once a model is."""
    series = _series(name, "histogram")
    assert series.buckets is not None
    return Histogram(series.name, series.meaning, series.labels, buckets=bounds[series.buckets], registry=None)


def begin(name: str, made: Counter | Histogram, values: Mapping[str, Sequence[str]]) -> None:
    """Have all series of a metric at 0: the first increase of one that was not there before is lost to `increase()`.

    Args:
        values: of the labels whose values depend on the server; the table has the others.
    """
    known = {**values, **BY_NAME[name].values}
    for combination in product(*(known[label] for label in BY_NAME[name].labels)):
        made.labels(*combination)


@overload
def family(name: str, kind: Literal["counter"]) -> CounterMetricFamily: ...
@overload
def family(name: str, kind: Literal["gauge"]) -> GaugeMetricFamily: ...
def family(name: str, kind: Literal["counter", "gauge"]) -> CounterMetricFamily | GaugeMetricFamily:
    """The samples of a metric that is computed when it is scraped; add them in the order of the table's labels."""
    series = _series(name, kind)
    made = CounterMetricFamily if kind == "counter" else GaugeMetricFamily
    return made(series.name, series.meaning, labels=series.labels)


def _series(name: str, kind: str) -> Series:
    series = BY_NAME[name]
    assert series.kind == kind, f"{name} is a {series.kind}"
    return series
