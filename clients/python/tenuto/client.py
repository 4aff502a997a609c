"""`Client` and `AsyncClient`: thin shells that perform the exchanges of `protocol`."""

import asyncio
import time
from collections.abc import AsyncGenerator, Generator
from types import TracebackType
from typing import Any, Self, TypedDict, TypeVar

import httpx

from tenuto import protocol
from tenuto._signature import with_arguments_of
from tenuto._version import __version__
from tenuto.body import Body, chat_body
from tenuto.errors import StreamError
from tenuto.protocol import EventParser, Exchange, Flow, Outcome, Retries
from tenuto.replies import Event, Model, Reply, Steering

DEFAULT_URL = "http://127.0.0.1:8000"
DEFAULT_RETRIES = Retries()

T = TypeVar("T")


class _Connection(TypedDict):
    """What httpx's two clients are made with."""

    base_url: str
    headers: dict[str, str]
    timeout: httpx.Timeout
    limits: httpx.Limits


def _connection(url: str, api_key: str | None, timeout: float | None) -> _Connection:
    authorization = {"Authorization": f"Bearer {api_key}"} if api_key else {}
    return {
        "base_url": url.rstrip("/").removesuffix("/v1"),
        "headers": {"User-Agent": f"tenuto/{__version__}"} | authorization,
        "timeout": httpx.Timeout(timeout, connect=10.0, pool=None),
        # The server closes idle connections after 5 s: let go earlier, or a request may meet one that is just closing.
        "limits": httpx.Limits(max_connections=None, max_keepalive_connections=None, keepalive_expiry=2.0),
    }


class Client:
    """A server at `url` (with or without `/v1`).

    `timeout` is the longest silence in seconds that a reply may contain, None (the default) for any: a reply that is
    not streamed is silent for as long as the model thinks. Connecting has 10 seconds. `retries` says what happens when
    the server is full or shutting down (see `Retries`). Raises the errors of `tenuto.errors`.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        api_key: str | None = None,
        timeout: float | None = None,
        retries: Retries = DEFAULT_RETRIES,
    ) -> None:
        self._http = httpx.Client(**_connection(url, api_key, timeout))
        self._retries = retries

    @with_arguments_of(chat_body)
    def chat(self, body: Body) -> Reply:
        """Ask, and wait for the whole reply."""
        return self._run(protocol.chat(body, self._retries))

    @with_arguments_of(chat_body)
    def stream(self, body: Body) -> Generator[Event, None, None]:
        """Ask, and get the reply as it is spoken. Closing the iterator (or leaving a `for` loop) stops the reply."""
        response = self._run(protocol.open_stream(body, self._retries))
        parser = EventParser()
        try:
            for chunk in response.iter_bytes():
                yield from parser.feed(chunk)
        except httpx.HTTPError as error:
            raise StreamError(f"the stream broke off: {type(error).__name__}: {error}") from error
        finally:
            response.close()
        parser.finish()

    def answer_now(self, reply_id: str) -> Steering:
        """Have a running reply (`Started.id` of its stream) close its thinking at once, and answer."""
        return self._run(protocol.steer(reply_id, self._retries))

    def think_until(self, reply_id: str, min_thinking_tokens: int) -> Steering:
        """Have a running reply think on until so many tokens; a lower cap is raised to that."""
        return self._run(protocol.steer(reply_id, self._retries, min_thinking_tokens))

    def models(self) -> tuple[Model, ...]:
        """The models that the server offers."""
        return self._run(protocol.models(self._retries))

    def ready(self) -> bool:
        """Whether the server takes requests; False also where none answers."""
        return self._run(protocol.ready())

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
            exchange = next(flow)
            while True:
                exchange = flow.send(self._perform(exchange))
        except StopIteration as finished:
            result: T = finished.value
            return result

    def _perform(self, exchange: Exchange) -> Outcome:
        time.sleep(exchange.pause)
        try:
            response = self._http.send(_request(self._http, exchange), stream=True)
            if not (exchange.streams and response.is_success):
                response.read()
        except httpx.HTTPError as error:
            return error
        return response


class AsyncClient:
    """The same with asyncio; see `Client`."""

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        api_key: str | None = None,
        timeout: float | None = None,
        retries: Retries = DEFAULT_RETRIES,
    ) -> None:
        self._http = httpx.AsyncClient(**_connection(url, api_key, timeout))
        self._retries = retries

    @with_arguments_of(chat_body)
    async def chat(self, body: Body) -> Reply:
        """Ask, and wait for the whole reply."""
        return await self._run(protocol.chat(body, self._retries))

    @with_arguments_of(chat_body)
    async def stream(self, body: Body) -> AsyncGenerator[Event, None]:
        """Ask, and get the reply as it is spoken. Closing the iterator stops the reply (`contextlib.aclosing`)."""
        response = await self._run(protocol.open_stream(body, self._retries))
        parser = EventParser()
        try:
            async for chunk in response.aiter_bytes():
                for event in parser.feed(chunk):
                    yield event
        except httpx.HTTPError as error:
            raise StreamError(f"the stream broke off: {type(error).__name__}: {error}") from error
        finally:
            await response.aclose()
        parser.finish()

    async def answer_now(self, reply_id: str) -> Steering:
        """Have a running reply (`Started.id` of its stream) close its thinking at once, and answer."""
        return await self._run(protocol.steer(reply_id, self._retries))

    async def think_until(self, reply_id: str, min_thinking_tokens: int) -> Steering:
        """Have a running reply think on until so many tokens; a lower cap is raised to that."""
        return await self._run(protocol.steer(reply_id, self._retries, min_thinking_tokens))

    async def models(self) -> tuple[Model, ...]:
        """The models that the server offers."""
        return await self._run(protocol.models(self._retries))

    async def ready(self) -> bool:
        """Whether the server takes requests; False also where none answers."""
        return await self._run(protocol.ready())

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
            exchange = next(flow)
            while True:
                exchange = flow.send(await self._perform(exchange))
        except StopIteration as finished:
            result: T = finished.value
            return result

    async def _perform(self, exchange: Exchange) -> Outcome:
        await asyncio.sleep(exchange.pause)
        try:
            response = await self._http.send(_request(self._http, exchange), stream=True)
            if not (exchange.streams and response.is_success):
                await response.aread()
        except httpx.HTTPError as error:
            return error
        return response


def _request(http: httpx.Client | httpx.AsyncClient, exchange: Exchange) -> httpx.Request:
    patience: dict[str, Any] = {} if exchange.timeout is None else {"timeout": exchange.timeout}
    return http.build_request(exchange.method, exchange.path, json=exchange.body, **patience)
