"""Plans carried out on databases: data, constraints, indexes, views and triggers stay, and golds give what they gave."""

import random
import sqlite3
from contextlib import closing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sense import schema as schemas
from sense.records import Example
from sense.robustness.database import UnalterableError, write_database
from sense.robustness.kinds import KINDS
from sense.robustness.plan import AddedColumn, AddedTable, DatabasePlan, Drop

STRUCTURAL = ("columns-synonym", "columns-abbreviation", "schema-shuffled", "distractors", "no-keys")

SHOP = """
CREATE TABLE customer (id INTEGER PRIMARY KEY AUTOINCREMENT, "Customer Name" TEXT NOT NULL COLLATE NOCASE,
    country TEXT DEFAULT 'n, a' CHECK (length(country) > 1), country_length INT GENERATED ALWAYS AS (length(country)) VIRTUAL);
CREATE TABLE item (title TEXT, price REAL, weight);
CREATE TABLE purchase (customer_id INT REFERENCES customer (id) ON DELETE CASCADE, item TEXT, quantity INT, -- pieces
    PRIMARY KEY (customer_id, item), UNIQUE (item, quantity)) WITHOUT ROWID;
CREATE INDEX by_country ON customer (country DESC) WHERE country <> 'Chile';
CREATE VIEW chileans AS SELECT "Customer Name" FROM customer WHERE country = 'Chile';
INSERT INTO customer (id, "Customer Name", country) VALUES (7, 'Ann', 'Chile'), (2, 'Bob', 'Peru'), (5, 'Cid', 'Chile');
INSERT INTO purchase VALUES (7, 'cup', 2), (2, 'cup', 1), (2, 'hat', 4), (5, 'hat', 3);
INSERT INTO item (rowid, title, price, weight) VALUES (30, 'hat', 20.5, x'00ff'), (4, CAST(x'63ff70' AS TEXT), 3, 'b');
CREATE TRIGGER no_changes BEFORE INSERT ON item BEGIN SELECT RAISE(FAIL, 'closed'); END;
"""


@pytest.fixture
def shop(tmp_path):
    file = tmp_path / "shop.sqlite"
    with closing(sqlite3.connect(file)) as connection:
        connection.executescript(SHOP)
    return file


def example(sql, question="Which?", **fields):
    return Example(id="a", db_id="shop", question=question, sql=sql, source="s", hardness="easy", **fields)


def read(file, sql):
    with closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)) as connection:
        connection.text_factory = bytes
        return connection.execute(sql).fetchall()


def plan_for(kind, file, golds=(), seed=0):
    plan = KINDS[kind].plan([example(sql) for sql in golds], schemas.introspect(file), random.Random(seed))
    assert isinstance(plan, DatabasePlan)
    return plan


def rewritten(kind, file, plan, row):
    return KINDS[kind].rewrite(row, schemas.introspect(file), plan, random.Random(0))


GOLDS = [
    'SELECT "Customer Name" FROM customer WHERE country = "Chile"',
    "SELECT * FROM item",
    "SELECT rowid, title FROM item",
    "SELECT title FROM item LIMIT 1",
    "SELECT c.`Customer Name`, sum(p.quantity) FROM customer AS c JOIN purchase AS p ON p.customer_id = c.id GROUP BY c.id",
    "SELECT count(*) FROM purchase WHERE customer_id IN (SELECT id FROM customer WHERE country_length > 4)",
    "SELECT country AS weight FROM customer WHERE \"Customer Name\" = 'ANN'",
]


@pytest.mark.parametrize("kind", ["schema-shuffled", "no-keys", "columns-synonym", "columns-abbreviation"])
@pytest.mark.parametrize("gold", GOLDS)
def test_golds_give_what_they_gave(shop, tmp_path, kind, gold):
    plan = plan_for(kind, shop)
    write_database(shop, tmp_path / "new" / "shop.sqlite", plan)
    new = rewritten(kind, shop, plan, example(gold))
    sql = gold if isinstance(new, Drop) else new.sql
    before, after = read(shop, gold), read(tmp_path / "new" / "shop.sqlite", sql)
    assert sorted(sorted(map(repr, row)) for row in before) == sorted(sorted(map(repr, row)) for row in after)


def test_what_a_shuffled_database_still_has(shop, tmp_path):
    target = tmp_path / "new.sqlite"
    write_database(shop, target, plan_for("schema-shuffled", shop))
    before, after = schemas.introspect(shop), schemas.introspect(target)
    assert [table.name for table in before.tables] != [table.name for table in after.tables]
    for table in before.tables:
        new = next(other for other in after.tables if other.name == table.name)
        assert new.columns != table.columns
        assert sorted(new.columns, key=str) == sorted(table.columns, key=str)
    assert set(before.foreign_keys) == set(after.foreign_keys)
    kinds = read(target, "SELECT type, name FROM sqlite_master WHERE type <> 'table' AND name NOT LIKE 'sqlite%' ORDER BY 1")
    assert kinds == [(b"index", b"by_country"), (b"trigger", b"no_changes"), (b"view", b"chileans")]
    with closing(sqlite3.connect(target)) as connection:
        connection.execute("PRAGMA foreign_keys = ON")
        for sql in (
            "INSERT INTO customer (id, country) VALUES (9, 'Fiji')",  # NOT NULL
            "INSERT INTO customer (\"Customer Name\", country) VALUES ('Dan', 'x')",  # CHECK
            "INSERT INTO purchase (customer_id, item, quantity) VALUES (7, 'cup', 9)",  # the primary key
            "INSERT INTO purchase (customer_id, item, quantity) VALUES (5, 'cup', 2)",  # UNIQUE
            "INSERT INTO purchase (customer_id, item, quantity) VALUES (99, 'pen', 1)",  # the foreign key
            "INSERT INTO item (title) VALUES ('x')",  # the trigger
        ):
            with pytest.raises(sqlite3.IntegrityError):
                connection.execute(sql)


def test_keys_are_gone_and_the_rest_stays(shop, tmp_path):
    target = tmp_path / "new.sqlite"
    write_database(shop, target, plan_for("no-keys", shop))
    after = schemas.introspect(target)
    assert after.foreign_keys == ()
    assert not any(column.primary_key for table in after.tables for column in table.columns)
    types = {(table.name, column.name, column.type) for table in schemas.introspect(shop).tables for column in table.columns}
    assert types == {(table.name, column.name, column.type) for table in after.tables for column in table.columns}
    assert read(target, "SELECT rowid, id FROM customer") == [(2, 2), (5, 5), (7, 7)]  # in the order of the key that it had
    with closing(sqlite3.connect(target)) as connection, pytest.raises(sqlite3.IntegrityError):
        connection.execute("INSERT INTO purchase (customer_id, item, quantity) VALUES (5, 'cup', 2)")


def test_renamed_columns_are_so_everywhere(shop, tmp_path):
    target = tmp_path / "new.sqlite"
    plan = DatabasePlan(renamed={"country": "nation", "customer name": "Client Name", "customer_id": "client"})
    write_database(shop, target, plan)
    names = {column.name for table in schemas.introspect(target).tables for column in table.columns}
    assert {"nation", "Client Name", "client"} <= names
    assert not names & {"country", "Customer Name", "customer_id"}
    (key,) = schemas.introspect(target).foreign_keys
    assert (key.table, key.column, key.other_table, key.other_column) == ("purchase", "client", "customer", "id")
    assert read(target, 'SELECT "Client Name" FROM chileans ORDER BY 1') == [(b"Ann",), (b"Cid",)]
    assert b"nation DESC" in read(target, "SELECT sql FROM sqlite_master WHERE name = 'by_country'")[0][0].replace(b'"', b"")


def test_added_columns_and_tables_have_the_values_of_their_rows(tmp_path):
    source, target = tmp_path / "a.sqlite", tmp_path / "b.sqlite"
    with closing(sqlite3.connect(source)) as connection:
        connection.executescript(
            "CREATE TABLE t (a INT, b INT); INSERT INTO t (rowid, a, b) VALUES (1, 10, 11), (2, 20, 21), (9, 90, 91);"
        )
    grade, level = AddedColumn("grade", "TEXT", ("it's", "low"), salt=1), AddedColumn("level", "INTEGER", low=5, high=7)
    table = AddedTable("log", (AddedColumn("log_id", "INTEGER"), level), rows=3)
    plan = DatabasePlan(
        tables=("log", "t"), columns={"t": ("a", "grade", "b")}, added_columns={"t": (grade,)}, added_tables=(table,)
    )
    write_database(source, target, plan)
    # (rowid * 7919 + 1) % 2 is 0, 1, 0; 7919 % 3 is 2, so that 5 + 2 n % 3 is 7, 6, 5
    assert read(target, "SELECT * FROM t") == [(10, b"it's", 11), (20, b"low", 21), (90, b"it's", 91)]
    assert read(target, "SELECT * FROM log") == [(1, 7), (2, 6), (3, 5)]
    assert [table.name for table in schemas.introspect(target).tables] == ["log", "t"]


@pytest.mark.parametrize(
    "table", ["t (a INT PRIMARY KEY, b INT) WITHOUT ROWID", "t (a INT, b INT, rowid INT, oid INT, _rowid_ INT)"]
)
def test_where_there_is_no_rowid_rows_are_counted(tmp_path, table):
    with closing(sqlite3.connect(tmp_path / "a.sqlite")) as connection:
        connection.executescript(f"CREATE TABLE {table}; INSERT INTO t (a, b) VALUES (10, 1), (20, 2), (90, 3);")
    plan = DatabasePlan(added_columns={"t": (AddedColumn("level", "INTEGER", low=5, high=7),)})
    write_database(tmp_path / "a.sqlite", tmp_path / "b.sqlite", plan)
    assert read(tmp_path / "b.sqlite", "SELECT a, b, level FROM t") == [(10, 1, 7), (20, 2, 6), (90, 3, 5)]


def test_distractors_say_nothing_that_is_asked_for(tmp_path):
    file = tmp_path / "a.sqlite"
    with closing(sqlite3.connect(file)) as connection:
        connection.executescript("CREATE TABLE gift (gift_id INT, remark TEXT); INSERT INTO gift VALUES (1, 'x'), (2, 'y');")
    rows = [example("SELECT count(*) FROM gift", "How many priorities have holidays or donations?", evidence="see reviewers")]
    schema = schemas.introspect(file)
    spoken = {"priority", "holiday", "donation", "reviewer", "remarks"}
    for seed in range(40):
        plan = KINDS["distractors"].plan(rows, schema, random.Random(seed))
        names = {column.name for column in plan.added_columns["gift"]} | {table.name for table in plan.added_tables}
        assert len(plan.added_tables) == 1
        assert 1 <= len(plan.added_columns["gift"]) <= 2
        assert not names & spoken
        assert plan.columns["gift"][0] == "gift_id"
        write_database(file, tmp_path / "b.sqlite", plan)
        assert read(tmp_path / "b.sqlite", "SELECT gift_id, remark FROM gift") == [(1, b"x"), (2, b"y")]


def test_the_same_plan_gives_the_same_bytes(shop, tmp_path):
    for kind in STRUCTURAL:
        for number in "12":
            write_database(shop, tmp_path / f"{kind}{number}.sqlite", plan_for(kind, shop))
        assert (tmp_path / f"{kind}1.sqlite").read_bytes() == (tmp_path / f"{kind}2.sqlite").read_bytes()
    assert not list(tmp_path.glob(".*"))


def test_rows_of_a_wal_are_copied_and_the_source_stays(shop, tmp_path):
    with closing(sqlite3.connect(shop)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("UPDATE customer SET country = 'Fiji' WHERE id = 2")
        connection.commit()
        for kind in ("no-keys", "columns-synonym"):
            plan = plan_for(kind, shop)
            write_database(shop, tmp_path / "new" / "shop.sqlite", plan)
            column = plan.renamed.get("country", "country")
            assert read(tmp_path / "new" / "shop.sqlite", f"SELECT {column} FROM customer WHERE id = 2") == [(b"Fiji",)]
            assert [file.name for file in (tmp_path / "new").iterdir()] == ["shop.sqlite"]


@pytest.mark.parametrize(
    ("sql", "plan", "message"),
    [
        ("CREATE VIRTUAL TABLE v USING fts5(a)", DatabasePlan(without_keys=True), "v is a virtual table"),
        ("CREATE VIEW broken AS SELECT no_column FROM t", DatabasePlan(renamed={"a": "b"}), "broken"),
    ],
)
def test_what_sqlite_cannot_change_is_refused(tmp_path, sql, plan, message):
    with closing(sqlite3.connect(tmp_path / "a.sqlite")) as connection:
        connection.executescript(f"CREATE TABLE t (a INT); {sql}")
    with pytest.raises(UnalterableError, match=message):
        write_database(tmp_path / "a.sqlite", tmp_path / "b.sqlite", plan)
    assert not list(tmp_path.glob(".*"))


# --- any schema

NAMES = (
    "name",
    "customer_name",
    "PetAge",
    "city",
    "town",
    "Home City",
    "order",
    "price",
    "start_date",
    "id",
    "email",
    "nm",
    "cust_nm",
    'a"b',
)
TYPES = ("TEXT", "INTEGER", "REAL", "VARCHAR(10, 2)", "", "TEXT COLLATE NOCASE", "INT DEFAULT (1 + 2)", "TEXT DEFAULT 'a, b'")


def quote(name):
    return '"' + name.replace('"', '""') + '"'


@st.composite
def databases(draw):
    """The SQL of a database with two tables, and golds on them."""
    tables = []
    for table, keyed in (("pet", True), ("shop", draw(st.booleans()))):
        columns = draw(st.lists(st.sampled_from(NAMES), min_size=2, max_size=5, unique_by=str.lower))
        definitions = [f"{quote(column)} {draw(st.sampled_from(TYPES))}" for column in columns]
        if keyed:
            definitions.append(f"PRIMARY KEY ({quote(columns[0])})")
        if tables and draw(st.booleans()):
            definitions.append(f"FOREIGN KEY ({quote(columns[-1])}) REFERENCES pet ({quote(tables[0][1][0])})")
        rows = draw(st.lists(st.tuples(*[st.integers(0, 4) | st.sampled_from(["Rome", "x"]) for _ in columns]), max_size=6))
        tables.append((table, columns, definitions, rows))
    script = ""
    for table, _, definitions, rows in tables:
        script += f"CREATE TABLE {table} ({', '.join(definitions)});"
        script += "".join(f"INSERT OR IGNORE INTO {table} VALUES ({', '.join(map(repr, row))});" for row in rows)
    pet, shop = (table[1] for table in tables)
    one, other, far = (quote(draw(st.sampled_from(columns))) for columns in (pet, pet, shop))
    golds = [
        f"SELECT {one} FROM pet WHERE {other} = 'Rome' OR {other} > 1",
        f"SELECT T1.{one}, count(*) FROM pet AS T1 JOIN shop AS T2 ON T1.{other} = T2.{far} GROUP BY T1.{one}",
        f"SELECT max({one}) FROM pet WHERE {other} NOT IN (SELECT {far} FROM shop WHERE {far} IS NOT NULL)",
        f"SELECT {one} FROM pet INTERSECT SELECT {far} FROM shop",
        f"SELECT DISTINCT s.{far} AS {one} FROM shop AS s ORDER BY {one}",
    ]
    return script, golds


@settings(max_examples=60, deadline=None, database=None, derandomize=True)
@given(databases(), st.sampled_from(STRUCTURAL), st.integers(0, 9))
def test_any_gold_gives_what_it_gave(tmp_path_factory, database, kind, seed):
    script, golds = database
    folder = tmp_path_factory.mktemp("any")
    with closing(sqlite3.connect(folder / "a.sqlite")) as connection:
        connection.executescript(script)
    plan = KINDS[kind].plan([example(sql) for sql in golds], schemas.introspect(folder / "a.sqlite"), random.Random(seed))
    if isinstance(plan, Drop):
        return
    write_database(folder / "a.sqlite", folder / "b.sqlite", plan)
    for gold in golds:
        new = rewritten(kind, folder / "a.sqlite", plan, example(gold))
        if isinstance(new, Example):
            assert sorted(map(repr, read(folder / "a.sqlite", gold))) == sorted(map(repr, read(folder / "b.sqlite", new.sql))), (
                plan,
                new.sql,
            )
