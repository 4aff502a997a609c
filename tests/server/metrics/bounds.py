"""Bounds of histograms as a small model would have them."""

from tenuto_server.metrics.factory import Bounds

BOUNDS: Bounds = {
    "request_tokens": (1.0, 10.0, 100.0, 1000000.0),
    "time_to_first_token": (0.1, 1.0),
    "request_latency": (0.3, 3.0),
}
