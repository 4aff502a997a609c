"""`POST /v1/requests/{id}/thinking`: changes how long a running reply thinks."""

from typing import Any, Literal, Self

from fastapi import APIRouter, Depends, Path, Request
from pydantic import BaseModel, ConfigDict, Field, ModelWrapValidatorHandler, model_validator

from tenuto_decoding.budget import MAX_TOKENS, ThinkingBudget, check_names
from tenuto_decoding.errors import InvalidBudget

from ...vllm_compat import validate_json_request
from ..checked_body import CheckedBody
from ..error_handlers import ERRORS

router = APIRouter(tags=["steering"])

_FLOOR = "min_thinking_tokens"


class SteeringRequest(CheckedBody):
    """Body of `POST /v1/requests/{id}/thinking`."""

    model_config = ConfigDict(extra="forbid")

    action: Literal["answer_now", "think_until"] = Field(
        description="`answer_now`: the thinking is closed at the next token, as at a cap but without the cap text. "
        "`think_until`: `min_thinking_tokens` becomes the floor; a lower cap is raised to it."
    )
    min_thinking_tokens: int | None = Field(
        default=None, ge=0, le=MAX_TOKENS, description="The new floor, for `think_until`; 0 lifts it."
    )

    @model_validator(mode="wrap")
    @classmethod
    def check_floor(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        if isinstance(data, dict):
            check_names(name for name in data if name not in cls.model_fields)
            if data.get(_FLOOR) is not None:
                ThinkingBudget(min_thinking_tokens=data[_FLOOR])
        return handler(data)

    @model_validator(mode="after")
    def check_action(self) -> Self:
        if self.action == "think_until" and self.min_thinking_tokens is None:
            raise InvalidBudget(_FLOOR, "is required for think_until: the number of tokens until which to think")
        if self.action == "answer_now" and self.min_thinking_tokens is not None:
            raise InvalidBudget(_FLOOR, f"{self.min_thinking_tokens} makes no sense with answer_now; leave it out")
        return self


class SteeringResponseChoice(BaseModel):
    """The result of steering for one choice of the reply."""

    index: int = Field(description="The number of the choice.")
    applied: bool | None = Field(
        description="Whether its bounds have changed. null: not known yet; its next step decides."
    )
    phase: Literal["waiting", "before", "thinking", "closing", "answer", "finished"] = Field(
        description="The phase of the choice. `waiting`: it is not in the batch now. `before`: it has not begun to "
        "think. `closing`: the end of its thinking is being written. From then on, it cannot be steered."
    )
    tokens: int = Field(description="Thinking tokens so far.")


class SteeringResponse(BaseModel):
    """The result of steering."""

    id: str
    object: Literal["thinking.steering"] = "thinking.steering"
    action: Literal["answer_now", "think_until"]
    min_thinking_tokens: int | None
    choices: list[SteeringResponseChoice]


@router.post(
    "/v1/requests/{reply_id:path}/thinking",
    dependencies=[Depends(validate_json_request)],
    responses=ERRORS | {409: ERRORS[400]},
)
async def steer_thinking(
    body: SteeringRequest,
    raw_request: Request,
    reply_id: str = Path(description="The `id` of the response, streamed or not; in a stream, its first chunk has it."),
) -> SteeringResponse:
    """Have a running reply, named by the id of its response, answer now or think until a number of tokens."""
    outcomes = await raw_request.app.state.engine_client.steer(reply_id, body.min_thinking_tokens)
    return SteeringResponse(
        id=reply_id,
        action=body.action,
        min_thinking_tokens=body.min_thinking_tokens,
        choices=[SteeringResponseChoice.model_validate(outcome.to_dict()) for outcome in outcomes],
    )
