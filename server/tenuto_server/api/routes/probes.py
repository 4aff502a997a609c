"""`GET /livez` and `/readyz`: whether the process runs, and whether it accepts requests. Neither requires a key."""

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from ...state import ServerStage, ServerState

router = APIRouter(tags=["probes"])


@router.get("/livez", summary="200 while the process runs")
async def livez() -> JSONResponse:
    return JSONResponse({"status": "alive"})


@router.get("/readyz", summary="200 when requests are accepted; 503 while the model loads or the server shuts down")
async def readyz(request: Request) -> JSONResponse:
    service: ServerState = request.app.state.service
    return JSONResponse({"status": service.stage.value}, status_code=200 if service.stage is ServerStage.READY else 503)
