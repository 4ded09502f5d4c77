"""The stand-in's batch API: files and batches in memory, in OpenAI's form. A batch goes on by `step`, one request at a time."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any

from sense.stand_in.stand_in import EXPIRED, PATH, StandIn, StandInReply, error_reply

MAX_REQUESTS = 50_000
_ENDED = ("completed", "failed", "expired", "cancelled")


@dataclass
class _File:
    id: str
    name: str
    purpose: str
    content: bytes

    def value(self) -> dict[str, Any]:
        size = {"bytes": len(self.content), "filename": self.name, "purpose": self.purpose}
        return {"id": self.id, "object": "file", "created_at": 0, **size}


@dataclass
class _Batch:
    """`lines` are the requests, `last` how many of them are answered before it ends; results and errors are lines of JSON."""

    id: str
    order: Mapping[str, Any]
    lines: list[dict[str, Any]]
    last: int
    status: str = "in_progress"
    done: int = 0
    results: list[dict[str, Any]] = field(default_factory=list)
    errors: list[dict[str, Any]] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)
    problem: str = ""
    code: str = "invalid_request"

    def value(self) -> dict[str, Any]:
        counts = {"total": len(self.lines), "completed": len(self.results), "failed": len(self.errors)}
        problems = [{"code": self.code, "message": self.problem, "line": None, "param": None}]
        return {
            "id": self.id,
            "object": "batch",
            "created_at": 0,
            **{name: self.order.get(name) for name in ("input_file_id", "endpoint", "completion_window", "metadata")},
            "status": self.status,
            "errors": {"object": "list", "data": problems} if self.problem else None,
            "output_file_id": self.files.get("output"),
            "error_file_id": self.files.get("error"),
            "request_counts": counts,
        }


class BatchDesk:
    """Takes files and batches, whose requests `stand_in` answers; not thread-safe.

    A batch of more requests than `most` fails, as where an account may have no more tokens waiting.
    """

    def __init__(self, stand_in: StandIn, most: int = MAX_REQUESTS) -> None:
        self._stand_in, self._most = stand_in, most
        self._files: dict[str, _File] = {}
        self._batches: dict[str, _Batch] = {}

    def upload(self, name: str, purpose: str, content: bytes) -> StandInReply:
        """Keeps a file."""
        if purpose != "batch":
            return error_reply(400, f"purpose {purpose!r}: only batch is supported", "invalid", "purpose")
        return StandInReply(200, self._keep(name, purpose, content).value())

    def content(self, file: str) -> StandInReply | bytes:
        """The bytes of a file."""
        return self._files[file].content if file in self._files else error_reply(404, f"no such file: {file}", "not_found")

    def order(self, body: Any) -> StandInReply:
        """Makes a batch of an uploaded file; what is wrong with the file fails the batch, as OpenAI has it."""
        if not isinstance(body, dict) or body.get("endpoint") != PATH or body.get("completion_window") != "24h":
            return error_reply(400, f"a batch needs endpoint {PATH} and completion_window 24h", "invalid", "endpoint")
        file = self._files.get(str(body.get("input_file_id")))
        if file is None:
            return error_reply(400, f"no such file: {body.get('input_file_id')}", "invalid", "input_file_id")
        number = len(self._batches)
        lines, problem = _read_lines(file.content)
        expires = self._stand_in.draw((EXPIRED,), Random(f"{self._stand_in.seed}-batch-{number}"))
        batch = _Batch(f"batch_{number}", body, lines, len(lines) // 2 if expires else len(lines), problem=problem)
        if len(lines) > self._most:
            batch.problem, batch.code = "enqueued token limit reached", "token_limit_exceeded"
        if batch.problem:
            batch.status = "failed"
        self._batches[batch.id] = batch
        return StandInReply(200, batch.value())

    def read(self, name: str) -> StandInReply:
        """A batch as it is now."""
        return StandInReply(200, self._batches[name].value()) if name in self._batches else _no_batch(name)

    def page(self, after: str | None, limit: int) -> StandInReply:
        """Batches, the latest first, from the one after `after` on."""
        names = list(self._batches)[::-1]
        start = names.index(after) + 1 if after in names else 0
        chosen = [self._batches[name].value() for name in names[start : start + limit]]
        return StandInReply(200, {"object": "list", "data": chosen, "has_more": start + limit < len(names)})

    def cancel(self, name: str) -> StandInReply:
        """Ends a batch; what is answered stays."""
        if name not in self._batches:
            return _no_batch(name)
        if self._batches[name].status not in _ENDED:
            self._end(self._batches[name], "cancelled")
        return self.read(name)

    def step(self, name: str) -> bool:
        """Answers the next request of a batch; False if it has ended."""
        batch = self._batches[name]
        if batch.status in _ENDED:
            return False
        if batch.done == batch.last:
            self._end(batch, "completed" if batch.last == len(batch.lines) else "expired")
            return False
        line = batch.lines[batch.done]
        batch.done += 1
        reply = self._stand_in.reply(line["body"], limited=False)
        response = {"status_code": reply.status, "request_id": f"{name}-{batch.done}", "body": reply.body}
        results = batch.results if reply.status == 200 else batch.errors
        results.append({"id": f"{name}-{batch.done}", "custom_id": line["custom_id"], "response": response, "error": None})
        return True

    def _end(self, batch: _Batch, status: str) -> None:
        """Writes the files of a batch; what is not answered is among the errors."""
        batch.status = status
        if status != "completed":
            error = {"code": f"batch_{status}", "message": f"this request was not made before the batch was {status}"}
            for line in batch.lines[batch.done :]:
                batch.errors.append({"id": None, "custom_id": line["custom_id"], "response": None, "error": error})
        for kind, lines in (("output", batch.results), ("error", batch.errors)):
            if lines:
                batch.files[kind] = self._keep(f"{batch.id}_{kind}.jsonl", "batch_output", _jsonl(lines)).id

    def _keep(self, name: str, purpose: str, content: bytes) -> _File:
        file = _File(f"file-{len(self._files)}-{hashlib.sha256(content).hexdigest()[:8]}", name, purpose, content)
        self._files[file.id] = file
        return file


def _jsonl(lines: Iterable[Mapping[str, Any]]) -> bytes:
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


def _read_lines(content: bytes) -> tuple[list[dict[str, Any]], str]:
    """The requests of a file, and what is wrong with it."""
    try:
        lines = [json.loads(line) for line in content.splitlines()]
        names = [line["custom_id"] for line in lines]
        urls = {(line["method"], line["url"]) for line in lines}
        bodies = [line["body"] for line in lines]
    except (ValueError, RecursionError, KeyError, TypeError):
        return [], "a line is no request"
    if not 0 < len(bodies) <= MAX_REQUESTS:
        return [], f"{len(bodies)} requests: a batch has from 1 to {MAX_REQUESTS}"
    if urls != {("POST", PATH)} or len(set(names)) < len(names):
        return [], f"each request needs a custom_id of its own, method POST and url {PATH}"
    return lines, ""


def _no_batch(name: str) -> StandInReply:
    return error_reply(404, f"no batch with id {name}", "not_found")
