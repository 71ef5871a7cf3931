"""Spans of answered requests, as OpenTelemetry's SDK gives them."""

from __future__ import annotations

import base64
import http.server
import json
import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tenfold.core.errors import SettingsError
from tenfold.serving.access_log import Access
from tenfold.serving.operations import Operations
from tenfold.serving.telemetry import open_spans
from tenfold.serving.tracing import Parts

memory = pytest.importorskip("opentelemetry.sdk.trace.export.in_memory_span_exporter")
pytest.importorskip("opentelemetry.exporter.otlp.proto.http.trace_exporter")

from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult  # noqa: E402

from tenfold.serving import spans as module  # noqa: E402
from tenfold.serving.spans import Spans, ToldOnce  # noqa: E402

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
CONTINUED = {"traceparent": f"00-{TRACE}-{PARENT}-01", "content-type": "image/png"}
ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in (ENDPOINT, "OTEL_TRACES_EXPORTER", "OTEL_TRACES_SAMPLER", "OTEL_SERVICE_NAME"):
        monkeypatch.delenv(name, raising=False)
    level = logging.getLogger("opentelemetry").level
    yield
    logging.getLogger("opentelemetry").setLevel(level)


@pytest.fixture
def traced(client: Any) -> Callable[..., Any]:
    """Give a function that asks a server once, and gives its answer and the spans."""

    def ask(*request: Any, token: str | None = None, query: str = "") -> Any:
        exporter = memory.InMemorySpanExporter()
        spans = Spans(SimpleSpanProcessor(exporter))
        answer = client(operations=Operations(spans=spans), token=token)(*request, query=query)
        spans.close()
        return answer, exporter.get_finished_spans()

    return ask


def hex_of(span: Any) -> tuple[str, str]:
    return f"{span.context.trace_id:032x}", f"{span.context.span_id:016x}"


def test_a_request_is_a_span_of_the_clients_trace_and_its_parts_lie_below(
    traced: Any, make_png: Any
) -> None:
    answer, spans = traced("POST", "/api/predict", make_png(), CONTINUED, query="top=1")
    *parts, served = spans
    assert hex_of(served) == (TRACE, answer.headers["traceresponse"].split("-")[2])
    assert f"{served.parent.span_id:016x}" == PARENT
    assert served.kind.name == "SERVER"
    assert served.name == "POST /api/predict"
    told = dict(served.attributes)
    assert told["http.response.status_code"] == 200
    assert told["url.path"] == "/api/predict", "the query is the client's own"
    assert told["tenfold.request_id"] == answer.headers["x-request-id"]
    assert served.resource.attributes["service.name"] == "tenfold"
    assert sorted(part.name for part in parts) == ["decode", "network", "queue"]
    for part in parts:
        assert part.parent.span_id == served.context.span_id
        assert part.context.trace_id == served.context.trace_id
        assert part.start_time <= part.end_time
    assert len({span.context.span_id for span in spans}) == 4


def test_a_trace_of_our_own_has_the_ids_that_the_answer_tells(traced: Any) -> None:
    answer, (span,) = traced("GET", "/api/model")
    assert hex_of(span)[0] == answer.headers["x-request-id"]
    assert span.parent is None


def test_images_of_one_request_are_computed_together(traced: Any, make_png: Any) -> None:
    body = {"images": [base64.b64encode(make_png(seed=seed)).decode() for seed in range(3)]}
    headers = CONTINUED | {"content-type": "application/json"}
    _, spans = traced("POST", "/api/predict", json.dumps(body).encode(), headers)
    networks = [span for span in spans if span.name == "network"]
    assert len(networks) == 3
    assert {span.attributes["tenfold.images"] for span in networks} <= {1, 2, 3}


def test_what_the_client_does_not_sample_and_what_probes_ask_has_no_span(traced: Any) -> None:
    assert traced("GET", "/api/model", b"", {"traceparent": f"00-{TRACE}-{PARENT}-00"})[1] == ()
    for path in ("/health", "/health/live", "/v2/health/ready", "/metrics"):
        assert traced("GET", path)[1] == ()


@pytest.mark.parametrize(
    ("request_", "status", "name", "error"),
    [
        (("GET", "/api/model"), 401, "GET /api/model", "unauthorized"),
        (("BREW", "/no/such"), 401, "HTTP", "unauthorized"),
    ],
)
def test_a_refusal_says_why(
    traced: Any, request_: tuple[str, str], status: int, name: str, error: str
) -> None:
    _, (span,) = traced(*request_, token="s3cret")
    assert span.attributes["http.response.status_code"] == status
    assert span.name == name
    assert span.attributes["error.type"] == error
    assert "s3cret" not in str(span.to_json())


def test_text_that_no_protocol_buffer_takes_loses_no_batch() -> None:
    from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans

    exporter = memory.InMemorySpanExporter()
    spans = Spans(SimpleSpanProcessor(exporter))
    ids = {"request_id": "r", "trace_id": TRACE, "span_id": PARENT}
    text = {"method": "GET", "path": "/\ud800" + "x" * 5000, "user_agent": "\x00ä"}
    values: dict[str, Any] = {**dict.fromkeys(Access.__slots__), **ids, **text}
    access = Access(**(values | {"at": 0.0, "seconds": 0.5, "status": 200, "sent_bytes": 3}))
    spans.add(access, "00", None, Parts())
    spans.close()
    (span,) = exporter.get_finished_spans()
    assert len(span.attributes["url.path"]) == 1024
    assert encode_spans([span]).SerializeToString()


def test_an_exporter_that_hangs_keeps_nobody_waiting(
    client: Any, make_png: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_CLOSING_SECONDS", 0.05)
    monkeypatch.setattr(module, "_MOST_REQUESTS", 5)
    may_go = threading.Event()

    class Hanging:
        def export(self, _: Any) -> Any:
            may_go.wait(60)
            return SpanExportResult.SUCCESS

        def shutdown(self) -> None:
            pass

    spans = Spans(SimpleSpanProcessor(Hanging()))  # type: ignore[arg-type] # no class of the SDK's
    one = client(operations=Operations(spans=spans))
    assert {one("POST", "/api/predict", make_png()).status for _ in range(10)} == {200}
    spans.close()
    may_go.set()


def test_failing_is_told_once_and_so_is_working_again(caplog: pytest.LogCaptureFixture) -> None:
    outcomes = [SpanExportResult.FAILURE] * 3 + [SpanExportResult.SUCCESS] * 2

    class Exporter:
        def export(self, _: Any) -> Any:
            return outcomes.pop(0)

    told = ToldOnce(Exporter(), "http://collector:4318")
    for _ in range(5):
        told.export(())
    assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING"]


@pytest.fixture
def collector() -> Iterator[tuple[str, list[tuple[str, bytes]]]]:
    """Give the address of something that takes what is exported, and what it took."""
    taken: list[tuple[str, bytes]] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            taken.append((self.path, self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", taken
        server.shutdown()
        thread.join()


def test_the_last_spans_are_exported_at_the_end(
    client: Any, collector: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    address, taken = collector
    monkeypatch.setenv(ENDPOINT, address)
    operations = Operations(spans=open_spans())
    client(operations=operations)("GET", "/api/model", b"", CONTINUED)
    operations.close()
    ((path, content),) = taken
    assert path == "/v1/traces"
    (resource,) = ExportTraceServiceRequest.FromString(content).resource_spans
    assert resource.scope_spans[0].spans[0].trace_id.hex() == TRACE


class TestWhetherSpansAreExported:
    @pytest.mark.parametrize(
        "variables",
        [
            {},
            {ENDPOINT: " "},
            {ENDPOINT: "http://localhost:1", "OTEL_TRACES_EXPORTER": "none"},
            {ENDPOINT: "http://localhost:1", "OTEL_SDK_DISABLED": "True"},
        ],
    )
    def test_nobody_wants_it(self, variables: dict[str, str]) -> None:
        assert open_spans(variables) is None

    @pytest.mark.parametrize(
        ("variables", "named"),
        [
            ({"OTEL_TRACES_EXPORTER": "zipkin"}, "zipkin"),
            ({ENDPOINT: "http://c:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "http/protobuf"),
        ],
    )
    def test_what_cannot_be_done_is_said(self, variables: dict[str, str], named: str) -> None:
        with pytest.raises(SettingsError, match=named):
            open_spans(variables)
