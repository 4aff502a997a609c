"""Two servers that the tests in this folder share, as an operator would run them together.

The modules run in the order of their names. `test_router.py` is the last: it drains one server and kills the other.
"""

from collections.abc import Iterator

import pytest

from tenuto_testing.servers import RunningServer, serving

#: The name under which both serve the built-in model, so that a router may choose either.
SHARED_NAME = "s1-tiny"
#: The first name of each, which is the `model_name` of its metrics.
MODEL_NAMES = ("model-a", "model-b")
ENVIRONMENT = {"VLLM_CPU_KVCACHE_SPACE": "1", "HF_HUB_OFFLINE": "1"}


@pytest.fixture(scope="session")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RunningServer, RunningServer]]:
    """Two servers of the built-in model, both ready."""
    logs = [tmp_path_factory.mktemp(name) / "log" for name in MODEL_NAMES]
    names = [("--served-model-name", name, SHARED_NAME) for name in MODEL_NAMES]
    with (
        serving(logs[0], *names[0], environment=ENVIRONMENT) as first,
        serving(logs[1], *names[1], environment=ENVIRONMENT) as second,
    ):
        for server in (first, second):
            server.wait_until(server.ready)
        yield first, second
