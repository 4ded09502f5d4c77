"""Kept answers: what makes two requests the same, several writers at once, files that are damaged."""

import errno
import json
import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest

from sense.errors import InputError, StorageError
from sense.teacher.answer_cache import AnswerCache, key

REQUEST: dict[str, Any] = {
    "model": "m",
    "messages": [{"role": "user", "content": "ä\ud800"}],
    "temperature": 1.0,
    "max_tokens": 10,
    "seed": 1,
    "response_format": {"type": "json_object"},
}


def body(text: str) -> bytes:
    return json.dumps({"choices": [{"message": {"content": text}}]}).encode()


def test_an_answer_is_read_by_the_same_request_alone(tmp_path: Path):
    answers = AnswerCache(tmp_path / "answers")
    assert answers.read(key(REQUEST)) is None
    assert json.loads(answers.write(REQUEST, body("\ud800 one"))) == json.loads(body("\ud800 one"))
    assert key(REQUEST | {"response_format": {"type": "json_schema"}, "stream": False}) == key(REQUEST)
    others = [{"model": "n"}, {"messages": []}, {"temperature": 0.5}, {"max_tokens": 11}, {"seed": 2}]
    assert len({key(REQUEST | change) for change in [{}, *others]}) == 6
    assert all(answers.read(key(REQUEST | change)) is None for change in others)
    (file,) = (tmp_path / "answers").rglob("*.json")
    assert file.name == f"{key(REQUEST)}.json"
    assert set(json.loads(file.read_text())) == {"request", "response"}
    answers.forget([key(REQUEST), key(REQUEST)])
    assert answers.read(key(REQUEST)) is None


def write_and_read(folder: str, number: int) -> str:
    return str(
        json.loads(AnswerCache(Path(folder)).write(REQUEST, body(f"{number} " * 50_000)))["choices"][0]["message"]["content"]
    )


def test_of_several_processes_that_write_at_once_the_first_wins_and_all_read_that(tmp_path: Path):
    with ProcessPoolExecutor(3, get_context("spawn")) as pool:
        texts = set(pool.map(write_and_read, [str(tmp_path)] * 12, range(12)))
    assert len(texts) == 1
    assert len(list(tmp_path.rglob("*.*"))) == 1  # no temporary file is left


def test_without_hard_links_it_works_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    assert AnswerCache(tmp_path).write(REQUEST, body("one")) == body("one")
    assert len(list(tmp_path.rglob("*.*"))) == 1


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"request": {}}', b"\xff"])
def test_a_damaged_file_is_named(tmp_path: Path, content: bytes):
    answers = AnswerCache(tmp_path)
    answers.write(REQUEST, body("one"))
    (file,) = tmp_path.rglob("*.json")
    file.write_bytes(content)
    with pytest.raises(InputError, match=f"{file.name}: no answer as SENSE writes it; delete the file"):
        answers.read(key(REQUEST))


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"file/.*cannot be written"):
        AnswerCache(tmp_path / "file").write(REQUEST, body("one"))
