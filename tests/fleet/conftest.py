"""Two servers that the tests in this folder share, as an operator would run them together.

The modules run in the order of their names. `test_router_outages.py` is the last: it drains one server and kills the
other.
"""

from collections.abc import Iterator

import httpx
import pytest

from tenuto_evaluation.launch import LaunchedServer
from tenuto_testing.router import routing
from tenuto_testing.servers import NO_TLS, RunningServer, serving
from tenuto_testing.trace_receiver import TraceReceiver, receiving

#: The name under which both serve the built-in model, so that a router may choose either.
SHARED_NAME = "s1-tiny"
#: The first name of each, which is the `model_name` of its metrics.
MODEL_NAMES = ("model-a", "model-b")
#: Comments in streams that are silent for longer, in seconds.
KEEP_ALIVE = ("--sse-keep-alive-interval", "1")
ENVIRONMENT = {"VLLM_CPU_KVCACHE_SPACE": "1", "HF_HUB_OFFLINE": "1"}


def options_of(name: str) -> tuple[str, ...]:
    """The options of the server whose `model_name` this is."""
    return ("--served-model-name", name, SHARED_NAME, *KEEP_ALIVE)


@pytest.fixture(scope="session")
def receiver() -> Iterator[TraceReceiver]:
    """The collector to which the first server exports its traces."""
    with receiving() as running:
        yield running


@pytest.fixture(scope="session")
def fleet(
    tmp_path_factory: pytest.TempPathFactory, receiver: TraceReceiver
) -> Iterator[tuple[RunningServer, RunningServer]]:
    """Two servers of the built-in model, both ready."""
    logs = [tmp_path_factory.mktemp(name) / "log" for name in MODEL_NAMES]
    options = [options_of(name) for name in MODEL_NAMES]
    with (
        serving(logs[0], *options[0], "--otlp-traces-endpoint", receiver.url, environment=ENVIRONMENT) as first,
        serving(logs[1], *options[1], environment=ENVIRONMENT) as second,
    ):
        for server in (first, second):
            server.wait_until(server.ready)
        yield first, second


@pytest.fixture(scope="session")
def router(
    fleet: tuple[RunningServer, RunningServer], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LaunchedServer]:
    """vLLM's router in front of both, as docs/scaling.md starts it."""
    with routing(tmp_path_factory.mktemp("router") / "log", *(server.url for server in fleet)) as running:
        yield running


@pytest.fixture(scope="session")
def routed(router: LaunchedServer) -> Iterator[httpx.Client]:
    """A client of the router."""
    with httpx.Client(base_url=router.url, timeout=120, verify=NO_TLS) as client:
        yield client
