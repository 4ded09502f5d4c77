"""How long a version takes for a question, asked one at a time: in this process, or at an endpoint that serves it."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sense import config, console
from sense.errors import EndpointError, InputError
from sense.report.text import printable

_TIMEOUT_S = 120.0
_EXCERPT = 300  # characters of an endpoint's response in a message


@dataclass(frozen=True)
class ModelEndpoint:
    """An OpenAI-compatible server (its key: environment variable VLLM_API_KEY) and the name that it serves the version under."""

    url: str
    served_name: str


@dataclass(frozen=True)
class MeasuredLatency:
    """Milliseconds for a greedy answer, at the median and the 95th percentile of `n` questions; `where` they were measured."""

    p50_ms: float
    p95_ms: float
    n: int
    where: str

    def tags(self) -> dict[str, str]:
        """The tags that the version carries."""
        return {f"sense.latency.{key}": str(value) for key, value in vars(self).items()}


GATE_TAG = "sense.latency.p95_ms"  # the one that the gate looks at


def measure_here(folder: Path, prompts: Sequence[str], max_tokens: int) -> MeasuredLatency:
    """Measures the model in `folder` in this process."""
    from sense.training import devices
    from sense.training.generate import load_generator

    model = load_generator(folder, batch_size=1)
    room = math.inf if model.context is None else model.context - max_tokens
    fitting = [prompt for prompt, tokens in zip(prompts, model.count_tokens(prompts), strict=True) if tokens <= room]
    if len(fitting) < len(prompts):
        left_out = f"{len(prompts) - len(fitting):,} of {len(prompts):,} prompts"
        console.say(f"{left_out} are longer than the model reads, and not measured")

    def ask(prompt: str) -> None:
        model.generate([prompt], n=1, temperature=0.0, top_p=1.0, max_tokens=max_tokens, seed=0)

    return time_prompts(ask, fitting, f"{devices.device().type}, transformers")


def measure_endpoint(endpoint: ModelEndpoint, prompts: Sequence[str], max_tokens: int) -> MeasuredLatency:
    """Measures the model that an endpoint serves; EndpointError if that does not answer as it should."""
    import httpx

    url = endpoint.url.rstrip("/") + ("" if endpoint.url.rstrip("/").endswith("/v1") else "/v1")
    key = config.environment("VLLM_API_KEY")
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    try:
        address = str(httpx.URL(url).copy_with(userinfo=b"", query=None))
        client = httpx.Client(headers=headers, timeout=_TIMEOUT_S)
    except (httpx.InvalidURL, UnicodeEncodeError):
        raise InputError("--endpoint: no address, or VLLM_API_KEY no key; write http://HOST:PORT/v1") from None

    def ask(prompt: str) -> None:
        body = {"model": endpoint.served_name, "prompt": prompt, "temperature": 0, "max_tokens": max_tokens}
        try:
            response = client.post(f"{url}/completions", json=body)
            is_completion = response.status_code == httpx.codes.OK and isinstance(response.json()["choices"][0]["text"], str)
        except httpx.HTTPError as error:
            raise EndpointError(f"{address}: no answer ({type(error).__name__}); check --endpoint and that it runs") from None
        except (ValueError, LookupError, TypeError):
            is_completion = False
        if not is_completion:
            text = printable(response.text[:_EXCERPT])
            raise EndpointError(
                f"{address}: HTTP {response.status_code}, no completion ({text}); {_fix(response.status_code, endpoint)}"
            )

    with client:
        return time_prompts(ask, prompts, f"endpoint, {endpoint.served_name}")


def _fix(status: int, endpoint: ModelEndpoint) -> str:
    if status in (401, 403):
        return "set VLLM_API_KEY to a key that it accepts"
    if status == 404:
        return f"it serves no {endpoint.served_name!r}: give --served-name"
    if status == 400:
        return "if a question and its answer are too long for it, lower --max-new-tokens"
    return "check that --endpoint is that of an OpenAI-compatible server"


def time_prompts(ask: Callable[[str], None], prompts: Sequence[str], where: str) -> MeasuredLatency:
    """Times one prompt after the other; before that the first once more, unmeasured, to warm up."""
    if not prompts:
        raise InputError("no prompts to measure with; evaluate and publish the model again")
    ask(prompts[0])
    milliseconds: list[float] = []
    with console.bar("measure", len(prompts)) as bar:
        for prompt in prompts:
            started = time.perf_counter()
            ask(prompt)
            milliseconds.append(1000 * (time.perf_counter() - started))
            bar.advance()
    return MeasuredLatency(percentile(milliseconds, 0.5), percentile(milliseconds, 0.95), len(milliseconds), where)


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of the values do not exceed, to a hundredth."""
    return round(sorted(values)[math.ceil(share * len(values)) - 1], 2)
