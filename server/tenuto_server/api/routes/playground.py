"""The playground at `/`: its page, its files, and what it needs to know of the server."""

from importlib.metadata import version
from pathlib import Path
from typing import Any

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import JSONResponse, Response

from ...playground.static_files import BUILT_IN_MODEL, INDEX, SECURITY_HEADERS, static_files

router = APIRouter(include_in_schema=False)


@router.head("/")
@router.get("/")
async def page(request: Request) -> Response:
    """The page. It loads without an API key, and asks for one where the server wants one."""
    return _file(INDEX, request)


@router.get("/playground/settings")
async def settings(request: Request) -> JSONResponse:
    """The bounds and defaults of every field of a budget that the page offers, for each served model."""
    state = request.app.state
    limits, policy = state.limits, state.engine_client.policy
    models = (await state.openai_serving_models.show_available_models()).data
    markers = policy.markers
    body: dict[str, Any] = {
        "version": version("tenuto"),
        "limits": {"num_waits": limits.num_waits, "output_tokens": limits.output_tokens, "n": limits.n},
        "models": [
            {
                "id": model.id,
                "max_model_len": model.max_model_len or state.engine_client.model_config.max_model_len,
                "defaults": dict(policy.defaults.budget_of(model.id)),
                "efforts": policy.defaults.efforts_of(model.id),
            }
            for model in models
        ],
        "answer_reserve_tokens": policy.answer_reserve,
        "markers": markers
        and {
            "family": markers.family,
            "wait_text": list(markers.wait_text),
            "cap_text": markers.cap_text,
        },
        "has_problems": Path(state.args.model) == BUILT_IN_MODEL,
    }
    return JSONResponse(body, headers={"Cache-Control": "no-store"})


@router.head("/playground/{name:path}")
@router.get("/playground/{name:path}")
async def file(name: str, request: Request) -> Response:
    """A file of the page."""
    return _file(name, request)


def _file(name: str, request: Request) -> Response:
    """The file, or 304 where the browser has it already.

    Raises:
        HTTPException: 404 for any other name.
    """
    found = static_files().get(name)
    if found is None:
        raise HTTPException(404)
    headers = {**SECURITY_HEADERS, "ETag": found.tag, "Cache-Control": "no-cache"}
    if request.headers.get("if-none-match") == found.tag:
        return Response(status_code=304, headers=headers)
    return Response(found.content, media_type=found.media_type, headers=headers)
