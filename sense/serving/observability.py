"""What operators see of the gateway: its log on stderr and its Prometheus metrics at /metrics.

The log is one JSON object a line, without questions, SQL, rows, keys, addresses or query strings. Of an exception it holds types
and code locations, as its message and its source lines may hold data. Of other libraries' messages it holds those of uvicorn,
which contain no data (its access log, which does, is off), and of the rest where they came from.
"""

import json
import logging
import sys
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TextIO

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from sense.serving.admission import Admission
from sense.serving.backend import ServedVersion
from sense.serving.degradation import Observation
from sense.serving.messages import AnswerResponse, ModelMessage

LOG = logging.getLogger("sense.serving")
_FRAMES = 12  # code locations of an exception that are logged, the innermost ones
_SAFE_LOGGERS = ("sense", "uvicorn")  # loggers whose messages hold no data of requests


class JsonFormatter(logging.Formatter):
    """A log record as a line of JSON; `event` and `fields` are passed by `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        """One line; json.dumps escapes line breaks."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": getattr(record, "event", "log"),
        }
        fields = getattr(record, "fields", None)
        if fields is None:
            fields = {"logger": record.name, "place": f"{record.module}:{record.lineno}"}
            if record.name.partition(".")[0] in _SAFE_LOGGERS:
                fields["message"] = record.getMessage().strip().partition("\n")[0]
        if record.exc_info and record.exc_info[1] is not None:
            fields = fields | error_fields(record.exc_info[1])
        return json.dumps(line | fields)


def error_fields(error: BaseException) -> dict[str, Any]:
    """An exception's type, the types of its causes, and the code locations it came from."""
    types: list[str] = []
    current: BaseException | None = error
    while current is not None and len(types) < 5:
        types.append(type(current).__name__)
        current = current.__cause__ or current.__context__
    locations = [f"{frame.f_globals.get('__name__', '?')}:{line}" for frame, line in traceback.walk_tb(error.__traceback__)]
    return {"error": types[0], "because": types[1:], "at": locations[-_FRAMES:]}


def log_event(level: int, name: str, error: BaseException | None = None, /, **fields: Any) -> None:
    """Writes a line to the log."""
    LOG.log(level, name, extra={"event": name, "fields": fields}, exc_info=error)


def configure_logging(level: str, stream: TextIO | None = None) -> None:
    """Sets up this process's logging as JSON lines: SENSE's from `level` on, warnings of other libraries."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter())
    # without the lines of uvicorn/lifespan/on.py: the start and the stop are logged as events
    handler.addFilter(lambda record: not (record.name == "uvicorn.error" and record.module == "on"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(logging.WARNING, logging.getLevelName(level.upper())))
    logging.getLogger("sense").setLevel(level.upper())
    logging.captureWarnings(True)


_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_SHARES = (0.2, 0.4, 0.6, 0.8, 1.0)


class Metrics:
    """The Prometheus metrics of one gateway, in a registry of its own. Labels have few values: templates, statuses, outcomes."""

    def __init__(self, admission: Admission) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter("sense_requests", "Requests answered", ["route", "status"], registry=self._registry)
        self._seconds = Histogram("sense_request_seconds", "Time to answer", ["route"], buckets=_SECONDS, registry=self._registry)
        self._stages = Histogram(
            "sense_stage_seconds", "Time of one stage of /v1/sql", ["stage"], buckets=_SECONDS, registry=self._registry
        )
        self._candidates = Counter("sense_candidates", "SQL written, by what became of it", ["outcome"], registry=self._registry)
        self._abstained = Counter("sense_abstained", "Answers without SQL", registry=self._registry)
        self._feedback = Counter("sense_feedback", "Feedback kept", ["correct"], registry=self._registry)
        self._model = Gauge("sense_model_info", "The version in use", ["name", "version"], registry=self._registry)
        self._version: tuple[str, str] | None = None
        self._answers = Counter("sense_version_answers", "Requests by version", ["version", "outcome"], registry=self._registry)
        self._writing = Histogram(
            "sense_version_seconds", "Time to write the candidates", ["version"], buckets=_SECONDS, registry=self._registry
        )
        self._votes = Histogram(
            "sense_version_vote_share",
            "Share of candidates that agree with the answer, where k is above 1",
            ["version"],
            buckets=_SHARES,
            registry=self._registry,
        )
        self._judgements = Counter(
            "sense_version_feedback", "Feedback kept, by version", ["version", "correct"], registry=self._registry
        )
        self._observed_versions: set[str] = set()
        self._weight = Gauge("sense_canary_weight", "Percent of the candidate", ["version"], registry=self._registry)
        self._aborts = Counter("sense_canary_aborts", "Aborted candidates", ["version", "limit"], registry=self._registry)
        self._canary_weight: Callable[[], tuple[str, float] | None] = lambda: None
        in_flight = Gauge("sense_in_flight", "Requests for SQL at work", registry=self._registry)
        in_flight.set_function(lambda: admission.working)
        waiting = Gauge("sense_waiting", "Requests for SQL that wait for a slot", registry=self._registry)
        waiting.set_function(lambda: admission.waiting)

    def request(self, route: str, status: int, seconds: float) -> None:
        """Counts a response; `route` is a template."""
        self._requests.labels(route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def answer(self, answer: AnswerResponse) -> None:
        """Counts an answer's candidates and stages."""
        for candidate in answer.candidates:
            self._candidates.labels(candidate.outcome).inc()
        if answer.abstained:
            self._abstained.inc()
        for stage in ("queue", "model", "execution"):
            self._stages.labels(stage).observe(getattr(answer.latency_ms, stage) / 1000)

    def observe(self, observation: Observation) -> None:
        """Counts what a request observed of a version."""
        version = observation.version.version
        self._observed_versions.add(version)
        self._answers.labels(version, observation.outcome).inc()
        if observation.outcome != "error":
            self._writing.labels(version).observe(observation.seconds)
        if observation.vote_share is not None:
            self._votes.labels(version).observe(observation.vote_share)

    def feedback(self, correct: bool, version: str | None) -> None:
        """Counts a piece of feedback; by its version only if that has answered here, as the caller may write anything."""
        self._feedback.labels(str(correct).lower()).inc()
        if version in self._observed_versions:
            self._judgements.labels(version, str(correct).lower()).inc()

    def follow_canary(self, weight: Callable[[], tuple[str, float] | None]) -> None:
        """Has the metrics show version and weight that `weight` returns."""
        self._canary_weight = weight

    def abort(self, version: str, limit: str) -> None:
        """Counts a canary that was aborted because it was beyond `limit`."""
        self._aborts.labels(version, limit).inc()

    def version(self, version: ServedVersion | ModelMessage) -> None:
        """Sets the version in use, and removes the one before."""
        name_and_version = (version.name, version.version)
        if name_and_version != self._version:
            self._version = name_and_version
            self._model.clear()
            self._model.labels(*name_and_version).set(1)

    def text(self) -> bytes:
        """All metrics in Prometheus' text format."""
        self._weight.clear()
        canary = self._canary_weight()
        if canary is not None:
            self._weight.labels(canary[0]).set(canary[1])
        return generate_latest(self._registry)
