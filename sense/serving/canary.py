"""A candidate beside the champion: which version a question goes to, who answers if that fails, and when it is aborted.

Champion and candidate have a vLLM server each. The registry says which version is the champion, which one the canary, and what
its weight is (`sense.serving.rollout`). A question that the candidate does not answer is answered by the champion. A canary that
is worse by a test (`sense.serving.degradation`) is aborted: here at once, and in the registry, so that it stays so in all
gateways and after a restart.
"""

import hashlib
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from sense.config import AbortConfig, VllmConfig
from sense.registry.rollout import Canary, Rollout
from sense.serving import observability
from sense.serving.backend import Backend, BackendError, ModelSource, ServedModel, ServedVersion, VersionAwayError
from sense.serving.degradation import Degradation, Observation, find_degradation

WINDOW = 2_000  # observations of a version that are compared, the newest ones
REST_S = 2.0  # seconds for which a candidate that could not be reached is not asked again: it may take seconds to find out
_TIME = "%Y-%m-%d %H:%M:%S.%f"


class RolloutSource(Protocol):
    """What says which versions are in service, and is told of an abort: `sense.serving.rollout.RolloutFollower`."""

    @property
    def rollout(self) -> Rollout:
        """The rollout as it is known now."""
        ...

    async def start(self) -> None:
        """Begins to look it up."""
        ...

    async def close(self) -> None:
        """Ends that."""
        ...

    def abort(self, canary: Canary, reason: str, at: str) -> None:
        """Takes note that `canary` was aborted `at` that time, and why."""
        ...


@dataclass(frozen=True)
class VersionServer:
    """A model server and the versions, by number, that it may serve."""

    backend: Backend
    versions: frozenset[str]


def version_server(backend: Backend, config: VllmConfig, model: str) -> VersionServer:
    """The server that `config` describes, with the versions of the registered model `model`."""
    return VersionServer(backend, frozenset(served.version for served in config.models.values() if served.name == model))


class CanaryBackend:
    """A `Backend` on the servers of champion and candidate; `current` and fallbacks are the champion's."""

    def __init__(self, abort: AbortConfig, champion: VersionServer, candidate: VersionServer, source: RolloutSource) -> None:
        self._abort, self._champion, self._candidate, self._source = abort, champion, candidate, source
        self._resting_until = 0.0
        self._aborted: set[str] = set()  # by the time of their start
        self._compared: tuple[str | None, str, str] | None = None  # champion, canary and start that are being compared
        self._observed: dict[str, deque[Observation]] = {}  # by version
        self._answers = 0  # of the candidate since its start, failed ones too
        self.on_abort: Callable[[Canary, Degradation], None] = lambda *_: None

    async def start(self) -> None:
        """Starts both servers' backends, and begins to follow the registry."""
        for part in (self._champion.backend, self._candidate.backend, self._source):
            await part.start()

    async def close(self) -> None:
        """Ends background work and closes connections."""
        for part in (self._source, self._candidate.backend, self._champion.backend):
            await part.close()

    @property
    def running(self) -> Canary | None:
        """The canary that gets questions now; None if there is none, it was aborted, or this gateway has no server for it."""
        canary = self._source.rollout.running
        if canary is None or canary.started in self._aborted or canary.version not in self._candidate.versions:
            return None
        return canary

    async def current(self) -> ServedModel:
        """The champion's model; BackendError if none is ready."""
        *preferred, configured = self._champions()
        for source in preferred:
            with suppress(BackendError):
                return await source.current()
        return await configured.current()

    def routes(self, unit: str) -> Sequence[ModelSource]:
        """The servers to ask for a request, each if those before it fail; `unit` is what is assigned as a whole."""
        canary = self.running
        if canary is None or not is_assigned(unit, canary) or time.monotonic() < self._resting_until:
            return self._champions()
        return [_CandidateSource(self, canary), *self._champions()]

    def _champions(self) -> list[ModelSource]:
        """The servers with the champion, and in any case the configured one, which has served the champion before."""
        champion = self._source.rollout.champion
        if champion not in self._candidate.versions:
            return [self._champion.backend]
        promoted: list[ModelSource] = [self._candidate.backend, self._champion.backend]
        return promoted[::-1] if champion in self._champion.versions else promoted

    async def ask_candidate(self, canary: Canary) -> ServedModel:
        """The candidate's model; BackendError if its server cannot be asked, or serves another version."""
        try:
            served = await self._candidate.backend.current()
            if served.version.version != canary.version:
                raise BackendError(f"the candidate's server has version {served.version.version}, not {canary.version}")
        except BackendError as error:
            self._resting_until = time.monotonic() + REST_S
            if self._observed.get(canary.version):  # else it is still starting, which is no failure
                raise VersionAwayError(ServedVersion("", canary.version, ""), error.reason) from None
            raise
        return served

    def observe(self, observation: Observation) -> None:
        """Takes account of what a request observed, and aborts the canary if that shows that it is worse."""
        version, canary = observation.version.version, self.running
        if canary is not None:
            compared = (self._source.rollout.champion, canary.version, canary.started)
            if compared != self._compared:
                self._compared, self._answers = compared, 0
                self._observed.pop(canary.version, None)
        self._observed.setdefault(version, deque(maxlen=WINDOW)).append(observation)
        if canary is not None and version == canary.version:
            self._answers += 1
            if self._answers % self._abort.answers == 0:
                self._judge(canary, self._answers // self._abort.answers)

    def _judge(self, canary: Canary, judgement: int) -> None:
        champion = self._observed.get(self._source.rollout.champion or "", ())
        degradation = find_degradation(tuple(self._observed[canary.version]), tuple(champion), self._abort, judgement)
        if degradation is None:
            return
        self._aborted.add(canary.started)
        self._source.abort(canary, degradation.text, datetime.now(UTC).strftime(_TIME))
        observability.log_event(
            logging.WARNING,
            "canary_aborted",
            version=canary.version,
            limit=degradation.limit,
            reason=degradation.text,
            judgement=judgement,
        )
        self.on_abort(canary, degradation)


@dataclass(frozen=True)
class _CandidateSource:
    """The candidate's server as one request asks it (a `ModelSource`)."""

    backend: CanaryBackend
    canary: Canary

    async def current(self) -> ServedModel:
        """The candidate's model; BackendError if there is none."""
        return await self.backend.ask_candidate(self.canary)


def is_assigned(unit: str, canary: Canary) -> bool:
    """Whether `unit` belongs to the canary's share. A greater weight keeps those that had it; another canary draws others."""
    digest = hashlib.sha256(f"{canary.started}\0{unit}".encode()).digest()
    return int.from_bytes(digest[:8]) / 2**64 * 100 < canary.weight


def assignment_unit(assign: str, request_id: str, session: str, key: str) -> str:
    """What is assigned as a whole by `assign` of CanaryConfig: a request, or its session or its caller's key, if it has one."""
    return {"session": session, "key": key}.get(assign) or request_id
