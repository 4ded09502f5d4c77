"""Every error as a `messages.Problem`: which status an exception means, and what the OpenAPI document says of it."""

import json
import math
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from sense.errors import InputError, StorageError
from sense.serving.answer import DeadlineError
from sense.serving.backend import BackendError
from sense.serving.browsing.datasets import UnknownPairError
from sense.serving.databases import UnknownDatabaseError
from sense.serving.feedback import ConflictError
from sense.serving.messages import Problem

_DETAILS = 20  # wrong fields that a 422 lists; a body of 64 KB can hold thousands
_SHOWN = 100  # characters of a field's name, which the caller may have made up

_ABOUT = {
    400: "The body is no JSON.",
    401: "No valid API key.",
    403: "The name that the gateway was called by is not its own.",
    404: "There is nothing of that name.",
    408: "The body did not arrive in time.",
    409: "The id is taken by other content.",
    413: "The body is too large.",
    415: "The body is not application/json.",
    422: "A field is missing, wrong or beyond a limit.",
    429: "Too many requests at a time.",
    431: "The headers are too large.",
    500: "A defect of the gateway; the id finds it in the log.",
    503: "The model or a database cannot be used just now.",
    504: "It took longer than the gateway's limit.",
}


class Refusal(Exception):  # noqa: N818  (what a caller is told, seldom an error of ours)
    """Ends a request: `status`, a word for programs, a message and a fix for people, headers, wrong fields."""

    def __init__(
        self,
        status: int,
        error: str,
        message: str,
        fix: str,
        *,
        retry_after_s: float | None = None,
        headers: Mapping[str, str] | None = None,
        details: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        super().__init__(error)
        self.status, self.error, self.message, self.fix = status, error, message, fix
        self.headers = dict(headers or {})
        if retry_after_s is not None:
            self.headers["Retry-After"] = str(max(1, math.ceil(min(retry_after_s, 3600))))
        self.details = [dict(detail) for detail in details]


def refusal(error: BaseException) -> Refusal:
    """What `error` means to the caller. An exception that nobody expected is a 500 that says nothing of itself."""
    match error:
        case Refusal():
            return error
        case BackendError():
            return Refusal(503, "unavailable", error.reason, _AGAIN, retry_after_s=error.retry_after_s)
        case DeadlineError():
            message, _, fix = str(error).partition("; ")
            return Refusal(504, "deadline", message, fix or _LESS)
        case RequestValidationError():
            return _invalid(error)
        case HTTPException():
            return _by_status(error)
    return next((problem for kind, problem in _MEANT.items() if isinstance(error, kind)), _INTERNAL)


_LESS = "ask for less, or again later"
_AGAIN = "send it again after Retry-After seconds"
_MEANT: dict[type[Exception], Refusal] = {
    UnknownDatabaseError: Refusal(404, "unknown_database", "there is no such database", "GET /v1/databases lists them"),
    UnknownPairError: Refusal(404, "unknown_pair", "there is no such pair", "GET /v1/data/pairs lists them"),
    ConflictError: Refusal(409, "conflict", "this id was given with other content", "send it under an id of its own"),
    InputError: Refusal(503, "unreadable", "the data cannot be read now", _AGAIN, retry_after_s=5),
    StorageError: Refusal(503, "not_stored", "it could not be stored", _AGAIN, retry_after_s=30),
    TimeoutError: Refusal(504, "deadline", "the request took too long", _LESS),
}
_INTERNAL = Refusal(500, "internal", "the gateway failed", "tell its operator the id")


def _invalid(error: RequestValidationError) -> Refusal:
    details = [
        {"field": ".".join(str(part)[:_SHOWN] for part in problem["loc"]), "message": problem["msg"]}
        for problem in error.errors()[:_DETAILS]
    ]
    return Refusal(422, "invalid", "the request does not fit the API", "mend the fields in details", details=details)


def _by_status(error: HTTPException) -> Refusal:
    status = HTTPStatus(error.status_code)
    message, fix = {
        400: ("the body cannot be read", "send valid JSON in UTF-8"),
        404: ("there is nothing at this path", "GET /openapi.json lists what there is"),
        405: ("this path does not take this method", "use one that the header Allow names"),
    }.get(status, (status.phrase.lower(), "see /openapi.json"))
    return Refusal(status, status.phrase.lower().replace(" ", "_"), message, fix, headers=error.headers)


def response(problem: Refusal, request_id: str) -> Response:
    """The JSON response for `problem`."""
    body = Problem(error=problem.error, message=problem.message, fix=problem.fix, id=request_id, details=problem.details)
    # ASCII, as a field's name may hold what UTF-8 cannot
    text = json.dumps(body.model_dump())
    return Response(text, problem.status, problem.headers, "application/json")


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The responses of a route for OpenAPI: those given, and those that every route can have."""
    found: dict[int | str, dict[str, Any]] = {}
    for status in sorted({*statuses, 403, 413, 431, 500}):
        found[status] = {"model": Problem, "description": _ABOUT[status]}
        if status in (429, 503):
            found[status]["headers"] = {"Retry-After": {"description": "seconds", "schema": {"type": "integer", "minimum": 1}}}
        if status == 401:
            found[status]["headers"] = {"WWW-Authenticate": {"schema": {"type": "string"}}}
    return found
