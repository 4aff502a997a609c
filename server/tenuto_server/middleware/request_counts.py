"""The counters of requests begin at 0, so that a first error is an increase."""

from .. import metrics
from ..metrics.factory import begin
from ..paths import ENDPOINTS

#: The label `endpoint` of everything that does not generate.
OTHER = "other"
_COUNTERS = {
    "tenuto_requests_total": metrics.REQUESTS,
    "tenuto_rejected_requests_total": metrics.REJECTED,
    "tenuto_cancelled_requests_total": metrics.CANCELLED,
    "tenuto_stream_errors_total": metrics.STREAM_ERRORS,
}


def begin_counts(model_name: str) -> None:
    """Have all series of requests that name a model, or none if it is empty, at 0."""
    endpoints = [*(endpoint.path for endpoint in ENDPOINTS if endpoint.generates), OTHER]
    for name, made in _COUNTERS.items():
        begin(name, made, {"model_name": [model_name], "endpoint": endpoints})
