"""An HTTP protocol that limits the head of a request and what surrounds its body; uvicorn's fast parser limits neither.

This is a security control and a subclass of a class that uvicorn does not document for subclassing:
`tests/server/launcher/test_http_protocol.py` pins what it relies on, and the package bounds uvicorn's version.
"""

from http import HTTPStatus
from typing import Any, Self, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from ..config.limits import DEFAULT_HEAD_BYTES, DEFAULT_HEADERS


class BoundedHeadProtocol(HttpToolsProtocol):
    """Answers 431 and closes the connection when the head of a request is too large.

    The same limits hold between the chunks of a body and after it, where the connection is closed without a response.
    Trailers are dropped: no endpoint reads any, and as headers they could override what a proxy has checked.

    Attributes:
        max_bytes: of the request line and all headers together.
        max_headers: number of headers.
    """

    max_bytes = DEFAULT_HEAD_BYTES
    max_headers = DEFAULT_HEADERS

    @classmethod
    def with_limits(cls, max_bytes: int, max_headers: int) -> type[Self]:
        """The protocol with other limits, as a class for uvicorn's configuration."""
        return cast("type[Self]", type(cls.__name__, (cls,), {"max_bytes": max_bytes, "max_headers": max_headers}))

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._in_head, self._received = True, 0  # bytes since the request began, or since its last piece of body
        self._trailers = 0
        self._too_large = False

    def data_received(self, data: bytes) -> None:
        if self._received > self.max_bytes:  # an endless header or trailer, which the parser would buffer
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
        if self._trailers > self.max_headers:
            self._too_large = True
            raise ValueError  # stops the parser, and uvicorn then calls `send_400_response`

    def on_headers_complete(self) -> None:
        size = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
        self._too_large = size > self.max_bytes or len(self.headers) > self.max_headers
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
        # Otherwise it would interrupt a response, or be a second one to the same request.
        if self._in_head and (self.cycle is None or self.cycle.response_complete):
            self.transport.write(self._refusal())
        self.transport.close()

    def _refusal(self) -> bytes:
        status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
        body = f"The request line and headers are limited to {self.max_bytes} bytes and {self.max_headers} headers.\n"
        head = f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\n"
        return f"{head}Connection: close\r\n\r\n{body}".encode()
