"""`GET /v1/models/{id}`: one model of the list. vLLM has the list alone."""

from fastapi import APIRouter, Path, Request
from fastapi.responses import JSONResponse

from ...errors import UnknownModel
from ..error_handlers import ERRORS

router = APIRouter(tags=["models"])


@router.get("/v1/models/{model_id:path}", responses=ERRORS)
async def show_model(
    raw_request: Request,
    model_id: str = Path(description="The name of the model or of an adapter. It may have slashes."),
) -> JSONResponse:
    """The entry of this model or LoRA adapter in the list."""
    served = await raw_request.app.state.openai_serving_models.show_available_models()
    for model in served.data:
        if model.id == model_id:
            return JSONResponse(model.model_dump())
    raise UnknownModel(model_id)
