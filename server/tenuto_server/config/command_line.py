"""The command line: our own options in addition to vLLM's."""

import os
from argparse import SUPPRESS, ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import Field, dataclass, fields, replace
from pathlib import Path
from typing import Any, Never

from vllm import envs
from vllm.config.logging import LoggingConfig
from vllm.platforms import current_platform

from tenuto_decoding.budget import FIELDS

from ..budgets.defaults import EFFORT_CAPS, Defaults
from ..budgets.request_fields import AUTO, CAP, UNLIMITED
from ..budgets.resolution import DEFAULT_ANSWER_RESERVE
from ..errors import StartupError
from ..paths import QUIET
from ..vllm_compat import FlexibleArgumentParser, make_arg_parser, validate_parsed_serve_args
from .limits import DEFAULT_HEAD_BYTES, DEFAULT_HEADERS
from .marker_options import MarkerOptions
from .option_errors import in_one_line, usage_errors
from .options import OperatingOptions, flag
from .unsupported import reject_unsupported_options

BUILT_IN_MODEL = Path(__file__).parent.parent / "s1_tiny"
BUILT_IN_NAME = "s1-tiny"
DEFAULT_HOST = "127.0.0.1"

#: vLLM's names for options that we have under a name of our own.
_VLLM_NAMES = {"drain_timeout": ("--shutdown-timeout",)}

_GROUP_TITLE = "Tenuto"
_OTHER_GROUPS = "Config Groups:"  # vLLM's title in a plain `--help`
_API_KEY = (
    "Keys of which a request must have one; may be given several times. Other users can read it in the process list: "
    "prefer --api-key-file, or VLLM_API_KEY or TENUTO_API_KEYS (separated by commas) in the environment."
)


def _cap(text: str) -> int | str:
    if text in (AUTO, UNLIMITED):
        return text
    try:
        return int(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is not a number, {AUTO} or {UNLIMITED}") from None


def _efforts(text: str) -> dict[str, int | str]:
    pairs = [pair.partition("=") for pair in text.split(",")]
    return {name.strip(): _cap(cap.strip()) for name, _, cap in pairs}


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeConfig(OperatingOptions, MarkerOptions):
    """All our options. Each field is a flag of the same name; help, type and default are read from here."""

    default_max_thinking_tokens: int | str | None = flag(
        None,
        _cap,
        "N",
        'Cap on thinking for requests that set none: a number, "auto" (what leaves room for an answer) or "unlimited". '
        "Without this option: auto, which yields to whatever it cannot be kept with.",
    )
    default_min_thinking_tokens: int | None = flag(
        None, int, "N", "Floor for requests that set none: below it, an attempt to stop thinking becomes a wait."
    )
    default_num_waits: int | None = flag(
        None,
        int,
        "N",
        "For requests that set none: how many attempts to stop thinking become a wait, at any length.",
    )
    default_wait_text: tuple[str, ...] | None = flag(
        None,
        str,
        "TEXT",
        "Text that replaces an attempt to stop, for requests that set none; several texts are used in turn.",
        nargs="+",
    )
    default_cap_text: str | None = flag(
        None, str, "TEXT", "Text before the end of thinking at the cap, for requests that set none."
    )
    default_landing_tokens: int | None = flag(
        None,
        int,
        "N",
        "In the last N tokens before the cap, close at the end of a sentence; for requests that set no landing_tokens.",
    )
    default_loop_tokens: int | None = flag(
        None,
        int,
        "N",
        "Close thinking whose last N tokens repeat one pattern, for requests that set no loop_tokens. 0: never.",
    )
    default_scope: str | None = flag(
        None, str, "SCOPE", "`response`: one budget for all thinking of a reply; `block`: a new one for each block."
    )
    reasoning_effort_tokens: Mapping[str, int | str] | None = flag(
        None,
        _efforts,
        "EFFORT=N,...",
        "The caps of `reasoning_effort`, such as low=1024,high=auto. Others keep their defaults: "
        + ", ".join(f"{name}={fields[CAP]}" for name, fields in EFFORT_CAPS.items())
        + ".",
    )
    thinking_defaults: str | None = flag(
        None,
        str,
        "FILE",
        "TOML file with defaults and efforts, for the server and for individual models; see docs/budgets.md.",
    )
    answer_reserve_tokens: int = flag(
        DEFAULT_ANSWER_RESERVE,
        int,
        "N",
        'Tokens that the cap "auto" keeps for the answer, but at most a quarter of the most tokens of the reply.',
    )
    drain_timeout: float = flag(
        60.0,
        float,
        "SECONDS",
        "How long running replies may continue after SIGTERM or Ctrl-C before they are cut; vLLM's name for it, "
        "--shutdown-timeout, works too.",
    )

    def __post_init__(self) -> None:
        OperatingOptions.__post_init__(self)
        if not 0 <= self.drain_timeout < float("inf"):
            raise StartupError(f"--drain-timeout: {self.drain_timeout} is not a number of seconds")
        if self.answer_reserve_tokens < 0:
            raise StartupError(f"--answer-reserve-tokens: {self.answer_reserve_tokens} is below 0")
        self.read_defaults()
        self.read_markers()

    def read_defaults(self) -> Defaults:
        """The default budgets. Raises StartupError for an invalid one."""
        given = {name: getattr(self, f"default_{name}") for name in FIELDS}
        budget = {name: value for name, value in given.items() if value is not None}
        file = Path(self.thinking_defaults) if self.thinking_defaults is not None else None
        return Defaults.from_options(budget, self.reasoning_effort_tokens or {}, file)


def parse_command_line(argv: Sequence[str]) -> tuple[ServeConfig, Namespace]:
    """Our options and vLLM's. Exits the process on `--help`, as argparse does.

    Raises:
        StartupError: for options that are unknown, contradict each other, or are not supported by this server.
    """
    parser = _parser()
    args = _parsed(parser, argv)
    if (args.model_tag or args.model) is None:
        parser.set_defaults(**_built_in_defaults())
        args = _parsed(parser, argv)
        _prepare_for_built_in()
    args.model = args.model_tag or args.model
    reject_unsupported_options(args, parser)
    _reject_unsafe_environment()
    _reject_missing_files(args)
    with usage_errors():
        validate_parsed_serve_args(args)
    config = ServeConfig(**{option.name: getattr(args, option.name) for option in fields(ServeConfig)})
    if config.max_output_tokens is not None:
        _limit_by_default(args, config.max_output_tokens)
    if config.log_format == "json":
        args.logging_config = replace(getattr(args, "logging_config", None) or LoggingConfig(), formatter="json")
    return config, args


def given_template(option: str | None) -> str | None:
    """The text of `--chat-template`, which is a file or, in one line, the template itself; other files vLLM refuses."""
    if option is None or any(mark in option for mark in "{}\n"):
        return option
    path = Path(option)
    return path.read_text() if path.is_file() else None


def _parsed(parser: FlexibleArgumentParser, argv: Sequence[str]) -> Namespace:
    with usage_errors():  # a file of --config may be missing or wrong
        args: Namespace = parser.parse_args(list(argv))
        return args


def _limit_by_default(args: Namespace, tokens: int) -> None:
    """Limit replies to requests that set no limit; admission control checks the others."""
    name, settings = "max_new_tokens", args.override_generation_config
    args.override_generation_config = {**settings, name: min(tokens, settings.get(name, tokens))}


class _Parser(FlexibleArgumentParser):
    """vLLM's parser, whose plain help lists groups only; ours shows this server's options in full before them."""

    def format_help(self) -> str:
        text = str(super().format_help())
        head, title, groups = text.partition(_OTHER_GROUPS)
        return f"{head}{_own_help()}\n{title}{groups}" if title else text

    def error(self, message: str) -> Never:
        raise StartupError(f"{in_one_line(message)} (see tenuto serve --help)")


def _own_help() -> str:
    parser = ArgumentParser(usage=SUPPRESS, add_help=False)
    operating = fields(OperatingOptions)
    names = {option.name for option in operating}
    thinking = parser.add_argument_group("Thinking")
    _add_options(thinking, (option for option in fields(ServeConfig) if option.name not in names))
    operation = parser.add_argument_group("Operation")
    _add_options(operation, operating)
    _add_api_key(operation)
    return parser.format_help().lstrip("\n")


def _parser() -> FlexibleArgumentParser:
    parser = _Parser(
        prog="tenuto serve",
        usage="tenuto serve [MODEL] [options]",
        description="Serve MODEL (a folder or a Hugging Face name) with thinking budgets; without MODEL, the small "
        "built-in one. Options of `vllm serve` work too, or are refused with the reason.",
        epilog="All options: tenuto serve --help=all    One group: --help=tenuto    One option: --help=max-model-len",
        # Ours replace vLLM's: its --api-key keeps only the last of several, its --shutdown-timeout is our drain.
        conflict_handler="resolve",
    )
    make_arg_parser(parser)
    group = parser.add_argument_group(_GROUP_TITLE, "Thinking budgets, limits and logs: the options of this server.")
    _add_options(group, fields(ServeConfig))
    _add_api_key(group)
    parser.set_defaults(
        model=None,
        shutdown_timeout=0,  # the engine's own drain, which our drain leaves nothing to do
        host=DEFAULT_HOST,
        disable_access_log_for_endpoints=",".join(sorted(QUIET)),
        disable_uvicorn_access_log=True,  # `RequestLog` already logs each request
        h11_max_incomplete_event_size=DEFAULT_HEAD_BYTES,
        h11_max_header_count=DEFAULT_HEADERS,
    )
    return parser


def _add_options(group: Any, options: Iterable[Field[Any]]) -> None:
    for option in options:
        flags = (f"--{option.name.replace('_', '-')}", *_VLLM_NAMES.get(option.name, ()))
        group.add_argument(*flags, dest=option.name, default=option.default, **option.metadata)


def _add_api_key(group: Any) -> None:
    group.add_argument("--api-key", nargs="+", action="extend", metavar="KEY", help=_API_KEY)


def _built_in_defaults() -> dict[str, Any]:
    if not BUILT_IN_MODEL.is_dir():
        raise StartupError(f"the built-in model is missing ({BUILT_IN_MODEL.name}/): name a model")
    defaults = {"model": str(BUILT_IN_MODEL), "served_model_name": [BUILT_IN_NAME]}
    # For a small model on a CPU, compiling takes longer than it saves, and float32 makes temperature 0 exact.
    return defaults | {"enforce_eager": True, "dtype": "float32"} if current_platform.is_cpu() else defaults


def _prepare_for_built_in() -> None:
    os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")  # GiB; the default is 4
    # The folder is complete: nothing needs to be looked up on the hub.
    os.environ["HF_HUB_OFFLINE"] = os.environ["TRANSFORMERS_OFFLINE"] = "1"


def _reject_unsafe_environment() -> None:
    """Reject environment variables that let a client run arbitrary code or exhaust memory."""
    if envs.VLLM_SERVER_DEV_MODE:
        raise StartupError("VLLM_SERVER_DEV_MODE is set: it is for developing vLLM and lets clients call any method")
    if envs.VLLM_ALLOW_INSECURE_SERIALIZATION:
        raise StartupError("VLLM_ALLOW_INSECURE_SERIALIZATION is set: messages between processes could carry code")
    if envs.VLLM_ENABLE_RESPONSES_API_STORE:
        raise StartupError(
            "VLLM_ENABLE_RESPONSES_API_STORE is set: the server would keep every response until it exits"
        )


def _reject_missing_files(args: Namespace) -> None:
    for name in ("ssl_certfile", "ssl_keyfile", "ssl_ca_certs", "tool_parser_plugin", "reasoning_parser_plugin"):
        file = getattr(args, name)
        if file and not Path(file).is_file():
            raise StartupError(f"--{name.replace('_', '-')}: {file} is not a file")
    if args.ssl_keyfile is not None and args.ssl_certfile is None:
        raise StartupError(f"--ssl-keyfile: {args.ssl_keyfile} needs its certificate: set --ssl-certfile too")
    if args.enable_ssl_refresh and args.ssl_certfile is None:
        raise StartupError("--enable-ssl-refresh: there is no certificate to refresh: set --ssl-certfile too")
    adapters = args.lora_modules or ()
    if adapters and not args.enable_lora:
        raise StartupError("--lora-modules: adapters need --enable-lora")
    folders = [("model", args.model), ("tokenizer", args.tokenizer)]
    for name, folder in [*folders, *(("lora-modules", adapter.path) for adapter in adapters)]:
        if folder and folder.startswith(("/", "./", "../", "~")) and not Path(folder).exists():
            raise StartupError(f"--{name}: {folder} does not exist")
