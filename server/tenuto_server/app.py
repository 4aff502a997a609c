"""Puts the FastAPI application together: routes, error handlers and middleware."""

import inspect
from argparse import Namespace
from pkgutil import resolve_name
from typing import Any

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from . import metrics
from .api.error_handlers import install_error_handlers
from .api.routes import chat, completions, messages, models, playground, probes, requests, responses, tokenization
from .config.options import OperatingOptions
from .errors import StartupError
from .middleware.admission import AdmissionControl
from .middleware.api_keys import ApiKeys, KeyRing
from .middleware.request_counts import begin_counts
from .middleware.request_log import RequestLog
from .paths import DOCS, ENDPOINTS, OPENAPI
from .playground.static_files import file_paths
from .state import ServerState
from .vllm_compat import attach_metrics, models_router


def build_app(args: Namespace, options: OperatingOptions, keys: KeyRing, state: ServerState) -> FastAPI:
    """The application before the model is loaded; the serving objects are added to its state later."""
    documented = not args.disable_fastapi_docs
    app = FastAPI(
        title="Tenuto",
        summary="An inference server that decides how long a reasoning model thinks.",
        openapi_url=OPENAPI if documented else None,
        docs_url=DOCS if documented else None,
        redoc_url=None,
        redirect_slashes=False,  # the URL would depend on the Host header
        root_path=args.root_path or "",
    )
    begin_counts("")
    metrics.SCRAPED.stage = lambda: state.stage.value
    app.state.args = args
    app.state.service = state
    app.state.limits = options.limits(fetches_media=bool(args.allowed_media_domains))
    app.state.engine_client = None
    for endpoints in (probes, chat, completions, responses, messages, models, requests, tokenization):
        app.include_router(endpoints.router)
    app.include_router(models_router)
    if not options.no_playground:
        app.include_router(playground.router)
    install_error_handlers(app)
    # From the innermost to the outermost:
    app.add_middleware(AdmissionControl, state=state, limits=app.state.limits)
    app.add_middleware(ApiKeys, ring=keys, public=_public_paths(options))
    attach_metrics(app)
    _add_cors(app, args)
    _add_named_middleware(app, args.middleware)
    app.add_middleware(
        RequestLog,
        log_texts=options.log_texts,
        fields_in_message=options.log_format == "text",
        model_name=lambda requested: state.model_name(requested),
    )
    return app


def _public_paths(options: OperatingOptions) -> frozenset[str]:
    """The paths that require no API key."""
    public = {"always"} | {name for name in ("public_metrics", "public_docs") if getattr(options, name)}
    files = frozenset() if options.no_playground else file_paths()
    return files | {endpoint.path for endpoint in ENDPOINTS if endpoint.public in public}


def _add_cors(app: FastAPI, args: Namespace) -> None:
    """Answer browsers' preflight requests, as vLLM's options say."""
    app.add_middleware(
        CORSMiddleware,
        allow_origins=args.allowed_origins,
        allow_credentials=args.allow_credentials,
        allow_methods=args.allowed_methods,
        allow_headers=args.allowed_headers,
    )


def _add_named_middleware(app: FastAPI, names: list[str]) -> None:
    """Add the operator's middleware: ASGI classes, and functions of a request and the next handler.

    Raises:
        StartupError: for a name that cannot be imported or is neither.
    """
    for name in names:
        try:
            middleware: Any = resolve_name(name)
        except (ImportError, AttributeError, ValueError) as error:
            raise StartupError(f"--middleware: {name} cannot be imported: {error}") from error
        if isinstance(middleware, type):
            app.add_middleware(middleware)  # type: ignore[arg-type]
        elif inspect.iscoroutinefunction(middleware):
            app.middleware("http")(middleware)
        else:
            raise StartupError(f"--middleware: {name} is neither a class nor a coroutine function")
