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
from sense.errors import InputError, UserError
from sense.serving import logs
from sense.serving.backend import BackendError, Version

if TYPE_CHECKING:
    from sense.training.generate import Generator

T = TypeVar("T")
SLOWEST_S = 60.0  # between tries, while a version cannot be had


@dataclass(frozen=True)
class _Found:
    """What the URI means now; `folder` is None where the registry holds it."""

    version: Version
    prompt: PromptConfig
    folder: Path | None


@dataclass(frozen=True)
class _Model:
    """A version in memory. `tokens` counts a prompt's; it reads `context` of them, None if nobody knows."""

    generator: "Generator"
    tokens: Callable[[str], int]
    context: int | None


@dataclass(frozen=True)
class LocalServed:
    """A loaded version (`Served` of sense.serving.backend). A newer one takes nothing from it: it lives as long as it is used."""

    version: Version
    prompt: PromptConfig
    model: _Model
    backend: "LocalBackend"

    async def complete(self, prompt: str, *, n: int, temperature: float) -> Sequence[str]:
        """`n` completions, the same each time; UserError if the prompt is longer than the model reads."""
        return await self.backend.complete(self.model, prompt, n, temperature)


class LocalBackend:
    """`models:/NAME@ALIAS`, looked up again and again, `models:/NAME/VERSION`, or a folder (`Backend`)."""

    def __init__(self, local: LocalConfig, generation: GenerationConfig) -> None:
        self._config, self._generation = local, generation
        # All of torch runs in one thread, loading too: seeds and the default dtype belong to the whole process.
        self._torch = ThreadPoolExecutor(1, "sense-model")
        self._registry = ThreadPoolExecutor(1, "sense-registry")
        self._served: LocalServed | None = None
        self._following: asyncio.Task[None] | None = None
        self._reason = "the model is loading"

    async def start(self) -> None:
        """Looks the model up, then loads and follows it in the background. UserError if there is none, or no way to ask."""
        found = await self._in(self._registry, find, self._config.model)
        self._following = asyncio.create_task(self._follow(found))

    async def current(self) -> LocalServed:
        """The version loaded last."""
        if self._served is None:
            raise BackendError(self._reason, 2.0)
        return self._served

    async def close(self) -> None:
        """Ends following; waits for what the threads have begun."""
        if self._following is not None:
            self._following.cancel()
            await asyncio.gather(self._following, return_exceptions=True)
        for threads in (self._registry, self._torch):
            await asyncio.to_thread(threads.shutdown, wait=True, cancel_futures=True)

    async def complete(self, model: _Model, prompt: str, n: int, temperature: float) -> Sequence[str]:
        """`n` completions of `prompt` by `model`, one request after the other."""
        return await self._in(self._torch, _generate, model, self._generation, prompt, n, temperature)

    async def _in(self, threads: ThreadPoolExecutor, work: Callable[..., T], *given: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(threads, work, *given)

    async def _follow(self, found: _Found) -> None:
        """Serves `found`, and from then on whatever the alias means."""
        wanted: _Found | None = found
        pause, told = self._config.follow_s, ""
        while True:
            try:
                if wanted is None:
                    wanted = await self._in(self._registry, find, self._config.model)
                if self._served is None or self._served.version != wanted.version:
                    await self._serve(wanted)
                if "@" not in self._config.model:
                    return
                pause, told = self._config.follow_s, ""
            except Exception as error:  # whatever it is, the version in use stays in use
                self._reason = "the model cannot be loaded; the gateway's log says why"
                reason = str(error) if isinstance(error, UserError) else type(error).__name__
                if reason != told:
                    logs.event(logging.ERROR, "model_not_loaded", error, model=self._config.model, reason=reason)
                pause, told = min(pause * 2, max(SLOWEST_S, self._config.follow_s)), reason
            wanted = None
            await asyncio.sleep(pause)

    async def _serve(self, found: _Found) -> None:
        """Loads `found` beside what is served, then serves it."""
        folder = found.folder or await self._in(self._registry, fetch, found.version)
        model = await self._in(self._torch, load, folder)
        self._served = LocalServed(found.version, found.prompt, model, self)
        logs.event(
            logging.INFO, "model_loaded", model=found.version.name, version=found.version.version, digest=found.version.digest
        )


def find(uri: str) -> _Found:
    """The version that `uri` means now; UserError if there is none, EndpointError if the registry cannot be asked."""
    registered = uri.startswith("models:/")
    for package in ("torch", "transformers", *(["mlflow"] if registered else [])):
        if find_spec(package) is None:
            raise UserError(
                f"a model in this process needs the package {package}: pip install 'sense[train]', or configure backend.vllm"
            )
    if registered:
        from sense.registry import versions

        known = versions.resolve(uri)
        prompt = config.validate(PromptConfig, known.prompt, uri)
        return _Found(Version(known.name, known.version, known.digest), prompt, None)
    folder = Path(uri)
    if not (folder / "sense.json").is_file():
        raise InputError(f"{uri}: no model folder of SENSE (no sense.json); name one, or models:/NAME@ALIAS of the registry")
    prompt = config.validate(PromptConfig, records.read_json(folder / "sense.json").get("prompt"), str(folder / "sense.json"))
    name = folder.resolve().name
    return _Found(Version(name, name, records.digest(folder)), prompt, folder)


def fetch(version: Version) -> Path:
    """The folder of a registered version, downloaded if it is not here yet."""
    from sense.registry import files

    target = config.work_root() / "serving" / f"{version.name}-{version.version}"
    return files.download(version.name, version.version, target)


def load(folder: Path) -> _Model:
    """The model of `folder`, in memory."""
    from sense.training.generate import load_generator
    from sense.training.model_folder import load_tokenizer

    tokenizer = load_tokenizer(folder)
    settings = folder / "config.json"  # a LoRA adapter has none
    context = records.read_json(settings).get("max_position_embeddings") if settings.is_file() else None
    return _Model(load_generator(folder, batch_size=1), lambda text: len(tokenizer(text)["input_ids"]), context)


def _generate(model: _Model, how: GenerationConfig, prompt: str, n: int, temperature: float) -> list[str]:
    """Generation as `evaluate` and `sample` do it, within what the model reads."""
    room = how.max_new_tokens
    if model.context is not None:
        tokens = model.tokens(prompt)
        room = min(room, model.context - tokens)
        if room < 1:
            raise UserError(
                f"question and schema are longer than the model reads: {tokens} tokens, and it reads {model.context}; "
                "ask a smaller database, or more briefly"
            )
    answers = model.generator.generate([prompt], n=n, temperature=temperature, top_p=how.top_p, max_tokens=room, seed=how.seed)
    return answers[0]
