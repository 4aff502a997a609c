"""`Client` and `AsyncClient`: they send the requests of the flows in `flows`, synchronously and with asyncio."""

import asyncio
import time
from collections.abc import AsyncGenerator, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self, TypedDict, TypeVar

import httpx

from tenuto import flows
from tenuto._signature import with_arguments_of
from tenuto._version import __version__
from tenuto.body import Body, Message, chat_body
from tenuto.errors import StreamError, TenutoError
from tenuto.event_parser import EventParser
from tenuto.flows import APIRequest, Flow, Retries, SendResult
from tenuto.replies import Event, Model, Reply, Steering
from tenuto.sweeps import DEFAULT_CONCURRENCY, Budget, SweepPoint, at_least_one, sweep_bodies

DEFAULT_URL = "http://127.0.0.1:8000"
DEFAULT_RETRIES = Retries()

T = TypeVar("T")


class _HTTPXArguments(TypedDict):
    """Arguments that `httpx.Client` and `httpx.AsyncClient` share."""

    base_url: str
    headers: dict[str, str]
    timeout: httpx.Timeout
    limits: httpx.Limits


def _httpx_arguments(url: str, api_key: str | None, timeout: float | None) -> _HTTPXArguments:
    authorization = {"Authorization": f"Bearer {api_key}"} if api_key else {}
    return {
        "base_url": url.rstrip("/").removesuffix("/v1"),
        "headers": {"User-Agent": f"tenuto/{__version__}"} | authorization,
        "timeout": httpx.Timeout(timeout, connect=10.0, pool=None),
        # The server closes idle connections after 5 s. Close them earlier, so that no request uses one that is closing.
        "limits": httpx.Limits(max_connections=None, max_keepalive_connections=None, keepalive_expiry=2.0),
    }


class Client:
    """Client of the server at `url` (with or without `/v1`). Its methods raise the exceptions of `tenuto.errors`.

    `timeout` limits the seconds without any data while a reply is read; None (the default) is no limit, because a reply
    that is not streamed sends nothing while the model thinks. Connecting is limited to 10 seconds. `retries` applies
    when the server is full, loading or shutting down (see `Retries`).
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        api_key: str | None = None,
        timeout: float | None = None,
        retries: Retries = DEFAULT_RETRIES,
    ) -> None:
        self._http = httpx.Client(**_httpx_arguments(url, api_key, timeout))
        self._retries = retries

    @with_arguments_of(chat_body)
    def chat(self, body: Body) -> Reply:
        """Request a chat completion and wait for the whole reply."""
        return self._run(flows.chat(body, self._retries))

    @with_arguments_of(chat_body)
    def stream(self, body: Body) -> Generator[Event, None, None]:
        """Stream a chat completion. Closing the generator stops the reply (`contextlib.closing`)."""
        response = self._run(flows.open_stream(body, self._retries))
        parser = EventParser(body)
        try:
            for chunk in response.iter_bytes():
                yield from parser.feed(chunk)
        except httpx.HTTPError as error:
            raise StreamError(f"the stream was interrupted: {type(error).__name__}: {error}") from error
        finally:
            response.close()
        parser.finish()

    def sweep(
        self,
        messages: str | Sequence[Message],
        budgets: Sequence[Budget],
        *,
        concurrency: int = DEFAULT_CONCURRENCY,
        **fields: Any,
    ) -> tuple[SweepPoint, ...]:
        """Request the reply to one prompt under several budgets, and return one point for each, in their order.

        At most `concurrency` requests run at once. `fields` are those of `chat`, the same for all. What goes wrong for
        one budget is in its point and does not end the others.
        """
        bodies = sweep_bodies(messages, budgets, fields)

        def point(budget: Body, body: Body) -> SweepPoint:
            try:
                return SweepPoint(budget, self._run(flows.chat(body, self._retries)))
            except TenutoError as error:
                return SweepPoint(budget, error=error)

        with ThreadPoolExecutor(at_least_one("concurrency", concurrency)) as threads:
            return tuple(threads.map(lambda pair: point(*pair), bodies))

    def answer_now(self, reply_id: str) -> Steering:
        """Make a running reply (`Started.id` of its stream) stop thinking and answer at once."""
        return self._run(flows.steer(reply_id, self._retries))

    def think_until(self, reply_id: str, min_thinking_tokens: int) -> Steering:
        """Make a running reply think until `min_thinking_tokens`; a lower cap is raised to it."""
        return self._run(flows.steer(reply_id, self._retries, min_thinking_tokens))

    def models(self) -> tuple[Model, ...]:
        """List the models that the server offers."""
        return self._run(flows.models(self._retries))

    def ready(self) -> bool:
        """Return whether the server accepts requests; False also if it cannot be reached."""
        return self._run(flows.ready())

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _run(self, flow: Flow[T]) -> T:
        try:
            request = next(flow)
            while True:
                request = flow.send(self._send(request))
        except StopIteration as finished:
            result: T = finished.value
            return result

    def _send(self, request: APIRequest) -> SendResult:
        time.sleep(request.pause)
        try:
            response = self._http.send(_httpx_request(self._http, request), stream=True)
            if not (request.streams and response.is_success):
                response.read()
        except httpx.HTTPError as error:
            return error
        return response


class AsyncClient:
    """The same methods as coroutines; see `Client`."""

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        api_key: str | None = None,
        timeout: float | None = None,
        retries: Retries = DEFAULT_RETRIES,
    ) -> None:
        self._http = httpx.AsyncClient(**_httpx_arguments(url, api_key, timeout))
        self._retries = retries

    @with_arguments_of(chat_body)
    async def chat(self, body: Body) -> Reply:
        """Request a chat completion and wait for the whole reply."""
        return await self._run(flows.chat(body, self._retries))

    @with_arguments_of(chat_body)
    async def stream(self, body: Body) -> AsyncGenerator[Event, None]:
        """Stream a chat completion. Closing the generator stops the reply (`contextlib.aclosing`)."""
        response = await self._run(flows.open_stream(body, self._retries))
        parser = EventParser(body)
        try:
            async for chunk in response.aiter_bytes():
                for event in parser.feed(chunk):
                    yield event
        except httpx.HTTPError as error:
            raise StreamError(f"the stream was interrupted: {type(error).__name__}: {error}") from error
        finally:
            await response.aclose()
        parser.finish()

    async def sweep(
        self,
        messages: str | Sequence[Message],
        budgets: Sequence[Budget],
        *,
        concurrency: int = DEFAULT_CONCURRENCY,
        **fields: Any,
    ) -> tuple[SweepPoint, ...]:
        """Request the reply to one prompt under several budgets; see `Client.sweep`."""
        slots = asyncio.Semaphore(at_least_one("concurrency", concurrency))

        async def point(budget: Body, body: Body) -> SweepPoint:
            async with slots:
                try:
                    return SweepPoint(budget, await self._run(flows.chat(body, self._retries)))
                except TenutoError as error:
                    return SweepPoint(budget, error=error)

        bodies = sweep_bodies(messages, budgets, fields)
        async with asyncio.TaskGroup() as tasks:
            points = [tasks.create_task(point(budget, body)) for budget, body in bodies]
        return tuple(task.result() for task in points)

    async def answer_now(self, reply_id: str) -> Steering:
        """Make a running reply (`Started.id` of its stream) stop thinking and answer at once."""
        return await self._run(flows.steer(reply_id, self._retries))

    async def think_until(self, reply_id: str, min_thinking_tokens: int) -> Steering:
        """Make a running reply think until `min_thinking_tokens`; a lower cap is raised to it."""
        return await self._run(flows.steer(reply_id, self._retries, min_thinking_tokens))

    async def models(self) -> tuple[Model, ...]:
        """List the models that the server offers."""
        return await self._run(flows.models(self._retries))

    async def ready(self) -> bool:
        """Return whether the server accepts requests; False also if it cannot be reached."""
        return await self._run(flows.ready())

    async def close(self) -> None:
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _run(self, flow: Flow[T]) -> T:
        try:
            request = next(flow)
            while True:
                request = flow.send(await self._send(request))
        except StopIteration as finished:
            result: T = finished.value
            return result

    async def _send(self, request: APIRequest) -> SendResult:
        await asyncio.sleep(request.pause)
        try:
            response = await self._http.send(_httpx_request(self._http, request), stream=True)
            if not (request.streams and response.is_success):
                await response.aread()
        except httpx.HTTPError as error:
            return error
        return response


def _httpx_request(http: httpx.Client | httpx.AsyncClient, request: APIRequest) -> httpx.Request:
    timeout: dict[str, Any] = {} if request.timeout is None else {"timeout": request.timeout}
    headers = {} if request.request_id is None else {"X-Request-Id": request.request_id}
    return http.build_request(request.method, request.path, json=request.body, headers=headers, **timeout)
