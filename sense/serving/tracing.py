"""Traces of requests by OpenTelemetry: the request, its wait, prompt, completions and SQL worker; passed on to vLLM.

Off unless the standard variables say where traces go (OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT, or
OTEL_TRACES_EXPORTER=otlp); the SDK reads all others itself. A caller's traceparent is continued, and without tracing passed on as
it is; baggage is not, as it may hold anything. As the log, spans hold no question, no SQL, no value, no address and no key: of an
exception only its type. (FastAPI's own spans hold paths, queries and messages; they stay off.)
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import AttributeValue

from sense import __version__, config
from sense.errors import UserError, install

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

_PROPAGATOR = TraceContextTextMapPropagator()
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_SERVICE = "sense-gateway"
_tracer: trace.Tracer = trace.NoOpTracer()


def create_provider() -> "TracerProvider | None":
    """What exports spans as the environment says; None if tracing is off. UserError if it asks for what there is not."""
    exporter = config.environment("OTEL_TRACES_EXPORTER").strip().lower()
    named = exporter or any(config.environment(name) for name in _ENDPOINTS)
    if not named or exporter == "none" or config.environment("OTEL_SDK_DISABLED").strip().lower() == "true":
        return None
    if exporter not in ("", "otlp"):
        raise UserError(f"OTEL_TRACES_EXPORTER is {exporter!r}; the gateway exports by otlp alone: set it to otlp, or to none")
    protocol = next(filter(None, map(config.environment, _PROTOCOLS)), "http/protobuf")
    if protocol != "http/protobuf":
        raise UserError(f"the gateway exports traces by http/protobuf, not by {protocol!r}: set {_PROTOCOLS[1]}=http/protobuf")
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ModuleNotFoundError as error:
        raise UserError(f"tracing is on (OTEL_*), and {error.name} is not installed: {install('telemetry')}") from None
    own = {} if config.environment("OTEL_SERVICE_NAME") else {"service.name": _SERVICE}
    provider = TracerProvider(resource=Resource.create(own | {"service.version": __version__}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider


@contextmanager
def export_to(provider: "TracerProvider | None") -> Iterator[None]:
    """Has spans exported by `provider` inside the block, and sends what is left at its end; with None there are no spans."""
    global _tracer
    before = _tracer
    if provider is not None:
        _tracer = provider.get_tracer("sense.serving", __version__)
    try:
        yield
    finally:
        _tracer = before
        if provider is not None:
            provider.shutdown()


@contextmanager
def span(name: str, attributes: Mapping[str, AttributeValue] | None = None, kind: SpanKind = SpanKind.INTERNAL) -> Iterator[Span]:
    """A span of the block, inside the one that is open; an exception marks it as failed, by its type alone."""
    with _open_span(name, kind, None, attributes) as opened:
        yield opened


@contextmanager
def request_span(headers: Mapping[str, str], attributes: Mapping[str, AttributeValue]) -> Iterator[Span]:
    """The span of a request to the gateway, inside that of its caller where the header traceparent names one."""
    with _open_span("request", SpanKind.SERVER, dict(headers), attributes) as opened:
        yield opened


@contextmanager
def _open_span(
    name: str, kind: SpanKind, carrier: dict[str, str] | None, attributes: Mapping[str, AttributeValue] | None
) -> Iterator[Span]:
    # a context of its own: a connection serves several requests
    context = None if carrier is None else _PROPAGATOR.extract(carrier, Context())
    opened = _tracer.start_span(name, context, kind, attributes)
    with trace.use_span(opened, end_on_exit=True, record_exception=False, set_status_on_exception=False):
        try:
            yield opened
        except BaseException as error:
            fail(opened, type(error).__name__)
            raise


def fail(opened: Span, reason: str) -> None:
    """Marks a span as failed; `reason` is a type, a status or a key of our own, never a message."""
    opened.set_attribute("error.type", reason)
    opened.set_status(StatusCode.ERROR)


def headers() -> dict[str, str]:
    """The headers that continue the open span in another service."""
    carrier: dict[str, str] = {}
    _PROPAGATOR.inject(carrier)
    return carrier
