"""The gateway as an ASGI application: its routes, its middleware, its life span, its OpenAPI document."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Literal, TypeVar

from fastapi import APIRouter, FastAPI, Request, Response, Security
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, PlainTextResponse
from fastapi.security import HTTPBearer
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4
from pydantic import Field, TypeAdapter
from pydantic_core import PydanticSerializationError
from starlette.exceptions import HTTPException

from sense import __version__
from sense.config import LimitsConfig, ServeConfig, environment
from sense.errors import InputError
from sense.serving import messages, middleware, page
from sense.serving.admission import cancel_if_client_leaves
from sense.serving.backend import Backend, BackendError
from sense.serving.browsing.routes import router
from sense.serving.canary import assignment_unit
from sense.serving.databases import Catalog, Database
from sense.serving.feedback import FeedbackStore
from sense.serving.gateway import CHECK_TIMEOUT_S, Gateway
from sense.serving.middleware import RequestMiddleware, RouteTemplates, request_info
from sense.serving.problems import ApiError, openapi_responses

_DESCRIPTION = (
    "Answers a question on a database with SQL that has been executed. Every error is a Problem; the header X-Request-Id "
    "identifies a request."
)
_SPARE_THREADS = 16  # beside those that requests for SQL use


def create_app(config: ServeConfig, backend: Backend, catalog: Catalog) -> FastAPI:
    """The gateway's application; its life span starts and closes backend and catalog. API keys are read from the environment."""
    gateway = Gateway(config, backend, catalog)
    keys = middleware.parse_keys(environment(config.keys))
    app = FastAPI(
        title="SENSE gateway",
        version=__version__,
        description=_DESCRIPTION,
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
        lifespan=_lifespan(gateway),
        docs_url=None,  # these pages load scripts from a CDN
        redoc_url=None,
        redirect_slashes=False,
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
    )
    for kind in (HTTPException, RequestValidationError):
        app.add_exception_handler(kind, _reraise)  # RequestMiddleware responds
    # only for the OpenAPI document: AccessMiddleware checks the keys
    guards = [Security(HTTPBearer(auto_error=False))] if keys else []
    app.include_router(operation_routes(gateway, show_reasons=not keys))
    app.include_router(api_routes(gateway), dependencies=guards, responses=openapi_responses(401))
    if config.data is not None and Path(config.data).is_dir():
        routes = router(Path(config.data), config.limits)
        app.include_router(routes, dependencies=guards, responses=openapi_responses(401))
    document = _openapi_document(app, config.limits)
    capacity_checks = {"/v1/sql": gateway.sql_admission.check_capacity}
    app.add_middleware(
        middleware.AccessMiddleware, keys=keys, body_bytes=config.limits.body_bytes, capacity_checks=capacity_checks
    )
    app.add_middleware(RequestMiddleware, routes=RouteTemplates(document), metrics=gateway.metrics)
    return app


async def _reraise(_: Request, error: Exception) -> Response:
    raise error


def _lifespan(gateway: Gateway) -> Any:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        slots = gateway.config.limits.concurrency
        threads = ThreadPoolExecutor(2 * slots + _SPARE_THREADS, "sense")
        asyncio.get_running_loop().set_default_executor(threads)
        threads.submit(gateway.catalog.warm)
        async with AsyncExitStack() as stack:
            stack.push_async_callback(asyncio.to_thread, gateway.catalog.close)
            stack.push_async_callback(gateway.backend.close)
            stack.push_async_callback(gateway.close)
            try:
                await gateway.backend.start()
            except Exception as error:
                app.state.failure = error  # for `command`: uvicorn does not keep it
                raise
            yield

    return lifespan


def _openapi_document(app: FastAPI, limits: LimitsConfig) -> dict[str, Any]:
    """The OpenAPI document, with this gateway's limits; every error is JSON, whatever else the route responds with."""
    document = app.openapi()
    for operation in (operation for path in document["paths"].values() for operation in path.values()):
        for status, response in operation["responses"].items():
            if status != "200":
                response["content"] = {"application/json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    properties = document["components"]["schemas"]["AskRequest"]["properties"]
    for name in ("question", "evidence"):
        properties[name]["maxLength"] = limits.question_chars
    properties["k"]["maximum"] = limits.candidates
    return document


T = TypeVar("T")
R = TypeVar("R")
_ROWS = TypeAdapter(list[list[messages.Cell]])
_MAX_CELLS = 5_000  # serialized in one call, which takes a few milliseconds and lets no other thread run


class HealthResponse(messages.Message):
    """The response of a probe that succeeds."""

    status: Literal["ok"] = "ok"


class ReadyResponse(HealthResponse):
    """The response of /readyz where the gateway is ready; `unreadable` says which databases can't be read now, and why."""

    unreadable: list[str] = Field(default_factory=list)


def api_routes(gateway: Gateway) -> APIRouter:
    """The routes under /v1 that need a key where there are keys."""
    routes = APIRouter(prefix="/v1")
    errors = openapi_responses(400, 404, 408, 415, 422, 429, 503, 504)

    @routes.post("/sql", responses=errors, response_model=messages.AnswerResponse, tags=["questions"])
    async def sql(ask: messages.AskRequest, request: Request) -> Response:
        """SQL that answers a question on a database, executed; with k > 1 candidates vote by their results."""
        gateway.check_limits(ask)
        gateway.catalog.get(ask.database)
        info = request_info(request.scope)
        info.fields.update(database=ask.database, k=ask.k)
        answer = await cancel_if_client_leaves(request.receive, gateway.answer(ask, info.id, _unit(gateway, request)))
        outcome = next((candidate.outcome for candidate in answer.candidates if candidate.chosen), "none")
        model = f"{answer.model.name}/{answer.model.version}"
        info.fields.update(outcome=outcome, model=model, abstained=answer.abstained)
        return await _json_response(answer)

    @routes.get("/databases", responses=openapi_responses(504), tags=["databases"])
    async def databases() -> messages.DatabasesResponse:
        """The databases that may be asked."""
        databases = [gateway.catalog.get(name) for name in gateway.catalog.names()]
        return messages.DatabasesResponse(databases=await _in_thread(gateway, _summaries, databases))

    @routes.get("/databases/{name}", responses=openapi_responses(404, 422, 503, 504), tags=["databases"])
    async def database(name: str) -> messages.DatabaseMessage:
        """A database's tables, columns and keys."""
        return await _in_thread(gateway, _database_message, gateway.catalog.get(name))

    @routes.get("/model", responses=openapi_responses(503, 504), tags=["model"])
    async def model() -> messages.ModelMessage:
        """The version of the model in use."""
        async with asyncio.timeout(CHECK_TIMEOUT_S):
            version = (await gateway.backend.current()).version
        gateway.metrics.version(version)
        return messages.ModelMessage(name=version.name, version=version.version, digest=version.digest)

    if gateway.feedbacks is not None:
        _add_feedback_route(routes, gateway, gateway.feedbacks)
    return routes


def _unit(gateway: Gateway, request: Request) -> str:
    """What is assigned to one version as a whole; hashed, and kept nowhere."""
    if gateway.config.canary is None:
        return ""
    session, key = (request.headers.get(name, "") for name in ("x-session-id", "authorization"))
    return assignment_unit(gateway.config.canary.assign, request_info(request.scope).id, session, key)


def _add_feedback_route(routes: APIRouter, gateway: Gateway, feedbacks: FeedbackStore) -> None:
    @routes.post("/feedback", responses=openapi_responses(400, 404, 408, 409, 415, 422, 429, 503, 504), tags=["questions"])
    async def feedback(body: messages.FeedbackRequest, request: Request) -> messages.FeedbackResponse:
        """A person's judgement of an answer, stored as training data; it is on disk before this returns."""
        stored = await gateway.store_feedback(feedbacks, body)
        gateway.metrics.feedback(body.correct, body.model.version if body.model is not None else None)
        request_info(request.scope).fields.update(database=body.database, labelled=stored.labelled)
        return stored


def operation_routes(gateway: Gateway, show_reasons: bool) -> APIRouter:
    """The routes that need no key: probes, metrics, the page. With `show_reasons`, /readyz says why the gateway is not ready."""
    routes = APIRouter(tags=["operation"], responses=openapi_responses())
    html, policy = page.html(gateway.config.limits), page.csp()

    @routes.get("/", response_class=HTMLResponse)
    async def home() -> HTMLResponse:
        """The page."""
        return HTMLResponse(html, headers={"Content-Security-Policy": policy})

    @routes.get("/healthz")
    async def healthz() -> HealthResponse:
        """The process answers."""
        return HealthResponse()

    @routes.get("/readyz", responses=openapi_responses(503))
    async def readyz() -> ReadyResponse:
        """A version of the model is ready, and databases can be read."""
        report = await gateway.readiness.report()
        if report.reasons:
            details = [{"reason": reason} for reason in report.reasons] if show_reasons else []
            fix = "see details" if show_reasons else "the gateway's log says why"
            raise ApiError(503, "not_ready", "the gateway is not ready", fix, retry_after_s=1, details=details)
        return ReadyResponse(unreadable=report.unreadable if show_reasons else [])

    @routes.get("/metrics", response_class=PlainTextResponse)
    async def metrics() -> Response:
        """Metrics in Prometheus' text format."""
        return Response(gateway.metrics.text(), media_type=CONTENT_TYPE_PLAIN_0_0_4)

    return routes


async def _in_thread(gateway: Gateway, work: Callable[[T], R], argument: T) -> R:
    """The result of `work` in a thread; TimeoutError after the gateway's limit on a request."""
    async with asyncio.timeout(gateway.config.limits.request_s):
        return await asyncio.to_thread(work, argument)


def _summaries(databases: Sequence[Database]) -> list[messages.DatabaseSummaryMessage]:
    return [
        messages.DatabaseSummaryMessage(name=database.name, dialect=database.dialect, tables=_table_count(database))
        for database in databases
    ]


def _table_count(database: Database) -> int:
    """The number of tables; 0 if the database cannot be read now: the others are listed all the same."""
    try:
        return len(database.schema(0).tables)
    except (InputError, BackendError):
        return 0


def _database_message(database: Database) -> messages.DatabaseMessage:
    schema = database.schema(0)
    return messages.DatabaseMessage(
        name=database.name,
        dialect=database.dialect,
        tables=messages.table_messages(schema),
        foreign_keys=messages.foreign_key_messages(schema),
    )


async def _json_response(answer: messages.AnswerResponse) -> Response:
    """The answer as JSON, without FastAPI's validation of the response, which takes long for a thousand rows."""
    many = len(answer.rows or ()) * len(answer.columns or ()) > _MAX_CELLS
    text = await asyncio.to_thread(_json_in_parts, answer) if many else _json(answer)
    return Response(text, media_type="application/json")


def _json(answer: messages.AnswerResponse, exclude: set[str] | None = None) -> str:
    try:
        return answer.model_dump_json(exclude=exclude)
    except PydanticSerializationError:  # text that UTF-8 cannot encode
        return json.dumps(answer.model_dump(exclude=exclude))


def _json_in_parts(answer: messages.AnswerResponse) -> str:
    """The same, with the rows at the end, serialized a few at a time."""
    rows, step = answer.rows or [], max(1, _MAX_CELLS // len(answer.columns or " "))
    parts = [_rows_json(rows[start : start + step]) for start in range(0, len(rows), step)]
    head = _json(answer, {"rows"})
    return f'{head[:-1]},"rows":[{",".join(parts)}]}}'


def _rows_json(rows: list[list[messages.Cell]]) -> str:
    try:
        return _ROWS.dump_json(rows).decode()[1:-1]
    except PydanticSerializationError:
        return json.dumps(rows)[1:-1]
