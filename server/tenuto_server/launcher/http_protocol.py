"""An HTTP protocol that limits what stands before and after a body: uvicorn's fast parser takes any size.

The limits are vLLM's options, which are named after the slower parser that knows them.
"""

from http import HTTPStatus
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from ..config.limits import DEFAULT_HEAD_BYTES


class BoundedHeadProtocol(HttpToolsProtocol):
    """Answers 431 and closes the connection where the head of a request grows too large.

    The same limits hold between the pieces of a chunked body and behind it, where the connection is closed without an
    answer. Trailers are dropped: nothing here reads any, and as headers they could say what a proxy has checked.

    Reads `h11_max_incomplete_event_size` (bytes) and `h11_max_header_count` off uvicorn's configuration.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._max_bytes: int = self.config.h11_max_incomplete_event_size or DEFAULT_HEAD_BYTES
        self._max_count: int = self.config.h11_max_header_count  # type: ignore[attr-defined]
        self._in_head, self._received = True, 0  # bytes since the request began, or since its last piece of a body
        self._trailers = 0
        self._too_large = False

    def data_received(self, data: bytes) -> None:
        if self._received > self._max_bytes:  # a header or trailer that does not end: the parser would gather it
            self._too_large = True
            self.send_400_response("")
            return
        self._received += len(data)
        super().data_received(data)

    def on_message_begin(self) -> None:
        self._in_head, self._received, self._trailers = True, 0, 0
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_head:
            super().on_header(name, value)
            return
        self._trailers += 1
        if self._trailers > self._max_count:
            self._too_large = True
            raise ValueError  # stops the parser, which then calls `send_400_response`

    def on_headers_complete(self) -> None:
        size = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
        self._too_large = size > self._max_bytes or len(self.headers) > self._max_count
        if self._too_large:
            raise ValueError
        self._in_head, self._received = False, 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._received = 0
        super().on_body(body)

    def send_400_response(self, msg: str) -> None:
        if not self._too_large:
            super().send_400_response(msg)
            return
        # Else it would stand in the middle of a response, or be a second one to the same request.
        if self._in_head and (self.cycle is None or self.cycle.response_complete):
            self.transport.write(self._refusal())
        self.transport.close()

    def _refusal(self) -> bytes:
        status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
        body = f"The request line and headers are limited to {self._max_bytes} bytes and {self._max_count} headers.\n"
        head = f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\n"
        return f"{head}Connection: close\r\n\r\n{body}".encode()
