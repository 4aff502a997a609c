"""Puts the FastAPI application together: our routes, vLLM's middleware and metrics."""

from argparse import Namespace

from fastapi import FastAPI
from vllm.entrypoints.openai.models.api_router import router as models_router
from vllm.entrypoints.serve.instrumentator.metrics import attach_router as attach_metrics
from vllm.entrypoints.serve.middleware.register import init_entrypoints_middleware

from .responses import install_error_handlers
from .routes import chat, completions, probes
from .service import Gate, Service


def build_app(args: Namespace, service: Service) -> FastAPI:
    """The application before the model is loaded; the serving objects join its state when they exist."""
    documented = not args.disable_fastapi_docs
    app = FastAPI(
        title="Tenuto",
        summary="An inference server that decides how long a reasoning model thinks.",
        openapi_url="/openapi.json" if documented else None,
        docs_url="/docs" if documented else None,
        redoc_url=None,
        root_path=args.root_path or "",
    )
    app.state.args = args
    app.state.service = service
    app.state.engine_client = None
    for router in (probes.router, models_router, chat.router, completions.router):
        app.include_router(router)
    attach_metrics(app)
    install_error_handlers(app)
    app.add_middleware(Gate, service=service)
    init_entrypoints_middleware(args, app, ("generate",))  # outermost, so that keys are checked first
    return app
