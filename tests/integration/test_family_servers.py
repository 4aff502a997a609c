"""A real server for every family that can be named, on a tiny model that has the family's tokens.

`make test-families` starts them. In `make test`, all families are on one engine (`tests/engine/test_families.py`), and
the part of a server's start before the weights is tested for each (`tests/server/launcher/test_family_startup.py`).
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from tenuto_decoding import FAMILIES
from tenuto_testing.family_models import save_family, save_gpt_oss, save_magistral
from tenuto_testing.servers import RunningServer, serving

OPTIONS = ("--dtype", "float32", "--enforce-eager", "--max-num-seqs", "4", "--served-model-name", "tiny")
ENVIRONMENT = {"VLLM_CPU_KVCACHE_SPACE": "1", "HF_HUB_OFFLINE": "1"}
BUDGET = {"min_thinking_tokens": 8, "max_thinking_tokens": 16, "max_tokens": 96, "temperature": 1, "seed": 1}


def save_tiny(family: str) -> Callable[[Path], Path]:
    return lambda folder: save_family(folder, family)


def rows() -> Iterable[Any]:
    """Arguments of the test: how to make the model, and the options that name its family."""
    for family in FAMILIES:
        yield pytest.param(save_tiny(family), ("--thinking-family", family), id=family)
    yield pytest.param(save_gpt_oss, (), id="gpt-oss itself")
    yield pytest.param(save_magistral, ("--tokenizer-mode", "mistral"), id="tekken")


@pytest.mark.long
@pytest.mark.parametrize(("save", "options"), list(rows()))
def test_a_model_of_every_family_is_served(save: Any, options: tuple[str, ...], tmp_path: Path) -> None:
    model = save(tmp_path / "model")
    with serving(tmp_path / "log", str(model), *options, *OPTIONS, environment=ENVIRONMENT) as server:
        server.wait_until(server.ready)
        check_whole(server)
        check_streamed(server)


def check_whole(server: RunningServer) -> None:
    reply = server.chat(model="tiny", messages=[{"role": "user", "content": "a"}], **BUDGET)
    assert reply.status_code == 200, reply.text
    (choice,) = reply.json()["choices"]
    report = choice["thinking"]
    assert 8 <= report["tokens"] <= 16, report
    assert choice["message"]["reasoning"]
    assert reply.json()["usage"]["completion_tokens_details"]["reasoning_tokens"] == report["tokens"]


def check_streamed(server: RunningServer) -> None:
    reply = server.chat(model="tiny", messages=[{"role": "user", "content": "a"}], stream=True, **BUDGET)
    assert reply.status_code == 200, reply.text
    assert '"reasoning"' in reply.text
    assert reply.text.endswith("data: [DONE]\n\n")
