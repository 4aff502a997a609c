"""The variables with which chats are rendered: those of the request, and those that its budget needs."""

from types import SimpleNamespace
from typing import Any

import pytest

from tenuto_server.api.anthropic import CountTokensRequest, MessagesRequest, ThinkingMessages
from tenuto_server.api.message_prefill import prefill_of
from tenuto_server.api.openai_responses import ResponsesRequest
from tenuto_server.api.protocol import (
    BatchChatCompletionRequest,
    ChatCompletionRequest,
    CompletionRequest,
    TokenizeChatRequest,
    TokenizeCompletionRequest,
)
from tenuto_server.budgets.request_fields import CAP, BudgetRequest

MESSAGES = [{"role": "user", "content": "x"}]
CHAT, INPUT, LIMITED = {"messages": MESSAGES}, {"input": "x"}, {"messages": MESSAGES, "model": "m", "max_tokens": 9}

#: What each endpoint renders, made of the body of a request to it.
RENDERED: dict[str, Any] = {
    "chat": lambda **more: ChatCompletionRequest.model_validate({**CHAT, **more}),
    "batch": lambda **more: BatchChatCompletionRequest(messages=[MESSAGES], **more),
    "responses": lambda **more: ResponsesRequest(**INPUT, **more),
    "messages": lambda **more: MessagesRequest.model_validate({**LIMITED, **more}),
    "count_tokens": lambda **more: CountTokensRequest.model_validate({**CHAT, "model": "m", **more}),
    "tokenize": lambda **more: TokenizeChatRequest.model_validate({**CHAT, **more}),
}


class Engine:
    """Has thinking switched off by the variable `thinking` where the cap is 0."""

    def template_variables(self, request: BudgetRequest) -> dict[str, Any]:
        return {"thinking": False} if request.fields.get(CAP) == 0 else {}


def variables(endpoint: str, **body: Any) -> dict[str, Any]:
    request = RENDERED[endpoint](**body).for_engine(Engine())
    if endpoint == "batch":
        request = request.to_chat_completion_request(MESSAGES)
    if endpoint in ("messages", "count_tokens"):
        request = ThinkingMessages.to_chat_completion_request(request)
    found: dict[str, Any] = request.build_chat_params(None, "auto").chat_template_kwargs
    return found


@pytest.mark.parametrize("endpoint", RENDERED)
def test_every_endpoint_renders_the_prompt_with_the_variables_of_the_policy(endpoint: str) -> None:
    found = variables(endpoint, max_thinking_tokens=0, chat_template_kwargs={"other": 1})
    assert (found["thinking"], found["other"]) == (False, 1)
    assert found.get("add_generation_prompt", True) is True
    assert "thinking" not in variables(endpoint, max_thinking_tokens=3)
    assert "thinking" not in variables(endpoint)


@pytest.mark.parametrize("endpoint", RENDERED)
def test_what_the_request_gives_itself_is_passed_through(endpoint: str) -> None:
    """The cap is then kept by force."""
    found = variables(endpoint, max_thinking_tokens=0, chat_template_kwargs={"thinking": True})
    assert found["thinking"] is True


@pytest.mark.parametrize("endpoint", RENDERED)
@pytest.mark.parametrize("effort", ["none", "low"])
def test_the_template_gets_the_effort_on_every_endpoint_under_any_name(endpoint: str, effort: str) -> None:
    """Also on those that count tokens: the numbers are those of the same request to the others."""
    for fields in ({"think": effort}, {"thinking_level": effort}):
        found = variables(endpoint, **fields)
        assert (found["reasoning_effort"], found["enable_thinking"]) == (effort, effort != "none")
    found = variables(endpoint, think=effort, chat_template_kwargs={"enable_thinking": effort == "none"})
    assert found["enable_thinking"] is (effort == "none")
    assert "reasoning_effort" not in variables(endpoint)


def test_thinking_that_a_message_continues_is_not_switched_off() -> None:
    """The prompt must not close it: the cap ends it."""
    for block, expected in (("thinking", None), ("text", False)):
        last = {"role": "assistant", "content": [{"type": block, block: "ab"}]}
        body = {**LIMITED, "messages": [*MESSAGES, last], "max_thinking_tokens": 0}
        message = MessagesRequest.model_validate(body).for_engine(Engine())
        assert prefill_of(message.messages) is not None
        chat = ThinkingMessages.to_chat_completion_request(message)
        assert chat.build_chat_params(None, "auto").chat_template_kwargs.get("thinking") is expected


@pytest.mark.parametrize("request_", [CompletionRequest(prompt="x"), TokenizeCompletionRequest(prompt="x")])
def test_a_text_is_not_rendered(request_: Any) -> None:
    assert not hasattr(request_, "build_chat_params")
    assert request_.for_engine(SimpleNamespace(template_variables=lambda request: {})) is request_
