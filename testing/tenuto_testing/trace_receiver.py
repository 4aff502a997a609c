"""Receives what servers export by OpenTelemetry's protocol, over gRPC, and gives it back as plain values."""

import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

# Tests fork to start servers while this receives. With its own support for forks, gRPC goes on polling in the child
# before that has become another program, and at times aborts it. It is read at the import.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")

import grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import (
    TraceServiceServicer,
    add_TraceServiceServicer_to_server,
)

REQUEST_SPAN = "llm_request"
#: Exporters send what they have every 5 s.
WAIT_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class ReceivedSpan:
    """A span as it was exported.

    Attributes:
        trace_id, parent_id: in hexadecimal; the second is empty for a span without a parent.
        start, end: in seconds since the epoch.
        is_error: whether its status is an error.
        attributes: values are strings, numbers, booleans and lists of them.
    """

    name: str
    trace_id: str
    parent_id: str
    start: float
    end: float
    is_error: bool
    attributes: dict[str, Any]


class TraceReceiver(TraceServiceServicer):
    """A collector of traces.

    Attributes:
        url: for `--otlp-traces-endpoint`.
        spans: all that have arrived.
    """

    def __init__(self) -> None:
        self.url = ""
        self.spans: list[ReceivedSpan] = []

    def Export(self, request: Any, context: Any) -> Any:  # noqa: N802
        for resource in request.resource_spans:
            for scope in resource.scope_spans:
                self.spans += map(_read, scope.spans)
        return ExportTraceServiceResponse()

    def of_request(self, request_id: str) -> list[ReceivedSpan]:
        """The spans of a request that the engine has had, in the order of its choices."""
        found = [
            span
            for span in list(self.spans)
            if span.name == REQUEST_SPAN and request_id in span.attributes["gen_ai.request.id"]
        ]
        return sorted(found, key=lambda span: int(span.attributes.get("tenuto.choice.index", 0)))

    def wait_for(self, request_id: str, number: int = 1) -> list[ReceivedSpan]:
        """The spans of a request, once that many have arrived."""
        deadline = time.monotonic() + WAIT_SECONDS
        while len(self.of_request(request_id)) < number:
            assert time.monotonic() < deadline, f"{len(self.spans)} spans, but none of {request_id}"
            time.sleep(0.1)
        found = self.of_request(request_id)
        assert len(found) == number, found
        return found


@contextmanager
def receiving() -> Iterator[TraceReceiver]:
    """A receiver on a free port."""
    receiver = TraceReceiver()
    server = grpc.server(ThreadPoolExecutor(max_workers=4))
    add_TraceServiceServicer_to_server(receiver, server)
    receiver.url = f"grpc://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        yield receiver
    finally:
        server.stop(grace=None).wait()


def _read(span: Any) -> ReceivedSpan:
    return ReceivedSpan(
        name=span.name,
        trace_id=span.trace_id.hex(),
        parent_id=span.parent_span_id.hex(),
        start=span.start_time_unix_nano / 1e9,
        end=span.end_time_unix_nano / 1e9,
        is_error=span.status.code == span.status.STATUS_CODE_ERROR,
        attributes={attribute.key: _value(attribute.value) for attribute in span.attributes},
    )


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(each) for each in value.array_value.values]
    return getattr(value, kind)
