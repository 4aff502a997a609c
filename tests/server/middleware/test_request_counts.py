"""Requests are counted from 0 on."""

from prometheus_client import REGISTRY

from tenuto_server.metrics.definitions import OUTCOMES, REFUSALS
from tenuto_server.middleware.request_counts import OTHER, begin_counts
from tenuto_server.paths import CHAT, ENDPOINTS


def samples(name: str, model_name: str) -> dict[tuple[str, ...], float]:
    """A counter's samples by the values of their other labels."""
    return {
        tuple(value for label, value in sample.labels.items() if label != "model_name"): sample.value
        for metric in REGISTRY.collect()
        for sample in metric.samples
        if sample.name == name and sample.labels.get("model_name", model_name) == model_name
    }


def test_there_is_a_series_for_each_way_in_which_a_request_may_end() -> None:
    """A server's first error was no increase, as its series began with it."""
    begin_counts("new-model")
    generating = [endpoint.path for endpoint in ENDPOINTS if endpoint.generates]
    assert samples("tenuto_requests_total", "new-model") == {
        (endpoint, outcome): 0 for endpoint in [*generating, OTHER] for outcome in OUTCOMES
    }
    assert samples("tenuto_stream_errors_total", "new-model")[CHAT,] == 0
    assert samples("tenuto_cancelled_requests_total", "new-model")["thinking",] == 0
    assert {reason for _, reason in samples("tenuto_rejected_requests_total", "")} == set(REFUSALS)


def test_counts_are_kept_when_another_model_is_counted_from_0() -> None:
    begin_counts("first-model")
    counted = samples("tenuto_rejected_requests_total", "")
    begin_counts("second-model")
    assert samples("tenuto_rejected_requests_total", "") == counted
