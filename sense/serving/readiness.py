"""Whether the gateway can answer questions now: a version of the model is ready, and every database can be read."""

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor

from sense.serving import logs
from sense.serving.backend import Backend, BackendError
from sense.serving.databases import Catalog
from sense.serving.meters import Meters

FRESH_S = 1.0  # an answer holds for so long, whoever asks
PATIENCE_S = 2.0  # for the model and the databases to say so


class Readiness:
    """Looks in the background, with a thread of its own, so that traffic and hanging databases do not hold a probe up."""

    def __init__(self, backend: Backend, catalog: Catalog, meters: Meters) -> None:
        self._backend, self._catalog, self._meters = backend, catalog, meters
        self._threads = ThreadPoolExecutor(1, "sense-ready")
        self._look: asyncio.Task[list[str]] | None = None
        self._looked_at = 0.0
        self._told: list[str] = []

    async def reasons(self) -> list[str]:
        """Why it is not ready; empty if it is."""
        now = asyncio.get_running_loop().time()
        if self._look is None or (self._look.done() and now - self._looked_at > FRESH_S):
            self._looked_at = now
            self._look = asyncio.create_task(self._see())
        done, _ = await asyncio.wait((self._look,), timeout=PATIENCE_S)
        return self._look.result() if done else [f"it took more than {PATIENCE_S:g} s to look"]

    async def close(self) -> None:
        """Ends a look; its thread ends with its database's answer."""
        if self._look is not None:
            self._look.cancel()
            await asyncio.gather(self._look, return_exceptions=True)
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _see(self) -> list[str]:
        try:
            reasons = [*await self._model(), *await self._databases()]
        except Exception as error:
            logs.event(logging.ERROR, "failed", error, route="/readyz")
            reasons = ["the gateway failed; its log says where"]
        if reasons != self._told:
            self._told = reasons
            logs.event(logging.WARNING if reasons else logging.INFO, "not_ready" if reasons else "ready", reasons=reasons)
        return reasons

    async def _model(self) -> list[str]:
        try:
            async with asyncio.timeout(PATIENCE_S):
                served = await self._backend.current()
        except BackendError as error:
            return [f"model: {error.reason}"]
        except TimeoutError:
            return ["model: no answer"]
        self._meters.version(served.version)
        return []

    async def _databases(self) -> list[str]:
        names = await asyncio.get_running_loop().run_in_executor(self._threads, self._catalog.check)
        return [f"database {name}: cannot be read" for name in names]
