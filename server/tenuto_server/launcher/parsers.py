"""Which parser splits replies into thinking, answer and tool calls, and whether it can be made for this model."""

from argparse import Namespace
from typing import Any

from vllm.config import VllmConfig

from tenuto_decoding.markers import ThinkingMarkers

from ..errors import StartupError
from ..reasoning import parser as reasoning
from ..reasoning.thinking_parser import with_thinking
from ..vllm_compat import ChatCompletionRequest, ParserManager, ToolParserManager, is_harmony

#: vLLM reads gpt-oss's replies by channel, and accepts this reasoning parser alone for it.
_HARMONY = "openai_gptoss"
#: Tool parsers that are the half of a parser for whole replies: with another reasoning parser they find no calls.
_WHOLE = ("cohere_command3", "cohere_command4", "hf")


def choose_reasoning_parser(vllm_config: VllmConfig, args: Namespace, markers: ThinkingMarkers) -> None:
    """Choose the parser that splits text where the budget counts, unless the operator chose one."""
    reasoning.use_markers(markers)
    if vllm_config.structured_outputs_config.reasoning_parser:
        return
    chosen = reasoning.NAME
    if is_harmony(vllm_config.model_config):
        chosen = _HARMONY
    elif args.tool_call_parser in _WHOLE:
        chosen = args.tool_call_parser
    for settings in (vllm_config.structured_outputs_config, args.structured_outputs_config):
        settings.reasoning_parser = chosen
        if chosen == reasoning.NAME:
            settings.reasoning_parser_plugin = reasoning.__name__


def check_tool_parser(name: str | None) -> None:
    """Raise StartupError for an unknown one; vLLM checks it only with `--enable-auto-tool-choice`."""
    known = ToolParserManager.list_registered()
    if name is not None and name not in known:
        raise StartupError(f"--tool-call-parser: {name} is not one of {', '.join(known)}")


def check_parsers(vllm_config: VllmConfig, args: Namespace, tokenizer: Any) -> None:
    """Make the parser of replies and show it a request once, as vLLM does when the model is loaded, and for every chat.

    Raises:
        StartupError: where a package is missing or of another version, the parsers do not go together, or the tokenizer
            lacks what they need.
    """
    names = {
        "--reasoning-parser": args.structured_outputs_config.reasoning_parser,
        "--tool-call-parser": args.tool_call_parser,
    }
    try:
        parser_class = ParserManager.get_parser(
            tool_parser_name=args.tool_call_parser,
            reasoning_parser_name=args.structured_outputs_config.reasoning_parser,
            enable_auto_tools=args.enable_auto_tool_choice,
            model_name=args.model,
            is_harmony=is_harmony(vllm_config.model_config),
            tokenizer=tokenizer,
        )
        if parser_class is not None:
            chat = ChatCompletionRequest(messages=[{"role": "user", "content": "a"}], model=args.model)
            with_thinking(parser_class)(tokenizer, model_config=vllm_config.model_config).adjust_request(chat)
    except Exception as error:  # of any kind: each parser has its own
        chosen = ", ".join(f"{option} {name}" for option, name in names.items() if name)
        reason = " ".join(str(error.__cause__ or error).split())
        raise StartupError(f"{chosen}: this parser cannot be used: {reason}") from error
