"""Every option of `vllm serve` that is not the engine's either works here or is refused with a reason."""

from typing import Any

import pytest
from vllm.engine.arg_utils import AsyncEngineArgs
from vllm.utils.argparse_utils import FlexibleArgumentParser

from tenuto_server.config.command_line import parse_command_line
from tenuto_server.config.unsupported import REFUSED
from tenuto_server.errors import StartupError
from tenuto_server.vllm_compat import make_arg_parser

#: Options of the API server that work, and where. A new one of vLLM's belongs here or into `REFUSED`.
SUPPORTED = {
    "model_tag": "the command line: the model",
    "config": "vLLM's parser: a file of options",
    "host": "launcher.listener",
    "port": "launcher.listener",
    "uds": "launcher.listener",
    "headless": "launcher.headless",
    "api_key": "ours: several keys, on every path",
    "uvicorn_log_level": "launcher.server: uvicorn's configuration",
    "disable_uvicorn_access_log": "launcher.server: uvicorn's configuration",
    "disable_access_log_for_endpoints": "launcher.server: uvicorn's configuration",
    "ssl_keyfile": "launcher.server: uvicorn's configuration",
    "ssl_certfile": "launcher.server: uvicorn's configuration",
    "ssl_ca_certs": "launcher.server: uvicorn's configuration",
    "ssl_cert_reqs": "launcher.server: uvicorn's configuration",
    "ssl_ciphers": "launcher.server: uvicorn's configuration",
    "enable_ssl_refresh": "launcher.server: watches the certificates",
    "h11_max_incomplete_event_size": "launcher.http_protocol",
    "h11_max_header_count": "launcher.http_protocol",
    "allow_credentials": "app: CORS",
    "allowed_origins": "app: CORS",
    "allowed_methods": "app: CORS",
    "allowed_headers": "app: CORS",
    "root_path": "app and paths",
    "middleware": "app",
    "disable_fastapi_docs": "app",
    "log_error_stack": "api.error_handlers",
    "enable_request_id_headers": "middleware.request_log: always sends them",
    "enable_server_load_tracking": "/load: always counts",
    "sse_keep_alive_interval": "api.sse",
    "anthropic_disabled_thinking_effort": "vllm_compat.make_messages",
    "chat_template": "vLLM's init_app_state",
    "chat_template_content_format": "vLLM's init_app_state",
    "cohere_format": "vLLM's init_app_state: a default of the chat template's arguments",
    "default_chat_template_kwargs": "vLLM's init_app_state",
    "enable_auto_tool_choice": "vLLM's init_app_state",
    "enable_force_include_usage": "vLLM's init_app_state",
    "enable_log_deltas": "vLLM's init_app_state",
    "enable_log_outputs": "vLLM's init_app_state",
    "enable_per_request_metrics": "vLLM's init_app_state",
    "enable_prompt_tokens_details": "vLLM's init_app_state",
    "exclude_tools_when_tool_choice_none": "vLLM's init_app_state",
    "fingerprint_mode": "vLLM's init_app_state",
    "fingerprint_value": "vLLM's init_app_state",
    "lora_modules": "vLLM's init_app_state",
    "max_log_len": "vLLM's init_app_state",
    "response_role": "vLLM's init_app_state",
    "return_tokens_as_token_ids": "vLLM's init_app_state",
    "tool_call_parser": "vLLM's init_app_state",
    "tool_parser_plugin": "vLLM's setup_server",
    "tool_server": "vLLM's init_app_state",
    "tool_strict_level": "vLLM's init_app_state",
}

#: Values of refused options that are not numbers.
VALUES = {"profiler_config": '{"profiler": "torch", "torch_profiler_dir": "/tmp"}', "worker_extension_cls": "a.B"}

#: The engine's options that only the API server acts on.
OF_BOTH = {"shutdown_timeout": "ours: another name of --drain-timeout"}


def options() -> dict[str, Any]:
    """The actions of vLLM's parser, by the name of the attribute."""
    parser = make_arg_parser(FlexibleArgumentParser())
    return {action.dest: action for action in parser._actions if action.dest != "help"}


def engine_options() -> set[str]:
    parser = AsyncEngineArgs.add_cli_args(FlexibleArgumentParser())
    return {action.dest for action in parser._actions}


def test_every_option_of_the_api_server_works_or_is_refused() -> None:
    own = options().keys() - engine_options()
    assert own - REFUSED.keys() == SUPPORTED.keys()
    assert REFUSED.keys() <= options().keys()
    assert OF_BOTH.keys() <= engine_options()


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_a_refused_option_is_named_with_the_reason(name: str) -> None:
    action = options()[name]
    flag = next(text for text in action.option_strings if text.startswith("--"))
    switch = f"--no-{flag[2:]}" if action.default else flag
    argv = [switch] if action.nargs == 0 else [flag, VALUES.get(name, "7")]
    with pytest.raises(StartupError) as error:
        parse_command_line(["some/model", *argv])
    assert str(error.value) == f"{flag} is not supported by tenuto serve: {REFUSED[name]}"


def test_options_that_ask_for_what_happens_anyway_are_accepted() -> None:
    parse_command_line(["some/model", "--api-server-count", "1", "--enable-request-id-headers"])
    parse_command_line(["some/model", "--enable-server-load-tracking"])


@pytest.mark.parametrize("flag", ["--drain-timeout", "--shutdown-timeout"])
def test_vllms_name_for_the_drain_timeout(flag: str) -> None:
    config, _ = parse_command_line(["some/model", flag, "7"])
    assert config.drain_timeout == 7
