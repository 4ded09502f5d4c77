"""Requests to an LLM beside those for drafts, several at once.

What has failed is logged the moment it happens, and a rerun after a kill counts it as failed again, so that it ends as if it had
not been killed; answers are kept by the client.
"""

from collections.abc import Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

from sense.records import Log, Record
from sense.teacher.ledger import Tokens
from sense.teacher.openai import ChatClient, FailedExchange
from sense.teacher.responses import ChatCompletion


def json_format(name: str, properties: Mapping[str, Any]) -> dict[str, Any]:
    """The form of an answer, an object with these properties alone, as OpenAI, vLLM and their like take it."""
    return {"type": "json_schema", "json_schema": {"name": name, "strict": True, "schema": closed_object(properties)}}


def closed_object(properties: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON schema of an object with these properties, all of them required, and no others."""
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(properties),
        "additionalProperties": False,
    }


class ChatRequest(NamedTuple):
    """A system and a user message, and the turns after them: each an answer of the model and the user's next message.

    `response_format` is the form of the answer where it is not that of the client.
    """

    system: str
    user: str
    seed: int
    turns: tuple[tuple[str, str], ...] = ()
    response_format: Mapping[str, Any] | None = None


class FailedRequest(Record):
    """A line of the log: an exchange that brought no answer, as FailedExchange says it."""

    seed: int
    turns: int
    reason: str
    detail: str
    requests: int


class Exchanges:
    """Makes requests of one kind in at most `workers` threads. Use it in a `with` block.

    `log` is the JSONL file of what has failed; no two kinds of requests share one, as a request is known by its seed in it.
    `usage` gets the tokens of each answer, None where it does not say.
    """

    def __init__(self, client: ChatClient, log: Path, workers: int, usage: list[Tokens | None]) -> None:
        self._client, self._usage = client, usage
        self._log = Log(log, FailedRequest)
        self._failed = {
            (line.seed, line.turns): FailedExchange(line.reason, line.detail, line.requests) for line in self._log.rows
        }
        self._lock = Lock()
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="exchange")

    def submit(self, request: ChatRequest) -> Future[ChatCompletion | FailedExchange]:
        """What becomes of a request, as a future; it raises what the client raises."""
        return self._pool.submit(self._exchange, request)

    def forget(self, requests: Iterable[ChatRequest]) -> None:
        """Forgets, after the end, the answers to these requests, and all that failed: a rerun asks for them again."""
        for request in requests:
            self._client.forget(request.system, request.user, seed=request.seed, turns=request.turns)
        self._log.path.unlink(missing_ok=True)

    def _exchange(self, request: ChatRequest) -> ChatCompletion | FailedExchange:
        key = (request.seed, len(request.turns))
        outcome = self._failed.get(key)
        if outcome is not None:
            return outcome
        answer = self._client.chat(
            request.system, request.user, seed=request.seed, turns=request.turns, response_format=request.response_format
        )
        if not isinstance(answer, FailedExchange):
            with self._lock:
                self._usage.append(answer.tokens)
        elif answer.requests:
            row = FailedRequest(seed=key[0], turns=key[1], reason=answer.reason, detail=answer.detail, requests=answer.requests)
            with self._lock:
                self._log.append([row])
        return answer

    def __enter__(self) -> "Exchanges":
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()
        self._pool.shutdown(cancel_futures=True)
        self._log.__exit__()
