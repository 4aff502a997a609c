"""Every metric is made from the table, and nothing else is exported."""

import re
from typing import Any

import pytest
from prometheus_client import REGISTRY, CollectorRegistry

from tenuto_server import metrics
from tenuto_server.budgets.request_fields import EFFORTS
from tenuto_server.errors import Refusal
from tenuto_server.metrics import definitions, factory
from tenuto_server.metrics.choices import ChoiceMetrics
from tenuto_server.metrics.definitions import BY_NAME, SERIES, SERVER_LABELS, Series
from tenuto_server.middleware.request_counts import begin_counts
from tenuto_server.middleware.request_log import RequestOutcome, RequestPhase
from tenuto_server.state import ServerStage
from tests.server.metrics.bounds import BOUNDS


@pytest.mark.parametrize("series", SERIES, ids=lambda series: series.name)
def test_the_table_follows_the_rules_for_names(series: Series) -> None:
    """https://prometheus.io/docs/practices/naming"""
    assert re.fullmatch(r"tenuto_[a-z_]+", series.name)
    assert (series.kind == "counter") == series.name.endswith("_total")
    assert (series.kind == "histogram") == (series.buckets is not None)
    if series.unit in ("seconds", "ratio"):
        assert series.name.removesuffix("_total").endswith(series.unit)
    assert set(series.labels) == set(series.values) | (set(series.labels) & set(SERVER_LABELS))
    assert series.meaning.endswith(".")
    assert all(meaning for values in series.values.values() for meaning in values.values())


def test_the_values_of_labels_are_those_of_the_code() -> None:
    assert definitions.OUTCOMES.keys() == {outcome.value for outcome in RequestOutcome}
    assert definitions.CANCELLED_PHASES.keys() == {phase.value for phase in RequestPhase}
    assert definitions.STAGES.keys() == {stage.value for stage in ServerStage}
    assert definitions.EFFORTS.keys() == {*EFFORTS, "unset"}
    assert {refusal.reason for refusal in Refusal.__subclasses__()} <= definitions.REFUSALS.keys()


def test_what_is_exported_is_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """Under the names, types, help texts and labels of the table."""
    monkeypatch.setattr(metrics.SCRAPED, "stage", lambda: "ready")
    monkeypatch.setattr(metrics.SCRAPED, "choices", ChoiceMetrics("m", BOUNDS, lambda: ()))
    begin_counts("m")
    found: dict[str, Any] = {
        metric.name: metric for metric in REGISTRY.collect() if metric.name.startswith("tenuto_") and metric.samples
    }
    assert found.keys() == {name.removesuffix("_total") for name in BY_NAME}
    for series in SERIES:
        metric = found[series.name.removesuffix("_total")]
        assert (metric.type, metric.documentation) == (series.kind, series.meaning)
        samples = [sample for sample in metric.samples if not sample.name.endswith("_created")]
        assert {frozenset(sample.labels) - {"le"} for sample in samples} == {frozenset(series.labels)}
        assert {sample.name for sample in samples} == set(definitions.exposed_names(series))
        for label, values in series.values.items():
            assert {sample.labels[label] for sample in samples} <= values.keys()


def test_a_metric_is_made_of_its_own_kind() -> None:
    registry = CollectorRegistry()
    factory.gauge("tenuto_sequences", registry).set(3)
    assert registry.get_sample_value("tenuto_sequences") == 3
    with pytest.raises(AssertionError, match="tenuto_sequences is a gauge"):
        factory.counter("tenuto_sequences", registry)
    with pytest.raises(KeyError):
        factory.counter("tenuto_nothing_total", registry)
