"""What balancers, charts and routers ask: probes, of which none requires a key, the load and the versions."""

from importlib.metadata import version

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from vllm import __version__ as vllm_version

from ...state import ServerStage, ServerState

router = APIRouter(tags=["probes"])


@router.head("/livez", include_in_schema=False)
@router.get("/livez", summary="200 while the process runs")
async def livez() -> JSONResponse:
    return JSONResponse({"status": "alive"})


@router.head("/health", include_in_schema=False)
@router.get("/health", summary="The same as /readyz, as vLLM calls it")
@router.head("/ping", include_in_schema=False)
@router.post("/ping", include_in_schema=False)
@router.get("/ping", summary="The same as /readyz, as SageMaker calls it")
@router.head("/readyz", include_in_schema=False)
@router.get("/readyz", summary="200 when requests are accepted; 503 while the model loads or the server shuts down")
async def readyz(request: Request) -> JSONResponse:
    service: ServerState = request.app.state.service
    return JSONResponse({"status": service.stage.value}, status_code=200 if service.stage is ServerStage.READY else 503)


@router.get("/load", summary="How many requests are being answered, as vLLM reports it")
async def load(request: Request) -> JSONResponse:
    service: ServerState = request.app.state.service
    return JSONResponse({"server_load": service.running})


@router.get("/get_load", summary="The thinking tokens that are left for running replies, and a little for each reply")
async def get_load(request: Request) -> JSONResponse:
    """The load by which vLLM's router compares servers with `--policy power_of_two`.

    Each reply counts as one token more: of two servers where nothing thinks, the one with fewer replies is preferred.
    """
    service: ServerState = request.app.state.service
    engine = getattr(request.app.state, "engine_client", None)
    left: int = 0 if engine is None else engine.remaining_thinking_tokens
    return JSONResponse({"load": left + service.sequences})


@router.get("/version", summary="The versions of vLLM, under the name that vLLM uses, and of this server")
async def versions() -> JSONResponse:
    return JSONResponse({"version": vllm_version, "tenuto_version": version("tenuto")})
