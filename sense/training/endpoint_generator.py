"""Completions from a server with an OpenAI-compatible `/completions` that takes token ids: vLLM, SGLang, llama.cpp.

It gets the very tokens that the model was trained on, and its count of them is checked. A request that fails by itself is
repeated; what stays wrong ends the stage, which goes on from its finished part when it is run again.
"""

import json
import random
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from typing import Any, NamedTuple

import httpx
from transformers import PreTrainedTokenizerBase

from sense.config import GeneratorConfig
from sense.cost import usage
from sense.endpoint import (
    MAX_RETRY_AFTER_S,
    CallFailure,
    HttpEndpoint,
    Settings,
    error_fields,
    parse_error,
    redirection,
    repeat,
    retry_after,
)
from sense.errors import EndpointError
from sense.training import tokenization
from sense.training.generate import OnProgress, completion_seeds, ignore_progress

# What a request does not say, a server takes from the model's generation_config.json or, as llama.cpp, from defaults of its own.
_NEUTRAL = {"top_k": 0, "min_p": 0.0, "repetition_penalty": 1.0, "presence_penalty": 0.0, "frequency_penalty": 0.0}
_TRANSIENT = (408, 409, 425, 429)
_KEY_FIX = "set VLLM_API_KEY to a key that this server accepts"
_FIXES = {
    401: _KEY_FIX,
    403: _KEY_FIX,
    404: "check generator.url (it usually ends in /v1) and generator.models",
    405: "check generator.url (it usually ends in /v1)",
}
_TOKENS_FIX = "serve the model with a server that takes token ids as the prompt and adds none: vLLM, SGLang or llama.cpp"
_FINISH_FIX = "serve the model with a server that says why a completion ended: vLLM, SGLang or llama.cpp"
_AGAIN = "run again when the server is well: what is finished is kept"


class _Completion(NamedTuple):
    """A completion, and how many tokens the server says that it has; None where it does not say."""

    text: str
    tokens: int | None


class EndpointGenerator:
    """A Generator on a model at a server.

    `pause` sleeps the given number of seconds between two tries; by default it ends early when another request fails for good.
    """

    def __init__(
        self,
        config: GeneratorConfig,
        model: str,
        tokenizer: PreTrainedTokenizerBase,
        context: int | None,
        api_key: str,
        pause: Callable[[float], object] | None = None,
    ) -> None:
        """Asks the server for its models; EndpointError if it cannot be used or does not list this one.

        `context` is how many tokens the model reads. If the server says that it reads fewer, that counts.
        """
        self._config, self._tokenizer = config, tokenizer
        names = {str(role): name for role, name in config.models.items()}
        self._role, self._model = model, names.get(model, model)
        self._failed = threading.Event()
        self._errors: list[EndpointError] = []  # of this call's requests, in the order in which they failed
        self._pause = pause or self._failed.wait
        settings = Settings(
            str(config.url),
            "generator.url",
            "generator",
            "VLLM_API_KEY",
            timeout_s=config.timeout_s,
        )
        self._completions = HttpEndpoint(settings, "/completions", api_key)
        served = self._served_context(HttpEndpoint(settings, "/models", api_key))
        self.context = min((tokens for tokens in (context, served) if tokens is not None), default=None)

    def count_tokens(self, prompts: Sequence[str]) -> list[int]:
        """How many tokens each prompt has."""
        return [len(ids) for ids in tokenization.prompt_tokens(self._tokenizer, prompts)]

    def generate(
        self,
        prompts: Sequence[str],
        *,
        n: int,
        temperature: float,
        top_p: float,
        max_tokens: int,
        seed: int,
        on_progress: OnProgress = ignore_progress,
    ) -> list[list[str]]:
        """`n` completions for each prompt, each from a request with a random seed of its own; temperature 0 is greedy.

        EndpointError if one of them stays without an answer: that of the first that fails, which ends the others.
        """
        requests = [ids for ids in tokenization.prompt_tokens(self._tokenizer, prompts) for _ in range(n)]
        settings = {"model": self._model, "max_tokens": max_tokens, "temperature": temperature, "top_p": top_p, **_NEUTRAL}
        bodies = [
            settings | {"prompt": ids, "seed": one_seed, "stop_token_ids": [self._tokenizer.eos_token_id]}
            for ids, one_seed in zip(requests, completion_seeds(seed, len(prompts), n), strict=True)
        ]
        self._failed.clear()
        self._errors.clear()
        with ThreadPoolExecutor(self._config.concurrency) as threads:
            futures = [threads.submit(self._complete, body) for body in bodies]
            try:
                texts: list[str] = []
                for start in range(0, len(futures), n):
                    texts += [future.result() for future in futures[start : start + n]]
                    on_progress(1)
            except BaseException as error:
                self._failed.set()
                threads.shutdown(wait=False, cancel_futures=True)
                if isinstance(error, EndpointError) and self._errors:
                    raise self._errors[0] from None
                raise
        return [texts[start : start + n] for start in range(0, len(texts), n)]

    def _complete(self, body: Mapping[str, Any]) -> str:
        """The completion for one request; EndpointError if there is none after all tries."""

        def call() -> _Completion | CallFailure:
            if self._failed.is_set():
                return CallFailure("another request has failed", _AGAIN)
            answer = self._completions.call(body)
            return answer if isinstance(answer, CallFailure) else _read_completion(*answer, prompt_tokens=len(body["prompt"]))

        outcome, tries = repeat(call, self._config.retries, self._pause, random.Random(f"{body['seed']}-backoff"))
        if isinstance(outcome, CallFailure):
            error = EndpointError(self._completions.describe(outcome, tries))
            self._errors.append(error)
            self._failed.set()  # now: the caller may wait for an earlier request, which is tried for minutes
            raise error
        if outcome.tokens is None:
            usage.count_gap()
        else:
            usage.count("generated", outcome.tokens)
        return outcome.text

    def _served_context(self, models: HttpEndpoint) -> int | None:
        """How many tokens the server's model reads, None where it does not say; EndpointError as `__init__` raises it."""
        jitter = random.Random("models-backoff")
        outcome, tries = repeat(lambda: _read_models(models.call(None)), self._config.retries, self._pause, jitter)
        if isinstance(outcome, CallFailure):
            raise EndpointError(models.describe(outcome, tries))
        if outcome and self._model not in outcome:
            names = ", ".join(sorted(outcome)[:10])
            raise EndpointError(
                f"{models.name}: serves {names}, and not {self._model}; set generator.models.{self._role} to its name there"
            )
        return outcome.get(self._model)


def _read_models(answer: tuple[httpx.Response, bytes] | CallFailure) -> dict[str, int | None] | CallFailure:
    """The names of the server's models with the tokens that each reads; empty where the server does not list them."""
    if isinstance(answer, CallFailure):
        return answer
    response, body = answer
    status = response.status_code
    if _is_redirection(status):
        return redirection(status, response.headers, "generator.url", "/models")
    if status in (401, 403) or _is_transient(status):
        return _read_error(response, body)
    value = _json(body) if status == HTTPStatus.OK else None
    entries = value.get("data") if isinstance(value, dict) else None
    models: dict[str, int | None] = {}
    for entry in entries if isinstance(entries, list) else []:
        if isinstance(entry, dict) and isinstance(entry.get("id"), str):
            length = entry.get("max_model_len")  # vLLM's and SGLang's
            models[entry["id"]] = length if type(length) is int and length > 0 else None  # a bool is an int to isinstance
    return models


def _read_completion(response: httpx.Response, body: bytes, prompt_tokens: int) -> _Completion | CallFailure:
    """The completion of `prompt_tokens` tokens, or why there is none."""
    if response.status_code != HTTPStatus.OK:
        return _read_error(response, body)
    value = _json(body)
    choices = value.get("choices") if isinstance(value, dict) else None
    choice = choices[0] if isinstance(choices, list) and len(choices) == 1 else None
    text = choice.get("text") if isinstance(choice, dict) else None
    if not isinstance(value, dict) or not isinstance(choice, dict) or not isinstance(text, str):
        excerpt = error_fields(value).message or body[:4096].decode("utf-8", "replace")
        fix = "check that generator.url is that of an OpenAI-compatible API (it usually ends in /v1)"
        return CallFailure(f"HTTP 200 with something that is no completion: {excerpt}", fix, retry=True)
    finish = choice.get("finish_reason")
    if finish is None:
        message = "the server sends no finish_reason, so that a completion that was cut off looks like a whole one"
        return CallFailure(message, _FINISH_FIX, retry=True)
    if finish not in ("stop", "length"):  # vLLM: abort, when it shuts down
        return CallFailure(f"the completion was broken off (finish_reason {finish})", _AGAIN, retry=True)
    counts = value["usage"] if isinstance(value.get("usage"), dict) else {}
    counted = counts.get("prompt_tokens")
    if type(counted) is int and counted != prompt_tokens:
        return CallFailure(f"it read {counted} tokens where {prompt_tokens} were sent", _TOKENS_FIX)
    written = counts.get("completion_tokens")
    whole_characters = text.encode("utf-8", "replace").decode()  # JSON can hold half a surrogate pair, which no file can
    return _Completion(whole_characters, written if type(written) is int else None)


def _read_error(response: httpx.Response, body: bytes) -> CallFailure:
    """What an error response means; one that may go away is to be tried again, unless the server asks to wait for hours."""
    status, error = response.status_code, parse_error(body)
    if _is_redirection(status):
        return redirection(status, response.headers, "generator.url")
    message = f"HTTP {status}: {error.message}" + (f" ({error.codes})" if error.codes else "")
    if _is_transient(status):
        wait = retry_after(response.headers.get("retry-after", ""))
        return CallFailure(message, _AGAIN, retry=wait <= MAX_RETRY_AFTER_S, wait_s=wait)
    return CallFailure(message, _FIXES.get(status, _TOKENS_FIX if status in (400, 422) else "check the section generator"))


def _is_transient(status: int) -> bool:
    return status in _TRANSIENT or status >= HTTPStatus.INTERNAL_SERVER_ERROR


def _is_redirection(status: int) -> bool:
    return HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST


def _json(body: bytes) -> Any:
    """The body as JSON; None if it is not JSON."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None
