"""Puts the FastAPI application together: our routes, vLLM's middleware and metrics."""

from argparse import Namespace

from fastapi import FastAPI
from vllm.entrypoints.openai.models.api_router import router as models_router
from vllm.entrypoints.serve.instrumentator.metrics import attach_router as attach_metrics
from vllm.entrypoints.serve.middleware.register import init_entrypoints_middleware

from .api.error_handlers import install_error_handlers
from .api.routes import chat, completions, messages, probes, responses, steering, tokenization
from .config.options import OperatingOptions
from .middleware.admission import AdmissionControl
from .middleware.api_keys import ApiKeys, KeyRing
from .middleware.request_log import RequestLog
from .paths import DOCS, METRICS, PROBES
from .state import ServerState


def build_app(args: Namespace, options: OperatingOptions, keys: KeyRing, service: ServerState) -> FastAPI:
    """The application before the model is loaded; the serving objects join its state when they exist."""
    documented = not args.disable_fastapi_docs
    app = FastAPI(
        title="Tenuto",
        summary="An inference server that decides how long a reasoning model thinks.",
        openapi_url="/openapi.json" if documented else None,
        docs_url="/docs" if documented else None,
        redoc_url=None,
        redirect_slashes=False,  # to a URL that the Host header has a say in
        root_path=args.root_path or "",
    )
    app.state.args = args
    app.state.service = service
    app.state.engine_client = None
    for endpoints in (probes, chat, completions, responses, messages, steering, tokenization):
        app.include_router(endpoints.router)
    app.include_router(models_router)
    install_error_handlers(app)
    # From the innermost to the outermost.
    app.add_middleware(
        AdmissionControl, service=service, limits=options.limits(fetches_media=bool(args.allowed_media_domains))
    )
    app.add_middleware(ApiKeys, ring=keys, public=_public_paths(options))
    attach_metrics(app)
    _add_middleware_of_vllm(app, args)
    app.add_middleware(
        RequestLog,
        shows_texts=options.log_texts,
        in_words=options.log_format == "text",
    )
    return app


def _public_paths(options: OperatingOptions) -> frozenset[str]:
    return (
        PROBES | (METRICS if options.public_metrics else frozenset()) | (DOCS if options.public_docs else frozenset())
    )


def _add_middleware_of_vllm(app: FastAPI, args: Namespace) -> None:
    """CORS, which answers a browser's preflight requests, and what `--middleware` names; the keys are ours to check."""
    args = Namespace(**vars(args))
    args.api_key = [""]  # no key, and the environment is not asked for one either
    args.enable_request_id_headers = False  # every response has one, by `RequestLog`
    init_entrypoints_middleware(args, app, ("generate",))
