"""What the grammar makes of a database that it did not invent: nouns, words, kinds and foreign keys, and the glossary's say."""

import sqlite3
from contextlib import closing

import pytest
import yaml

from sense.errors import ConfigError, InputError
from sense.teacher.grammar.own.database import draft_glossary, read_own_database
from sense.teacher.grammar.own.glossary import Glossary, glossary_text
from sense.teacher.grammar.own.kinds import date_format, guess_kind
from sense.teacher.grammar.own.names import event_of, nouns, split_words, without_unit
from tests.teacher.grammar.own_shop import write_glossary, write_own_shop


@pytest.fixture
def folder(tmp_path):
    return write_own_shop(tmp_path)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("order_items", "order items"),
        ("OrderItems", "order items"),
        ("custNm", "cust nm"),
        ("HTTPStatusCode", "http status code"),
        ("Billing-City town", "billing city town"),
        ("SKU", "sku"),
        ("größeCm", "größe cm"),
        ("_", "_"),
    ],
)
def test_names_are_split_into_words(name, words):
    assert split_words(name) == words


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("categories", ("category", "categories")),
        ("Movie", ("movie", "movies")),
        ("movies", ("movie", "movies")),
        ("tbl_address", ("tbl address", "tbl addresses")),
        ("people", ("person", "people")),
    ],
)
def test_a_table_has_a_singular_and_a_plural(name, expected):
    assert nouns(name) == expected


def test_units_and_events_are_read_from_names():
    assert without_unit("weight kg") == ("weight", "kilograms")
    assert without_unit("kg") == ("kg", "")
    assert [event_of(words) for words in ("created at", "signed up", "date", "updated date", "due")] == [
        "created",
        "signed up",
        "",
        "",
        "",
    ]


@pytest.mark.parametrize(
    ("words", "values", "kind"),
    [
        ("unit price", [1.5, 2.0, 3.25], "price"),
        ("founded year", [1990, 2001, 2003], "year"),
        ("stock", [1990, 2001, 2003], "integer"),
        ("depth", [1.5, 2.5], "measure"),
        ("score", [1, 2, 3], "rating"),
        ("zip code", [10001, 10002], None),
        ("is open", [0, 1, 1], "flag"),
        ("open", ["Y", "N", "Y"], "flag"),
        ("status", ["a", "b", "a", "a"], "category"),
        ("home city", ["Rome", "Oslo", "Rome"], "city"),
        ("full name", ["Ann Lee", "Bob Ray", "Cleo Fay"], "person"),
        ("film name", ["The Sea", "A Day", "Dust"], "title"),
        ("sku", ["A1", "B2", "C3"], "code"),
        ("contact", ["a@b.com", "c@d.org"], "email"),
        ("born", ["1990-01-02", "1991-03-04"], "date"),
        ("note", ["a b c d", "x" * 100], None),
        ("lines", ["one\ntwo", "three"], None),
        ("constant", [7, 7, 7], None),
    ],
)
def test_a_kind_is_guessed_from_name_and_values(words, values, kind):
    assert guess_kind(words, values, "customer") == kind


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["2020-01-31"], ""),
        (["2020-02-31"], None),
        (["2020-01-31 10:00:00", "2021-12-01 23:59:59"], "%Y-%m-%d %H:%M:%S"),
        (["31/01/2020", "01/02/2020"], "%d/%m/%Y"),
        (["01/02/2020", "03/04/2020"], None),  # of two formats
        (["2020-01-31", "soon"], None),
    ],
)
def test_a_date_has_the_only_format_that_fits(texts, expected):
    assert date_format(texts) == expected


def test_a_database_in_the_words_of_its_names(folder):
    database = read_own_database(folder, "shop")
    customers, orders, items = (database.tables[name] for name in ("Customers", "orders", "order_items"))
    assert (customers.singular, customers.plural) == ("customer", "customers")
    assert {column.name: column.kind for column in customers.data_columns} == {
        "FullName": "person",
        "Email": "email",
        "City": "city",
        "signedUp": "date",
        "is_active": "flag",
        "tier": "category",
    }
    assert customers.label.name == "FullName"
    assert orders.column("ordered_at").date_format == "%Y-%m-%d %H:%M:%S"
    weight = database.tables["products"].column("weight_kg")
    assert (weight.words, weight.spec.unit) == ("weight", "kilograms")
    assert database.tables["employees"].column("salary").values[0] == 30000
    assert items.across == {"orders": "are linked to", "products": "are linked to"}
    assert {(link.child, link.column): (link.parent, link.role) for link in database.links} == {
        ("employees", "manager_id"): ("employees", "manager"),
        ("orders", "cust_id"): ("Customers", ""),
        ("orders", "sales_rep"): ("employees", "sales rep"),
        ("order_items", "order_id"): ("orders", ""),
        ("order_items", "product_id"): ("products", ""),
    }


def test_a_drafted_glossary_says_the_same_as_none(folder):
    database = read_own_database(folder, "shop")
    text = glossary_text("shop", draft_glossary(database))
    assert Glossary.model_validate(yaml.safe_load(text)) == draft_glossary(database)
    assert "      City: {phrase: city, kind: city}\n" in text
    assert read_own_database(write_glossary(folder, text), "shop") == database


def test_a_glossary_goes_before_what_is_guessed(folder):
    write_glossary(
        folder,
        """
tables:
  Customers:
    noun: client
    synonyms: [buyer]
    columns:
      tier: {phrase: level, synonyms: [class], kind: category, meanings: {A: gold, B: silver}}
      City: {kind: none}
  orders:
    columns:
      cust_id: {verb: place, by: placed by}
      shipping_cost: {unit: euros}
""",
    )
    database = read_own_database(folder, "shop")
    clients = database.tables["Customers"]
    assert (clients.singular, clients.plural, clients.synonyms) == ("client", "clients", (("buyer", "buyers"),))
    tier = clients.column("tier")
    assert (tier.words, tier.synonyms, tier.meanings) == ("level", ("class",), {"A": "gold", "B": "silver"})
    assert "City" not in [column.name for column in clients.data_columns]
    assert database.tables["orders"].column("shipping_cost").spec.unit == "euros"
    [placed] = [link for link in database.links if link.column == "cust_id"]
    assert (placed.verb, placed.by) == ("place", "placed by")


@pytest.mark.parametrize(
    ("table", "fault"),
    [
        ("CREATE TABLE size(low INT, high INT, width INT AS (high - low) STORED)", "table size has generated columns"),
        ("CREATE TABLE size(low INT, high INT, width INT AS (high - low))", "table size has generated columns"),
        ("CREATE VIRTUAL TABLE page USING fts5(body)", "table page is a virtual table"),
    ],
)
def test_what_cannot_be_inserted_again_is_refused_with_the_fix(tmp_path, table, fault):
    path = tmp_path / "databases" / "shop" / "shop.sqlite"
    path.parent.mkdir(parents=True)
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(f"CREATE TABLE customer(id INTEGER PRIMARY KEY, name TEXT); {table}")
    with pytest.raises(InputError) as caught:
        read_own_database(tmp_path, "shop")
    assert str(caught.value) == f"{path}: {fault}; copy it: sense own {path}"


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("tables: {customer: {}}", InputError, "tables.customer: there is no such table; there are: Customers"),
        ("tables: {orders: {columns: {state: {}}}}", InputError, "tables.orders: no column state; there are: order_id"),
        (
            "tables: {orders: {columns: {status: {kind: price}}}}",
            InputError,
            "tables.orders.columns.status: kind: price does not fit",
        ),
        ("tables: {orders: {columns: {status: {knd: x}}}}", ConfigError, "tables.orders.columns.status.knd"),
        ("tables: {orders: {label: status}}", InputError, "tables.orders.label: status names no row"),
        ("tables: [", ConfigError, "not valid YAML"),
    ],
)
def test_a_wrong_glossary_is_called_so(folder, text, error, message):
    write_glossary(folder, text)
    with pytest.raises(error, match=r"shop\.yaml") as caught:
        read_own_database(folder, "shop")
    assert message in str(caught.value)
