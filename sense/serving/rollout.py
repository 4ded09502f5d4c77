"""The rollout that MLflow's registry says: looked up regularly, in a thread of its own; and where aborted canaries are reported.

The registry need not be reachable: until it has answered once there is no canary, and then what it said last counts.
"""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from typing import TypeVar

from sense.errors import UserError, install
from sense.registry.rollout import Canary, Rollout
from sense.serving import observability

T = TypeVar("T")
_MAX_PAUSE_S = 60.0  # between tries while the registry cannot be asked


class RolloutFollower:
    """Follows the registered model `model`; `rollout` is what the registry said last."""

    def __init__(self, model: str, follow_s: float) -> None:
        """UserError if the package mlflow is missing."""
        if find_spec("mlflow") is None:
            raise UserError(
                f"canary follows MLflow's registry, and the package mlflow is not installed: {install('canary')}, "
                "or leave canary out"
            )
        self.rollout = Rollout()
        self._model, self._follow_s = model, follow_s
        self._thread = ThreadPoolExecutor(1, "sense-rollout")
        self._aborts: list[tuple[Canary, str, str]] = []  # canary, reason, time: not yet in the registry
        self._wake = asyncio.Event()
        self._following: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Follows it in the background from now on."""
        self._following = asyncio.create_task(self._follow())

    async def close(self) -> None:
        """Stops following; waits for a request to the registry that has begun."""
        if self._following is not None:
            self._following.cancel()
            await asyncio.gather(self._following, return_exceptions=True)
        await asyncio.to_thread(self._thread.shutdown, wait=True, cancel_futures=True)

    def abort(self, canary: Canary, reason: str, at: str) -> None:
        """Has the registry told that this gateway has aborted `canary`, as soon as it can be reached."""
        self._aborts.append((canary, reason, at))
        self._wake.set()

    async def _follow(self) -> None:
        pause, logged = self._follow_s, ""
        while True:
            try:
                await self._report_aborts()
                self._use(await self._run(_read, self._model))
                pause, logged = self._follow_s, ""
            except Exception as error:  # whatever it is, what was read last stays in use
                reason = str(error) if isinstance(error, UserError) else type(error).__name__
                if reason != logged:
                    observability.log_event(logging.ERROR, "registry_away", error, model=self._model, reason=reason)
                pause, logged = min(pause * 2, max(_MAX_PAUSE_S, self._follow_s)), reason
            try:
                async with asyncio.timeout(pause):
                    await self._wake.wait()
            except TimeoutError:
                pass
            self._wake.clear()

    def _use(self, rollout: Rollout) -> None:
        if rollout == self.rollout:
            return
        self.rollout = rollout
        running = rollout.running
        fields = {"canary": running.version, "weight": running.weight} if running is not None else {"canary": None}
        observability.log_event(logging.INFO, "rollout", model=self._model, champion=rollout.champion, **fields)

    async def _report_aborts(self) -> None:
        while self._aborts:
            await self._run(_write_abort, self._model, *self._aborts[0])
            self._aborts.pop(0)

    async def _run(self, work: Callable[..., T], *arguments: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, *arguments)


def _read(model: str) -> Rollout:
    from sense.registry import canary

    return canary.read(model)


def _write_abort(model: str, aborted: Canary, reason: str, at: str) -> None:
    from sense.registry import canary

    canary.end(model, aborted, "aborted", "gateway", reason, at)
