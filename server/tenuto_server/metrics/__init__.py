"""This server's own Prometheus metrics, exported together with vLLM's.

Their names have no colon: colons are for recording rules, and starting the engine unregisters all names that begin with
`vllm:`. With `PROMETHEUS_MULTIPROC_DIR` set, the library keeps them in files; the modes say how to combine the files.
"""

from prometheus_client import Counter, Gauge

REQUESTS = Counter("tenuto_requests", "Requests by outcome; each counts once.", ["endpoint", "outcome"])
CANCELLED = Counter("tenuto_cancelled_requests", "Requests whose client disconnected, by phase.", ["phase"])
SEQUENCES = Gauge("tenuto_sequences", "Slots taken, by sequences that run or wait.", multiprocess_mode="livesum")
CAPACITY = Gauge("tenuto_sequences_capacity", "Number of slots.", multiprocess_mode="livemostrecent")
