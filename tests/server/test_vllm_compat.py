"""What the server relies on in vLLM beyond its documented API: names, signatures, and what is called when.

After an upgrade, what fails here says which part of `vllm_compat` to look at.
"""

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi import FastAPI
from vllm.entrypoints.anthropic.serving import AnthropicServingMessages
from vllm.entrypoints.generate.api_router import init_generate_state
from vllm.entrypoints.generate.base.serving import GenerateBaseServing
from vllm.entrypoints.openai.chat_completion.batch_serving import OpenAIServingChatBatch
from vllm.entrypoints.openai.chat_completion.serving import OpenAIServingChat
from vllm.entrypoints.openai.models.protocol import BaseModelPath
from vllm.entrypoints.openai.models.serving import OpenAIServingModels
from vllm.entrypoints.openai.responses.serving import OpenAIServingResponses
from vllm.entrypoints.serve.engine.protocol import ErrorInfo, ErrorResponse
from vllm.entrypoints.serve.exception_handling.register import init_exception_handler
from vllm.entrypoints.serve.tokenize.serving import ServingTokenization
from vllm.exceptions import VLLMError
from vllm.parser.abstract_parser import DelegatingParser, Parser
from vllm.renderers.online_renderer import OnlineRenderer
from vllm.v1.executor.multiproc_executor import MultiprocExecutor

from tenuto_server import vllm_compat
from tenuto_server.api.anthropic import ThinkingMessages
from tenuto_server.api.error_handlers import install_error_handlers
from tenuto_server.reasoning.thinking_parser import ThinkingParser


def parameters(function: Any) -> list[str]:
    return list(inspect.signature(function).parameters)


def test_every_name_is_there() -> None:
    for name in vllm_compat.__all__:
        assert getattr(vllm_compat, name) is not None, name


@pytest.mark.parametrize(
    ("make", "kind", "base"),
    [
        (vllm_compat.make_chat, "OpenAIServingChat", OpenAIServingChat),
        (vllm_compat.make_responses, "OpenAIServingResponses", OpenAIServingResponses),
        (vllm_compat.make_messages, "AnthropicServingMessages", AnthropicServingMessages),
    ],
)
def test_serving_objects_are_made_with_all_options_that_vllm_gives(
    make: Callable[..., Any], kind: str, base: type
) -> None:
    """A new option that vLLM passes and we do not would have no effect."""
    state: Any = Anything()
    ours = make(lambda **options: options, state).keys()
    calls = [call for call in calls_in(init_generate_state) if isinstance(call.func, ast.Name)]
    call = next(call for call in calls if isinstance(call.func, ast.Name) and call.func.id == kind)
    if [keyword.arg for keyword in call.keywords] == [None]:  # the options of both kinds of chat are a `dict(...)`
        call = next(call for call in calls if isinstance(call.func, ast.Name) and call.func.id == "dict")
    positional = parameters(base.__init__)[1 : 1 + len(call.args)]  # type: ignore[misc]
    assert ours == {*positional, *(keyword.arg for keyword in call.keywords)}
    inspect.signature(base).bind(**dict.fromkeys(ours))


def test_serving_objects_are_found_under_these_names() -> None:
    stored = {
        node.attr
        for node in ast.walk(tree_of(init_generate_state))
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)
    }
    assert {
        "anthropic_serving_messages",
        "openai_serving_chat",
        "openai_serving_chat_batch",
        "openai_serving_completion",
        "openai_serving_responses",
    } <= stored


def test_serving_objects_make_their_parsers_of_a_class_that_they_hold() -> None:
    assert issubclass(AnthropicServingMessages, OpenAIServingChat)
    assert issubclass(OpenAIServingChatBatch, OpenAIServingChat)
    assert "self.parser_cls = ParserManager.get_parser(" in inspect.getsource(OpenAIServingChat.__init__)
    assert "self.parser = ParserManager.get_parser(" in inspect.getsource(OpenAIServingResponses.__init__)
    assert "return self.parser_cls(" in inspect.getsource(OpenAIServingChat._make_parser)
    assert "return self.parser(" in inspect.getsource(OpenAIServingResponses._make_response_parser)


def test_responses_start_generation_where_it_can_be_checked() -> None:
    method = OpenAIServingResponses._generate_with_builtin_tools
    assert parameters(method)[:4] == ["self", "request_id", "engine_input", "sampling_params"]
    source = inspect.getsource(OpenAIServingResponses._create_responses)
    assert "generator = self._generate_with_builtin_tools(" in source
    assert "request_id=request.request_id" in source
    # vLLM's method runs when its result is read; ours checks when it is called.
    assert inspect.isasyncgenfunction(method)
    assert not inspect.isasyncgenfunction(vllm_compat.CheckedResponses._generate_with_builtin_tools)


def test_messages_are_converted_where_it_can_be_overridden() -> None:
    ours, theirs = (kind.to_chat_completion_request for kind in (ThinkingMessages, AnthropicServingMessages))
    assert parameters(theirs)[0] == parameters(ours)[0] == "anthropic_request"
    options = list(inspect.signature(theirs).parameters.values())[1:]
    assert all(option.kind is inspect.Parameter.KEYWORD_ONLY for option in options)
    for method in (AnthropicServingMessages.create_messages, AnthropicServingMessages.count_tokens):
        assert "chat_req = self.to_chat_completion_request(" in inspect.getsource(method)


def test_an_exception_in_a_stream_becomes_its_error_chunk_in_one_method() -> None:
    names = ["message", "err_type", "status_code", "param"]
    assert parameters(GenerateBaseServing.create_streaming_error_response) == ["self", *names]
    assert parameters(GenerateBaseServing.create_error_response) == names
    assert "self.create_streaming_error_response(" in inspect.getsource(
        GenerateBaseServing._convert_generation_error_to_streaming_response
    )


def test_a_parser_is_called_as_the_base_class_says() -> None:
    """`ThinkingParser` overrides these; serving objects call no others."""
    for name in ("set_prompt_token_ids", "is_reasoning_end", "parse_delta", "adjust_request"):
        assert parameters(getattr(ThinkingParser, name)) == parameters(getattr(Parser, name)), name
    assert parameters(ThinkingParser.extract_reasoning) == parameters(DelegatingParser.extract_reasoning)
    assert "self.extract_reasoning(" in inspect.getsource(DelegatingParser.parse)


def test_a_parser_without_a_reasoning_parser_takes_all_text_for_content() -> None:
    class Plain(DelegatingParser):
        pass

    request: Any = SimpleNamespace(include_reasoning=True, tool_choice="none", messages=[])
    assert Plain(None).parse("<think>a", request) == (None, "<think>a", [])
    assert Plain(None).parse_delta("<think>a", [1], request, [], finished=False).content == "<think>a"


def test_an_error_has_these_fields() -> None:
    assert list(ErrorInfo.model_fields) == ["message", "type", "param", "code"]
    assert list(ErrorResponse.model_fields) == ["error"]


def test_we_handle_every_exception_that_vllm_handles() -> None:
    theirs, ours = FastAPI(), FastAPI()
    init_exception_handler(theirs)
    install_error_handlers(ours)
    new = set(theirs.exception_handlers) - set(FastAPI().exception_handlers)
    assert VLLMError in new
    assert all(any(issubclass(kind, known) for known in ours.exception_handlers) for kind in new)


class Anything:
    """Has every attribute."""

    def __getattr__(self, name: str) -> "Anything":
        return self


def tree_of(function: Any) -> ast.Module:
    return ast.parse(textwrap.dedent(inspect.getsource(function)))


def calls_in(function: Any) -> Iterator[ast.Call]:
    return (node for node in ast.walk(tree_of(function)) if isinstance(node, ast.Call))


def test_a_chat_is_answered_by_methods_that_take_the_id_of_its_response() -> None:
    for method in (
        OpenAIServingChat.chat_completion_full_generator,
        OpenAIServingChat.chat_completion_stream_generator,
    ):
        assert parameters(method)[:4] == ["self", "request", "result_generator", "request_id"]
    source = inspect.getsource(OpenAIServingChat._create_chat_completion)
    assert "self.chat_completion_full_generator(\n" in source
    assert "self.chat_completion_stream_generator(\n" in source


def test_the_prompt_of_a_message_is_rendered_where_it_can_be_continued() -> None:
    assert parameters(OpenAIServingChat.render_chat_request) == ["self", "request"]
    for method in (OpenAIServingChat._create_chat_completion, AnthropicServingMessages.count_tokens):
        assert "await self.render_chat_request(" in inspect.getsource(method)
    assert "self.messages_full_converter(generator)" in inspect.getsource(AnthropicServingMessages.create_messages)


def test_the_variables_of_a_chat_template_are_those_that_the_request_builds() -> None:
    """`RenderedChat` adds its own there."""
    assert "request.build_chat_params(" in inspect.getsource(OnlineRenderer.preprocess_chat)
    for kind in (
        vllm_compat.ChatCompletionRequest,
        vllm_compat.ResponsesRequest,
        vllm_compat.TokenizeChatRequest,
    ):
        assert parameters(kind.build_chat_params) == ["self", "default_template", "default_template_content_format"]
    for method in (ServingTokenization.create_tokenize, OpenAIServingChatBatch.render_batch_chat_request):
        assert ".preprocess_chat(" in inspect.getsource(method)


def test_grammars_of_tool_calls_are_made_by_the_tool_parser_of_the_renderers_class() -> None:
    assert "self.__class__.tool_parser_cls(" in inspect.getsource(Parser.__init__)
    assert "tool_parser.get_structural_tag(" in inspect.getsource(DelegatingParser._apply_structural_tag)
    assert "self._tool_parser.adjust_request(request)" in inspect.getsource(DelegatingParser.adjust_request)
    assert "parser=self.parser" in inspect.getsource(OnlineRenderer.render_chat)


def test_tool_calls_of_whole_texts_and_of_streams_are_found_in_these_methods() -> None:
    assert "self._extract_tool_calls(" in inspect.getsource(DelegatingParser.parse)
    assert "self._append_unstreamed_tool_args(" in inspect.getsource(DelegatingParser.finalize_generation)


def test_histograms_have_vllms_bounds_and_the_operators() -> None:
    own = {"request_latency": [1, 5.5]}
    for custom, latencies in ((None, 7680.0), (own, 5.5)):
        config = SimpleNamespace(
            model_config=SimpleNamespace(max_model_len=4096),
            observability_config=SimpleNamespace(custom_histogram_buckets=custom),
        )
        bounds = vllm_compat.histogram_bounds(config)
        assert bounds["request_tokens"] == [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000]
        assert bounds["time_to_first_token"][0] == 0.001
        assert bounds["request_latency"][-1] == latencies
        assert all(isinstance(bound, float) for family in bounds.values() for bound in family)


@pytest.mark.parametrize(
    ("requested", "label"),
    [
        (None, "first"),
        ("", "first"),
        ("first", "first"),
        ("second", "first"),
        ("adapter", "adapter"),
        ("nowhere", ""),
        ('first"}\n', ""),
    ],
)
def test_the_label_of_a_model_is_the_name_of_one_that_is_served(requested: str | None, label: str) -> None:
    paths = [BaseModelPath(name, "path") for name in ("first", "second")]
    engine: Any = SimpleNamespace(model_config=None, renderer=None, input_processor=None)
    models = OpenAIServingModels(engine, paths)
    models.lora_requests["adapter"] = None
    assert vllm_compat.metric_model_name(models, requested) == label


@pytest.mark.parametrize(("tensor", "pipeline", "context"), [(1, 1, 1), (2, 1, 1), (1, 2, 1), (4, 3, 1), (2, 2, 2)])
def test_the_worker_that_is_asked_is_the_one_whose_tokens_vllm_takes(tensor: int, pipeline: int, context: int) -> None:
    """Reports came from the first stage of a pipeline: all waits were reported as 0."""
    parallel = SimpleNamespace(tensor_parallel_size=tensor, prefill_context_parallel_size=context)
    size = tensor * pipeline * context
    executor = SimpleNamespace(world_size=size, parallel_config=parallel)
    engine = SimpleNamespace(vllm_config=SimpleNamespace(parallel_config=parallel))
    expected = MultiprocExecutor._get_output_rank(executor)
    assert vllm_compat.sampling_worker(engine, range(size)) == expected
