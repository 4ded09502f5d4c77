"""Copies of databases on servers: a real PostgreSQL, and a MariaDB, or the empty database whose URL SENSE_TEST_MYSQL holds."""

import json

import pytest

from sense import cli, records
from tests.own.shop import rows
from tests.serving.postgres import Postgres


@pytest.fixture
def url(server_url, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SHOP_URL", server_url)
    return server_url


def test_a_copy_of_a_server_has_its_values_keys_and_types(url, tmp_path, capsys):
    assert cli.main(["own", "store=env:SHOP_URL", "--tables", "customer", "sale"]) == 0
    assert "se:cr" not in "".join(capsys.readouterr())
    copy = tmp_path / "data/own/databases/store/store.sqlite"
    assert rows(copy, "SELECT * FROM customer") == [(1, "Ann", "Ghent"), (2, "Bob", "Turku"), (3, "Cleo", "Ghent")]
    assert rows(copy, "SELECT id, customer_id, price, sold FROM sale") == [
        (1, 1, 9.5, "2024-01-02"),
        (2, 1, 20, "2024-02-03"),
        (3, 2, 5.25, None),
    ]
    assert rows(copy, "SELECT note FROM sale") == [("50% off",), (None,), ("it's \\",)]
    assert rows(copy, 'SELECT "table", "from", "to" FROM pragma_foreign_key_list(\'sale\')') == [
        ("customer", "customer_id", "id")
    ]
    assert "secret" not in (tmp_path / "data/own/manifest.json").read_text()


def test_few_rows_are_drawn_with_their_parents(url, tmp_path, capsys):
    assert cli.main(["own", "env:SHOP_URL", "--tables", "customer", "sale", "--rows", "1", "--json"]) == 0
    counts = json.loads(capsys.readouterr().out)
    [name] = counts
    assert counts[name] == {"customer": 1, "sale": 1}
    assert rows(tmp_path / f"data/own/databases/{name}/{name}.sqlite", "PRAGMA foreign_key_check") == []


def test_the_types_of_postgresql(postgres_server: Postgres, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SHOP_URL", postgres_server.url())
    assert cli.main(["own", "env:SHOP_URL", "--tables", "kinds"]) == 0
    [first, second] = rows(tmp_path / "data/own/databases/shop/shop.sqlite", "SELECT * FROM kinds")
    assert first[1] == "2024-01-02 03:04:05"
    assert first[4:7] == (1, "0a0a0a0a-0a0a-0a0a-0a0a-0a0a0a0a0a0a", None)
    assert second[:2] == (2, None)


def test_a_server_that_is_away_is_called_so(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SHOP_URL", "postgresql://owner:hidden@127.0.0.1:9/shop")
    assert cli.main(["own", "env:SHOP_URL"]) == 2
    error = capsys.readouterr().err
    assert "cannot be reached" in error
    assert "hidden" not in error


def test_golds_in_the_dialect_of_a_server_are_translated(postgres_server: Postgres, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SHOP_URL", postgres_server.url())
    (tmp_path / "q.csv").write_text(
        "question,sql\n"
        "Where does bob live?,SELECT city FROM public.customer WHERE name ILIKE 'bob'\n"
        "What does Bob pay?,SELECT s.price FROM sale s JOIN customer c ON c.id = s.customer_id WHERE c.name = 'Bob'\n"
        "Whose table?,SELECT name FROM customer WHERE city ~ '^G'\n"
    )
    assert cli.main(["own", "env:SHOP_URL", "--tables", "customer", "sale", "--rows", "1", "--questions", "q.csv"]) == 0
    printed = capsys.readouterr().out
    assert "questions: 2 of 3 can be used" in printed
    assert "1 golds were translated to the dialect of SQLite" in printed
    assert "q.csv, line 4" in printed
    lives, pays = records.read_dataset(tmp_path / "data/own")
    copy = tmp_path / "data/own/databases/shop/shop.sqlite"
    assert rows(copy, pays.sql) == [(5.25,)]
    assert rows(copy, lives.sql) == [("Turku",)]
