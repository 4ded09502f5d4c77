"""Candidates from a model in this process: a version of the MLflow registry, or a model folder."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from sense import config, records
from sense.config import GenerationConfig, LocalConfig, PromptConfig
from sense.errors import InputError, UserError, install
from sense.serving import observability
from sense.serving.backend import BackendError, ServedVersion
from sense.training import model_files

if TYPE_CHECKING:
    from sense.training.generate import Generator

T = TypeVar("T")
MAX_RETRY_PAUSE_S = 60.0  # between tries while a version cannot be loaded


@dataclass(frozen=True)
class _ResolvedModel:
    """The version that the URI means now; `folder` is None if it is in the registry."""

    version: ServedVersion
    prompt: PromptConfig
    folder: Path | None


@dataclass(frozen=True)
class LocalModel:
    """A loaded version (a `ServedModel`). It stays usable while a newer one is served."""

    version: ServedVersion
    prompt: PromptConfig
    model: "Generator"
    backend: "LocalBackend"

    async def complete(self, prompt: str, *, n: int, temperature: float) -> Sequence[str]:
        """`n` completions, reproducible; UserError if the prompt is longer than the model reads."""
        return await self.backend.complete(self.model, prompt, n, temperature)


class LocalBackend:
    """A `Backend` on `models:/NAME@ALIAS`, which is looked up regularly, `models:/NAME/VERSION`, or a folder."""

    def __init__(self, local: LocalConfig, generation: GenerationConfig) -> None:
        self._config, self._generation = local, generation
        # All of torch runs in one thread, loading too: random seeds and the default dtype are global to the process.
        self._torch = ThreadPoolExecutor(1, "sense-model")
        self._registry = ThreadPoolExecutor(1, "sense-registry")
        self._served: LocalModel | None = None
        self._following: asyncio.Task[None] | None = None
        self._reason = "the model is loading"

    async def start(self) -> None:
        """Looks the model up, then loads and follows it in the background. UserError if there is none or a package is missing."""
        resolved = await self._run_in(self._registry, resolve, self._config.model)
        self._following = asyncio.create_task(self._follow(resolved))

    async def current(self) -> LocalModel:
        """The model loaded last; BackendError while there is none."""
        if self._served is None:
            raise BackendError(self._reason, 2.0)
        return self._served

    async def close(self) -> None:
        """Stops following the alias; waits for the work that threads have begun."""
        if self._following is not None:
            self._following.cancel()
            await asyncio.gather(self._following, return_exceptions=True)
        for threads in (self._registry, self._torch):
            await asyncio.to_thread(threads.shutdown, wait=True, cancel_futures=True)

    async def complete(self, model: "Generator", prompt: str, n: int, temperature: float) -> Sequence[str]:
        """`n` completions of `prompt` by `model`, one request after the other."""
        return await self._run_in(self._torch, _generate, model, self._generation, prompt, n, temperature)

    async def _run_in(self, threads: ThreadPoolExecutor, work: Callable[..., T], *arguments: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(threads, work, *arguments)

    async def _follow(self, first: _ResolvedModel) -> None:
        """Serves `first`, and from then on the version that the alias means."""
        resolved: _ResolvedModel | None = first
        pause, logged = self._config.follow_s, ""
        while True:
            try:
                if resolved is None:
                    resolved = await self._run_in(self._registry, resolve, self._config.model)
                if self._served is None or self._served.version != resolved.version:
                    await self._serve(resolved)
                if "@" not in self._config.model:
                    return
                pause, logged = self._config.follow_s, ""
            except Exception as error:  # whatever it is, the version in use stays in use
                self._reason = "the model cannot be loaded; the gateway's log says why"
                reason = str(error) if isinstance(error, UserError) else type(error).__name__
                if reason != logged:
                    observability.log_event(logging.ERROR, "model_not_loaded", error, model=self._config.model, reason=reason)
                pause, logged = min(pause * 2, max(MAX_RETRY_PAUSE_S, self._config.follow_s)), reason
            resolved = None
            await asyncio.sleep(pause)

    async def _serve(self, resolved: _ResolvedModel) -> None:
        """Loads a version while the one before is still served, then serves it."""
        folder = resolved.folder or await self._run_in(self._registry, download, resolved.version)
        model = await self._run_in(self._torch, load_model, folder)
        self._served = LocalModel(resolved.version, resolved.prompt, model, self)
        observability.log_event(
            logging.INFO,
            "model_loaded",
            model=resolved.version.name,
            version=resolved.version.version,
            digest=resolved.version.digest,
        )


def resolve(uri: str) -> _ResolvedModel:
    """The version that `uri` means now; UserError if there is none, EndpointError if the registry cannot be asked."""
    registered = uri.startswith("models:/")
    for package in ("torch", "transformers", *(["mlflow"] if registered else [])):
        if find_spec(package) is None:
            raise UserError(f"a model in this process needs the package {package}: {install('train')}, or configure backend.vllm")
    if registered:
        from sense.registry import versions

        registered_version = versions.resolve(uri)
        prompt = config.validate(PromptConfig, registered_version.prompt, uri)
        version = ServedVersion(registered_version.name, registered_version.version, registered_version.digest)
        return _ResolvedModel(version, prompt, None)
    folder = Path(uri)
    if not (folder / "sense.json").is_file():
        raise InputError(f"{uri}: no model folder of SENSE (no sense.json); name one, or models:/NAME@ALIAS of the registry")
    info = model_files.read_object(folder / "sense.json")
    prompt = config.validate(PromptConfig, info.get("prompt"), f"{folder / 'sense.json'}, prompt")
    name = folder.resolve().name
    return _ResolvedModel(ServedVersion(name, name, records.digest(folder)), prompt, folder)


def download(version: ServedVersion) -> Path:
    """The folder of a registered version, downloaded if it is not here yet."""
    from sense.registry import files

    target = config.work_root() / "serving" / f"{version.name}-{version.version}"
    return files.download(version.name, version.version, target)


def load_model(folder: Path) -> "Generator":
    """The model of a folder, in memory."""
    from sense.training.generate import load_generator

    return load_generator(folder, batch_size=1)


def _generate(model: "Generator", settings: GenerationConfig, prompt: str, n: int, temperature: float) -> list[str]:
    """`n` completions, generated as `evaluate` and `sample` do, within the context of the model."""
    max_tokens = settings.max_new_tokens
    if model.context is not None:
        [tokens] = model.count_tokens([prompt])
        max_tokens = min(max_tokens, model.context - tokens)
        if max_tokens < 1:
            raise UserError(
                f"question and schema are longer than the model reads: {tokens} tokens, and it reads {model.context}; "
                "ask a smaller database, or more briefly"
            )
    completions = model.generate(
        [prompt], n=n, temperature=temperature, top_p=settings.top_p, max_tokens=max_tokens, seed=settings.seed
    )
    return completions[0]
