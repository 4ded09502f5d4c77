"""Databases of seeds that cannot be used: each is counted by its reason and named with its cause and the fix, in both layouts."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from sense.config import IngestConfig
from sense.errors import InputError
from sense.ingest.databases import DatabaseFolders
from sense.stages import ingest
from tests.ingest.seed_folders import bird_folder, row, spider_folder, write_json
from tests.ingest.seed_folders import write_database as create_database
from tests.sql.companions import STATES, files

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
Spoil = Callable[[Path, str], object]  # is given the folder of databases and a db_id


def _moved(target: str) -> Spoil:
    def move(databases: Path, db_id: str) -> None:
        place = databases / target.format(db_id)
        shutil.move(databases / db_id, databases / "away")
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(databases / "away" / f"{db_id}.sqlite", place)

    return move


def _content(change: Callable[[bytes], bytes]) -> Spoil:
    def write(databases: Path, db_id: str) -> None:
        file = databases / db_id / f"{db_id}.sqlite"
        file.write_bytes(change(file.read_bytes()))

    return write


def _linked(databases: Path, db_id: str) -> None:
    (databases / db_id / f"{db_id}.sqlite").unlink()
    (databases / db_id / f"{db_id}.sqlite").symlink_to("../../.git/annex/objects/aa")


def _removed(databases: Path, db_id: str) -> None:
    shutil.rmtree(databases / db_id)


def _in_capitals(databases: Path, db_id: str) -> None:
    _moved(f"{db_id.upper()}/{db_id.upper()}.sqlite")(databases, db_id)


SPOILT: dict[str, tuple[Spoil, str, str, str]] = {  # what happens to it, the reason, and words of the cause and of the fix
    "missing": (_removed, "missing database", "there is no", "put the databases there"),
    "a link to nothing": (_linked, "missing database", "annex/objects/aa, where there is no file", "dvc pull"),
    "no database": (_content(lambda _: b"nothing" * 1000), "broken database", "file is not a database", "replace the file"),
    "empty": (_content(lambda _: b""), "broken database", "there is no table in it", "replace the file"),
    "cut short": (_content(lambda content: content[:-2000]), "broken database", "6,192 of 8,192 bytes", "replace the file"),
    "cut short by a page": (_content(lambda content: content[:4096]), "broken database", "4,096 of 8,192 bytes", "replace"),
    "cut short to its header": (_content(lambda content: content[:100]), "broken database", "100 of 8,192 bytes", "replace"),
    "packed under its name": (_content(lambda _: b"\x1f\x8b\x08"), "broken database", "compressed with gzip", "gunzip"),
    "a web page": (_content(lambda _: b"<!DOCTYPE html>"), "broken database", "it is a web page", "download the file itself"),
    "a pointer": (_content(lambda _: POINTER), "database is a Git LFS pointer", "in place of the file", "git lfs pull"),
    "one folder too deep": (_moved("{0}/{0}/{0}.sqlite"), "database in the wrong folder", "is not at", "/{0}/{0} up to "),
    "unpacked into its folder": (_moved("all/{0}/{0}.sqlite"), "database in the wrong folder", "is not at", "/all to "),
    "in the folder of all": (_moved("{0}.sqlite"), "database in the wrong folder", "is not at", "and the others alike"),
    "named .db": (_moved("{0}/{0}.db"), "database file of another name", "is not called", "call it"),
    "named .sqlite3": (_moved("{0}/{0}.sqlite3"), "database file of another name", "is not called", "call it"),
    "in capitals": (_in_capitals, "database file of another name", "is not called", "call it"),
    "named .SQLITE, flat": (_moved("{0}.SQLITE"), "database file of another name", "is not called", "call it"),
    "packed": (_moved("{0}/{0}.sqlite.gz"), "database is packed", "holds it", "unpack it to"),
    "an archive": (_moved("{0}.tar.gz"), "database is packed", "holds it", "unpack it to"),
}


def run(seeds: Path, out: Path, **options: object) -> dict[str, object]:
    out.mkdir(parents=True, exist_ok=True)
    outputs = ingest.Outputs(seed=out / "seed", dev=out / "dev", metrics=out / "metrics")
    config = IngestConfig.model_validate({"holdout": 1, "execution": {"workers": 1}} | options)
    return ingest.run(config, ingest.Inputs(seeds=seeds), outputs)


@pytest.mark.parametrize("name", SPOILT)
def test_a_spoilt_database_is_counted_and_named_with_its_cause_and_the_fix(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
):
    spoil, reason, cause, fix = SPOILT[name]
    seeds = spider_folder(tmp_path / "spider", databases=4, rows=3)
    spoil(seeds / "database", "db2")
    metrics = run(seeds, tmp_path / "out")
    assert metrics["dropped"] == {reason: 3}
    output = " ".join(capsys.readouterr().err.split())
    assert f"{reason}: 1 (db2); " in output
    assert str(tmp_path / "out") not in output, "the user's file is to be named, not our copy of it"
    assert cause in output
    assert fix.format("db2") in output


@pytest.mark.parametrize("name", SPOILT)
@pytest.mark.parametrize("layout", ["spider", "bird"])
def test_where_no_database_can_be_used_the_error_is_about_them_alone(tmp_path: Path, layout: str, name: str):
    spoil, reason, cause, fix = SPOILT[name]
    seeds = spider_folder(tmp_path / "seeds", databases=2) if layout == "spider" else bird_folder(tmp_path / "seeds")
    for db_id in ("db0", "db1"):
        spoil(seeds / ("database" if layout == "spider" else "dev_databases"), db_id)
        shutil.rmtree(seeds / ("database" if layout == "spider" else "dev_databases") / "away", ignore_errors=True)
    with pytest.raises(InputError) as caught:
        run(seeds, tmp_path / "out")
    message = str(caught.value)
    assert f"(dropped: 4 {reason})" in message
    assert f"{reason}: 2 (db0, db1)" in message
    assert cause in message
    assert fix.format("db0") in message
    assert "holdout" not in message


def test_many_names_are_cut_short(tmp_path: Path):
    seeds = spider_folder(tmp_path / "spider", databases=1)
    write_json(seeds / "train_spider.json", [row(f"none{number:02}", number) for number in range(30)])
    with pytest.raises(InputError, match=r"missing database: 30 \(none00, none01, .*none09 and 20 more\); there is no "):
        run(seeds, tmp_path / "out")


def test_holdout_is_named_where_it_is_the_cause_and_after_the_databases(tmp_path: Path):
    seeds = spider_folder(tmp_path / "spider", databases=3)
    shutil.rmtree(seeds / "database" / "db0")
    with pytest.raises(InputError) as caught:
        run(seeds, tmp_path / "out", holdout=2)
    first, missing, holdout = str(caught.value).splitlines()
    assert first.endswith("no question remains for seed (dropped: 2 missing database)")
    assert missing.strip().startswith("missing database: 1 (db0); ")
    assert holdout.strip() == "lower ingest.holdout (now 2) or bring questions on more databases (2 remain)"


def test_a_folder_of_seeds_that_is_one_deeper_is_named(tmp_path: Path):
    spider_folder(tmp_path / "downloads" / "spider")
    with pytest.raises(InputError, match=r"downloads: the seeds are one folder deeper; set data\.seeds to .*downloads/spider"):
        run(tmp_path / "downloads", tmp_path / "out")


def test_only_visible_sqlite_files_are_copied_and_a_test_suite_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    seeds = spider_folder(tmp_path / "spider")
    folder = seeds / "database" / "db0"
    for name in ("._db0.sqlite", "db0.sqlite-backup", "db0.sqlite.bak", "db0.sqlite~", ".DS_Store", "schema.sql"):
        (folder / name).write_bytes(b"\0\5\x16\7")
    create_database(folder / "db0 backup.sqlite")
    run(seeds, tmp_path / "out")
    (copied,) = (tmp_path / "out").glob("*/databases/db0")
    assert sorted(file.name for file in copied.iterdir()) == ["db0 backup.sqlite", "db0.sqlite"]
    output = " ".join(capsys.readouterr().err.split())
    assert "test suites: 1 further *.sqlite files beside 1 databases" in output
    assert "first: db0/db0 backup.sqlite" in output


def test_a_broken_database_of_a_test_suite_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    seeds = spider_folder(tmp_path / "spider")
    (seeds / "database" / "db0" / "db0_1.sqlite").write_bytes(b"no database")
    assert run(seeds, tmp_path / "out")["dropped"] == {"broken database": 2}
    assert "db0_1.sqlite: not a readable SQLite database" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize("name", STATES)
def test_a_database_is_copied_whatever_lies_beside_it(tmp_path: Path, name: str):
    STATES[name](tmp_path / "origin" / "shop" / "shop.sqlite")
    before = files(tmp_path / "origin" / "shop")
    problem = DatabaseFolders([tmp_path / "origin"]).write_database("shop", tmp_path / "copy")
    assert files(tmp_path / "origin" / "shop") == before
    assert problem is None or "something else" in name or "an empty file" in name
    if problem is None:
        assert [file.name for file in (tmp_path / "copy").iterdir()] == ["shop.sqlite"]
