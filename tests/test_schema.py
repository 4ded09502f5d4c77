import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from sense.errors import InputError
from sense.schema import Column, ForeignKey, Schema, Table, introspect, quote_identifier, schema_text

SPIDER = Path("../shared/spider/database")


@pytest.fixture
def make_database(tmp_path):
    def make(script: str) -> Path:
        path = tmp_path / "it.sqlite"
        with closing(sqlite3.connect(path)) as connection:
            connection.executescript(script)
        return path

    return make


PETS = """
CREATE TABLE pet(id INTEGER PRIMARY KEY, name TEXT, weight REAL, photo BLOB);
CREATE TABLE visit(pet_id INTEGER REFERENCES pet, day TEXT, "order" INT, PRIMARY KEY (pet_id, day));
INSERT INTO pet VALUES (1, 'Rex', 30.5, x'00'), (2, NULL, 4.0, NULL), (3, 'Rex', 3.5, NULL), (4, ' Tom
 the cat', 3.5, NULL), (5, '', NULL, NULL), (6, 'Ann', 7, NULL);
CREATE INDEX by_name ON pet(name);
CREATE VIEW heavy AS SELECT * FROM pet WHERE weight > 10;
"""


def test_introspect_reads_tables_columns_keys_and_samples(make_database):
    assert introspect(make_database(PETS), samples=2) == Schema(
        (
            Table(
                "pet",
                (
                    Column("id", "INTEGER", True, ("1", "2")),
                    Column("name", "TEXT", False, ("Rex", "Tom the cat")),
                    Column("weight", "REAL", False, ("30.5", "4.0")),
                    Column("photo", "BLOB", False),
                ),
            ),
            Table("visit", (Column("pet_id", "INTEGER", True), Column("day", "TEXT", True), Column("order", "INT", False))),
        ),
        (ForeignKey("visit", "pet_id", "pet", "id"),),
    )


def test_compact(make_database):
    schema = introspect(make_database(PETS), samples=2)
    assert schema_text(schema, "compact") == (
        'pet(id: 1, 2, name: Rex, Tom the cat, weight: 30.5, 4.0, photo)\nvisit(pet_id, day, "order")\nvisit.pet_id = pet.id'
    )
    assert schema_text(schema, "compact", values=False).splitlines()[0] == "pet(id, name, weight, photo)"


def test_ddl_can_be_executed(make_database, tmp_path):
    schema = introspect(make_database(PETS), samples=2)
    text = schema_text(schema, "ddl")
    assert text == (
        "CREATE TABLE pet (\n"
        "  id INTEGER PRIMARY KEY, -- 1, 2\n"
        "  name TEXT, -- Rex, Tom the cat\n"
        "  weight REAL, -- 30.5, 4.0\n"
        "  photo BLOB\n"
        ");\n"
        "CREATE TABLE visit (\n"
        "  pet_id INTEGER,\n"
        "  day TEXT,\n"
        '  "order" INT,\n'
        "  PRIMARY KEY (pet_id, day),\n"
        "  FOREIGN KEY (pet_id) REFERENCES pet(id)\n"
        ");"
    )
    copy = tmp_path / "copy.sqlite"
    with closing(sqlite3.connect(copy)) as connection:
        connection.executescript(text)
    assert introspect(copy) == introspect(tmp_path / "it.sqlite")


def test_foreign_keys_resolve_to_names_as_declared_and_in_order(make_database):
    script = """
    CREATE TABLE Parent(A INT, B INT, C INT UNIQUE, PRIMARY KEY (B, A));
    CREATE TABLE child(x INT, y INT, z INT, w INT REFERENCES nowhere(q), v INT REFERENCES parent(missing),
      FOREIGN KEY (x, y) REFERENCES PARENT, FOREIGN KEY (Z) REFERENCES parent(c));
    """
    assert introspect(make_database(script)).foreign_keys == (
        ForeignKey("child", "x", "Parent", "B"),
        ForeignKey("child", "y", "Parent", "A"),
        ForeignKey("child", "z", "Parent", "C"),
    )


def test_internal_tables_and_hidden_columns_are_left_out(make_database):
    script = """
    CREATE TABLE t(id INTEGER PRIMARY KEY AUTOINCREMENT, a INT, twice INT GENERATED ALWAYS AS (a * 2));
    INSERT INTO t(a) VALUES (5);
    CREATE VIRTUAL TABLE d USING fts5(body);
    """
    schema = introspect(make_database(script), samples=1)
    assert [table.name for table in schema.tables] == ["t", "d"]
    assert [column.name for column in schema.tables[0].columns] == ["id", "a", "twice"]
    assert [column.name for column in schema.tables[1].columns] == ["body"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("pet", "pet"),
        ("größe", "größe"),
        ("_1", "_1"),
        ("1st", '"1st"'),
        ("two words", '"two words"'),
        ("Order", '"Order"'),
        ("left", '"left"'),
        ("date", "date"),
        ('a"b', '"a""b"'),
        ("", '""'),
    ],
)
def test_identifiers_are_quoted_where_they_must_be(name, text):
    assert quote_identifier(name) == text
    if name:
        with closing(sqlite3.connect(":memory:")) as connection:
            connection.execute(f"CREATE TABLE {text}({text} INT)")
            connection.execute(f"SELECT {text}.{text} FROM {text} WHERE {text} = 1 ORDER BY {text}")


def test_a_file_that_is_no_database_is_an_error_that_names_it(tmp_path):
    text = tmp_path / "text.sqlite"
    text.write_text("no database " * 100)
    for path in (text, tmp_path / "missing.sqlite", tmp_path):
        with pytest.raises(InputError, match=r"replace the file|needs its file") as caught:
            introspect(path)
        assert str(path) in str(caught.value)
    assert not (tmp_path / "missing.sqlite").exists()


def test_a_database_in_wal_mode_is_read_without_a_file_beside_it(tmp_path):
    file = tmp_path / "shop.sqlite"
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("CREATE TABLE item (name TEXT)")
    assert introspect(file, 1).tables[0].name == "item"
    assert list(tmp_path.iterdir()) == [file]


def test_text_that_is_no_utf8_is_shown_with_replacements(make_database):
    path = make_database("CREATE TABLE t(a); INSERT INTO t VALUES (CAST(x'43e9' AS TEXT))")
    assert introspect(path, samples=3).tables[0].columns[0].samples == ("C\ufffd",)


@pytest.mark.spider
@pytest.mark.skipif(not SPIDER.exists(), reason="Spider is not beside the checkout")
def test_spider_schemas_survive_being_written_and_read(tmp_path):
    for number, folder in enumerate(sorted(SPIDER.iterdir())[::15]):
        schema = introspect(folder / f"{folder.name}.sqlite")
        copy = tmp_path / f"{number}.sqlite"
        with closing(sqlite3.connect(copy)) as connection:
            connection.executescript(schema_text(schema, "ddl"))
        assert introspect(copy) == schema


def test_a_huge_value_is_no_sample(make_database):
    script = "CREATE TABLE t(a); INSERT INTO t VALUES (printf('%5000sx', '')), (char(0) || printf('%5000sx', '')), (' y ')"
    assert introspect(make_database(script), samples=3).tables[0].columns[0].samples == ("y",)
