"""Batches of requests at an OpenAI-compatible batch API: files with requests go up, files with answers come down.

A batch has a folder of its own until its answers are kept: `FOLDER/NAME/requests.jsonl` holds what was asked, `batch.json` where.
The latter is written before the batch is ordered, and the order carries NAME, so that a run that is killed at any moment, or lost
the answer to its order, finds the batch at the endpoint and never orders it twice.
"""

import json
import random
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

import httpx

from sense import records
from sense.config import LlmConfig
from sense.endpoint import CallFailure, HttpEndpoint, Settings, repeat
from sense.errors import EndpointError, InputError
from sense.records import Record
from sense.teacher.responses import read_response

MAX_BATCH_BYTES = 200_000_000
ENDED = ("completed", "failed", "expired", "cancelled")
FIRST_POLL_S = 1.0
MAX_POLL_S = 60.0
POLL_GROWTH = 1.5
RETRIES = 10
"""Further tries of a call about a batch, about six minutes in all: an answer to it is worth hours of waiting."""
_URL = "/v1/chat/completions"
_ORDER, _REQUESTS = "batch.json", "requests.jsonl"
_NAME_KEY = "sense"
"""The key of a batch's metadata that holds its name here."""
_MAX_PAGES = 50
_ANY_REQUEST = {"messages": [{"role": "user"}]}

Call = Callable[[], tuple[httpx.Response, bytes] | CallFailure]


class BatchEnd(Record):
    """How a batch ended: a status of ENDED, the ids of the files with answers and errors, and why it failed, if it did."""

    status: str
    files: list[str]
    code: str
    problem: str


class _Order(Record):
    """`batch.json`: server and model, the run that has ordered it, the id of the uploaded file.

    The batch's own id and its end are there as soon as they are known.
    """

    server: str
    model: str
    run: str
    file: str
    batch: str = ""
    end: BatchEnd | None = None


@dataclass(frozen=True)
class SentBatch:
    """A batch at the endpoint: its folder's name here, its id there, the requests by their name, and how it ended if it has.

    It is `own` if this run has sent it, in whatever try.
    """

    name: str
    id: str
    requests: Mapping[str, Mapping[str, Any]]
    own: bool
    end: BatchEnd | None = None


@dataclass(frozen=True)
class BatchAnswer:
    """What became of the request called `name`: a response, or `error`, the code of what kept it from being made."""

    name: str
    status: int
    body: bytes
    error: str


class BatchApi:
    """The batches of one model at one endpoint, whose folders are in `folder`.

    `run` names the run that sends them, `pause` sleeps so many seconds, `say` gets lines for a person. Whatever fails for good
    raises EndpointError.
    """

    def __init__(
        self,
        config: LlmConfig,
        api_key: str,
        folder: Path,
        run: str,
        pause: Callable[[float], object],
        say: Callable[[str], None],
    ) -> None:
        self._config, self._folder, self._run, self._pause, self._say = config, folder, run, pause, say
        settings = Settings(config.base_url, "llm.base_url", "llm", "SENSE_API_KEY", timeout_s=config.timeout_s)
        self._files, self._batches = (HttpEndpoint(settings, path, api_key) for path in ("/files", "/batches"))
        self._jitter = random.Random("batches")

    def unfinished(self) -> list[SentBatch]:
        """The batches whose answers are not all kept, those of which this process or another was killed; the oldest first."""
        paths = sorted(self._folder.glob(f"[!.]*/{_ORDER}"), key=lambda path: (path.stat().st_mtime_ns, path))
        return [batch for path in paths if (batch := self._reopen(path)) is not None]

    def send(self, requests: Mapping[str, Mapping[str, Any]], bodies: Sequence[Mapping[str, Any]]) -> SentBatch:
        """Orders a batch of all these requests, in the form of `bodies`, as far as MAX_BATCH_BYTES allow."""
        with tempfile.TemporaryFile() as stream:
            sent: dict[str, Mapping[str, Any]] = {}
            for (name, request), body in zip(requests.items(), bodies, strict=True):
                line = json.dumps({"custom_id": name, "method": "POST", "url": _URL, "body": body}).encode() + b"\n"
                if stream.tell() + len(line) > MAX_BATCH_BYTES and sent:
                    break
                stream.write(line)
                sent[name] = request
            file = self._upload(stream)
        batch = SentBatch(uuid.uuid4().hex, "", sent, own=True)
        unfinished = self._folder / f".{batch.name}.partial"
        with records.atomic(unfinished / _REQUESTS) as target:
            for name, request in sent.items():
                target.write(json.dumps({"name": name, "request": request}).encode() + b"\n")
        order = _Order(server=self._batches.name, model=self._config.model, run=self._run, file=file)
        self._write(unfinished, order)
        unfinished.replace(self._folder / batch.name)
        return self._place(batch, order)

    def wait(self, batch: SentBatch) -> BatchEnd:
        """Asks how the batch is going until it has ended, and says so at each tenth."""
        if batch.end is not None:
            return batch.end
        pause, progress = FIRST_POLL_S, 0
        while True:
            value = self._call(
                self._batches, lambda: self._batches.call(None, f"/{batch.id}"), self._absence(batch, "this batch")
            )
            status, counts = str(value.get("status")), value.get("request_counts") or {}
            if status in ENDED:
                end = _read_end(value, status)
                folder = self._folder / batch.name
                order = _Order.model_validate(records.read_json(folder / _ORDER))
                self._write(folder, order.model_copy(update={"end": end}))
                return end
            total = len(batch.requests)
            answered, failed = (count if type(count := counts.get(name)) is int else 0 for name in ("completed", "failed"))
            if answered + failed >= progress + max(1, total // 10):
                progress = answered + failed
                self._say(f"batch {batch.id}: {answered:,} of {total:,} answered" + (f", {failed:,} failed" if failed else ""))
            self._pause(pause)
            pause = min(MAX_POLL_S, pause * POLL_GROWTH)

    def answers(self, batch: SentBatch, end: BatchEnd) -> Iterator[BatchAnswer]:
        """What became of the requests, as far as the files of the batch say so."""
        for number, file in enumerate(end.files):
            path = self._folder / batch.name / f"results-{number}.jsonl"
            if not path.exists():
                self._download(batch, file, path)
            with path.open("rb") as stream:
                for line in stream:
                    answer = _read_answer(line)
                    if answer is not None and answer.name in batch.requests:
                        yield answer

    def remove(self, batch: SentBatch) -> None:
        """Forgets a batch, all of whose answers are kept."""
        records.remove(self._folder / batch.name)

    def _reopen(self, path: Path) -> SentBatch | None:
        """A batch of an earlier run, with its id; None if it belongs to another model or server."""
        try:
            order = _Order.model_validate(records.read_json(path))
            with path.with_name(_REQUESTS).open("rb") as stream:
                requests = {line["name"]: line["request"] for line in map(json.loads, stream)}
        except (ValueError, KeyError, TypeError, OSError):
            raise InputError(
                f"{path.parent}: no batch as SENSE writes it; delete the folder, and its requests are made again"
            ) from None
        if (order.server, order.model) != (self._batches.name, self._config.model):
            return None
        batch = SentBatch(path.parent.name, order.batch, requests, order.run == self._run, order.end)
        return batch if batch.id else self._place(batch, order, perhaps_placed=True)

    @staticmethod
    def _write(folder: Path, order: _Order) -> None:
        records.write_json(folder / _ORDER, order.model_dump())

    def _upload(self, stream: IO[bytes]) -> str:
        """The id of the uploaded file."""

        def upload() -> tuple[httpx.Response, bytes] | CallFailure:
            stream.seek(0)
            return self._files.upload(stream, _REQUESTS, {"purpose": "batch"})

        return _id(self._call(self._files, upload, _NO_BATCHES), self._files)

    def _place(self, batch: SentBatch, order: _Order, perhaps_placed: bool = False) -> SentBatch:
        """Orders the batch, unless it is at the endpoint already; the batch with its id, which is written down."""
        body = {
            "input_file_id": order.file,
            "endpoint": _URL,
            "completion_window": "24h",
            "metadata": {_NAME_KEY: batch.name},
        }

        def place() -> tuple[httpx.Response, bytes] | CallFailure:
            nonlocal perhaps_placed
            if perhaps_placed and (there := self._look_up(batch.name)) is not None:
                return there
            perhaps_placed = True
            return self._batches.call(body)

        identity = _id(self._call(self._batches, place, _NO_BATCHES), self._batches)
        self._write(self._folder / batch.name, order.model_copy(update={"batch": identity}))
        self._say(f"batch {identity}: {len(batch.requests):,} requests; a run that is stopped finds it again")
        return replace(batch, id=identity)

    def _look_up(self, name: str) -> tuple[httpx.Response, bytes] | CallFailure | None:
        """The batch that was ordered under a name, as its order was answered; a failure, or None if there is none."""
        parameters = {"limit": "100"}
        for _ in range(_MAX_PAGES):
            answer = self._batches.call(None, parameters=parameters)
            page = answer if isinstance(answer, CallFailure) else _object(*answer)
            if isinstance(page, CallFailure):
                return page
            batches = [value for value in page.get("data") or [] if isinstance(value, dict)]
            for value in batches:
                if (value.get("metadata") or {}).get(_NAME_KEY) == name:
                    return httpx.Response(httpx.codes.OK), json.dumps(value).encode()
            if not page.get("has_more") or not batches:
                return None
            parameters["after"] = str(batches[-1].get("id"))
        return None

    def _download(self, batch: SentBatch, file: str, path: Path) -> None:
        with records.atomic(path) as target:

            def download() -> tuple[httpx.Response, bytes] | CallFailure:
                target.seek(0)
                target.truncate()
                answer = self._files.download(f"/{file}/content", target)
                if isinstance(answer, CallFailure) or answer[0].status_code != httpx.codes.OK:
                    return answer
                return answer[0], b"{}"

            self._call(self._files, download, self._absence(batch, f"the file {file} with answers of batch {batch.id}"))

    def _absence(self, batch: SentBatch, subject: str) -> str:
        folder = self._folder / batch.name
        return (
            f"{subject} is not there; with another llm.base_url or key it may be, else delete {folder}, and its "
            f"{len(batch.requests):,} requests are made, and paid for, again"
        )

    def _call(self, endpoint: HttpEndpoint, call: Call, absence: str) -> dict[str, Any]:
        """The JSON object that a call brings, tried again while its failure may go away; `absence` is the fix of a 404 or 405."""

        def outcome() -> dict[str, Any] | CallFailure:
            answer = call()
            if isinstance(answer, CallFailure):
                return answer
            value = _object(*answer)
            missing = answer[0].status_code in (httpx.codes.NOT_FOUND, httpx.codes.METHOD_NOT_ALLOWED)
            return replace(value, fix=absence, retry=False) if isinstance(value, CallFailure) and missing else value

        value, tries = repeat(outcome, RETRIES, self._pause, self._jitter)
        if isinstance(value, CallFailure):
            raise EndpointError(endpoint.describe(value, tries))
        return value


_NO_BATCHES = "this server has no batch API, or llm.base_url is not its address: set llm.mode to requests"


def _object(response: httpx.Response, body: bytes) -> dict[str, Any] | CallFailure:
    """The JSON object of a response, or why there is none."""
    if response.status_code == httpx.codes.OK:
        try:
            value = json.loads(body)
        except (ValueError, RecursionError):
            value = None
        if isinstance(value, dict):
            return value
        return CallFailure("HTTP 200 with something that is no JSON object", _NO_BATCHES)
    outcome = read_response(response, body, _ANY_REQUEST)
    return outcome if isinstance(outcome, CallFailure) else CallFailure(f"HTTP {response.status_code}", _NO_BATCHES)


def _id(value: Mapping[str, Any], endpoint: HttpEndpoint) -> str:
    identity = value.get("id")
    if not isinstance(identity, str) or not identity:
        raise EndpointError(f"{endpoint.name}: the answer names no id; {_NO_BATCHES}")
    return identity


def _read_end(value: Mapping[str, Any], status: str) -> BatchEnd:
    files = [file for name in ("output_file_id", "error_file_id") if isinstance(file := value.get(name), str) and file]
    errors = value.get("errors")
    listed = errors.get("data") if isinstance(errors, dict) else errors
    first = listed[0] if isinstance(listed, list) and listed and isinstance(listed[0], dict) else {}
    code, problem = str(first.get("code") or ""), str(first.get("message") or "no reason is named")
    return BatchEnd(status=status, files=files, code=code, problem=problem)


def _read_answer(line: bytes) -> BatchAnswer | None:
    """A line of a file of results; None if it cannot be read, so that its request counts as one without an answer."""
    try:
        value = json.loads(line)
        name, response, error = value["custom_id"], value.get("response"), value.get("error")
        if isinstance(response, dict) and response.get("status_code"):
            return BatchAnswer(name, int(response["status_code"]), json.dumps(response.get("body")).encode(), "")
        return BatchAnswer(name, 0, b"", str((error or {}).get("code") or "no response"))
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
        return None
