"""What Prometheus reads at /metrics. Labels are few: route templates, statuses, outcomes, the version in use."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from sense.serving.admission import Admission
from sense.serving.backend import Version
from sense.serving.messages import Answer, Model

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Meters:
    """The metrics of one gateway, in a registry of its own."""

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
        at_work = Gauge("sense_in_flight", "Requests for SQL at work", registry=self._registry)
        at_work.set_function(lambda: admission.working)
        waiting = Gauge("sense_waiting", "Requests for SQL that wait for a place", registry=self._registry)
        waiting.set_function(lambda: admission.waiting)

    def request(self, route: str, status: int, seconds: float) -> None:
        """Counts a response; `route` is a template."""
        self._requests.labels(route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def answer(self, answer: Answer) -> None:
        """Counts an answer's candidates and stages."""
        self.version(answer.model)
        for candidate in answer.candidates:
            self._candidates.labels(candidate.outcome).inc()
        if answer.abstained:
            self._abstained.inc()
        for stage in ("queue", "model", "execution"):
            self._stages.labels(stage).observe(getattr(answer.latency_ms, stage) / 1000)

    def feedback(self, correct: bool) -> None:
        """Counts a piece of feedback."""
        self._feedback.labels(str(correct).lower()).inc()

    def version(self, version: Version | Model) -> None:
        """Shows the version in use, and no other."""
        now = (version.name, version.version)
        if now != self._version:
            self._version = now
            self._model.clear()
            self._model.labels(*now).set(1)

    def text(self) -> bytes:
        """In Prometheus' text format."""
        return generate_latest(self._registry)
