"""`sense own`: from a SQLite file to a dataset folder, and what a user who errs reads."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from sense import cli, records
from tests.own.shop import rows, write_shop


@pytest.fixture
def shop(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return write_shop(tmp_path / "shop.sqlite")


def test_a_copy_has_no_more_rows_than_allowed_and_every_parent(shop, capsys):
    assert cli.main(["own", "shop.sqlite", "--rows", "15", "--json"]) == 0
    counts = json.loads(capsys.readouterr().out)["shop"]
    assert counts["customers"] == counts["employees"] == 15
    assert 5 < counts["orders"] <= 15  # some had employees whose managers had no room
    copy = shop.parent / "data/own/databases/shop/shop.sqlite"
    assert rows(copy, "PRAGMA foreign_key_check") == []
    joined = "SELECT count(*) FROM orders JOIN customers USING (customer_id) JOIN employees ON id = sales_rep_id"
    assert rows(copy, joined) == [(counts["orders"],)]
    assert records.read_dataset(shop.parent / "data/own") == []
    original = rows(shop, "SELECT customer_id, full_name, email, city, signedUp, NULL FROM customers")
    assert set(rows(copy, "SELECT * FROM customers")) <= set(original)


def test_a_small_database_is_copied_whole_with_keys_and_types(shop):
    assert cli.main(["own", "shop.sqlite"]) == 0
    copy = shop.parent / "data/own/databases/shop/shop.sqlite"
    for table in ("customers", "employees", "orders"):
        assert len(rows(copy, f"SELECT * FROM {table}")) == len(rows(shop, f"SELECT * FROM {table}"))
    [(ddl,)] = rows(copy, "SELECT sql FROM sqlite_master WHERE name = 'orders'")
    assert '"sales_rep_id" INTEGER' in ddl
    assert 'FOREIGN KEY ("customer_id") REFERENCES "customers" ("customer_id")' in ddl
    assert 'PRIMARY KEY ("order_id")' in ddl


def test_the_same_arguments_give_the_same_bytes_and_another_seed_other_rows(shop):
    folder = shop.parent
    for out, seed in (("one", "0"), ("two", "0"), ("three", "1")):
        assert cli.main(["own", "shop.sqlite", "--rows", "10", "--seed", seed, "--out", out]) == 0
    assert records.digest(folder / "one") == records.digest(folder / "two")
    assert records.digest(folder / "one/databases") != records.digest(folder / "three/databases")


def test_masked_values_are_others_of_the_same_shape_and_still_join(shop):
    assert cli.main(["own", "shop.sqlite", "--mask", "email", "customer_email"]) == 0
    copy = shop.parent / "data/own/databases/shop/shop.sqlite"
    emails = rows(copy, "SELECT customer_id, email FROM customers")
    for number, email in emails:
        [(original,)] = rows(shop, f"SELECT email FROM customers WHERE customer_id = {number}")
        assert email != original
        assert [sign for sign in email if not sign.isalnum()] == ["@", "."]
        assert len(email) == len(original)
    join = "SELECT count(*) FROM orders JOIN customers ON customer_email = email WHERE orders.customer_id = customers.customer_id"
    assert rows(copy, join) == rows(shop, join) != [(0,)]


def test_a_chosen_table_comes_without_foreign_keys_to_others(shop):
    assert cli.main(["own", "shop.sqlite", "--tables", "orders"]) == 0
    copy = shop.parent / "data/own/databases/shop/shop.sqlite"
    [(ddl,)] = rows(copy, "SELECT sql FROM sqlite_master")
    assert "FOREIGN KEY" not in ddl


def test_the_section_of_params_names_sources_and_flags_go_before_it(shop, capsys):
    (shop.parent / "configured.yaml").write_text(
        (Path(cli.__file__).parents[1] / "params.yaml")
        .read_text()
        .replace("  seeds: sense/seeds", "  own: {sources: [store=shop.sqlite], rows: 7, mask: [email]}\n  seeds: sense/seeds")
    )
    assert cli.main(["own", "--params", "configured.yaml", "--rows", "9", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["store"]["customers"] == 9
    section = json.loads((shop.parent / "data/own/manifest.json").read_text())["section"]
    assert (section["rows"], section["mask"]) == (9, ["email"])


def test_a_row_that_refers_to_nothing_in_the_source_stays(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with closing(sqlite3.connect("broken.db")) as connection:
        connection.executescript(
            "CREATE TABLE a(id INTEGER PRIMARY KEY, name TEXT);"
            "CREATE TABLE b(id INTEGER PRIMARY KEY, a_id INTEGER REFERENCES a);"
            "INSERT INTO a VALUES (1, 'x'); INSERT INTO b VALUES (1, 1), (2, 5), (3, NULL);"
        )
        connection.commit()
    assert cli.main(["own", "broken.db"]) == 0
    assert rows(tmp_path / "data/own/databases/broken/broken.sqlite", "SELECT * FROM b") == [(1, 1), (2, 5), (3, None)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere.sqlite"], "nowhere.sqlite: no such file or folder"),
        (["."], None),
        (["shop.sqlite", "again.txt"], "again.txt"),
        (["shop.sqlite", "--mask", "mail"], "mask: there is no column 'mail'; the columns are: customers.customer_id"),
        (["shop.sqlite", "--tables", "order"], "no table order; there are: customers, employees, orders"),
        (["shop.sqlite", "shop=shop.sqlite"], "two databases are called 'shop'"),
        (["shop.sqlite", "--rows", "0"], "rows = 0"),
        (["shop.sqlite", "--out", "taken"], "`sense own` has not written it"),
        (["postgresql://me:secret@host/shop"], "holds a password"),
        (["env:NO_SUCH_URL"], "NO_SUCH_URL is not set"),
        (["oracle://host/shop"], "cannot be held to reading"),
        ([], "no database is named"),
        (["empty"], "holds no database"),
    ],
)
def test_what_is_wrong_is_called_so(shop, capsys, arguments, message):
    (shop.parent / "again.txt").write_text("no database")
    (shop.parent / "taken").mkdir()
    (shop.parent / "taken/notes.txt").write_text("mine")
    (shop.parent / "empty").mkdir()
    code = cli.main(["own", *arguments])
    error = capsys.readouterr().err
    if message is None:
        assert code == 0
        return
    assert code == 2
    assert message in error
    assert "secret" not in error
    assert (shop.parent / "taken/notes.txt").read_text() == "mine"


def test_a_corrected_glossary_outlives_another_copy(shop, capsys):
    assert cli.main(["own", "shop.sqlite"]) == 0
    glossary = shop.parent / "data/own/glossary/shop.yaml"
    assert "full_name: {phrase: full name, kind: " in glossary.read_text()
    corrected = "tables: {customers: {noun: client}}  # mine\n"
    glossary.write_text(corrected)
    assert cli.main(["own", "shop.sqlite", "--rows", "20"]) == 0
    assert glossary.read_text() == corrected
    glossary.write_text("tables: {clients: {}}\n")
    assert cli.main(["own", "shop.sqlite"]) == 2
    assert "tables.clients: there is no such table" in capsys.readouterr().err
    assert glossary.read_text() == "tables: {clients: {}}\n"
