"""Answers of an LLM, each kept in a file by its request: whoever asks the same again, in whatever run, need not pay for it.

A request is the model, the messages, the sampling parameters and the random seed. The server's address and the form in which the
answer is asked for (JSON mode or schema) are no part of it, so that an answer outlasts a move of the server and a server that
does not take everything. The response is kept as it came: code that reads answers otherwise reads old ones too.

`FOLDER/ab/ab12....json` holds {"request": ..., "response": ...}. Any number of processes, on any number of machines, may use a
folder at once: a file appears whole or not at all, and the first answer to a request stays.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from sense import records
from sense.errors import InputError

IDENTITY = ("model", "messages", "temperature", "max_tokens", "seed")
"""The fields of a request that make it the same as another."""


def key(request: Mapping[str, Any]) -> str:
    """The name of a request, 64 hexadecimal digits: a digest of the fields of IDENTITY alone."""
    identity = {name: request[name] for name in IDENTITY}
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()


class AnswerCache:
    """The answers in a folder, which need not exist yet; thread-safe."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __contains__(self, name: str) -> bool:
        """Whether the request called `name` has an answer."""
        return self._path(name).is_file()

    def read(self, name: str) -> bytes | None:
        """The body of the response to the request called `name`; None without one, InputError if its file is damaged."""
        path = self._path(name)
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return None
        try:
            return json.dumps(json.loads(content)["response"]).encode()
        except (ValueError, RecursionError, KeyError, TypeError):
            raise InputError(f"{path}: no answer as SENSE writes it; delete the file, and it is asked for again") from None

    def write(self, request: Mapping[str, Any], body: bytes) -> bytes:
        """Keeps `body`, JSON, as the response to `request`; the body that is kept, an earlier one if there is one.

        Raises StorageError if the disk is full.
        """
        name = key(request)
        value = {"request": {field: request[field] for field in IDENTITY}, "response": json.loads(body)}
        first = records.write_first(self._path(name), json.dumps(value).encode() + b"\n")
        return body if first else self.read(name) or body

    def forget(self, names: Iterable[str]) -> None:
        """Deletes answers that turned out to be of no use."""
        for name in names:
            self._path(name).unlink(missing_ok=True)

    def _path(self, name: str) -> Path:
        return self.folder / name[:2] / f"{name}.json"
