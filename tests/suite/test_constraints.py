"""Whatever the schema: the further databases have it, and all of its constraints hold there."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sense.errors import InputError
from sense.suite import build_suite

SCHEMAS = {
    "without rowid": """
        CREATE TABLE "the shop" ("no." TEXT, town TEXT COLLATE NOCASE, size REAL NOT NULL, PRIMARY KEY ("no.", town))
          WITHOUT ROWID;
        CREATE TABLE visit (id INTEGER PRIMARY KEY, shop TEXT, town TEXT NOT NULL,
          FOREIGN KEY (shop, town) REFERENCES "the shop");
        INSERT INTO "the shop" VALUES ('a1', 'Oslo', 1.5), ('a2', 'Oslo', 2.5), ('a1', 'Lund', 7);
        INSERT INTO visit VALUES (1, 'a1', 'Oslo'), (2, 'a1', 'Lund'), (3, NULL, 'Lund'), (4, 'a2', 'Oslo');
    """,
    "references in circles": """
        CREATE TABLE person (id INTEGER PRIMARY KEY, boss INTEGER REFERENCES person, club INTEGER REFERENCES club (id));
        CREATE TABLE club (id INTEGER PRIMARY KEY, chair INTEGER NOT NULL REFERENCES person (id), name TEXT UNIQUE);
        INSERT INTO person VALUES (1, NULL, 1), (2, 1, 1), (3, 1, 2), (4, 2, NULL), (5, 5, 2);
        INSERT INTO club VALUES (1, 1, 'chess'), (2, 3, 'go'), (3, 1, NULL);
    """,
    "not null circles": """
        CREATE TABLE a (id INTEGER PRIMARY KEY, b INTEGER NOT NULL REFERENCES b, itself INTEGER NOT NULL REFERENCES a);
        CREATE TABLE b (id INTEGER PRIMARY KEY, a INTEGER NOT NULL REFERENCES a);
        INSERT INTO a VALUES (1, 1, 1), (2, 2, 1), (3, 1, 2); INSERT INTO b VALUES (1, 2), (2, 3);
    """,
    "a key that is a reference": """
        CREATE TABLE animal (id INTEGER PRIMARY KEY, name TEXT);
        CREATE TABLE dog (id INTEGER PRIMARY KEY REFERENCES animal (id), breed TEXT NOT NULL);
        CREATE TABLE owns (dog INTEGER REFERENCES dog, since DATE, animal INTEGER REFERENCES animal, PRIMARY KEY (dog, animal));
        INSERT INTO animal VALUES (1, 'Rex'), (2, 'Tom'), (3, 'Ada'); INSERT INTO dog VALUES (1, 'pug'), (3, 'lab');
        INSERT INTO owns VALUES (1, '2001-02-03', 2), (3, '2001-02-28', 2), (3, '1999-12-31', 1);
    """,
    "checks and generated columns": """
        CREATE TABLE item (id INTEGER PRIMARY KEY, low REAL CHECK (low >= 0), high REAL, name TEXT CHECK (length(name) < 8),
          mid REAL GENERATED ALWAYS AS ((low + high) / 2) VIRTUAL, twice REAL AS (2 * low) STORED, CHECK (low < high));
        CREATE UNIQUE INDEX item_name ON item (lower(name)); CREATE INDEX item_high ON item (high);
        CREATE VIEW "dear items" AS SELECT * FROM item WHERE high > 10;
        INSERT INTO item (id, low, high, name) VALUES (1, 0, 3, 'a'), (2, 1.5, 20, 'B'), (3, 2, 11, 'ccc'), (4, NULL, 1, NULL);
    """,
    "strict": """
        CREATE TABLE t (id INTEGER PRIMARY KEY, i INT, r REAL, s TEXT, b BLOB, x ANY) STRICT;
        INSERT INTO t VALUES (1, 1, 1.5, 'a', x'00ff', 1), (2, 2, 2.5, 'b', x'', 'z'), (3, NULL, NULL, NULL, NULL, NULL);
    """,
    "empty tables": """
        CREATE TABLE a (id INTEGER PRIMARY KEY, s TEXT NOT NULL, r REAL, x); CREATE TABLE b (a REFERENCES a (id) NOT NULL);
    """,
    "names": """
        CREATE TABLE "a ""b"" 'c' [d]" ("x y" INTEGER, "sélect" TEXT, "ORDER" TEXT, "日本" BLOB);
        CREATE TABLE Ünï ("from" INTEGER PRIMARY KEY, "x y" TEXT);
        INSERT INTO "a ""b"" 'c' [d]" VALUES (1, 'é', 'ß', x'ff00'), (2, 'Ł', '', 'text'), (9223372036854775807, '日本', '''', 3);
        INSERT INTO Ünï VALUES (-9223372036854775808, 'x'), (5, '☃');
    """,
    "mixed types and other triggers": """
        CREATE TABLE log (id INTEGER PRIMARY KEY AUTOINCREMENT, what, "when" TIMESTAMP DEFAULT CURRENT_TIMESTAMP);
        CREATE TRIGGER grow AFTER INSERT ON log BEGIN INSERT INTO log (what) SELECT 'again' WHERE NEW.what <> 'again'; END;
        INSERT INTO log (what) VALUES (1), ('two'), (3.0), (x'04'), (NULL), ('2020-02-29'), ('2020-02-30'), ('9999-12-31');
    """,
    "a parent whose columns are no key": """
        CREATE TABLE room (house TEXT, number INTEGER);
        CREATE TABLE bed (id INTEGER PRIMARY KEY, room INTEGER REFERENCES room (number));
        INSERT INTO room VALUES ('a', 1), ('a', 2), ('b', 1); INSERT INTO bed VALUES (1, 1), (2, 1), (3, 2), (4, 9);
    """,
    "a parent that is missing": """
        CREATE TABLE t (id INTEGER REFERENCES nowhere (id), n INTEGER REFERENCES t (no)); INSERT INTO t VALUES (1, 2);
    """,
    "full text": """
        CREATE VIRTUAL TABLE note USING fts5(title, body); INSERT INTO note VALUES ('one', 'a word'), ('two', 'words');
        CREATE TABLE t (id INTEGER PRIMARY KEY); INSERT INTO t VALUES (1);
    """,
    "a reference of another type": """
        CREATE TABLE code (code TEXT PRIMARY KEY); CREATE TABLE use (code INTEGER NOT NULL REFERENCES code);
        INSERT INTO code VALUES ('01'), ('2'), ('x'); INSERT INTO use VALUES (2), (2);
    """,
}


def database_of(folder: Path, script: str) -> Path:
    path = folder / "x.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(script)
    return path


def schema_of(connection):
    return connection.execute(
        "SELECT type, name, sql FROM sqlite_master WHERE type <> 'trigger' AND name NOT LIKE 'sqlite%' ORDER BY 1, 2"
    ).fetchall()


def check_instances(path: Path, images: list[bytes]) -> None:
    """The schema is that of the original but for triggers; no constraint is broken, nor a foreign key that SQLite can check."""
    with closing(sqlite3.connect(path)) as original:
        expected = schema_of(original)
    for image in images:
        with closing(sqlite3.connect(":memory:")) as connection:
            connection.deserialize(image)
            assert schema_of(connection) == expected
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            tables = [name for (name,) in connection.execute("SELECT name FROM pragma_table_list WHERE type = 'table'")]
            for table in tables:
                try:
                    broken = connection.execute("SELECT * FROM pragma_foreign_key_check(?)", (table,)).fetchall()
                except sqlite3.OperationalError as error:
                    assert "foreign key mismatch" in str(error)
                    continue
                assert [row for row in broken if row[2] in tables] == []


@pytest.mark.parametrize("name", SCHEMAS)
def test_constraints_hold(tmp_path, name):
    path = database_of(tmp_path, SCHEMAS[name])
    before = path.read_bytes()
    images = build_suite(path, ["SELECT name FROM item WHERE high > 10 AND name LIKE '%c'", "no SQL"], 4, name)
    check_instances(path, images)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["x.sqlite"]


@pytest.mark.parametrize(
    "name", sorted(SCHEMAS.keys() - {"not null circles", "a reference of another type", "a parent that is missing"})
)
def test_every_table_has_rows(tmp_path, name):
    path = database_of(tmp_path, SCHEMAS[name])
    for image in build_suite(path, [], 4, name):
        with closing(sqlite3.connect(":memory:")) as connection:
            connection.deserialize(image)
            for (table,) in connection.execute(
                "SELECT name FROM pragma_table_list WHERE type IN ('table', 'virtual')"
            ).fetchall():
                quoted = '"' + table.replace('"', '""') + '"'
                if not table.startswith("sqlite_"):
                    assert connection.execute(f"SELECT count(*) FROM {quoted}").fetchone() > (0,), table


def test_rows_of_a_wal_are_read_and_the_encoding_stays(tmp_path):
    path = tmp_path / "x.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript("PRAGMA encoding='UTF-16le'; PRAGMA journal_mode=WAL; CREATE TABLE t (s TEXT)")
        connection.execute("INSERT INTO t VALUES ('æøå')")
        connection.commit()
        (image,) = build_suite(path, [], 1, "0")
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.deserialize(image)
        assert connection.execute("PRAGMA encoding").fetchone() == ("UTF-16le",)
        assert ("æøå",) in connection.execute("SELECT s FROM t").fetchall()


def test_a_large_table_is_sampled_and_its_foreign_keys_hold(tmp_path):
    path = database_of(
        tmp_path,
        "CREATE TABLE a (id INTEGER PRIMARY KEY, n INTEGER); CREATE TABLE b (id INTEGER PRIMARY KEY, a INTEGER REFERENCES a);"
        "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 5000) INSERT INTO a SELECT 3 * i, i % 7 FROM c;"
        "INSERT INTO b SELECT id, id FROM a",
    )
    images = build_suite(path, ["SELECT count(*) FROM b JOIN a ON b.a = a.id WHERE a.n = 3"], 4, "0")
    check_instances(path, images)
    assert all(len(image) < 40_000 for image in images)


def test_a_schema_that_needs_functions_of_another_program_is_named(tmp_path):
    path = tmp_path / "x.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.create_function("own", 1, lambda value: value, deterministic=True)
        connection.execute("CREATE TABLE t (x INTEGER CHECK (own(x) > 0))")
    with pytest.raises(InputError, match=r"x\.sqlite: .*own"):
        build_suite(path, [], 1, "0")


names = st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\0"), min_size=1, max_size=6)
cells = st.one_of(
    st.none(),
    st.integers(-(2**63), 2**63 - 1),
    st.integers(-3, 3),
    st.floats(allow_nan=False),
    st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\0"), max_size=5),
    st.binary(max_size=3),
    st.sampled_from(["2020-01-01", "1999-12-31 23:59:59", "yes", "no", "12", "1.5"]),
)


@st.composite
def scripts(draw):
    """(CREATE TABLE statements, rows by table) of one to four tables with keys, references, NOT NULL, UNIQUE and CHECK."""
    tables = draw(
        st.lists(names.filter(lambda name: not name.lower().startswith("sqlite_")), min_size=1, max_size=4, unique_by=_folded)
    )
    keys: dict[str, str] = {}
    statements, rows = [], {}
    columns_of = {table: draw(st.lists(names, min_size=1, max_size=4, unique_by=_folded)) for table in tables}
    for table in tables:
        keys[table] = columns_of[table][0]
    for table in tables:
        columns = columns_of[table]
        parts = []
        kind = draw(st.sampled_from(["none", "integer", "any", "composite", "without rowid"]))
        for number, column in enumerate(columns):
            affinity = draw(st.sampled_from(["INTEGER", "TEXT", "REAL", "NUMERIC", "BLOB", "", "VARCHAR(20)", "DATE"]))
            if number == 0 and kind == "integer":
                affinity = "INTEGER"
            part = f"{_quoted(column)} {affinity}"
            if number == 0 and kind in ("integer", "any"):
                part += " PRIMARY KEY"
            elif number == 0 and (kind == "none" or len(columns) == 1):
                part += " UNIQUE"
            elif draw(st.booleans()):
                part += draw(
                    st.sampled_from(
                        [" NOT NULL", " UNIQUE", f" CHECK ({_quoted(column)} IS NULL OR length({_quoted(column)}) < 9)"]
                    )
                )
            if number and draw(st.booleans()):
                parent = draw(st.sampled_from(tables))
                part += f" REFERENCES {_quoted(parent)} ({_quoted(keys[parent])})"
            parts.append(part)
        if kind in ("composite", "without rowid") and len(columns) > 1:
            parts.append(f"PRIMARY KEY ({_quoted(columns[1])}, {_quoted(columns[0])})")
            parts.append(f"UNIQUE ({_quoted(columns[0])})")
        suffix = " WITHOUT ROWID" if kind == "without rowid" and len(columns) > 1 else ""
        statements.append(f"CREATE TABLE {_quoted(table)} ({', '.join(parts)}){suffix}")
        rows[table] = draw(st.lists(st.tuples(*[cells] * len(columns)), max_size=12))
    return statements, rows


def _folded(name):
    return name.lower().encode("ascii", "replace") if name.isascii() else name.lower()


def _quoted(name):
    return '"' + name.replace('"', '""') + '"'


@given(scripts())
@settings(max_examples=60, deadline=None)
def test_constraints_hold_whatever_the_schema(tmp_path_factory, script):
    statements, rows = script
    path = tmp_path_factory.mktemp("any") / "x.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        for statement in statements:
            try:
                connection.execute(statement)
            except sqlite3.OperationalError:  # two names that SQLite takes for one
                return
        for table, of_table in rows.items():
            for row in of_table:
                try:
                    connection.execute(f"INSERT OR IGNORE INTO {_quoted(table)} VALUES ({', '.join('?' * len(row))})", row)
                except sqlite3.IntegrityError:  # a text as rowid
                    continue
        connection.commit()
    table = _quoted(next(iter(rows)))
    images = build_suite(path, [f"SELECT * FROM {table} WHERE rowid > 2", f"SELECT count(*) FROM {table} WHERE 'a' = 1"], 3, "0")
    check_instances(path, images)
    assert images == build_suite(
        path, [f"SELECT * FROM {table} WHERE rowid > 2", f"SELECT count(*) FROM {table} WHERE 'a' = 1"], 3, "0"
    )
