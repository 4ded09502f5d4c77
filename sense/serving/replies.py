"""What a vLLM server's answers mean."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, NoReturn

from sense.errors import UserError
from sense.serving.backend import BackendError, GoneError


@dataclass(frozen=True)
class Reply:
    """An answer, read whole."""

    status: int
    headers: Mapping[str, str]  # whatever the case of a name
    body: bytes

    def json(self) -> Any:
        """None if it is none."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None

    def error(self) -> Mapping[str, Any]:
        """vLLM's account of what is wrong; empty if there is none."""
        value = self.json()
        error = value.get("error") if isinstance(value, dict) else None
        return error if isinstance(error, dict) else {}


def other_version(reply: Reply) -> bool:
    """Whether the server says that it has another version than the one asked for."""
    return reply.status == HTTPStatus.NOT_FOUND and reply.error().get("param") == "model"


def refuse(reply: Reply) -> NoReturn:
    """Raises what an answer other than 200 means."""
    if other_version(reply):
        raise GoneError("the model server has another version now")
    error = reply.error()
    if reply.status == HTTPStatus.BAD_REQUEST and error.get("param") == "input_tokens":
        found = re.search(r"length is (\d+) tokens.* (\d+) input tokens", str(error.get("message")), re.DOTALL)
        numbers = f": {found[2]} tokens or more, and it reads {found[1]}" if found else ""
        raise UserError(f"question and schema are longer than the model reads{numbers}; ask a smaller database, or more briefly")
    if reply.status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        raise BackendError("the gateway's key for the model server is refused", 30.0)
    if reply.status == HTTPStatus.NOT_FOUND:
        raise BackendError("what answers at the model server's address is no vLLM server (HTTP 404)", 30.0)
    wait = reply.headers.get("retry-after", "")
    raise BackendError(f"the model server answers HTTP {reply.status}", min(60.0, float(wait)) if wait.isdecimal() else 1.0)


def texts_of(reply: Reply, model: str, n: int) -> list[str]:
    """The completions in order; BackendError for anything but `n` finished ones by `model`."""
    value = reply.json()
    choices = value.get("choices") if isinstance(value, dict) else None
    if not isinstance(choices, list) or not all(isinstance(choice, dict) for choice in choices):
        raise BackendError("the model server's answer is no completion")
    if value.get("model") != model:
        raise BackendError("the model server's answer is by a version that was not asked for")
    texts: dict[int, str] = {}
    for choice in choices:
        index, text = choice.get("index"), choice.get("text")
        if isinstance(index, int) and isinstance(text, str):
            texts[index] = text
    if len(choices) != n or sorted(texts) != list(range(n)):
        raise BackendError(f"the model server's answer holds {len(texts)} completions, {n} were asked for")
    if not all(choice.get("finish_reason") in ("stop", "length") for choice in choices):  # cut short by a server that goes down
        raise BackendError("the model server broke off its answer")
    return [texts[index] for index in range(n)]
