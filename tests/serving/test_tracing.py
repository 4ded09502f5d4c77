"""One trace of a question through gateway, SQL worker and model server; what it holds, and what it never holds; who gets it."""

import http.server
import threading
from contextlib import ExitStack

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from sense.errors import UserError
from sense.serving import tracing
from tests.serving.running import Running, settings

CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
SECRET_QUESTION = "Which spade costs 12.5 in Ghent?"
SQL = "SELECT name, price FROM item WHERE name = 'spade'"


@pytest.fixture
def spans():
    """Finished spans, by name in the order in which they ended."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    with tracing.export_to(provider):
        yield lambda: list(exporter.get_finished_spans())


def test_one_trace_leads_from_the_request_to_sql_worker_and_model_server(model, shop, spans):
    model.write = lambda body, index: f" {SQL}"
    with Running(settings(model.url, shop)) as gateway:  # its last span ends after the response: all have once it has stopped
        response = gateway.client.post(
            "/v1/sql",
            json={"question": SECRET_QUESTION, "database": "shop", "k": 3},
            headers={"traceparent": CALLER, "X-Request-Id": "request-7"},
        )
    assert response.json()["rows"] == [["spade", 12.5]]
    by_name = {span.name: span for span in spans()}
    assert {hex(span.context.trace_id) for span in spans()} == {"0x" + CALLER.split("-")[1].lstrip("0")}
    parents = {span.name: next((p.name for p in spans() if span.parent.span_id == p.context.span_id), "") for span in spans()}
    assert parents == {
        "POST /v1/sql": "",
        "wait for a slot": "POST /v1/sql",
        "write the prompt": "POST /v1/sql",
        "generate": "POST /v1/sql",
        "POST /v1/completions": "generate",
        "execute and vote": "POST /v1/sql",
        "SQL worker": "execute and vote",
    }
    request = by_name["POST /v1/sql"]
    assert f"{request.parent.span_id:016x}" == CALLER.split("-")[2]
    assert dict(request.attributes) == {
        "sense.request_id": "request-7",
        "http.request.method": "POST",
        "http.route": "/v1/sql",
        "http.response.status_code": 200,
    }
    assert dict(by_name["generate"].attributes) == {"sense.model": "sense", "sense.version": "1", "sense.k": 3}
    assert by_name["SQL worker"].attributes["sense.outcomes"] == ("ran",)
    calls = [span for span in spans() if span.name == "POST /v1/completions"]
    sent = {request.headers["traceparent"] for request in model.requests}
    assert sent == {f"00-{CALLER.split('-')[1]}-{call.context.span_id:016x}-01" for call in calls}
    assert len(sent) == 2  # the greedy candidate and the sampled ones


def test_no_span_holds_anything_of_the_data(model, shop, spans):
    model.write = lambda body, index: [f" {SQL}", " SELECT secret FROM spade"][body["temperature"] > 0]
    with Running(settings(model.url, shop), headers={"Authorization": "Bearer secret-key"}) as gateway:
        gateway.ask(SECRET_QUESTION, k=2)
        gateway.client.get("/v1/databases/spade?spade=12.5")
        model.fail(500, b'{"error": {"message": "spade", "code": 500}}')
        assert gateway.ask(SECRET_QUESTION).status_code == 503
    text = "".join(span.to_json() for span in spans())
    assert "SQL worker" in text
    for word in ("spade", "Ghent", "SELECT", "secret", "127.0.0.1"):
        assert word not in text
    failed = [span for span in spans() if span.name == "POST /v1/sql"][-1]
    assert failed.attributes["error.type"] == "unavailable"
    assert failed.attributes["sense.request_id"]


def test_probes_are_in_no_trace_and_each_request_without_a_caller_has_its_own(model, shop, spans):
    with Running(settings(model.url, shop)) as gateway:
        for path in ("/healthz", "/readyz", "/metrics", "/"):
            gateway.client.get(path)
        for _ in range(2):
            gateway.client.get("/v1/databases", headers={"traceparent": "nonsense"})
    assert [span.name for span in spans()] == ["GET /v1/databases"] * 2
    assert len({span.context.trace_id for span in spans()}) == 2


def test_without_tracing_a_traceparent_is_passed_on_as_it_is_and_baggage_is_not(start, model):
    gateway = start()
    gateway.client.post(
        "/v1/sql", json={"question": "?", "database": "shop"}, headers={"traceparent": CALLER, "baggage": "who=ann"}
    )
    gateway.ask()
    first, second = (request.headers for request in model.requests)
    assert first["traceparent"] == CALLER
    assert "baggage" not in first
    assert "traceparent" not in second


class Receiver(http.server.BaseHTTPRequestHandler):
    """A collector: keeps what is posted to it."""

    def do_POST(self):
        self.server.received.append((self.path, dict(self.headers), self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def receiver():
    with ExitStack() as stack:
        server = stack.enter_context(http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver))
        server.received = []
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        stack.callback(thread.join)
        stack.callback(server.shutdown)
        yield server


def test_spans_are_exported_by_otlp_where_the_environment_says(model, shop, receiver, monkeypatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{receiver.server_port}")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=one")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")
    with tracing.export_to(tracing.create_provider()), Running(settings(model.url, shop)) as gateway:
        gateway.ask()
    assert {(path, headers["x-tenant"]) for path, headers, _ in receiver.received} == {("/v1/traces", "one")}
    batches = [ExportTraceServiceRequest.FromString(body).resource_spans[0] for *_, body in receiver.received]
    resource = {attribute.key: attribute.value.string_value for attribute in batches[0].resource.attributes}
    assert resource["service.name"] == "sense-gateway"
    assert resource["deployment.environment.name"] == "test"
    names = {span.name for batch in batches for scope in batch.scope_spans for span in scope.spans}
    assert {"POST /v1/sql", "SQL worker", "POST /v1/completions"} <= names


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318", "OTEL_SDK_DISABLED": "true"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318", "OTEL_TRACES_EXPORTER": "none"},
        {"OTEL_SERVICE_NAME": "mine"},
    ],
)
def test_tracing_is_off_unless_the_environment_asks_for_it(monkeypatch, variables):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert tracing.create_provider() is None


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("OTEL_TRACES_EXPORTER", "zipkin", "exports by otlp alone"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "set OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf"),
    ],
)
def test_what_the_gateway_cannot_export_by_is_refused(monkeypatch, name, value, message):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318")
    monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match=message):
        tracing.create_provider()
