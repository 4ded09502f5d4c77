"""What the gateway does at each path: questions, databases, feedback, the version, probes, the page."""

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import Literal, TypeVar

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse, PlainTextResponse
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4
from pydantic import TypeAdapter
from pydantic_core import PydanticSerializationError

from sense.errors import InputError
from sense.serving import messages, page
from sense.serving.admission import unless_gone
from sense.serving.backend import BackendError
from sense.serving.databases import Database
from sense.serving.envelope import seen
from sense.serving.feedback import FeedbackStore
from sense.serving.gateway import Gateway
from sense.serving.problems import Refusal, documented
from sense.serving.readiness import PATIENCE_S

T = TypeVar("T")
R = TypeVar("R")
_ROWS = TypeAdapter(list[list[messages.Cell]])
_CELLS = 5_000  # become JSON in one call: a few milliseconds, in which no other thread goes on


class Healthy(messages.Message):
    """All is well."""

    status: Literal["ok"] = "ok"


def questions(gateway: Gateway) -> APIRouter:
    """The routes under /v1 that need a key where there are keys."""
    routes = APIRouter(prefix="/v1")
    asked = documented(400, 404, 408, 415, 422, 429, 503, 504)

    @routes.post("/sql", responses=asked, response_model=messages.Answer, tags=["questions"])
    async def sql(ask: messages.Ask, request: Request) -> Response:
        """SQL that answers a question on a database, executed; with k > 1 candidates vote by their results."""
        gateway.check(ask)
        gateway.catalog.get(ask.database)
        note = seen(request.scope)
        note.fields.update(database=ask.database, k=ask.k)
        found = await unless_gone(request.receive, gateway.answer(ask, note.id))
        gateway.meters.answer(found)
        outcome = next((candidate.outcome for candidate in found.candidates if candidate.chosen), "none")
        model = f"{found.model.name}/{found.model.version}"
        note.fields.update(outcome=outcome, model=model, abstained=found.abstained)
        return await _json(found)

    @routes.get("/databases", responses=documented(504), tags=["databases"])
    async def databases() -> messages.Databases:
        """The databases that may be asked."""
        found = [gateway.catalog.get(name) for name in gateway.catalog.names()]
        return messages.Databases(databases=await _within(gateway, _listed, found))

    @routes.get("/databases/{name}", responses=documented(404, 422, 503, 504), tags=["databases"])
    async def database(name: str) -> messages.DatabaseMessage:
        """A database's tables, columns and keys."""
        return await _within(gateway, _described, gateway.catalog.get(name))

    @routes.get("/model", responses=documented(503, 504), tags=["model"])
    async def model() -> messages.Model:
        """The version of the model in use."""
        async with asyncio.timeout(PATIENCE_S):
            version = (await gateway.backend.current()).version
        gateway.meters.version(version)
        return messages.Model(name=version.name, version=version.version, digest=version.digest)

    if gateway.feedbacks is not None:
        _feedback(routes, gateway, gateway.feedbacks)
    return routes


def _feedback(routes: APIRouter, gateway: Gateway, feedbacks: FeedbackStore) -> None:
    @routes.post("/feedback", responses=documented(400, 404, 408, 409, 415, 422, 429, 503, 504), tags=["questions"])
    async def feedback(said: messages.Feedback, request: Request) -> messages.Kept:
        """What a person says of an answer, kept as data to train on; on disk before this returns."""
        kept = await gateway.keep(feedbacks, said)
        gateway.meters.feedback(said.correct)
        seen(request.scope).fields.update(database=said.database, labelled=kept.labelled)
        return kept


def probes(gateway: Gateway, telling: bool) -> APIRouter:
    """The routes that are open to all: probes, metrics, the page. `telling`: why it is not ready is told to whoever asks."""
    routes = APIRouter(tags=["operation"], responses=documented())
    html, policy = page.html(gateway.config.limits), page.csp()

    @routes.get("/", response_class=HTMLResponse)
    async def home() -> HTMLResponse:
        """The page."""
        return HTMLResponse(html, headers={"Content-Security-Policy": policy})

    @routes.get("/healthz")
    async def healthz() -> Healthy:
        """The process answers."""
        return Healthy()

    @routes.get("/readyz", responses=documented(503))
    async def readyz() -> Healthy:
        """A version of the model is ready and every database can be read."""
        reasons = await gateway.readiness.reasons()
        if reasons:
            details = [{"reason": reason} for reason in reasons] if telling else []
            fix = "see details" if telling else "the gateway's log says why"
            raise Refusal(503, "not_ready", "the gateway is not ready", fix, retry_after_s=1, details=details)
        return Healthy()

    @routes.get("/metrics", response_class=PlainTextResponse)
    async def metrics() -> Response:
        """Metrics in Prometheus' text format."""
        return Response(gateway.meters.text(), media_type=CONTENT_TYPE_PLAIN_0_0_4)

    return routes


async def _within(gateway: Gateway, work: Callable[[T], R], argument: T) -> R:
    """What `work` gives in a thread; TimeoutError after the gateway's limit."""
    async with asyncio.timeout(gateway.config.limits.request_s):
        return await asyncio.to_thread(work, argument)


def _listed(databases: Sequence[Database]) -> list[messages.DatabaseName]:
    return [messages.DatabaseName(name=one.name, dialect=one.dialect, tables=_tables(one)) for one in databases]


def _tables(database: Database) -> int:
    """How many there are; 0 where it cannot be read now, which is no reason not to list the others."""
    try:
        return len(database.schema(0).tables)
    except (InputError, BackendError):
        return 0


def _described(database: Database) -> messages.DatabaseMessage:
    schema = database.schema(0)
    return messages.DatabaseMessage(
        name=database.name,
        dialect=database.dialect,
        tables=messages.table_messages(schema),
        foreign_keys=messages.foreign_key_messages(schema),
    )


async def _json(found: messages.Answer) -> Response:
    """Its JSON as it is: checking it against its own type once more costs time with a thousand rows."""
    many = len(found.rows or ()) * len(found.columns or ()) > _CELLS
    text = await asyncio.to_thread(_in_parts, found) if many else _text(found)
    return Response(text, media_type="application/json")


def _text(found: messages.Answer, without: set[str] | None = None) -> str:
    try:
        return found.model_dump_json(exclude=without)
    except PydanticSerializationError:  # text that UTF-8 has no form for
        return json.dumps(found.model_dump(exclude=without))


def _in_parts(found: messages.Answer) -> str:
    """The same with the rows at the end, a few of them at a time."""
    rows, step = found.rows or [], max(1, _CELLS // len(found.columns or " "))
    parts = [_rows(rows[start : start + step]) for start in range(0, len(rows), step)]
    head = _text(found, {"rows"})
    return f'{head[:-1]},"rows":[{",".join(parts)}]}}'


def _rows(rows: list[list[messages.Cell]]) -> str:
    try:
        return _ROWS.dump_json(rows).decode()[1:-1]
    except PydanticSerializationError:
        return json.dumps(rows)[1:-1]
