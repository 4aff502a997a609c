"""What the command line says: our own options beside vLLM's."""

import os
from argparse import ArgumentTypeError, Namespace
from collections.abc import Mapping, Sequence
from dataclasses import Field, dataclass, fields, replace
from pathlib import Path
from typing import Any

from vllm import envs
from vllm.config.logging import LoggingConfig
from vllm.entrypoints.launchers.cli_args import make_arg_parser, validate_parsed_serve_args
from vllm.platforms import current_platform
from vllm.utils.argparse_utils import FlexibleArgumentParser

from tenuto_decoding.budget import FIELDS
from tenuto_decoding.markers import FAMILIES

from ..budgets.defaults import EFFORT_CAPS, Defaults
from ..budgets.request_fields import AUTO, CAP, UNLIMITED
from ..budgets.resolution import DEFAULT_ANSWER_RESERVE
from ..errors import StartupError
from ..paths import QUIET
from .limits import DEFAULT_HEAD_BYTES
from .options import OperatingOptions, flag

BUILT_IN_MODEL = Path(__file__).parent.parent / "s1_tiny"
BUILT_IN_NAME = "s1-tiny"
DEFAULT_HOST = "127.0.0.1"

_GROUP = "Tenuto"
_API_KEY = (
    "ApiKeys of which requests have to bring one; may be given several times. Others can read it in the process list: "
    "rather use --api-key-file, or VLLM_API_KEY or TENUTO_API_KEYS (with commas between) in the environment."
)


def _cap(text: str) -> int | str:
    if text in (AUTO, UNLIMITED):
        return text
    try:
        return int(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is neither a number nor {AUTO} nor {UNLIMITED}") from None


def _efforts(text: str) -> dict[str, int | str]:
    pairs = [pair.partition("=") for pair in text.split(",")]
    return {name.strip(): _cap(cap.strip()) for name, _, cap in pairs}


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeConfig(OperatingOptions):
    """Our options. Each field is a flag of the same name; help, type and default are read from here."""

    thinking_family: str | None = flag(
        None,
        str,
        "FAMILY",
        f"How the model marks its thinking: {', '.join(FAMILIES)}. Without it, detected from tokenizer and template.",
    )
    thinking_start_marker: str | None = flag(
        None, str, "TEXT", "Text that opens thinking, for a model of no known family; needs the end marker too."
    )
    thinking_end_marker: str | None = flag(None, str, "TEXT", "Text that closes thinking.")
    default_max_thinking_tokens: int | str | None = flag(
        None, _cap, "N", 'Cap on thinking for requests that give none: a number or "auto". Otherwise they have none.'
    )
    default_min_thinking_tokens: int | None = flag(
        None, int, "N", "Floor for requests that give none: below it, an attempt to stop thinking becomes a wait."
    )
    default_num_waits: int | None = flag(
        None, int, "N", "For requests that give none: how many attempts to stop thinking become a wait, at any length."
    )
    default_wait_text: tuple[str, ...] | None = flag(
        None,
        str,
        "TEXT",
        "What replaces an attempt to stop, for requests that do not say; several are used in turn.",
        nargs="+",
    )
    default_cap_text: str | None = flag(
        None, str, "TEXT", "What is written before thinking is closed at the cap, for requests that do not say."
    )
    default_landing_tokens: int | None = flag(
        None,
        int,
        "N",
        "In the last N tokens before the cap, close at a sentence's end; for requests that do not say.",
    )
    default_loop_tokens: int | None = flag(
        None,
        int,
        "N",
        "Close thinking whose last N tokens repeat one pattern, for requests that do not say. 0: let it go on.",
    )
    default_scope: str | None = flag(
        None, str, "SCOPE", "`response`: one budget for all thinking of a reply; `block`: a fresh one for each block."
    )
    reasoning_effort_tokens: Mapping[str, int | str] | None = flag(
        None,
        _efforts,
        "EFFORT=N,...",
        "Caps that `reasoning_effort` stands for, such as low=1024,high=auto; efforts left out keep theirs: "
        + ", ".join(f"{name}={fields[CAP]}" for name, fields in EFFORT_CAPS.items())
        + ".",
    )
    thinking_defaults: str | None = flag(
        None,
        str,
        "FILE",
        "TOML file with defaults and efforts, for the server and for single models; see docs/budgets.md.",
    )
    answer_reserve_tokens: int = flag(
        DEFAULT_ANSWER_RESERVE,
        int,
        "N",
        'Tokens that the cap "auto" keeps for the answer, but at most a quarter of what the reply may have.',
    )
    drain_timeout: float = flag(
        60.0, float, "SECONDS", "How long running replies may go on after SIGTERM or Ctrl-C before they are cut."
    )

    def __post_init__(self) -> None:
        OperatingOptions.__post_init__(self)
        if not 0 <= self.drain_timeout < float("inf"):
            raise StartupError(f"--drain-timeout: {self.drain_timeout} is not a number of seconds")
        if self.answer_reserve_tokens < 0:
            raise StartupError(f"--answer-reserve-tokens: {self.answer_reserve_tokens} is below 0")
        self.read_defaults()

    def read_defaults(self) -> Defaults:
        """The budgets that the server brings. Raises StartupError for what is wrong with them."""
        given = {name: getattr(self, f"default_{name}") for name in FIELDS}
        budget = {name: value for name, value in given.items() if value is not None}
        file = Path(self.thinking_defaults) if self.thinking_defaults is not None else None
        return Defaults.from_options(budget, self.reasoning_effort_tokens or {}, file)


def parse_command_line(argv: Sequence[str]) -> tuple[ServeConfig, Namespace]:
    """Our options and vLLM's. Exits the process on `--help` and on words that are no option, as argparse does.

    Raises:
        StartupError: for options that contradict each other or that this server does not offer.
    """
    parser = _parser()
    args = parser.parse_args(list(argv))
    if (args.model_tag or args.model) is None:
        parser.set_defaults(**_built_in_defaults())
        args = parser.parse_args(list(argv))
        _prepare_for_built_in()
    args.model = args.model_tag or args.model
    _refuse_other_launchers(args)
    _refuse_open_doors()
    _refuse_missing_certificates(args)
    validate_parsed_serve_args(args)
    config = ServeConfig(**{option.name: getattr(args, option.name) for option in fields(ServeConfig)})
    if config.max_output_tokens is not None:
        _bound_by_default(args, config.max_output_tokens)
    if config.log_format == "json":
        args.logging_config = replace(getattr(args, "logging_config", None) or LoggingConfig(), formatter="json")
    return config, args


def _bound_by_default(args: Namespace, tokens: int) -> None:
    """Bound replies to requests that do not say; those that do are checked as they come in."""
    name, settings = "max_new_tokens", args.override_generation_config
    args.override_generation_config = {**settings, name: min(tokens, settings.get(name, tokens))}


class _Parser(FlexibleArgumentParser):
    """vLLM's parser, whose plain help lists groups only; ours shows this server's options in full before them."""

    def format_help(self) -> str:
        text = str(super().format_help())
        if self._search_keyword is not None:
            return text
        ours = next(group for group in self._action_groups if group.title == _GROUP)
        formatter = self._get_formatter()
        formatter.start_section("Options of this server")
        formatter.add_arguments(ours._group_actions)
        formatter.end_section()
        head, title, groups = text.partition("Config Groups:")
        return f"{head}{formatter.format_help()}\n{title}{groups}"


def _parser() -> FlexibleArgumentParser:
    parser = _Parser(
        prog="tenuto serve",
        usage="tenuto serve [MODEL] [options]",
        description="Serve MODEL (a folder or a Hugging Face name) with thinking budgets; without MODEL, the built-in "
        "small one. Every option of `vllm serve` is understood too.",
        epilog="All options: tenuto serve --help=all    One group: --help=tenuto    One option: --help=max-model-len",
    )
    group = parser.add_argument_group(_GROUP, "Thinking budgets, markers and shutdown: the options of this server.")
    for option in fields(ServeConfig):
        _add(group, option)
    make_arg_parser(parser)
    group.conflict_handler = "resolve"  # vLLM's --api-key keeps only the last of several
    group.add_argument("--api-key", nargs="+", action="extend", metavar="KEY", help=_API_KEY)
    parser.set_defaults(model=None, host=DEFAULT_HOST, disable_access_log_for_endpoints=",".join(sorted(QUIET)))
    parser.set_defaults(disable_uvicorn_access_log=True)  # each request has its line already, by `RequestLog`
    parser.set_defaults(h11_max_incomplete_event_size=DEFAULT_HEAD_BYTES)
    return parser


def _add(group: Any, option: Field[Any]) -> None:
    group.add_argument(f"--{option.name.replace('_', '-')}", default=option.default, **option.metadata)


def _built_in_defaults() -> dict[str, Any]:
    if not BUILT_IN_MODEL.is_dir():
        raise StartupError(f"the built-in model is missing ({BUILT_IN_MODEL.name}/): name a model")
    defaults = {"model": str(BUILT_IN_MODEL), "served_model_name": [BUILT_IN_NAME]}
    # A small model on a CPU: compiling would take longer than it saves, and float32 makes temperature 0 exact.
    return defaults | {"enforce_eager": True, "dtype": "float32"} if current_platform.is_cpu() else defaults


def _prepare_for_built_in() -> None:
    os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")  # GiB; 4 would be taken otherwise
    # Everything is in the folder: nothing may be looked up on the hub.
    os.environ["HF_HUB_OFFLINE"] = os.environ["TRANSFORMERS_OFFLINE"] = "1"


def _refuse_other_launchers(args: Namespace) -> None:
    """Options that start something else than one server process, or expose what this server does not."""
    refused = {
        "--headless": args.headless,
        "--grpc": args.grpc,
        "--grpc-port": args.grpc_port is not None,
        "--tokens-only": args.tokens_only,
        "--api-server-count": (args.api_server_count or 1) != 1,
        "--data-parallel-multi-port-external-lb": args.data_parallel_multi_port_external_lb,
        "--worker-extension-cls": bool(args.worker_extension_cls),
        "--trust-request-chat-template": args.trust_request_chat_template,
        "--enable-prompt-embeds": args.enable_prompt_embeds,
    }
    for option, given in refused.items():
        if given:
            raise StartupError(f"{option} is not supported by tenuto serve")


def _refuse_open_doors() -> None:
    """Variables with which whoever reaches the server, or its engine's sockets, may run what he likes or fill it up."""
    if envs.VLLM_SERVER_DEV_MODE:
        raise StartupError("VLLM_SERVER_DEV_MODE is set: it is for developers of vLLM and lets clients call any method")
    if envs.VLLM_ALLOW_INSECURE_SERIALIZATION:
        raise StartupError("VLLM_ALLOW_INSECURE_SERIALIZATION is set: messages between processes could carry code")
    if envs.VLLM_ENABLE_RESPONSES_API_STORE:
        raise StartupError("VLLM_ENABLE_RESPONSES_API_STORE is set: every response would be kept until the server ends")


def _refuse_missing_certificates(args: Namespace) -> None:
    for name in ("ssl_certfile", "ssl_keyfile", "ssl_ca_certs"):
        file = getattr(args, name)
        if file is not None and not Path(file).is_file():
            raise StartupError(f"--{name.replace('_', '-')}: {file} is no file")
    if args.ssl_keyfile is not None and args.ssl_certfile is None:
        raise StartupError(f"--ssl-keyfile: {args.ssl_keyfile} needs its certificate: give --ssl-certfile too")
