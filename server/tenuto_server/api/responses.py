"""OpenAI's Responses: what goes in, and the account of the thinking in what comes out."""

import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, Self

from pydantic import PrivateAttr, model_validator
from vllm.entrypoints.openai.responses.protocol import ResponseCompletedEvent, ResponsesResponse
from vllm.entrypoints.openai.responses.protocol import ResponsesRequest as VllmResponsesRequest
from vllm.entrypoints.serve.exception_handling.error_response import create_error_response

from .protocol import BudgetFields
from .thinking_reports import Account, compact

logger = logging.getLogger("vllm.tenuto")


class ResponsesRequest(BudgetFields, VllmResponsesRequest):
    """Body of `POST /v1/responses`."""

    _shows_special_tokens: bool = PrivateAttr(default=False)

    @property
    def shows_special_tokens(self) -> bool:
        """What the caller wants, whatever the reasoning parser needs to be decoded."""
        return self._shows_special_tokens

    @model_validator(mode="after")
    def note_wish(self) -> Self:
        self._shows_special_tokens = not self.skip_special_tokens
        return self


def tell_response(response: ResponsesResponse, account: Account) -> None:
    """Add the reports, one for each time that the model was asked (once, but for the tools of a tool server)."""
    response.thinking = [choice.report.to_dict() for choice in account.choices] if account.known else None
    if account.known and response.usage is not None:
        response.usage.output_tokens_details.reasoning_tokens = account.reasoning_tokens


async def tell_response_events(events: AsyncGenerator[Any, None], account: Account) -> AsyncGenerator[str, None]:
    """The stream as server-sent events, the last of which has what a whole response has, or says what went wrong."""
    number = -1
    try:
        async with aclosing(account.following(events)) as followed:
            async for event in followed:
                number = event.sequence_number
                if isinstance(event, ResponseCompletedEvent):
                    tell_response(event.response, account)
                yield f"event: {event.type}\ndata: {event.model_dump_json(by_alias=True)}\n\n"
    except Exception as error:
        logger.exception("A stream of /v1/responses failed")
        said = create_error_response(error).error
        data = {"type": "error", "code": said.type, "message": said.message, "param": said.param}
        yield f"event: error\ndata: {compact({**data, 'sequence_number': number + 1})}\n\n"
