"""Folders of CSV and Parquet files as databases: types, keys and foreign keys that nobody has declared, and broken files."""

import datetime
from decimal import Decimal

import pytest

from sense import cli
from tests.own.shop import rows

CUSTOMERS = (
    "customer_id;name;zip;joined;member;balance;note\n1;Ann;00501;2020-01-02;true;9.50;\n2;Bob;10001;2021-03-04;false;3;late\n"
)
ORDERS = "id;customer_id;placed\n7;1;2024-01-02 03:04:05\n8;1;2024-02-02 03:04:05\n9;2;\n"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "crm").mkdir()
    (tmp_path / "crm/customers.csv").write_text(CUSTOMERS)
    (tmp_path / "crm/orders.csv").write_text(ORDERS)
    return tmp_path / "crm"


def test_types_and_keys_are_told_from_values_and_names(folder, capsys):
    assert cli.main(["own", "crm"]) == 0
    assert "orders.customer_id = customers.customer_id" in capsys.readouterr().out
    copy = folder.parent / "data/own/databases/crm/crm.sqlite"
    columns = dict(rows(copy, "SELECT name, type FROM pragma_table_info('customers')"))
    assert columns == {
        "customer_id": "INTEGER",
        "name": "TEXT",
        "zip": "TEXT",
        "joined": "DATE",
        "member": "BOOLEAN",
        "balance": "REAL",
        "note": "TEXT",
    }
    assert rows(copy, "SELECT * FROM customers") == [
        (1, "Ann", "00501", "2020-01-02", 1, 9.5, None),
        (2, "Bob", "10001", "2021-03-04", 0, 3.0, "late"),
    ]
    assert rows(copy, 'SELECT "table", "from", "to" FROM pragma_foreign_key_list(\'orders\')') == [
        ("customers", "customer_id", "customer_id")
    ]


def test_a_guess_that_a_value_contradicts_is_no_foreign_key(folder, capsys):
    (folder / "orders.csv").write_text(ORDERS + "10;99;\n")
    assert cli.main(["own", "crm"]) == 0
    assert "guessed" not in capsys.readouterr().out
    copy = folder.parent / "data/own/databases/crm/crm.sqlite"
    assert rows(copy, "SELECT count(*) FROM orders") == [(4,)]
    assert rows(copy, "SELECT * FROM pragma_foreign_key_list('orders')") == []


def test_parquet_has_types_of_its_own(folder):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    table = pa.table(
        {
            "visit_id": pa.array([1, 2], pa.int32()),
            "price": pa.array([Decimal("1.50"), None]),
            "on": [datetime.date(2020, 1, 2), None],
            "at": [datetime.datetime(2020, 1, 2, 3, 4), None],
            "tags": [["a", "b"], []],
            "raw": [b"\0", None],
            "fine": [True, False],
        }
    )
    pq.write_table(table, folder / "visits.parquet")
    assert cli.main(["own", "crm"]) == 0
    copy = folder.parent / "data/own/databases/crm/crm.sqlite"
    assert rows(copy, "SELECT type FROM pragma_table_info('visits')") == [
        ("INTEGER",),
        ("DECIMAL(3,2)",),
        ("DATE",),
        ("DATETIME",),
        ("TEXT",),
        ("TEXT",),
        ("BOOLEAN",),
    ]
    assert rows(copy, "SELECT * FROM visits") == [
        (1, 1.5, "2020-01-02", "2020-01-02 03:04:00", '["a", "b"]', None, 1),
        (2, None, None, None, "[]", None, 0),
    ]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("customers.csv", CUSTOMERS + "3;Cleo\n", "customers.csv, line 4: 2 values, but the first line names 7 columns"),
        ("customers.csv", CUSTOMERS.replace("zip", "name"), "customers.csv, line 1: the column 'name' occurs twice"),
        ("customers.csv", "", "customers.csv: it is empty"),
        ("customers.csv", 'id,name\n1,"Ann', "customers.csv, line 2: no CSV"),
        ("customers.parquet", CUSTOMERS, "two files for one table"),
        ("visits.parquet", CUSTOMERS, "visits.parquet: no readable Parquet file"),
        ("shop.sqlite", "", "holds both SQLite files (shop.sqlite) and tables (customers.csv)"),
    ],
)
def test_a_broken_file_is_named_with_its_line(folder, capsys, name, content, message):
    (folder / name).write_text(content)
    assert cli.main(["own", "crm"]) == 2
    assert message in capsys.readouterr().err
