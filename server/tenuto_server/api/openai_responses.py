"""OpenAI's Responses: its request body, and the thinking reports in its responses and streams."""

import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, Self

from pydantic import ModelWrapValidatorHandler, model_validator

from .. import vllm_compat
from ..context import report_stream_error
from ..errors import InvalidRequest
from .checked_body import CheckedBody
from .protocol import BudgetFields, RenderedChat, SpecialTokensChoice
from .response_history import complete_item
from .thinking_reports import CountedReplies, to_json_text
from .tool_choice import CheckedToolChoice

logger = logging.getLogger("vllm.tenuto")

#: The last event of a stream; the second for a response that was cut off.
_LAST = ("response.completed", "response.incomplete")


_LOGPROBS = "message.output_text.logprobs"
#: What `include` may name. Reasoning needs no encryption to be sent back: it is returned, and taken, as it is.
_INCLUDED = frozenset({_LOGPROBS, "reasoning.encrypted_content"})


class ResponsesRequest(
    BudgetFields, RenderedChat, SpecialTokensChoice, CheckedToolChoice, CheckedBody, vllm_compat.ResponsesRequest
):
    """Body of `POST /v1/responses`."""

    @model_validator(mode="wrap")
    @classmethod
    def complete_history(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        """Complete the forms of history that clients send, before they are checked."""
        if isinstance(data, dict) and isinstance(data.get("input"), list):
            data = {**data, "input": [complete_item(item) for item in data["input"]]}
        return handler(data)

    @model_validator(mode="after")
    def check_supported(self) -> Self:
        """Refuse what vLLM would ignore, and what refers to something stored."""
        for field in ("previous_response_id", "conversation"):
            if getattr(self, field, None) is not None:
                raise InvalidRequest(
                    field,
                    "this server stores nothing, so it cannot be continued: send the items of the whole conversation "
                    "in input",
                )
        for name in self.include or ():
            if name not in _INCLUDED:
                raise InvalidRequest("include", f"{name!r} is not supported: leave it out")
        if self.top_logprobs and not self.is_include_output_logprobs():
            raise InvalidRequest(
                "top_logprobs", f'needs "include": ["{_LOGPROBS}"], without which no logprobs are returned'
            )
        return self

    def build_tok_params(self, model_config: Any) -> Any:
        """vLLM's, which cuts nothing: it would cut the end of the prompt, with the turn that the reply belongs to.

        See also https://github.com/vllm-project/vllm/issues/38132
        """
        uncut = self.model_copy(update={"truncation": "disabled"})
        return super(ResponsesRequest, uncut).build_tok_params(model_config)


def add_reports_to_response(response: vllm_compat.ResponsesResponse, counted: CountedReplies) -> None:
    """Add the reports: one for each request to the engine. There is one, unless tools of a tool server were called.

    And that it is not stored, whatever the request says: `store` is true by default at OpenAI.
    """
    response.store = False
    response.thinking = [choice.report.to_dict() for choice in counted.choices] if counted.replies else None
    if counted.replies and response.usage is not None:
        response.usage.output_tokens_details.reasoning_tokens = counted.reasoning_tokens


async def add_reports_to_events(
    events: AsyncGenerator[Any, None], counted: CountedReplies
) -> AsyncGenerator[str, None]:
    """The stream as server-sent events. The last one has what a whole response has, or is an error."""
    number = -1
    try:
        async with aclosing(counted.collect_from(events)) as collected:
            async for event in collected:
                number = event.sequence_number
                if event.type in _LAST:
                    add_reports_to_response(event.response, counted)
                elif event.type == "response.failed":
                    report_stream_error()
                yield f"event: {event.type}\ndata: {event.model_dump_json(by_alias=True)}\n\n"
    except Exception as error:
        logger.exception("A stream of /v1/responses failed")
        report_stream_error()
        info = vllm_compat.create_error_response(error).error
        data = {"type": "error", "code": info.type, "message": info.message, "param": info.param}
        yield f"event: error\ndata: {to_json_text({**data, 'sequence_number': number + 1})}\n\n"
