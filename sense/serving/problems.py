"""Errors of the API: the HTTP status of each exception, its response (`messages.Problem`), its text in the OpenAPI document."""

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

_MAX_DETAILS = 20  # wrong fields that a 422 lists; a body of 64 KB can hold thousands
_MAX_FIELD_NAME = 100  # characters; the caller may have invented the name

_DESCRIPTIONS = {
    400: "The body is not valid JSON.",
    401: "No valid API key.",
    403: "The host name of the request is not a loopback name.",
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


class ApiError(Exception):
    """Ends a request with `status`, an error code for programs, a message and a fix for people, headers, and the wrong fields."""

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


def api_error(error: BaseException) -> ApiError:
    """The ApiError for an exception. An unexpected one becomes a 500 that reveals nothing about it."""
    match error:
        case ApiError():
            return error
        case BackendError():
            return ApiError(503, "unavailable", error.reason, _RETRY, retry_after_s=error.retry_after_s)
        case DeadlineError():
            message, _, fix = str(error).partition("; ")
            return ApiError(504, "deadline", message, fix or _ASK_LESS)
        case RequestValidationError():
            return _invalid(error)
        case HTTPException():
            return _by_status(error)
    return next((problem for kind, problem in _BY_TYPE.items() if isinstance(error, kind)), _INTERNAL)


_ASK_LESS = "ask for less, or again later"
_RETRY = "send it again after Retry-After seconds"
_BY_TYPE: dict[type[Exception], ApiError] = {
    UnknownDatabaseError: ApiError(404, "unknown_database", "there is no such database", "GET /v1/databases lists them"),
    UnknownPairError: ApiError(404, "unknown_pair", "there is no such pair", "GET /v1/data/pairs lists them"),
    ConflictError: ApiError(409, "conflict", "this id was given with other content", "send it under an id of its own"),
    InputError: ApiError(503, "unreadable", "the data cannot be read now", _RETRY, retry_after_s=5),
    StorageError: ApiError(503, "not_stored", "it could not be stored", _RETRY, retry_after_s=30),
    TimeoutError: ApiError(504, "deadline", "the request took too long", _ASK_LESS),
}
_INTERNAL = ApiError(500, "internal", "the gateway failed", "tell its operator the id")


def _invalid(error: RequestValidationError) -> ApiError:
    details = [
        {"field": ".".join(str(part)[:_MAX_FIELD_NAME] for part in problem["loc"]), "message": problem["msg"]}
        for problem in error.errors()[:_MAX_DETAILS]
    ]
    return ApiError(422, "invalid", "the request does not fit the API", "mend the fields in details", details=details)


def _by_status(error: HTTPException) -> ApiError:
    status = HTTPStatus(error.status_code)
    message, fix = {
        400: ("the body cannot be read", "send valid JSON in UTF-8"),
        404: ("there is nothing at this path", "GET /openapi.json lists the paths"),
        405: ("this path does not take this method", "use one that the header Allow names"),
    }.get(status, (status.phrase.lower(), "see /openapi.json"))
    return ApiError(status, status.phrase.lower().replace(" ", "_"), message, fix, headers=error.headers)


def response(problem: ApiError, request_id: str) -> Response:
    """The JSON response for an ApiError."""
    body = Problem(error=problem.error, message=problem.message, fix=problem.fix, id=request_id, details=problem.details)
    # ASCII, as the name of a field may hold characters that UTF-8 cannot encode
    text = json.dumps(body.model_dump())
    return Response(text, problem.status, problem.headers, "application/json")


def openapi_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The error responses of a route for OpenAPI: `statuses`, and those that every route can have."""
    responses: dict[int | str, dict[str, Any]] = {}
    for status in sorted({*statuses, 403, 413, 431, 500}):
        responses[status] = {"model": Problem, "description": _DESCRIPTIONS[status]}
        if status in (429, 503):
            responses[status]["headers"] = {
                "Retry-After": {"description": "seconds", "schema": {"type": "integer", "minimum": 1}}
            }
        if status == 401:
            responses[status]["headers"] = {"WWW-Authenticate": {"schema": {"type": "string"}}}
    return responses
