"""Request bodies: vLLM's, with the fields of a thinking budget."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, ModelWrapValidatorHandler, PrivateAttr, model_validator
from vllm.exceptions import VLLMValidationError
from vllm.sampling_params import SamplingParams

from tenuto_decoding.budget import MAX_TOKENS, MAX_WAITS
from tenuto_decoding.errors import InvalidBudget

from .. import vllm_compat
from ..budgets.request_fields import BUDGET_REQUEST, BudgetRequest, PromptSource
from .checked_body import CheckedBody
from .tool_choice import CheckedToolChoice

#: The limit of a reply where an API has another name for it than `max_tokens`.
_LIMITS = ("max_completion_tokens", "max_output_tokens")


class BudgetCarrier(vllm_compat.OpenAIBaseModel):
    """Mixed into a request type whose body may say something about thinking."""

    _budget_request: BudgetRequest = PrivateAttr(default_factory=BudgetRequest)
    _variables: Mapping[str, Any] = PrivateAttr(default_factory=dict)

    @property
    def budget_request(self) -> BudgetRequest:
        """What the body asks for."""
        return self._budget_request

    def with_variables(self, variables: Mapping[str, Any]) -> Self:
        """This request, whose chats are rendered with these variables where it does not give them itself."""
        self._variables = variables
        return self

    def for_engine(self, engine: Any) -> Self:
        """This request, whose chats are rendered as the engine's policy wants it for this budget."""
        return self.with_variables(engine.template_variables(self._budget_request))

    def with_budget_of(self, other: "BudgetCarrier") -> Self:
        """This request, which was made of another, with what the other one asks for."""
        self._budget_request, self._variables = other._budget_request, other._variables
        return self


class RenderedChat(BudgetCarrier):
    """Mixed into a request type of vLLM's that has `build_chat_params`: its prompt is rendered as the budget needs it.

    The variables that the request itself gives to the chat template are passed through unchanged.
    """

    def build_chat_params(self, *args: Any, **kwargs: Any) -> Any:
        """vLLM's, with the effort under any of its names, and with the variables that switch thinking off."""
        params = super().build_chat_params(*args, **kwargs)
        own, effort = getattr(self, "chat_template_kwargs", None) or {}, self._budget_request.effort
        # As vLLM's chat requests have it, which read one of the names only; those of /tokenize read none.
        of_effort = {} if effort is None else {"reasoning_effort": effort, "enable_thinking": effort != "none"}
        added = {name: value for name, value in self._variables.items() if name not in own}
        return replace(params, chat_template_kwargs={**of_effort, **params.chat_template_kwargs, **added})


class BudgetFields(BudgetCarrier):
    """The fields of a budget. Mixed into a request type of vLLM's that has `to_sampling_params`.

    Types and bounds here document the fields in OpenAPI. `BudgetRequest` checks them first, with better messages.
    """

    max_thinking_tokens: Annotated[int, Field(ge=0, le=MAX_TOKENS)] | Literal["auto", "unlimited"] | None = Field(
        default=None,
        description="Hard cap on thinking tokens. At the cap, the server closes the thinking and the answer follows. "
        "0: no thinking. `auto`: what `max_tokens` and the context leave after the answer reserve. "
        "`unlimited`: no cap, not even the server's default.",
    )
    min_thinking_tokens: int | None = Field(
        default=None,
        ge=0,
        le=MAX_TOKENS,
        description="Floor: below it, an attempt to stop becomes the wait text. At most the cap.",
    )
    num_waits: int | None = Field(
        default=None,
        ge=0,
        le=MAX_WAITS,
        description="The first `num_waits` attempts to stop become the wait text, at any number of tokens.",
    )
    wait_text: str | list[str] | None = Field(
        default=None,
        description="The text that replaces an attempt to stop. Several texts are used in turn; an empty one only "
        "suppresses the attempt. Default: the model family's, usually `Wait`.",
    )
    cap_text: str | None = Field(
        default=None,
        description="The text written before the cap closes the thinking. Counts as thinking. Default: the family's.",
    )
    landing_tokens: int | None = Field(
        default=None,
        ge=0,
        le=MAX_TOKENS,
        description="Within this many tokens before the cap, thinking closes at the first end of a sentence or line.",
    )
    loop_tokens: int | None = Field(
        default=None,
        ge=0,
        le=MAX_TOKENS,
        description="Thinking closes when its last `loop_tokens` tokens (at least 8) repeat one pattern of at most 128 "
        "tokens at least three times. Floor and waits do not keep it open. 0: off.",
    )
    scope: Literal["response", "block"] | None = Field(
        default=None,
        description="`response`: one budget for all thinking of the reply. `block`: a new one for each block.",
    )

    answer_reserve_tokens: int | None = Field(
        default=None,
        ge=0,
        le=MAX_TOKENS,
        description="Tokens that thinking leaves for the answer, even below its cap. Default: the server's, which "
        "applies to caps that the request does not give as a number.",
    )
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None = Field(
        default=None,
        description="How much to think, in a word. The server's table maps it to a budget; explicit fields take "
        "precedence.",
    )

    _prompt_source: ClassVar[PromptSource] = PromptSource.TEMPLATE

    @model_validator(mode="wrap")
    @classmethod
    def read_budget(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        """Read what the body asks for, under any name. vLLM does not see its own name for the cap."""
        if not isinstance(data, dict):
            return handler(data)
        budget_request = BudgetRequest.from_body(data, cls._prompt_source, cls.model_fields)
        request = handler({name: value for name, value in data.items() if name != "thinking_token_budget"})
        request._budget_request = budget_request
        uses_beam_search = "use_beam_search" in cls.model_fields and request.use_beam_search
        if uses_beam_search and budget_request.given_names:
            raise InvalidBudget(budget_request.given_names[0], "beam search (use_beam_search) takes no thinking budget")
        return request

    def to_sampling_params(self, *args: Any, **kwargs: Any) -> SamplingParams:
        try:
            params = super().to_sampling_params(*args, **kwargs)
        except VLLMValidationError as error:
            raise self._naming_own_field(error) from error
        params.extra_args = {**(params.extra_args or {}), BUDGET_REQUEST: self._budget_request}
        return params

    def _naming_own_field(self, error: VLLMValidationError) -> VLLMValidationError:
        """The error with the name that this API has for the limit of a reply."""
        own = next((name for name in _LIMITS if getattr(self, name, None) is not None), None)
        if error.parameter != "max_tokens" or own is None:
            return error
        return VLLMValidationError(str(error.args[0]).replace("max_tokens", own), parameter=own, value=error.value)


class CheckedNames(BudgetCarrier):
    """Mixed into a request type that generates nothing: a wrong budget is refused as it would be for the reply."""

    @model_validator(mode="wrap")
    @classmethod
    def check_budget(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        if not isinstance(data, dict):
            return handler(data)
        budget_request = BudgetRequest.from_body(data, known=("include_reasoning", *cls.model_fields))
        request = handler(data)
        request._budget_request = budget_request
        return request


class SpecialTokensChoice(vllm_compat.OpenAIBaseModel):
    """Mixed into a request type whose text is split: remembers whether the client asked for special tokens.

    The reasoning parser changes `skip_special_tokens` where it needs the markers decoded.
    """

    _keeps_special_tokens: bool = PrivateAttr(default=False)

    @property
    def keeps_special_tokens(self) -> bool:
        """Whether the text of the response keeps special tokens."""
        return self._keeps_special_tokens

    @model_validator(mode="after")
    def remember_special_tokens(self) -> Self:
        self._keeps_special_tokens = getattr(self, "skip_special_tokens", None) is False  # None: not in the body (0.33)
        return self


class ChatCompletionRequest(
    BudgetFields, RenderedChat, SpecialTokensChoice, CheckedToolChoice, CheckedBody, vllm_compat.ChatCompletionRequest
):
    """Body of `POST /v1/chat/completions`."""

    return_forced_text: bool = Field(
        default=False,
        description="List in `choices[].forced` which texts the server wrote instead of the model, and where they are.",
    )


class CompletionRequest(BudgetFields, CheckedBody, vllm_compat.CompletionRequest):
    """Body of `POST /v1/completions`."""

    _prompt_source: ClassVar[PromptSource] = PromptSource.CLIENT


class BatchChatCompletionRequest(BudgetFields, CheckedBody, vllm_compat.BatchChatCompletionRequest):
    """Body of `POST /v1/chat/completions/batch`: several conversations, each with a budget of its own."""

    _requests: dict[int, ChatCompletionRequest] = PrivateAttr(default_factory=dict)  # by their list of messages

    @model_validator(mode="after")
    def check_extra(self) -> Self:
        """Refuse what vLLM takes for unknown fields and passes to each conversation, where it breaks the response."""
        for field in ("stream", "tools", "return_forced_text"):
            if (self.model_extra or {}).get(field):
                raise VLLMValidationError(f"{field}: is not offered for a batch", parameter=field)
        return self

    def to_chat_completion_request(self, messages: list[Any]) -> ChatCompletionRequest:
        """The request of one of the conversations. Made once: vLLM asks again after it has changed the messages."""
        made = self._requests.get(id(messages))
        if made is None:
            made = self._requests[id(messages)] = self._request_of(messages)
        return made

    def _request_of(self, messages: list[Any]) -> ChatCompletionRequest:
        unknown = self.model_extra or {}  # vLLM ignores them, and `read_budget` has read ours among them
        body = self.model_dump(exclude={"messages", *unknown}, exclude_none=True)
        request: ChatCompletionRequest = ChatCompletionRequest.model_validate({**body, "messages": messages})
        return request.with_budget_of(self)


class TokenizeChatRequest(CheckedNames, RenderedChat, CheckedBody, vllm_compat.TokenizeChatRequest):
    """Body of `POST /tokenize` with messages."""


class TokenizeCompletionRequest(CheckedNames, CheckedBody, vllm_compat.TokenizeCompletionRequest):
    """Body of `POST /tokenize` with a text."""


class DetokenizeRequest(CheckedBody, vllm_compat.DetokenizeRequest):
    """Body of `POST /detokenize`."""
