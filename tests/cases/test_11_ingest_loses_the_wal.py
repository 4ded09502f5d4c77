"""Ingest copied a database without its -wal: the last rows were lost, and golds were executed on the old ones.

Reports: chatmail/core #2583, praeclarum/sqlite-net #792, sepinf-inc/IPED #21. Right is a copy with every committed row in one
file, of a database whose schema is in the -wal too, and the same bytes each time.
"""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from sense import records
from sense.config import IngestConfig
from sense.stages import ingest
from tests.ingest.seed_folders import row, spider_folder, write_json
from tests.sql.companions import STATES, files


def run(seeds: Path, out: Path) -> dict[str, int]:
    out.mkdir()
    outputs = ingest.Outputs(seed=out / "seed", dev=out / "dev", metrics=out / "metrics")
    config = IngestConfig.model_validate({"holdout": 1, "execution": {"workers": 1}})
    return ingest.run(config, ingest.Inputs(seeds=seeds), outputs)["dropped"]


@pytest.mark.parametrize("state", ["a -wal", "a -wal and a -shm", "the schema in the -wal", "a hot journal"])
def test_the_copy_holds_the_committed_rows(tmp_path: Path, state: str):
    seeds = spider_folder(tmp_path / "spider", databases=1)
    for name in ("shop.sqlite", "shop_suite.sqlite"):
        STATES[state](seeds / "database" / f"{name}-folder" / name)
    folder = seeds / "database" / "shop"
    folder.mkdir()
    for file in [*seeds.glob("database/shop*-folder/*")]:
        file.rename(folder / file.name)
    before = files(folder)
    golds = ["SELECT count(*) FROM item WHERE id < 4", "SELECT name FROM item WHERE id = 3"]
    write_json(seeds / "train_spider.json", [row("db0", 0), *(row("shop", number, sql) for number, sql in enumerate(golds, 1))])
    assert [run(seeds, tmp_path / name) for name in ("one", "two")] == [{}, {}]
    assert files(folder) == before
    assert records.digest(tmp_path / "one") == records.digest(tmp_path / "two")
    (copied,) = (tmp_path / "one").glob("*/databases/shop")
    assert sorted(file.name for file in copied.iterdir()) == ["shop.sqlite", "shop_suite.sqlite"]
    for file in copied.iterdir():
        with closing(sqlite3.connect(f"{file.as_uri()}?mode=ro&immutable=1", uri=True)) as connection:
            names = connection.execute("SELECT name FROM item WHERE id < 4 ORDER BY id").fetchall()
        assert names == [("pen",), ("cup",), ("hat",)]
