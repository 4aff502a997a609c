"""Request bodies: vLLM's, with the fields of a thinking budget."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, PrivateAttr, model_validator
from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest as VllmChatCompletionRequest
from vllm.entrypoints.serve.engine.protocol import OpenAIBaseModel
from vllm.sampling_params import SamplingParams

from tenuto_decoding.budget import FIELDS, MAX_TOKENS, MAX_WAITS, ThinkingBudget
from tenuto_decoding.errors import InvalidBudget

from .policy import AUTO


class BudgetFields(OpenAIBaseModel):
    """The fields of a budget, mixed into a request type that makes sampling parameters of itself.

    Types and bounds here document the fields in OpenAPI; `ThinkingBudget` checks them, with the better messages.
    """

    max_thinking_tokens: Annotated[int, Field(ge=0, le=MAX_TOKENS)] | Literal["auto"] | None = Field(
        default=None,
        description="Hard cap on thinking tokens. At the cap, the server closes the thinking and the answer follows. "
        "0: no thinking. `auto`: what `max_tokens` and the context leave after a reserve for the answer.",
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
    scope: Literal["response", "block"] | None = Field(
        default=None,
        description="`response`: one budget for all thinking of the reply; `block`: a fresh one for each block.",
    )

    @model_validator(mode="before")
    @classmethod
    def check_budget(cls, data: Any) -> Any:
        if isinstance(data, dict):
            # What "auto" comes to is known when the prompt is; until then any cap stands for it.
            auto = data.get("max_thinking_tokens") == AUTO
            ThinkingBudget.from_mapping({**data, "max_thinking_tokens": MAX_TOKENS} if auto else data)
            _check_caps_agree(data)
        return data

    @property
    def budget_fields(self) -> dict[str, Any]:
        """The budget fields that were given."""
        return {name: value for name in FIELDS if (value := getattr(self, name)) is not None}

    def to_sampling_params(self, *args: Any, **kwargs: Any) -> SamplingParams:
        params = super().to_sampling_params(*args, **kwargs)
        if self.budget_fields:
            params.extra_args = {**(params.extra_args or {}), **self.budget_fields}
        return params


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
        if self.use_beam_search and self.budget_fields:
            field = next(iter(self.budget_fields))
            raise InvalidBudget(field, "beam search (use_beam_search) takes no thinking budget")
        return self


def _check_caps_agree(data: dict[str, Any]) -> None:
    ours, native = data.get("max_thinking_tokens"), data.get("thinking_token_budget")
    if ours is not None and native is not None and ours != native:
        raise InvalidBudget("thinking_token_budget", f"{native!r} differs from max_thinking_tokens, which is {ours}")
