"""Which databases may be asked, what becomes of them while the gateway runs, and that nothing but reading happens."""

import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from sense.config import DatabasesConfig
from sense.errors import UserError
from sense.serving.backend import BackendError
from sense.serving.databases import Catalog, UnknownDatabaseError
from sense.sql.result import Failure, Result
from tests.serving.shops import LIMITS, WIDE, database
from tests.sql.hostile import build, statements


def make_catalog(*folders: Path, **urls: str) -> Catalog:
    return Catalog(DatabasesConfig(folders=[str(folder) for folder in folders], urls=urls), LIMITS)


@pytest.fixture
def catalog(tmp_path):
    database(tmp_path / "data" / "shop" / "shop.sqlite")
    shop_catalog = make_catalog(tmp_path / "data")
    yield shop_catalog
    shop_catalog.close()


def test_both_layouts_of_a_folder_are_listed_and_nothing_else(tmp_path):
    folder = tmp_path / "data"
    database(folder / "spider" / "spider.sqlite")
    database(folder / "spider" / "spider_suite_1.sqlite")
    database(folder / "flat.sqlite")
    database(folder / "odd name #1?.sqlite")
    database(folder / ".hidden.sqlite")
    (folder / "empty").mkdir()
    (folder / "notes.txt").write_text("")
    (folder / ("x" * 255)).mkdir()  # no file in it can be looked for, as in lost+found
    catalog = make_catalog(folder, folder)
    assert catalog.names() == ["flat", "odd name #1?", "spider"]
    assert catalog.get("spider").file == folder / "spider" / "spider.sqlite"
    assert catalog.get("odd name #1?").run(["SELECT count(*) FROM sale"]) == [Result(("count(*)",), [(3,)])]
    catalog.close()


def test_links_are_followed_wherever_they_lead(tmp_path):
    outside = database(tmp_path / "store" / "af" / "3301")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "linked.sqlite").symlink_to(outside)
    catalog = make_catalog(tmp_path / "data")
    assert catalog.get("linked").run(["SELECT name FROM customer WHERE id = 1"]) == [Result(("name",), [("Ann",)])]
    catalog.close()


@pytest.mark.parametrize("name", ["../shop", "shop/../shop", "shop/shop.sqlite", "", ".", "SHOP", "shop\0", "\ud800", "x" * 1000])
def test_a_name_is_looked_up_and_never_made_into_a_path(catalog, name):
    with pytest.raises(UnknownDatabaseError, match="there is no database"):
        catalog.get(name)


def test_the_same_name_twice_is_refused_with_both_places(tmp_path):
    one = database(tmp_path / "one" / "shop.sqlite")
    other = database(tmp_path / "other" / "shop" / "shop.sqlite")
    with pytest.raises(UserError) as caught:
        make_catalog(tmp_path / "one", tmp_path / "other")
    assert str(one) in str(caught.value)
    assert str(other) in str(caught.value)


def test_what_cannot_be_used_is_named_at_the_start(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="missing: not a folder of databases"):
        make_catalog(tmp_path / "missing")
    with pytest.raises(UserError, match=r"there is no database to ask in .*empty"):
        make_catalog(tmp_path / "empty")
    database(tmp_path / "data" / "fine.sqlite")
    (tmp_path / "data" / "broken.sqlite").write_bytes(b"no database at all, but long enough to be looked at" * 20)
    (tmp_path / "data" / "gone.sqlite").symlink_to(tmp_path / "nowhere")
    with pytest.raises(UserError) as caught:
        make_catalog(tmp_path / "data")
    lines = str(caught.value).splitlines()
    assert [line.split(":")[0] for line in lines[:2]] == [
        str(tmp_path / "data" / f"{name}.sqlite") for name in ("broken", "gone")
    ]
    assert "no readable SQLite database" in lines[0]
    assert "the file is missing" in lines[1]


def test_names_that_no_request_could_spell_are_refused(tmp_path):
    database(tmp_path / "bell\a.sqlite")
    with pytest.raises(UserError, match="cannot be called"):
        make_catalog(tmp_path)


def test_a_schema_is_that_of_the_file_as_it_is_now(catalog):
    shop_database = catalog.get("shop")
    assert [table.name for table in shop_database.schema(0).tables] == ["customer", "sale"]
    assert shop_database.schema(0) is shop_database.schema(0)
    assert shop_database.schema(2).tables[0].columns[1].samples == ("Ann", "Bob")
    database(shop_database.file, "CREATE TABLE later(id INTEGER)")
    assert [table.name for table in shop_database.schema(0).tables] == ["customer", "sale", "later"]
    assert shop_database.schema(2).tables[2].columns[0].name == "id"


def test_a_schema_changed_in_the_write_ahead_log_is_seen(catalog):
    shop_database = catalog.get("shop")
    with closing(sqlite3.connect(shop_database.file)) as writer:
        writer.execute("PRAGMA journal_mode=WAL")
        shop_database.schema(0)
        writer.execute("CREATE TABLE later(id INTEGER)")
        writer.commit()
        assert [table.name for table in shop_database.schema(0).tables] == ["customer", "sale", "later"]
        assert shop_database.run(["SELECT count(*) FROM later"]) == [Result(("count(*)",), [(0,)])]


def test_a_file_that_vanishes_breaks_and_comes_back(catalog, tmp_path):
    shop_database = catalog.get("shop")
    select = ["SELECT count(*) FROM customer"]
    assert shop_database.run(select) == [Result(("count(*)",), [(3,)])]
    away = shop_database.file.rename(tmp_path / "away")
    missing = "the database 'shop' can't be read now: the file is missing"
    assert catalog.check() == {"shop": missing}
    for ask in (lambda: shop_database.run(select), lambda: shop_database.schema(0)):
        with pytest.raises(BackendError) as caught:
            ask()
        assert caught.value.reason == missing
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 4096\n"
    for content, what in (
        (b"rubbish" * 1000, "the file is no readable SQLite database"),
        (pointer, "it is a pointer of Git LFS in place of the file; fetch the file: git lfs pull"),
    ):
        shop_database.file.write_bytes(content)
        broken = f"the database 'shop' can't be read now: {what}"
        assert catalog.check() == {"shop": broken}
        with pytest.raises(BackendError) as caught:
            shop_database.run(select)
        assert caught.value.reason == broken
    away.replace(shop_database.file)
    assert catalog.check() == {}
    assert shop_database.run(select) == [Result(("count(*)",), [(3,)])]


def test_a_file_that_is_replaced_is_read_anew(catalog, tmp_path):
    shop_database = catalog.get("shop")
    assert shop_database.run(["SELECT count(*) FROM customer"]) == [Result(("count(*)",), [(3,)])]
    database(tmp_path / "new", "CREATE TABLE customer(id INTEGER)").replace(shop_database.file)
    assert shop_database.run(["SELECT count(*) FROM customer"]) == [Result(("count(*)",), [(0,)])]
    assert [column.name for column in shop_database.schema(0).tables[0].columns] == ["id"]


def test_outcomes_are_in_order_and_within_the_limits(catalog):
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n"
    outcomes = catalog.get("shop").run(
        ["SELECT 1", "DROP TABLE sale", endless, "SELECT nosuch", f"SELECT count(*) FROM ({endless})"]
    )
    assert [getattr(outcome, "verdict", "ran") for outcome in outcomes] == ["ran", "rejected", "too_large", "error", "timeout"]


def test_short_texts_take_room_too(catalog):
    numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 150)"
    outcomes = catalog.get("shop").run([f"{numbers} SELECT {', '.join(['i'] * 20)} FROM n", f"{numbers} {WIDE} FROM n"])
    assert [getattr(outcome, "detail", "ran") for outcome in outcomes] == ["ran", "more than 100,000 bytes"]


def test_many_threads_share_a_bounded_number_of_executors(catalog):
    shop_database, results = catalog.get("shop"), []
    threads = [threading.Thread(target=lambda n=n: results.append((n, shop_database.run([f"SELECT {n}"])))) for n in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == [(n, [Result((str(n),), [(n,)])]) for n in range(12)]
    assert len(catalog.executors._idle) <= LIMITS.concurrency


def test_warmed_executors_are_used_by_many_threads(catalog):
    catalog.warm()
    warmed = set(catalog.executors._idle)
    with ThreadPoolExecutor(8) as threads:
        outcomes = list(threads.map(lambda number: catalog.get("shop").run([f"SELECT {number}"])[0].rows, range(40)))
    assert outcomes == [[(number,)] for number in range(40)]
    assert warmed
    assert warmed <= set(catalog.executors._idle)


def test_statements_that_take_long_do_not_hold_up_the_others(catalog):
    with catalog.executors.borrow():  # for as long as it likes
        assert catalog.get("shop").run(["SELECT 1"]) == [Result(("1",), [(1,)])]


def test_warming_a_gateway_that_is_closed(catalog):
    catalog.close()
    catalog.warm()
    assert catalog.executors._idle == []


def test_after_close_nothing_is_executed(catalog):
    catalog.close()
    with pytest.raises(BackendError, match="stopping"):
        catalog.get("shop").run(["SELECT 1"])


def test_hostile_statements_change_nothing(tmp_path):
    file = build(tmp_path)
    before = file.read_bytes()
    catalog = make_catalog(tmp_path)
    attacks = [attack for attack in statements(file.parent) if attack.family in ("statements", "system")]
    outcomes = catalog.get("attacked").run([*(attack.sql for attack in attacks), "SELECT count(*) FROM pet"])
    for attack, outcome in zip(attacks, outcomes, strict=False):
        assert (outcome.verdict if isinstance(outcome, Failure) else "result") in attack.select, attack.name
    assert outcomes[-1] == Result(("count(*)",), [(4,)])
    catalog.close()
    assert file.read_bytes() == before
    assert [path.name for path in file.parent.iterdir()] == [file.name]
