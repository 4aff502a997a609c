"""This server's own figures for Prometheus, beside vLLM's on the same page.

No colon stands in their names: it is for recording rules, and starting the engine unregisters all that begin with
`vllm:`. With `PROMETHEUS_MULTIPROC_DIR` set, the library keeps them in files; the modes say how those are put together.
"""

from prometheus_client import Counter, Gauge

REQUESTS = Counter("tenuto_requests", "Requests by how they ended; each counts once.", ["endpoint", "outcome"])
CANCELLED = Counter("tenuto_cancelled_requests", "Requests whose client went away, by what it missed.", ["phase"])
SEQUENCES = Gauge(
    "tenuto_sequences", "Sequences of requests that were taken, running and waiting.", multiprocess_mode="livesum"
)
CAPACITY = Gauge("tenuto_sequences_capacity", "Sequences that are taken at once.", multiprocess_mode="livemostrecent")
