"""The command line: our options and vLLM's, the defaults of the built-in model, and refusals."""

import os
import re
import subprocess
import sys
from argparse import Namespace
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest

from tenuto_server.config.command_line import BUILT_IN_MODEL, ServeConfig, parse_command_line
from tenuto_server.errors import StartupError
from tenuto_server.vllm_compat import FlexibleArgumentParser, make_arg_parser


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The built-in model sets variables for the processes that are started later; undo that after each test."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


def parse(*argv: str) -> tuple[ServeConfig, Namespace]:
    return parse_command_line(argv)


def test_without_a_model_the_built_in_one_is_served() -> None:
    _, args = parse("--port", "9000")
    assert args.model == str(BUILT_IN_MODEL)
    assert args.served_model_name == ["s1-tiny"]
    assert (args.host, args.port) == ("127.0.0.1", 9000)
    assert (args.enforce_eager, args.dtype) == (True, "float32")
    assert os.environ["VLLM_CPU_KVCACHE_SPACE"] == "1"
    assert os.environ["HF_HUB_OFFLINE"] == "1"


def test_options_override_the_defaults_of_the_built_in_model() -> None:
    os.environ["VLLM_CPU_KVCACHE_SPACE"] = "2"
    _, args = parse("--dtype", "bfloat16", "--no-enforce-eager", "--served-model-name", "mine", "--host", "0.0.0.0")
    assert (args.dtype, args.enforce_eager, args.served_model_name) == ("bfloat16", False, ["mine"])
    assert args.host == "0.0.0.0"
    assert os.environ["VLLM_CPU_KVCACHE_SPACE"] == "2"


@pytest.mark.parametrize("argv", [("some/model",), ("--model", "some/model"), ("--port", "9000", "some/model")])
def test_a_named_model_gets_vllms_defaults(argv: tuple[str, ...]) -> None:
    _, args = parse(*argv)
    assert (args.model, args.served_model_name, args.dtype) == ("some/model", None, "auto")
    assert args.host == "127.0.0.1"
    assert "HF_HUB_OFFLINE" not in os.environ


def test_options_from_a_file(tmp_path: Path) -> None:
    """vLLM's `--config` accepts our options too, and the command line takes precedence."""
    file = tmp_path / "serve.yaml"
    file.write_text("default-max-thinking-tokens: 99\ndrain-timeout: 7\nmodel: some/model\n")
    config, args = parse("--config", str(file), "--drain-timeout", "8")
    assert (config.default_max_thinking_tokens, config.drain_timeout, args.model) == (99, 8.0, "some/model")


def test_the_defaults_make_a_budget() -> None:
    assert not parse()[0].read_defaults().bounds_thinking
    config, _ = parse(
        "--default-max-thinking-tokens", "500", "--default-num-waits", "2", "--default-wait-text", "A", "B"
    )
    expected = {"max_thinking_tokens": 500, "num_waits": 2, "wait_text": ["A", "B"]}
    assert config.read_defaults().budget == expected
    assert parse("--default-max-thinking-tokens", "0")[0].read_defaults().bounds_thinking
    assert parse("--default-max-thinking-tokens", "auto")[0].read_defaults().bounds_thinking


def test_a_flag_sets_the_caps_of_efforts() -> None:
    defaults = parse("--reasoning-effort-tokens", "low=100,high=unlimited")[0].read_defaults()
    caps = {name: defaults.effort_of(None, name)["max_thinking_tokens"] for name in ("none", "low", "medium", "high")}
    assert caps == {"none": 0, "low": 100, "medium": 4096, "high": "unlimited"}


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (("--default-max-thinking-tokens", "-1"), "max_thinking_tokens: -1 is not between 0"),
        (
            ("--default-max-thinking-tokens", "5", "--default-min-thinking-tokens", "6"),
            "6 is above max_thinking_tokens",
        ),
        (("--default-scope", "reply"), "scope: 'reply' is not one of"),
        (("--default-wait-text", "<|im_end|>"), "wait_text: holds '<|im_end|>'"),
        (("--reasoning-effort-tokens", "little=5"), "--reasoning-effort-tokens little: 'little' is not one of none"),
        (("--reasoning-effort-tokens", "low=-5"), "--reasoning-effort-tokens low: max_thinking_tokens: -5 is not"),
        (("--thinking-defaults", "nowhere.toml"), "--thinking-defaults nowhere.toml: No such file"),
        (("--max-n", "0"), "--max-n: 0 is below 1"),
        (("--max-body-bytes", "0"), "--max-body-bytes: 0 is below 1"),
        (("--body-timeout", "0"), "--body-timeout: 0.0 is not a number of seconds above 0"),
        (("--body-timeout", "nan"), "--body-timeout: nan is not"),
        (("--max-num-waits", "-1"), "--max-num-waits: -1 is below 0"),
        (("--max-output-tokens", "0"), "--max-output-tokens: 0 is below 1"),
        (("--max-queued-requests", "-2"), "--max-queued-requests: -2 is below -1"),
        (("--drain-timeout", "-1"), "--drain-timeout: -1.0"),
        (("--drain-timeout", "nan"), "--drain-timeout: nan"),
        (("--ssl-certfile", "nowhere.pem"), "--ssl-certfile: nowhere.pem is not a file"),
        (("--ssl-certfile", __file__, "--ssl-keyfile", "nowhere.key"), "--ssl-keyfile: nowhere.key is not a file"),
        (("--ssl-keyfile", __file__), "set --ssl-certfile too"),
        (("--headless",), "--node-rank 0 --headless: only node 0 has an HTTP server"),
        (
            ("--otlp-traces-endpoint", "grpc://127.0.0.1:4317", "--disable-log-stats"),
            "--otlp-traces-endpoint: vLLM's spans hold its statistics: leave out --disable-log-stats",
        ),
        (("--nnodes", "2", "--node-rank", "1"), "needs both --node-rank K, above 0, and --headless"),
        (
            ("--nnodes", "2", "--node-rank", "1", "--headless", "--data-parallel-size", "2"),
            "--headless with --data-parallel-size 2: start a server on each machine, behind a router",
        ),
        (
            ("--data-parallel-size", "2", "--data-parallel-size-local", "1"),
            "--data-parallel-size-local 1 of 2: engines on other machines are not supported",
        ),
        (("--api-server-count", "2"), "--api-server-count is not supported"),
        (("--worker-extension-cls", "a.B"), "--worker-extension-cls is not supported"),
        (("--trust-request-chat-template",), "--trust-request-chat-template is not supported"),
        (("--enable-prompt-embeds",), "--enable-prompt-embeds is not supported"),
        (("--api-server-count", "0"), "--api-server-count is not supported"),
        (("--enable-tokenizer-info-endpoint",), "--enable-tokenizer-info-endpoint is not supported"),
        (("--no-enable-flash-late-interaction",), "--enable-flash-late-interaction is not supported"),
        (("--enable-ssl-refresh",), "--enable-ssl-refresh: there is no certificate to refresh"),
        (("--enable-auto-tool-choice",), "--enable-auto-tool-choice requires --tool-call-parser"),
        (("--enable-log-outputs",), "--enable-log-outputs requires --enable-log-requests"),
        (("--sse-keep-alive-interval", "-1"), "--sse-keep-alive-interval must be a non-negative integer"),
        (("--chat-template", "/nowhere.jinja"), "(/nowhere.jinja) appears path-like, but doesn't exist"),
        (("--model", "/nowhere/model"), "--model: /nowhere/model does not exist"),
        (("--lora-modules", "a=b"), "--lora-modules: adapters need --enable-lora"),
        (("--enable-lora", "--lora-modules", "a=/nowhere"), "--lora-modules: /nowhere does not exist"),
        (("--tokenizer", "/nowhere"), "--tokenizer: /nowhere does not exist"),
        (("--tool-parser-plugin", "/nowhere.py"), "--tool-parser-plugin: /nowhere.py is not a file"),
        (("--config", "/nowhere.yaml"), "/nowhere.yaml: No such file or directory"),
        (("--speculative-config", "nonsense"), "--speculative-config/-sc: Value nonsense is not valid JSON"),
        (("--kv-transfer-config", '{"kv_connector": "nope"}'), "Please specify kv_role when kv_connector is set"),
        (("--log-file", "a.log", "--verbose"), "--log-file: a.log would stay empty: --verbose"),
        (("--nonsense",), "unrecognized arguments: --nonsense"),
    ],
)
def test_an_option_that_cannot_work_is_named(argv: tuple[str, ...], message: str) -> None:
    with pytest.raises(StartupError) as refusal:
        parse(*argv)
    assert message in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert "pydantic" not in str(refusal.value)


@pytest.mark.parametrize(
    "variable", ["VLLM_SERVER_DEV_MODE", "VLLM_ALLOW_INSECURE_SERIALIZATION", "VLLM_ENABLE_RESPONSES_API_STORE"]
)
def test_an_unsafe_environment_variable_is_named(variable: str) -> None:
    os.environ[variable] = "1"
    with pytest.raises(StartupError, match=f"{variable} is set"):
        parse()
    os.environ[variable] = "0"
    parse()


def test_api_keys_may_be_given_several_times() -> None:
    assert parse("--api-key", "a", "b", "--api-key", "c")[1].api_key == ["a", "b", "c"]
    assert parse()[1].api_key is None


@pytest.mark.parametrize(
    ("argv", "capacity"),
    [((), 50), (("0",), 10), (("7",), 17), (("-1",), None)],
)
def test_capacity_where_ten_sequences_can_run(argv: tuple[str, ...], capacity: int | None) -> None:
    assert parse(*(("--max-queued-requests", *argv) if argv else ()))[0].capacity(10) == capacity


def test_the_limit_on_output_is_also_the_default() -> None:
    assert parse()[1].override_generation_config == {}
    config, args = parse(
        "--max-output-tokens", "9", "--override-generation-config", '{"max_new_tokens": 20, "top_k": 3}'
    )
    assert args.override_generation_config == {"max_new_tokens": 9, "top_k": 3}
    assert config.limits(fetches_media=False).output_tokens == 9


def test_the_limit_on_request_heads_is_lower_than_vllms() -> None:
    assert parse()[1].h11_max_incomplete_event_size == 65536


def test_the_help_shows_this_servers_options_before_the_groups_of_vllm(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exited:
        parse("--help")
    assert exited.value.code == 0
    text = capsys.readouterr().out
    positions = [text.index(part) for part in ("usage: tenuto serve", "--thinking-family", "--log-file", "ModelConfig")]
    assert positions == sorted(positions)
    assert "--max-model-len" not in text


@pytest.mark.parametrize(
    ("keyword", "options"), [("tenuto", "--thinking-family --api-key"), ("max-model-len", "--max-model-len")]
)
def test_help_for_a_group_or_an_option(capsys: pytest.CaptureFixture[str], keyword: str, options: str) -> None:
    with pytest.raises(SystemExit):
        parse(f"--help={keyword}")
    text = capsys.readouterr().out
    assert all(option in text for option in options.split())
    assert "Config Groups" not in text
    assert "--gpu-memory-utilization" not in text


def test_vllm_has_no_option_of_the_same_name_except_api_key() -> None:
    """Ours replace vLLM's on a conflict, which is meant for `--api-key` alone."""
    usage = make_arg_parser(FlexibleArgumentParser()).format_usage()
    ours = {"--api-key", *(f"--{option.name.replace('_', '-')}" for option in fields(ServeConfig))}
    assert {flag for flag in ours if re.search(rf"{flag}(?![\w-])", usage)} == {"--api-key"}


def run(*argv: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "tenuto", "serve", *argv]
    return subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, text=True, timeout=300, check=False
    )


def test_a_process_that_could_outlive_the_server_is_not_started() -> None:
    result = run(VLLM_WORKER_MULTIPROC_METHOD="fork")
    assert result.returncode == 2
    assert "VLLM_WORKER_MULTIPROC_METHOD=fork" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("name", ["PROMETHEUS_MULTIPROC_DIR", "prometheus_multiproc_dir"])
def test_a_folder_for_the_metrics_of_several_processes_is_refused(name: str, tmp_path: Path) -> None:
    """With it, the library would leave out of /metrics what is computed when it is scraped, without a word."""
    result = run(**{name: str(tmp_path)})
    assert result.returncode == 2
    assert f"tenuto serve: {name} is set" in result.stderr
    assert "Traceback" not in result.stderr
    assert not list(tmp_path.iterdir())
