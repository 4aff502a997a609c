"""Request bodies: vLLM's, with the fields of a thinking budget."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, ModelWrapValidatorHandler, PrivateAttr, model_validator
from vllm.entrypoints.openai.chat_completion.protocol import (
    BatchChatCompletionRequest as VllmBatchChatCompletionRequest,
)
from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest as VllmChatCompletionRequest
from vllm.entrypoints.openai.completion.protocol import CompletionRequest as VllmCompletionRequest
from vllm.entrypoints.serve.engine.protocol import OpenAIBaseModel
from vllm.entrypoints.serve.tokenize.protocol import TokenizeChatRequest as VllmTokenizeChatRequest
from vllm.entrypoints.serve.tokenize.protocol import TokenizeCompletionRequest as VllmTokenizeCompletionRequest
from vllm.exceptions import VLLMValidationError
from vllm.sampling_params import SamplingParams

from tenuto_decoding.budget import MAX_TOKENS, MAX_WAITS
from tenuto_decoding.errors import InvalidBudget

from ..budgets.request_fields import BUDGET_REQUEST, BudgetRequest


class BudgetFields(OpenAIBaseModel):
    """The fields of a budget, mixed into a request type that makes sampling parameters of itself.

    Types and bounds here document the fields in OpenAPI; `ThinkingBudget` checks them, with the better messages.
    """

    max_thinking_tokens: Annotated[int, Field(ge=0, le=MAX_TOKENS)] | Literal["auto", "unlimited"] | None = Field(
        default=None,
        description="Hard cap on thinking tokens. At the cap, the server closes the thinking and the answer follows. "
        "0: no thinking. `auto`: what `max_tokens` and the context leave after a reserve for the answer. "
        "`unlimited`: no cap, whatever the server's default is.",
    )
    min_thinking_tokens: int | None = Field(
        default=None,
        ge=0,
        le=MAX_TOKENS,
        description="Floor: below it, an attempt to end the thinking becomes the wait text. At most the cap.",
    )
    num_waits: int | None = Field(
        default=None,
        ge=0,
        le=MAX_WAITS,
        description="How many attempts to end thinking become the wait text, whatever the number of tokens.",
    )
    wait_text: str | list[str] | None = Field(
        default=None,
        description="What replaces an attempt to end thinking; several are used in turn; an empty one only suppresses "
        "the attempt. Default: of the model family, usually `Wait`.",
    )
    cap_text: str | None = Field(
        default=None,
        description="What is written before thinking is closed at the cap; counts as thinking. Default: of the family.",
    )
    landing_tokens: int | None = Field(
        default=None,
        ge=0,
        le=MAX_TOKENS,
        description="In the last so many tokens before the cap, close at the first end of a sentence or line.",
    )
    loop_tokens: int | None = Field(
        default=None,
        ge=0,
        le=MAX_TOKENS,
        description="Close the thinking when its last so many tokens (at least 8) are one pattern again and again: "
        "at least thrice, of at most 128 tokens. Floor and waits do not hold it open. 0: let it go on.",
    )
    scope: Literal["response", "block"] | None = Field(
        default=None,
        description="`response`: one budget for all thinking of the reply; `block`: a fresh one for each block.",
    )

    answer_reserve_tokens: int | None = Field(
        default=None,
        ge=0,
        le=MAX_TOKENS,
        description="Tokens that the thinking leaves for the answer, whatever its cap. Default: that of the server, "
        "which holds for caps that the request does not give as a number.",
    )
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None = Field(
        default=None,
        description="How much to think, as a word; what it comes to stands in the server's table. Explicit fields come "
        "before it.",
    )

    _budget_request: BudgetRequest = PrivateAttr()  # set below, for every request that is made of a body

    @model_validator(mode="wrap")
    @classmethod
    def read_budget(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        """Read what the body asks for, under any name. vLLM does not see its own name for the cap."""
        if not isinstance(data, dict):
            return handler(data)
        budget_request = BudgetRequest.from_body(data)
        request = handler({name: value for name, value in data.items() if name != "thinking_token_budget"})
        request._budget_request = budget_request
        return request

    @property
    def budget_request(self) -> BudgetRequest:
        """What the body asks for."""
        return self._budget_request

    def with_budget_of(self, other: "BudgetFields") -> Self:
        """This request, which was made of another, with what the other one asks for."""
        self._budget_request = other.budget_request
        return self

    def to_sampling_params(self, *args: Any, **kwargs: Any) -> SamplingParams:
        params = super().to_sampling_params(*args, **kwargs)
        params.extra_args = {**(params.extra_args or {}), BUDGET_REQUEST: self._budget_request}
        return params


class CheckedNames(OpenAIBaseModel):
    """Mixed into a request type that generates nothing: a wrong budget is refused as it would be for the reply."""

    @model_validator(mode="before")
    @classmethod
    def check_budget(cls, data: Any) -> Any:
        if isinstance(data, dict):
            BudgetRequest.from_body(data)
        return data


class ChatCompletionRequest(BudgetFields, VllmChatCompletionRequest):
    """Body of `POST /v1/chat/completions`."""

    _shows_special_tokens: bool = PrivateAttr(default=False)

    @property
    def shows_special_tokens(self) -> bool:
        """What the caller wants, whatever the reasoning parser needs to be decoded."""
        return self._shows_special_tokens

    @model_validator(mode="after")
    def note_and_check(self) -> Self:
        self._shows_special_tokens = not self.skip_special_tokens
        _check_beam_search(self)
        return self


class CompletionRequest(BudgetFields, VllmCompletionRequest):
    """Body of `POST /v1/completions`."""

    @model_validator(mode="after")
    def check_beam_search(self) -> Self:
        _check_beam_search(self)
        return self


class BatchChatCompletionRequest(BudgetFields, VllmBatchChatCompletionRequest):
    """Body of `POST /v1/chat/completions/batch`: several conversations, each with the budget to itself."""

    @model_validator(mode="after")
    def check_extra(self) -> Self:
        """vLLM takes these for fields that it does not know, and passes them on to where they do harm."""
        for field in ("stream", "tools"):
            if (self.model_extra or {}).get(field):
                raise VLLMValidationError(f"{field}: is not offered for a batch", parameter=field)
        return self

    def to_chat_completion_request(self, messages: list[Any]) -> ChatCompletionRequest:
        """The request of one conversation."""
        unknown = self.model_extra or {}  # of which vLLM knows nothing; what we know has been read
        body = self.model_dump(exclude={"messages", *unknown}, exclude_none=True)
        request: ChatCompletionRequest = ChatCompletionRequest.model_validate({**body, "messages": messages})
        return request.with_budget_of(self)


class TokenizeChatRequest(CheckedNames, VllmTokenizeChatRequest):
    """Body of `POST /tokenize` with messages."""


class TokenizeCompletionRequest(CheckedNames, VllmTokenizeCompletionRequest):
    """Body of `POST /tokenize` with a text."""


def _check_beam_search(request: Any) -> None:
    if request.use_beam_search and (names := request.budget_request.given_names):
        raise InvalidBudget(names[0], "beam search (use_beam_search) takes no thinking budget")
