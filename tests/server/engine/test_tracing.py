"""Spans that wait to be exported are exported before the process ends, unless the collector does not answer."""

import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from tenuto_server.engine.tracing import SpanAttribute, flush_spans
from tenuto_testing.trace_receiver import REQUEST_SPAN, receiving

PAGE = (Path(__file__).resolve().parents[3] / "docs/tracing.md").read_text()

Exporting = Callable[[str], None]


@pytest.fixture
def exporting(monkeypatch: pytest.MonkeyPatch) -> Exporting:
    """Sets this process up to export to an endpoint, and makes a span."""

    def export(endpoint: str) -> None:
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint, insecure=True)))
        monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)
        provider.get_tracer("test").start_span(REQUEST_SPAN, attributes={"gen_ai.request.id": "last"}).end()

    return export


def test_what_waits_is_exported(exporting: Exporting) -> None:
    with receiving() as receiver:
        exporting(receiver.url)
        flush_spans(30)
        assert len(receiver.of_request("last")) == 1


def test_a_collector_that_does_not_answer_holds_nothing_up(exporting: Exporting) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        exporting(f"grpc://127.0.0.1:{silent.getsockname()[1]}")
        began = time.monotonic()
        flush_spans(0.5)
        assert 0.4 < time.monotonic() - began < 5


def test_without_traces_there_is_nothing_to_wait_for() -> None:
    began = time.monotonic()
    flush_spans(30)
    assert time.monotonic() - began < 5


def test_the_page_has_every_attribute() -> None:
    names = [value for name, value in vars(SpanAttribute).items() if name.isupper()]
    assert len(names) > 10
    assert [name for name in names if f"`{name}`" not in PAGE] == []
