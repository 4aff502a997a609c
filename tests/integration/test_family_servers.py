"""A real server for every family that can be named, on a tiny model that has the family's tokens.

`make test` starts one of them, `make test-families` all; the part before the weights is tested for all of them in
`tests/server/launcher/test_family_startup.py`.
"""

from pathlib import Path

import pytest

from tenuto_decoding import FAMILIES
from tenuto_testing.family_models import save_family
from tenuto_testing.servers import serving

OPTIONS = ("--dtype", "float32", "--enforce-eager", "--max-num-seqs", "4", "--served-model-name", "tiny")
ENVIRONMENT = {"VLLM_CPU_KVCACHE_SPACE": "1", "HF_HUB_OFFLINE": "1"}
ALWAYS = "cohere"


@pytest.mark.parametrize(
    "family", [pytest.param(name, marks=() if name == ALWAYS else pytest.mark.long) for name in FAMILIES]
)
def test_a_model_of_every_family_is_served(family: str, tmp_path: Path) -> None:
    model = save_family(tmp_path / "model", family)
    options = (str(model), "--thinking-family", family, *OPTIONS)
    with serving(tmp_path / "log", *options, environment=ENVIRONMENT) as server:
        server.wait_until(server.ready)
        budget = {"min_thinking_tokens": 8, "max_thinking_tokens": 16, "max_tokens": 64}
        reply = server.chat(model="tiny", messages=[{"role": "user", "content": "a"}], temperature=1, seed=1, **budget)
        assert reply.status_code == 200, reply.text
        (choice,) = reply.json()["choices"]
        assert 8 <= choice["thinking"]["tokens"] <= 16
        assert choice["message"]["reasoning"]
        assert FAMILIES[family].end not in choice["message"]["content"]
        usage = reply.json()["usage"]["completion_tokens_details"]
        assert usage["reasoning_tokens"] == choice["thinking"]["tokens"]
