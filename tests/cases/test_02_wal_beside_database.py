"""A database with a -wal beside it could not be read, and a -shm was left in the user's folder.

Reports: TablePlus/TablePlus #2299 (-wal and -shm stay behind), DangerBlack/n8n-node-sqlite3 #23 (databases in WAL mode cannot be
opened). Right is what sqlite3 with mode=ro reads, in a folder that stays as it was; a gateway that can read none is not ready.
"""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from sense import cli
from tests.serving.model_server import ModelServer
from tests.serving.running import Running, settings
from tests.sql.companions import STATES, files

GOLD = "SELECT name FROM item ORDER BY id"


def score(folder: Path, sql: str) -> dict[str, object]:
    (folder / "e.jsonl").write_text(json.dumps({"id": "q1", "db_id": "shop", "sql": GOLD}))
    (folder / "p.jsonl").write_text(json.dumps({"id": "q1", "sql": sql}))
    flags = {"databases": "databases", "examples": "e.jsonl", "predictions": "p.jsonl", "output": "v.jsonl"}
    words = [word for name, file in flags.items() for word in (f"--{name}", str(folder / file))]
    assert cli.main(["score", "--workers", "1", *words]) == 0
    return json.loads((folder / "v.jsonl").read_text())


@pytest.mark.parametrize("state", ["a -wal", "an empty -wal", "a -wal and a -shm", "a hot journal", "WAL mode and nothing else"])
def test_score_reads_what_mode_ro_reads_and_changes_nothing(tmp_path: Path, state: str):
    database = tmp_path / "databases" / "shop" / "shop.sqlite"
    STATES[state](database)
    before = files(database.parent)
    names = " UNION ALL ".join(f"SELECT '{name}'" for name in ("pen", "cup", "hat"))
    if state == "an empty -wal":
        names = "SELECT name FROM item WHERE id <= 3 ORDER BY id"
    if state == "a hot journal":
        names = "SELECT name FROM item WHERE name <> 'unfinished' ORDER BY id"
    assert score(tmp_path, names)["verdict"] == "match"
    assert files(database.parent) == before


@pytest.fixture
def model() -> Iterator[ModelServer]:
    with ModelServer(write=lambda _body, _number: " SELECT count(*) FROM item") as server:
        yield server


def test_the_gateway_answers_on_a_database_with_a_wal(model: ModelServer, tmp_path: Path):
    database = tmp_path / "databases" / "shop" / "shop.sqlite"
    STATES["a -wal"](database)
    before = files(database.parent)
    with Running(settings(model.url, database.parents[1])) as gateway:
        assert gateway.client.get("/readyz").json() == {"status": "ok", "unreadable": []}
        answer = gateway.ask(rows=True).json()
        assert (answer["abstained"], answer["rows"]) == (False, [[3]])
        assert files(database.parent) == before
        with closing(sqlite3.connect(database)) as writer:
            writer.executescript("INSERT INTO item VALUES (9, 'bag', '')")
        assert gateway.ask(rows=True).json()["rows"] == [[4]]


def test_a_gateway_whose_databases_cannot_be_read_is_not_ready(
    model: ModelServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("sense.serving.gateway.MAX_AGE_S", 0.0)
    database = tmp_path / "databases" / "shop" / "shop.sqlite"
    STATES["a -wal"](database)
    message = "the database 'shop' can't be read now: the file is no readable SQLite database"
    with Running(settings(model.url, database.parents[1])) as gateway:
        assert gateway.client.get("/readyz").status_code == 200
        database.write_bytes(b"no database at all" * 1000)
        response = gateway.client.get("/readyz")
        assert (response.status_code, response.json()["details"]) == (503, [{"reason": message}])
        response = gateway.ask()
        assert (response.status_code, response.json()["message"]) == (503, message)
