"""Runs the server: listens, loads the model, serves, drains, and ends together with all its processes."""

import asyncio
import ipaddress
import json
import logging
import math
import os
import signal
import sys
import threading
from argparse import Namespace
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Never

import uvicorn
import uvloop
from fastapi import FastAPI
from vllm import envs

from .. import metrics
from ..api.serving import adapt_serving
from ..app import build_app
from ..config.command_line import BUILT_IN_NAME, ServeConfig
from ..config.option_errors import usage_errors
from ..engine.thinking_engine import ThinkingEngine
from ..engine.tracing import flush_spans
from ..engine.worker_calls import answered
from ..errors import StartupError
from ..middleware.api_keys import KEY_VARIABLES, KeyRing, read_keys
from ..middleware.request_counts import begin_counts
from ..paths import CHAT
from ..state import ServerStage, ServerState
from ..vllm_compat import (
    EngineDeadError,
    NoSignalServer,
    configure_logging_from_args,
    freeze_gc_heap,
    get_uvicorn_log_config,
    init_app_state,
    metric_model_name,
    refresh_certificates,
)
from .engine_startup import start_engine
from .exit_status import FAILED, OK, USAGE_ERROR
from .http_protocol import BoundedHeadProtocol
from .listener import Listener, listen
from .output import ServerOutput

logger = logging.getLogger("vllm.tenuto")

_WATCH_SECONDS = 1.0
#: How long a server without an engine still answers probes and scrapes: balancers see why it ends, and metrics its last
#: requests.
_FAILED_SECONDS = 1.0
_FLUSH_SECONDS = 3.0  # for spans that wait to be exported
_CUT_SECONDS = 5.0  # for replies that were cut to send their last chunk, and for connections to close


def serve(config: ServeConfig, args: Namespace, output: ServerOutput) -> Never:
    """Serve until a signal or the death of the engine ends the process.

    Raises:
        StartupError: for options that cannot work and for an address that is taken.
    """
    configure_logging_from_args(args)
    output.attach(args)
    keys = _take_keys(config, args)
    listener = listen(args)
    try:
        server = Server(config, args, keys, listener, output)
    except StartupError:
        listener.remove()
        raise
    output.begin(args, listener.address)
    if not keys and listener.path is None and not _is_loopback(args.host):
        logger.warning("No API key is set: every client that can reach %s can use this server", listener.address)
    server.leave(uvloop.run(server.run()))


def _take_keys(config: ServeConfig, args: Namespace) -> KeyRing:
    """Read the keys, and remove them from the options and from the environment that processes inherit."""
    keys = read_keys(args.api_key or (), config.api_key_file, os.environ)
    args.api_key = None
    for name in KEY_VARIABLES:
        os.environ.pop(name, None)
    return keys


def _is_loopback(host: str | None) -> bool:
    try:
        return ipaddress.ip_address(host or "0.0.0.0").is_loopback
    except ValueError:
        return host == "localhost"


class Server:
    """The HTTP server, and the engine once it is loaded.

    Raises:
        StartupError: for TLS certificates that cannot be used.
    """

    def __init__(
        self,
        config: ServeConfig,
        args: Namespace,
        keys: KeyRing,
        listener: Listener,
        output: ServerOutput,
    ) -> None:
        self._config, self._args, self._listener = config, args, listener
        self._output = output
        self.state = ServerState(has_default_budget=config.read_defaults().bounds_thinking)
        self._app = build_app(args, config, keys, self.state)
        self._http = NoSignalServer(_uvicorn_config(args, self._app))
        output.attach(args)  # to uvicorn's loggers
        self._app.state.server = self._http
        self._signals = 0
        self._signalled = asyncio.Event()
        self._signalled_twice = asyncio.Event()

    async def run(self) -> int:
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, self.on_signal)
        http = asyncio.create_task(self._http.serve(sockets=[self._listener.socket]))
        if self._args.enable_ssl_refresh:
            self._certificates = refresh_certificates(self._http.config)
        engine = await self._load(http)
        status = await self.work(engine, http)
        # The engine has nothing left to do, and its processes end with this one. vLLM's own shutdown would first wait
        # until each has dismantled its libraries, which takes seconds and keeps nothing.
        self._http.should_exit = True
        await asyncio.wait((http,))
        return status

    async def work(self, engine: ThinkingEngine, http: asyncio.Task[None]) -> int:
        """Serve until a signal or a failure, then drain; the status to exit with."""
        status = await self._until_end(engine, http)
        await self._drain(engine)
        if engine.errored:  # it may have died during the drain
            await asyncio.sleep(_FAILED_SECONDS)
            return FAILED
        return status

    def on_signal(self) -> None:
        """The first signal drains the server; a second one ends it at once."""
        self._signals += 1
        self._signalled.set()
        if self._signals > 1:
            self._signalled_twice.set()

    def leave(self, status: int) -> Never:
        """End the process now, without the teardown of heavy libraries. Its descendants watch it, and so end too."""
        self._listener.remove()
        flush_spans(_FLUSH_SECONDS)
        self._output.close()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)

    async def _load(self, http: asyncio.Task[None]) -> ThinkingEngine:
        """Load the model while probes are answered. Ends the process if that fails or is interrupted."""
        loading = asyncio.create_task(self._start())
        signalled = asyncio.create_task(self._signalled.wait())
        await asyncio.wait((loading, signalled, http), return_when=asyncio.FIRST_COMPLETED)
        if http.done():
            _log_end(http)
            self.leave(FAILED)
        if not loading.done():
            self.leave(OK)
        signalled.cancel()
        try:
            return await loading
        except Exception as error:
            self._output.failed(error)
            self.leave(USAGE_ERROR if isinstance(error, StartupError) else FAILED)

    async def _start(self) -> ThinkingEngine:
        """Start the engine in a thread, connect it, and accept requests from here on."""
        engine = await _in_thread(lambda: start_engine(self._config, self._args))
        engine.watch_processes()
        with usage_errors(self._args, EngineDeadError):
            await answered(self._join(engine), lambda: engine.errored, math.inf)
        self.state.stage = ServerStage.READY
        self._output.attach(self._args)
        self._output.ready(self._listener.address, _example(self._listener.curl, self._args))
        return engine

    async def _join(self, engine: ThinkingEngine) -> None:
        """Connect the loaded engine to the application."""
        state = self._app.state
        await init_app_state(engine, state, self._args, await engine.get_supported_tasks())
        adapt_serving(state)
        envs.enable_envs_cache()  # as in the engine's processes: vLLM reads variables for every token
        freeze_gc_heap()
        self.state.capacity = self._config.capacity(_can_run(engine))
        metrics.CAPACITY.set(float("inf") if self.state.capacity is None else self.state.capacity)
        self.state.model_name = partial(metric_model_name, state.openai_serving_models)
        begin_counts(self.state.model_name(None))
        self.state.watch(lambda: engine.errored)

    async def _until_end(self, engine: ThinkingEngine, http: asyncio.Task[None]) -> int:
        """Wait for a signal, or the end of the engine or of the HTTP server; log statistics at intervals."""
        since_log = 0.0
        while not self._signalled.is_set():
            try:
                await asyncio.wait_for(self._signalled.wait(), _WATCH_SECONDS)
            except TimeoutError:
                since_log += _WATCH_SECONDS
            if engine.errored:
                logger.error("The engine has died, and the server exits")
                return FAILED
            if http.done():
                _log_end(http)
                return FAILED
            if since_log >= envs.VLLM_LOG_STATS_INTERVAL and not self._args.disable_log_stats:
                since_log = 0.0
                await engine.do_log_stats()
        return OK

    async def _drain(self, engine: ThinkingEngine) -> None:
        """Refuse new requests, and let running replies finish; cut them at the drain timeout or at a second signal."""
        self.state.stage = ServerStage.DRAINING
        if engine.errored:
            await self.state.idle(_CUT_SECONDS)  # streams end with an error event
            return
        running = f" after {self.state.running} running request(s)" if self.state.running else ""
        logger.info("Shutting down%s", running)
        await self._until_second_signal(self.state.idle(self._config.drain_timeout))
        if self.state.running:
            self.state.cutting = True
            await engine.cut_replies(_CUT_SECONDS)
            await self.state.idle(_CUT_SECONDS)

    async def _until_second_signal(self, work: Coroutine[Any, Any, Any]) -> None:
        """Wait for the work, or for a second signal if that comes first."""
        tasks = [asyncio.create_task(work), asyncio.create_task(self._signalled_twice.wait())]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()


def _log_end(http: asyncio.Task[None]) -> None:
    logger.error("The HTTP server has ended, and the process exits", exc_info=http.exception())


def _can_run(engine: ThinkingEngine) -> int:
    """How many sequences the engine runs at once."""
    config = engine.vllm_config
    return int(config.scheduler_config.max_num_seqs * config.parallel_config.data_parallel_size)


def _in_thread(work: Callable[[], ThinkingEngine]) -> "asyncio.Future[ThinkingEngine]":
    """Run the work in a daemon thread. Unlike an executor's, it does not keep the process from ending."""
    loop = asyncio.get_running_loop()
    result: asyncio.Future[ThinkingEngine] = loop.create_future()

    def run() -> None:
        try:
            value = work()
        except BaseException as error:
            loop.call_soon_threadsafe(result.set_exception, error)
        else:
            loop.call_soon_threadsafe(result.set_result, value)

    threading.Thread(target=run, name="load", daemon=True).start()
    return result


def _uvicorn_config(args: Namespace, app: FastAPI) -> uvicorn.Config:
    log_config = get_uvicorn_log_config(args)
    config = uvicorn.Config(
        app,
        http=BoundedHeadProtocol.with_limits(args.h11_max_incomplete_event_size, args.h11_max_header_count),
        log_level=args.uvicorn_log_level,
        access_log=not args.disable_uvicorn_access_log,
        timeout_keep_alive=envs.VLLM_HTTP_TIMEOUT_KEEP_ALIVE,
        timeout_graceful_shutdown=int(_CUT_SECONDS),
        ssl_keyfile=args.ssl_keyfile,
        ssl_certfile=args.ssl_certfile,
        ssl_ca_certs=args.ssl_ca_certs,
        ssl_cert_reqs=args.ssl_cert_reqs,
        **({"ssl_ciphers": args.ssl_ciphers} if args.ssl_ciphers else {}),
        **({"log_config": log_config} if log_config is not None else {}),
    )
    try:
        config.load()
    except (OSError, ValueError) as error:  # ssl's errors are OSErrors
        raise StartupError(f"--ssl-certfile, --ssl-keyfile, --ssl-ca-certs or --ssl-ciphers: {error}") from error
    return config


def _example(curl: str, args: Namespace) -> list[str]:
    """A command to try first, in pieces of a line each."""
    if args.served_model_name == [BUILT_IN_NAME]:
        question = "Add up this bill: soup 9, fish 4, juice 4, beans 9, plums 9"
        budget: dict[str, Any] = {"num_waits": 2, "temperature": 0}
    else:
        question, budget = "How many r are in raspberry?", {"max_thinking_tokens": 64}
    messages = json.dumps([{"role": "user", "content": question}])
    body = f'{{"messages": {messages},\n         {json.dumps(budget)[1:-1]}}}'
    return [f"{curl}{CHAT}", "-H 'Content-Type: application/json'", f"-d '{body}'"]
