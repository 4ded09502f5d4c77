"""Small folders in the three layouts, made here, with rows that go wrong in every way the stage knows."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from sense import records
from sense.config import IngestConfig
from sense.errors import InputError, UserError
from sense.records import Example
from sense.stages import ingest

SPIDER = Path(__file__).parents[2].parent / "shared" / "spider"
SCHEMA = "CREATE TABLE pet (id INTEGER PRIMARY KEY, name TEXT, age INTEGER);"
ROWS = "INSERT INTO pet VALUES (1, 'Rex', 3), (2, 'Tom', 5);"
COUNT = "SELECT count(*) FROM pet"


def database(file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(file)) as connection:
        connection.executescript(SCHEMA + ROWS)


def row(db_id: str, number: int, sql: str = COUNT, key: str = "query", **more: Any) -> dict[str, Any]:
    return {"db_id": db_id, "question": f"Question {number} on {db_id}?", key: sql, **more}


def write(file: Path, value: Any) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(value))
    return file


def spider(folder: Path, databases: int = 4, rows: int = 2) -> Path:
    for number in range(databases):
        database(folder / "database" / f"db{number}" / f"db{number}.sqlite")
    write(folder / "tables.json", [])
    write(folder / "train_spider.json", [row(f"db{number % databases}", number) for number in range(databases * rows)])
    return folder


def builtin(folder: Path, manifest: str = "seed: [cats]\ndev: [dogs]\ndomains: {cats: shelters}\n") -> Path:
    folder.mkdir(parents=True)
    (folder / "seeds.yaml").write_text(manifest)
    for name in ("cats", "dogs"):
        (folder / name).mkdir()
        (folder / name / "schema.sql").write_text(SCHEMA)
        (folder / name / "rows.sql").write_text(ROWS)
        (folder / name / "questions.jsonl").write_text(
            '{"question": "How many?", "sql": "SELECT count(*) FROM pet;"}\n'
            '{"question": "Which?", "sql": "SELECT name FROM pet"}\n'
        )
    return folder


def run(seeds: Path, work: Path, **options: Any) -> tuple[list[Example], list[Example], dict[str, Any]]:
    work.mkdir(parents=True, exist_ok=True)
    outputs = ingest.Outputs(seed=work / "seed", dev=work / "dev", metrics=work / "metrics")
    options = {"holdout": 1, "execution": {"workers": 1}} | options
    metrics = ingest.run(IngestConfig.model_validate(options), ingest.Inputs(seeds=seeds), outputs)
    return records.read_dataset(outputs.seed), records.read_dataset(outputs.dev), metrics


def test_builtin_seeds_are_built_from_text(tmp_path: Path):
    seed, dev, metrics = run(builtin(tmp_path / "seeds"), tmp_path / "out")
    assert [(one.id, one.db_id, one.sql, one.source, one.hardness, one.domain) for one in seed] == [
        ("builtin-seed-00000", "cats", "SELECT count(*) FROM pet", "builtin", "easy", "shelters"),
        ("builtin-seed-00001", "cats", "SELECT name FROM pet", "builtin", "easy", "shelters"),
    ]
    assert [one.id for one in dev] == ["builtin-dev-00000", "builtin-dev-00001"]
    bands = {"1": 2} | dict.fromkeys("2345678", 0)
    side = {"examples": 2, "databases": 1, "hardness": {"easy": 2, "medium": 0, "hard": 0, "extra": 0}, "complexity": bands}
    assert metrics == {"source": "builtin", "seed": side, "dev": side, "dropped": {}}
    with closing(sqlite3.connect(records.database_path(tmp_path / "out/seed", "cats"))) as connection:
        assert connection.execute("SELECT * FROM pet ORDER BY id").fetchall() == [(1, "Rex", 3), (2, "Tom", 5)]


def test_two_runs_write_the_same_bytes_even_over_the_rests_of_a_killed_one(tmp_path: Path):
    seeds = builtin(tmp_path / "seeds")
    for name in ("one", "two"):
        rest = tmp_path / name / "seed" / "databases" / "cats" / "cats.sqlite"
        rest.parent.mkdir(parents=True)
        rest.write_bytes(b"half a file")
        database(tmp_path / name / "databases" / "cats" / "cats.sqlite")
        run(seeds, tmp_path / name)
    assert records.digest(tmp_path / "one") == records.digest(tmp_path / "two")


def test_spider_without_dev_holds_out_whole_databases(tmp_path: Path):
    seeds = spider(tmp_path / "spider")
    seed, dev, metrics = run(seeds, tmp_path / "out", holdout=2, seed=3)
    assert (len(seed), len(dev)) == (4, 4)
    assert not {one.db_id for one in seed} & {one.db_id for one in dev}
    assert metrics["dev"]["databases"] == 2
    # the id carries the row's place in train_spider.json: row i is on db{i % 4}
    assert all(int(one.id[-5:]) % 4 == int(one.db_id[2:]) for one in seed + dev)
    held = {frozenset(one.db_id for one in run(seeds, tmp_path / str(n), holdout=2, seed=n)[1]) for n in range(8)}
    assert len(held) > 1


def test_spider_with_dev_uses_it_and_reads_both_training_files(tmp_path: Path):
    seeds = spider(tmp_path / "spider")
    write(seeds / "train_others.json", [row("db1", 100)])
    write(seeds / "dev.json", [row("db3", 200), row("db3", 201)])
    seed, dev, metrics = run(seeds, tmp_path / "out")
    assert [one.id for one in dev] == ["spider-dev-00000", "spider-dev-00001"]
    assert [one.id for one in seed] == [f"spider-seed-{number:05d}" for number in (0, 1, 2, 4, 5, 6, 8)]
    assert metrics["dropped"] == {"database is in dev": 2}  # rows 3 and 7: nothing of dev's database may be trained on
    assert sorted(path.name for path in (tmp_path / "out/seed/databases").iterdir()) == ["db0", "db1", "db2"]


def test_databases_are_copied_byte_for_byte_with_their_test_suite(tmp_path: Path):
    seeds = spider(tmp_path / "spider")
    folder = seeds / "database" / "db0"
    database(folder / "db0_neighbour.sqlite")
    (folder / "schema.sql").write_text(SCHEMA)
    database(seeds / "database" / "unused" / "unused.sqlite")
    run(seeds, tmp_path / "out")
    copied = {file.name: file for file in (tmp_path / "out").glob("*/databases/db0/*")}
    assert sorted(copied) == ["db0.sqlite", "db0_neighbour.sqlite"]
    assert all(copied[name].read_bytes() == (folder / name).read_bytes() for name in copied)
    assert not list((tmp_path / "out").glob("*/databases/unused"))


def test_every_dropped_row_is_counted_by_its_reason(tmp_path: Path):
    seeds = spider(tmp_path / "spider")
    (seeds / "database" / "broken").mkdir()
    (seeds / "database" / "broken" / "broken.sqlite").write_bytes(b"SQLite format 3\0" + b"not really" * 300)
    (seeds / "database" / "empty").mkdir()
    (seeds / "database" / "empty" / "empty.sqlite").touch()
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
    bad = [
        row("nowhere", 10),
        row("broken", 11),
        row("empty", 12),
        row("db0", 13, "DROP TABLE pet"),
        row("db0", 14, "SELECT nam FROM pet"),
        row("db0", 15, "SELECT name FROM pet WHERE age > 100"),
        row("db0", 16, endless),
        row("db0", 17, "SELECT hex(zeroblob(900)) FROM pet"),
        row("db0", 18),
        row("db0", 18, f" {COUNT} ; "),
    ]
    write(seeds / "dev.json", bad)
    write(seeds / "train_spider.json", [row("db1", 0), row("db1", 0)])
    limits = {"timeout_s": 20, "max_steps": 200_000, "max_bytes": 1000, "workers": 1}
    seed, dev, metrics = run(seeds, tmp_path / "out", execution=limits)
    assert (len(seed), len(dev)) == (1, 1)
    assert metrics["dropped"] == {
        "broken database": 2,
        "duplicate": 2,
        "gold fails": 1,
        "gold rejected": 1,
        "gold returns nothing": 1,
        "gold times out": 1,
        "gold too large": 1,
        "missing database": 1,
    }


def test_dev_limit_thins_dev_and_keeps_its_order(tmp_path: Path):
    seeds = spider(tmp_path / "spider", databases=3, rows=10)
    _, whole, _ = run(seeds, tmp_path / "whole")
    seed, dev, metrics = run(seeds, tmp_path / "out", dev_limit=4)
    assert len(seed) == 20
    assert [one for one in whole if one in dev] == dev
    assert len(dev) == metrics["dev"]["examples"] == 4


def bird(folder: Path) -> Path:
    for name in ("db0", "db1"):
        database(folder / "dev_databases" / name / f"{name}.sqlite")
    write(folder / "dev_tables.json", [])
    more = {"evidence": "old means age > 4", "difficulty": "simple"}
    write(folder / "dev.json", [row(f"db{number % 2}", number, key="SQL", **more) for number in range(4)])
    return folder


def test_bird_dev_alone_is_split_by_holdout(tmp_path: Path):
    seed, dev, metrics = run(bird(tmp_path / "bird"), tmp_path / "out")
    assert metrics["source"] == "bird"
    assert (len(seed), len(dev)) == (2, 2)
    assert {one.evidence for one in seed + dev} == {"old means age > 4"}


def test_bird_train_and_dev(tmp_path: Path):
    seeds = bird(tmp_path / "bird")
    write(seeds / "train.json", [row("db9", 0, key="SQL", evidence=None)])
    with pytest.raises(InputError, match=r"train\.json is there, its databases are not: unpack train_databases"):
        run(seeds, tmp_path / "out")
    database(seeds / "train_databases" / "db9" / "db9.sqlite")
    seed, dev, _ = run(seeds, tmp_path / "out")
    assert [one.id for one in seed] == ["bird-seed-00000"]
    assert [one.id for one in dev] == [f"bird-dev-0000{number}" for number in range(4)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[\n{"db_id": "db0",\n', r"train_spider\.json: not valid JSON \(.*line 3 column 1"),
        ('{"db_id": "db0"}', r"train_spider\.json: must hold a list of rows, holds dict"),
        ("[3]", r"train_spider\.json, row 0 \(counted from 0\): must be an object, is int"),
        ('[{"db_id": "db0", "query": "SELECT 1"}]', r"row 0 .*: the key 'question' is missing; there are: db_id, query"),
        ('[{"db_id": "db0", "question": "q", "query": 7}]', r"row 0 .*: 'query' must be a string that is not empty, is 7"),
        ('[{"db_id": "db0", "question": "q", "query": "SELECT 1", "evidence": 7}]', "'evidence' must be a string, is int"),
        ('[{"db_id": "../db0", "question": "q", "query": "SELECT 1"}]', r"db_id = '\.\./db0' cannot be the name of a folder"),
    ],
)
def test_malformed_rows_are_refused_by_file_row_and_key(tmp_path: Path, text: str, message: str):
    seeds = spider(tmp_path / "spider")
    (seeds / "train_spider.json").write_text(text)
    with pytest.raises(InputError, match=message):
        run(seeds, tmp_path / "out")


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("seeds.yaml", "seed: [cats\n", r"seeds\.yaml: not valid YAML"),
        ("seeds.yaml", "seed: [cats]\n", r"dev: missing"),
        ("seeds.yaml", "seed: [cats]\ndev: [cats]\n", r"seeds\.yaml: listed more than once: cats"),
        ("seeds.yaml", "seed: [cats]\ndev: [birds]\n", r"birds.questions\.jsonl: no such file, but seeds\.yaml lists 'birds'"),
        ("cats/schema.sql", "CREATE TABLE pet (;", r"cats.schema\.sql: SQLite refuses it"),
        ("cats/rows.sql", "ATTACH 'other.sqlite' AS other;", r"cats.rows\.sql: SQLite refuses it"),
        ("cats/questions.jsonl", '{"question": "How many?"}\n', r"questions\.jsonl, line 1: .*sql: Field required"),
    ],
)
def test_malformed_builtin_seeds_are_refused(tmp_path: Path, file: str, text: str, message: str):
    seeds = builtin(tmp_path / "seeds")
    (seeds / file).write_text(text)
    with pytest.raises(UserError, match=message):
        run(seeds, tmp_path / "out")


def test_an_unknown_layout_lists_what_was_looked_for(tmp_path: Path):
    write(tmp_path / "seeds" / "questions.json", [])
    with pytest.raises(InputError) as caught:
        run(tmp_path / "seeds", tmp_path / "out")
    for name in ("seeds.yaml", "train_spider.json", "database/", "train_databases/", "dev_databases/", "questions.json"):
        assert name in str(caught.value)


def test_nothing_left_says_why(tmp_path: Path):
    seeds = spider(tmp_path / "spider")
    with pytest.raises(InputError, match=r"no question remains for seed .*lower ingest.holdout \(now 4\)"):
        run(seeds, tmp_path / "out", holdout=4)
    write(seeds / "train_spider.json", [row("db0", 0, "SELECT nam FROM pet")])
    with pytest.raises(InputError, match=r"no question remains for seed \(dropped: 1 gold fails\)"):
        run(seeds, tmp_path / "out")


@pytest.mark.spider
@pytest.mark.skipif(not SPIDER.is_dir(), reason="Spider is not beside the checkout")
def test_real_spider_keeps_its_databases_apart(tmp_path: Path):
    seeds = tmp_path / "spider"
    write(seeds / "tables.json", [])
    write(seeds / "train_spider.json", json.loads((SPIDER / "train_spider.json").read_text())[:1000])
    (seeds / "database").symlink_to(SPIDER / "database")
    seed, dev, metrics = run(seeds, tmp_path / "out", holdout=5, dev_limit=50)
    assert metrics["source"] == "spider"
    assert len(dev) == 50
    assert metrics["dev"]["databases"] == len({one.db_id for one in dev}) <= 5
    assert not {one.db_id for one in seed} & {one.db_id for one in dev}
    assert metrics["seed"]["examples"] > 600
    assert set(metrics["dropped"]) <= {"duplicate", "gold returns nothing", "gold too large"}
