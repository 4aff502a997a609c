"""Every family that can be named is configured for a model that has its tokens, up to the loading of weights."""

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import huggingface_hub
import pytest
from transformers import AutoTokenizer
from vllm.config import VllmConfig
from vllm.engine.arg_utils import AsyncEngineArgs

from tenuto_decoding import FAMILIES, compile_plan
from tenuto_decoding.gpu.layout import check_plan
from tenuto_decoding.vllm_compat import tokenizer_of
from tenuto_decoding.vllm_requests import markers_of
from tenuto_server.budgets.resolution import ThinkingPolicy
from tenuto_server.config.command_line import parse_command_line
from tenuto_server.errors import StartupError
from tenuto_server.launcher.engine_startup import configure
from tenuto_testing.family_models import save_family, save_gpt_oss, save_magistral


@pytest.fixture(autouse=True)
def _environment() -> Iterator[None]:
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


def configured(model: Path | str, *options: str) -> tuple[VllmConfig, ThinkingPolicy]:
    config, args = parse_command_line([str(model), "--enforce-eager", "--dtype", "float32", *options])
    return configure(config, args, AsyncEngineArgs.from_cli_args(args))


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_can_be_served(family: str, tmp_path: Path) -> None:
    vllm_config, policy = configured(save_family(tmp_path, family), "--thinking-family", family)
    assert policy.markers is not None
    assert (policy.markers.family, policy.markers.start) == (family, FAMILIES[family].start)
    assert vllm_config.structured_outputs_config.reasoning_parser == "tenuto"
    assert markers_of(vllm_config) == policy.markers
    check_plan(compile_plan(None, policy.markers, tokenizer_of(vllm_config)))  # what a GPU's start checks


def test_the_models_of_s1_need_no_option(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their vocabulary and chat template are those of any Qwen2.5: their name shows their format, also offline."""
    repository = tmp_path / "models--simplescaling--s1.1-32B"
    save_family(repository / "snapshots/0123", "s1")
    (repository / "refs").mkdir()
    (repository / "refs/main").write_text("0123")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    vllm_config, policy = configured("simplescaling/s1.1-32B")
    assert policy.markers is not None
    assert policy.markers.family == "s1"
    vllm_config.additional_config = {}  # as without a server, where the engine finds them
    assert markers_of(vllm_config).family == "s1"


@pytest.mark.parametrize("place", ["generation_config.json", "tokenizer"])
def test_a_model_whose_replies_end_inside_its_end_marker_is_refused(place: str, tmp_path: Path) -> None:
    model = save_family(tmp_path, "solar-open")
    tokenizer = AutoTokenizer.from_pretrained(model)
    (end,) = tokenizer.encode("<|end|>", add_special_tokens=False)
    if place == "tokenizer":
        tokenizer.eos_token = "<|end|>"
        tokenizer.save_pretrained(model)
    else:
        (model / place).write_text(json.dumps({"eos_token_id": [tokenizer.eos_token_id, end]}))
    with pytest.raises(StartupError, match=rf"the end marker .* holds the token {end} .* at which replies end"):
        configured(model, "--thinking-family", "solar-open")


def test_a_parser_that_fails_on_every_chat_is_found_before_the_model_is_loaded(tmp_path: Path) -> None:
    """vLLM 0.32 and mistral-common 1.13 do not agree on a method's arguments; without tools it is not called."""
    tools = ("--tool-call-parser", "mistral", "--enable-auto-tool-choice")
    with pytest.raises(StartupError, match=r"--tool-call-parser mistral: this parser cannot be used.*force_tool_names"):
        configured(save_magistral(tmp_path), "--tokenizer-mode", "mistral", *tools)


def test_a_model_that_shows_no_markers_is_served_without_budgets(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    vllm_config, policy = configured(save_family(tmp_path, "granite"))
    assert policy.markers is None
    assert not vllm_config.model_config.logits_processors
    (warning,) = (line for line in caplog.messages if line.startswith("No thinking budgets for this model: "))
    assert "--thinking-family" in warning
    assert "--thinking-start-marker" in warning


def test_an_unknown_model_is_described_by_options(tmp_path: Path) -> None:
    model = save_family(tmp_path, "granite")
    markers = ("--thinking-start-marker", "[a]", "--thinking-end-marker", "[/a]", "--thinking-also-ends", "[call]")
    vllm_config, policy = configured(model, *markers, "--thinking-stops", "<|end_of_text|>", "--no-thinking-opens")
    assert policy.markers is not None
    assert (policy.markers.start, policy.markers.end) == ("[a]", "[/a]")
    assert (policy.markers.also_ends, policy.markers.stops) == (("[call]",), ("<|end_of_text|>",))
    assert policy.markers.opens is False
    assert json.loads(json.dumps(vllm_config.additional_config))["thinking"]["also_ends"] == ["[call]"]
    assert markers_of(vllm_config) == policy.markers


def test_gpt_oss_itself_is_read_by_vllm(tmp_path: Path) -> None:
    vllm_config, policy = configured(save_gpt_oss(tmp_path))
    assert policy.markers is not None
    assert policy.markers.family == "gpt-oss"
    assert vllm_config.structured_outputs_config.reasoning_parser == "openai_gptoss"


def test_a_model_with_a_tekken_is_read_by_its_markers(tmp_path: Path) -> None:
    """vLLM's parser for it puts every reply under a grammar."""
    vllm_config, policy = configured(save_magistral(tmp_path), "--tokenizer-mode", "mistral")
    assert policy.markers is not None
    assert policy.markers.family == "magistral"
    assert vllm_config.structured_outputs_config.reasoning_parser == "tenuto"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--tool-call-parser", "cohere_command3"), "cohere_melody"),
        (("--reasoning-parser", "cohere_command4"), "cohere_melody"),
        (("--tool-call-parser", "hf"), "response_template"),
        (("--reasoning-parser", "deepseek_r1"), "think start/end tokens"),
        (("--reasoning-parser", "mistral"), "tool call token"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_parser_that_cannot_be_made_is_found_before_the_model_is_loaded(
    options: Sequence[str], message: str, tmp_path: Path
) -> None:
    model = save_family(tmp_path, "cohere")
    tools = ("--enable-auto-tool-choice",) if "--tool-call-parser" in options else ()
    with pytest.raises(StartupError, match=message) as refusal:
        configured(model, "--thinking-family", "cohere", *options, *tools)
    assert len(str(refusal.value).splitlines()) == 1
