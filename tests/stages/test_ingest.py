"""The stage ingest on small folders in the three layouts, with questions that fail in every way that the stage tells apart."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from sense import records
from sense.config import IngestConfig
from sense.errors import InputError
from sense.records import Example
from sense.stages import execute, ingest
from tests.ingest.seed_folders import COUNT, SCHEMA, bird_folder, builtin_folder, row, spider_folder, write_database, write_json

SPIDER = Path(__file__).parents[2].parent / "shared" / "spider"


def run_stage(seeds: Path, work: Path, **options: Any) -> tuple[list[Example], list[Example], dict[str, Any]]:
    work.mkdir(parents=True, exist_ok=True)
    outputs = ingest.Outputs(seed=work / "seed", dev=work / "dev", metrics=work / "metrics")
    options = {"holdout": 1, "execution": {"workers": 1}} | options
    metrics = ingest.run(IngestConfig.model_validate(options), ingest.Inputs(seeds=seeds), outputs)
    return records.read_dataset(outputs.seed), records.read_dataset(outputs.dev), metrics


def test_seeds_that_are_not_there_are_for_data_seeds_to_mend(tmp_path: Path):
    """It is the first stage: there are none to run before it."""
    ports = {name: tmp_path / name for name in ("seed", "dev", "metrics")}
    with pytest.raises(InputError) as caught:
        execute("ingest", {}, {"seeds": tmp_path / "gone"}, ports)
    first, second = str(caught.value).splitlines()
    assert first == f"{tmp_path / 'gone'}: no such file or folder (input 'seeds' of ingest)"
    assert second.startswith("name a folder of questions in Spider's or BIRD's layout, data/own")
    assert second.endswith("data.seeds in params.yaml, or --seeds")


def test_builtin_seeds_are_built_from_text(tmp_path: Path):
    seed, dev, metrics = run_stage(builtin_folder(tmp_path / "seeds"), tmp_path / "out")
    assert [(example.id, example.db_id, example.sql, example.source, example.hardness, example.domain) for example in seed] == [
        ("builtin-seed-00000", "cats", "SELECT count(*) FROM pet", "builtin", "easy", "shelters"),
        ("builtin-seed-00001", "cats", "SELECT name FROM pet", "builtin", "easy", "shelters"),
    ]
    assert [example.id for example in dev] == ["builtin-dev-00000", "builtin-dev-00001"]
    bands = {"1": 2} | dict.fromkeys("2345678", 0)
    split_metrics = {
        "examples": 2,
        "databases": 1,
        "hardness": {"easy": 2, "medium": 0, "hard": 0, "extra": 0},
        "complexity": bands,
    }
    assert metrics == {"source": "builtin", "seed": split_metrics, "dev": split_metrics, "dropped": {}}
    with closing(sqlite3.connect(records.database_path(tmp_path / "out/seed", "cats"))) as connection:
        assert connection.execute("SELECT * FROM pet ORDER BY id").fetchall() == [(1, "Rex", 3), (2, "Tom", 5)]


def test_two_runs_write_the_same_bytes_even_over_the_remains_of_a_killed_one(tmp_path: Path):
    seeds = builtin_folder(tmp_path / "seeds")
    for name in ("one", "two"):
        partial = tmp_path / name / "seed" / "databases" / "cats" / "cats.sqlite"
        partial.parent.mkdir(parents=True)
        partial.write_bytes(b"half a file")
        write_database(tmp_path / name / "databases" / "cats" / "cats.sqlite")
        run_stage(seeds, tmp_path / name)
    assert records.digest(tmp_path / "one") == records.digest(tmp_path / "two")


def test_spider_without_dev_holds_out_whole_databases(tmp_path: Path):
    seeds = spider_folder(tmp_path / "spider")
    seed, dev, metrics = run_stage(seeds, tmp_path / "out", holdout=2, seed=3)
    assert (len(seed), len(dev)) == (4, 4)
    assert not {example.db_id for example in seed} & {example.db_id for example in dev}
    assert metrics["dev"]["databases"] == 2
    # the id carries the row's position in train_spider.json: row i is on db{i % 4}
    assert all(int(example.id[-5:]) % 4 == int(example.db_id[2:]) for example in seed + dev)
    held_out = {
        frozenset(example.db_id for example in run_stage(seeds, tmp_path / str(n), holdout=2, seed=n)[1]) for n in range(8)
    }
    assert len(held_out) > 1


def test_spider_with_dev_uses_it_and_reads_both_training_files(tmp_path: Path):
    seeds = spider_folder(tmp_path / "spider")
    write_json(seeds / "train_others.json", [row("db1", 100)])
    write_json(seeds / "dev.json", [row("db3", 200), row("db3", 201)])
    seed, dev, metrics = run_stage(seeds, tmp_path / "out")
    assert [example.id for example in dev] == ["spider-dev-00000", "spider-dev-00001"]
    assert [example.id for example in seed] == [f"spider-seed-{number:05d}" for number in (0, 1, 2, 4, 5, 6, 8)]
    assert metrics["dropped"] == {"database is in dev": 2}  # rows 3 and 7: nothing of dev's database may be trained on
    assert sorted(path.name for path in (tmp_path / "out/seed/databases").iterdir()) == ["db0", "db1", "db2"]


def test_databases_are_copied_byte_for_byte_with_their_test_suite(tmp_path: Path):
    seeds = spider_folder(tmp_path / "spider")
    folder = seeds / "database" / "db0"
    write_database(folder / "db0_neighbour.sqlite")
    (folder / "schema.sql").write_text(SCHEMA)
    write_database(seeds / "database" / "unused" / "unused.sqlite")
    run_stage(seeds, tmp_path / "out")
    copied = {file.name: file for file in (tmp_path / "out").glob("*/databases/db0/*")}
    assert sorted(copied) == ["db0.sqlite", "db0_neighbour.sqlite"]
    assert all(copied[name].read_bytes() == (folder / name).read_bytes() for name in copied)
    assert not list((tmp_path / "out").glob("*/databases/unused"))


def test_a_suite_is_built_beside_each_database_that_has_none(tmp_path: Path):
    seeds = spider_folder(tmp_path / "spider")
    write_database(seeds / "database" / "db0" / "brought.sqlite")
    seed, dev, metrics = run_stage(seeds, tmp_path / "one", suite=2)
    folders = {path.parent.name: path.parent for path in (tmp_path / "one").glob("*/databases/*/*.sqlite")}
    names = {db_id: sorted(path.name for path in folder.iterdir()) for db_id, folder in folders.items()}
    assert names.pop("db0") == ["brought.sqlite", "db0.sqlite"]
    assert names == {db_id: [f"{db_id}.sqlite", "suite_01.sqlite", "suite_02.sqlite"] for db_id in ("db1", "db2", "db3")}
    golds = {(example.db_id, example.sql) for example in (*seed, *dev) if example.db_id != "db0"}
    assert metrics["suite"] | {"golds": 0, "refilled": 0} == {
        "built": 3,
        "refused": 0,
        "databases": 6,
        "golds": 0,
        "refilled": 0,
        "empty": 0,
        "failed": 0,
    }
    assert metrics["suite"]["golds"] == 2 * len(golds)
    for path in folders["db1"].glob("suite_*.sqlite"):
        with closing(sqlite3.connect(path)) as connection:
            assert connection.execute("SELECT count(*) FROM pet").fetchone() > (0,)
    run_stage(seeds, tmp_path / "two", suite=2)
    assert records.digest(tmp_path / "one") == records.digest(tmp_path / "two")


def test_a_database_of_which_no_other_can_be_made_is_counted(tmp_path: Path):
    seeds = spider_folder(tmp_path / "spider")
    with closing(sqlite3.connect(seeds / "database" / "db1" / "db1.sqlite")) as connection:
        connection.create_function("own", 1, lambda value: value, deterministic=True)
        connection.execute("CREATE INDEX pet_own ON pet (own(name))")
    _, _, metrics = run_stage(seeds, tmp_path / "out", suite=1)
    assert (metrics["suite"]["built"], metrics["suite"]["refused"]) == (3, 1)


def test_every_dropped_row_is_counted_by_its_reason(tmp_path: Path):
    seeds = spider_folder(tmp_path / "spider")
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
    write_json(seeds / "dev.json", bad)
    write_json(seeds / "train_spider.json", [row("db1", 0), row("db1", 0)])
    limits = {"timeout_s": 20, "max_steps": 200_000, "max_bytes": 1000, "workers": 1}
    seed, dev, metrics = run_stage(seeds, tmp_path / "out", execution=limits)
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


def test_dev_limit_draws_from_dev_and_keeps_its_order(tmp_path: Path):
    seeds = spider_folder(tmp_path / "spider", databases=3, rows=10)
    _, all_dev, _ = run_stage(seeds, tmp_path / "all")
    seed, dev, metrics = run_stage(seeds, tmp_path / "out", dev_limit=4)
    assert len(seed) == 20
    assert [example for example in all_dev if example in dev] == dev
    assert len(dev) == metrics["dev"]["examples"] == 4


def test_bird_dev_alone_is_split_by_holdout(tmp_path: Path):
    seed, dev, metrics = run_stage(bird_folder(tmp_path / "bird"), tmp_path / "out")
    assert metrics["source"] == "bird"
    assert (len(seed), len(dev)) == (2, 2)
    assert {example.evidence for example in seed + dev} == {"old means age > 4"}


def test_bird_train_and_dev(tmp_path: Path):
    seeds = bird_folder(tmp_path / "bird")
    write_json(seeds / "train.json", [row("db9", 0, key="SQL", evidence=None)])
    with pytest.raises(InputError, match=r"train\.json is there, its databases are not: unpack train_databases"):
        run_stage(seeds, tmp_path / "out")
    write_database(seeds / "train_databases" / "db9" / "db9.sqlite")
    seed, dev, _ = run_stage(seeds, tmp_path / "out")
    assert [example.id for example in seed] == ["bird-seed-00000"]
    assert [example.id for example in dev] == [f"bird-dev-0000{number}" for number in range(4)]


def test_no_question_left_is_an_error_with_the_reasons(tmp_path: Path):
    seeds = spider_folder(tmp_path / "spider")
    with pytest.raises(InputError, match=r"no question remains for seed .*lower ingest.holdout \(now 4\)"):
        run_stage(seeds, tmp_path / "out", holdout=4)
    write_json(seeds / "train_spider.json", [row("db0", 0, "SELECT nam FROM pet")])
    with pytest.raises(InputError, match=r"no question remains for seed \(dropped: 1 gold fails\)"):
        run_stage(seeds, tmp_path / "out")


@pytest.mark.spider
@pytest.mark.skipif(not SPIDER.is_dir(), reason="Spider is not beside the checkout")
def test_real_spider_keeps_its_databases_apart(tmp_path: Path):
    seeds = tmp_path / "spider"
    write_json(seeds / "tables.json", [])
    write_json(seeds / "train_spider.json", json.loads((SPIDER / "train_spider.json").read_text())[:1000])
    (seeds / "database").symlink_to(SPIDER / "database")
    limits = {"workers": 1, "timeout_s": 60}  # steps limit the slowest gold too, and those are the same on a busy machine
    seed, dev, metrics = run_stage(seeds, tmp_path / "out", holdout=5, dev_limit=50, execution=limits)
    assert metrics["source"] == "spider"
    assert len(dev) == 50
    assert metrics["dev"]["databases"] == len({example.db_id for example in dev}) <= 5
    assert not {example.db_id for example in seed} & {example.db_id for example in dev}
    assert metrics["seed"]["examples"] > 600
    assert set(metrics["dropped"]) <= {"duplicate", "gold returns nothing", "gold too large"}


def own_folder(folder: Path, databases: int = 1) -> Path:
    """A dataset folder with six questions of one's own on one database or several."""
    for number in range(databases):
        write_database(folder / "databases" / f"db{number}" / f"db{number}.sqlite")
    golds = [COUNT, "SELECT name FROM pet", "SELECT age FROM pet WHERE id = 1", "SELECT age FROM pet WHERE id = 2"]
    golds += ["SELECT max(age) FROM pet", "SELECT nope FROM pet"]
    rows = [
        Example(id=f"own-{n}", db_id=f"db{n % databases}", question=f"{n}?", sql=sql, source="own", hardness="easy")
        for n, sql in enumerate(golds)
    ]
    records.write_jsonl(folder / "examples.jsonl", rows)
    return folder


@pytest.mark.parametrize("databases", [1, 3])
def test_ones_own_questions_are_split_by_skeleton_and_both_parts_have_the_database(tmp_path: Path, databases: int):
    seed, dev, metrics = run_stage(own_folder(tmp_path / "own", databases), tmp_path / "out", holdout=15)
    assert (metrics["source"], metrics["held_out_by"], metrics["dropped"]) == ("own", "SQL skeleton", {"gold fails": 1})
    assert len(seed) + len(dev) == 5
    assert len({"2?", "3?"} & {example.question for example in seed}) in (0, 2)  # they differ in a value alone
    for split in ("seed", "dev"):
        assert json.loads((tmp_path / "out" / split / "manifest.json").read_text())["held_out_by"] == "SQL skeleton"
    run_stage(tmp_path / "own", tmp_path / "again", holdout=15)
    assert records.digest(tmp_path / "out/dev") == records.digest(tmp_path / "again/dev")


def test_one_query_is_too_little_for_two_parts(tmp_path: Path):
    folder = own_folder(tmp_path / "own")
    (folder / "examples.jsonl").write_text((folder / "examples.jsonl").read_text().splitlines()[0])
    with pytest.raises(InputError, match=r"no question remains for \w+ .*; give questions with at least two"):
        run_stage(folder, tmp_path / "out")


def test_a_copy_without_questions_is_no_seeds_folder(tmp_path: Path):
    folder = own_folder(tmp_path / "own")
    (folder / "examples.jsonl").write_text("")
    with pytest.raises(InputError, match=r"holds no question; give yours \(sense own SOURCE --questions FILE\)"):
        run_stage(folder, tmp_path / "out")
