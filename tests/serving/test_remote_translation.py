"""Translation of SQLite's SQL for database servers; test_remote.py executes it on real ones."""

from datetime import timedelta

import pytest

from sense.database_servers.values import sqlite_value
from sense.serving.translation import DatabaseNames, translate
from sense.sql.result import Failure

NAMES = DatabaseNames(
    {"sale": ["sale"]},
    {"id": ["id"], "city": ["City"], "price": ["price"], "sold": ["sold"], "pieces": ["Pieces"]},
    frozenset({"id", "pieces"}),
)


@pytest.mark.parametrize("dialect", ["postgresql", "mysql"])
@pytest.mark.parametrize(
    "cast",
    [
        "CAST(10 AS regrole)",
        "CAST(id AS regclass)",
        "id::regclass",
        'CAST(id AS "regclass")',
        "CAST(1 AS foo.bar)",
        "TRY_CAST(1 AS xml)",
        "CAST(1 AS json)",
        "CAST('a' AS CHAR(10000000))",
        "CAST('a' AS VARCHAR(1e9))",
        "CAST('a' AS VARCHAR(MAX))",
        "CAST('a' AS TEXT COLLATE x)",
        "CAST('a' AS CHAR(1001))",
        "CAST('1' AS INTERVAL)",
    ],
)
def test_types_other_than_those_of_plain_values_are_refused(dialect, cast):
    outcome = translate(f"SELECT {cast} FROM sale", dialect, NAMES)
    assert isinstance(outcome, Failure)
    assert outcome.verdict == "rejected"
    assert "not among those that may be used on a server" in outcome.detail


@pytest.mark.parametrize(
    ("cast", "postgresql"),
    [
        ("CAST(id AS REAL)", 'CAST("id" AS DOUBLE PRECISION)'),
        ("CAST(id AS INTEGER)", 'CAST("id" AS INT)'),
        ("CAST(id AS NUMERIC(10, 2))", 'CAST("id" AS DECIMAL(10, 2))'),
        ("CAST(id AS TEXT)", 'CAST("id" AS TEXT)'),
        ("CAST(id AS VARCHAR(1000))", 'CAST("id" AS VARCHAR(1000))'),
        ("CAST(id AS BOOLEAN)", 'CAST("id" AS BOOLEAN)'),
        ("CAST(sold AS DATE)", 'CAST("sold" AS DATE)'),
        ("CAST(sold AS DATETIME)", 'CAST("sold" AS TIMESTAMP)'),
    ],
)
def test_types_of_plain_values_are_written(cast, postgresql):
    assert translate(f"SELECT {cast} FROM sale", "postgresql", NAMES) == f'SELECT {postgresql} FROM "sale"'


@pytest.mark.parametrize(
    ("sql", "postgresql"),
    [
        ('SELECT "id" FROM sale WHERE city = "Ghent"', """SELECT "id" FROM "sale" WHERE "City" = 'Ghent'"""),
        ('SELECT "CITY" FROM sale AS s WHERE s."id" IN ("a", \'b\')',
         """SELECT "City" FROM "sale" AS "s" WHERE "s"."id" IN ('a', 'b')"""),
        ('SELECT id FROM sale WHERE city LIKE "%it\'s é%"', """SELECT "id" FROM "sale" WHERE "City" ILIKE '%it''s é%'"""),
        ('SELECT count(*) AS "All" FROM sale HAVING "all" > 1', 'SELECT COUNT(*) AS "all" FROM "sale" HAVING "all" > 1'),
        ('WITH n("A B") AS (SELECT 1) SELECT "a b" FROM n', 'WITH "n"("a b") AS (SELECT 1) SELECT "a b" FROM "n"'),
        ("SELECT id FROM sale WHERE city = `Ghent`", 'SELECT "id" FROM "sale" WHERE "City" = "ghent"'),
        ("SELECT id FROM sale WHERE city = [Ghent]", 'SELECT "id" FROM "sale" WHERE "City" = "ghent"'),
        ("SELECT id FROM sale WHERE city = Ghent", 'SELECT "id" FROM "sale" WHERE "City" = "ghent"'),
        ('SELECT id FROM sale WHERE sale."Ghent" = 1', 'SELECT "id" FROM "sale" WHERE "sale"."ghent" = 1'),
    ],
)  # fmt: skip
def test_what_stands_in_double_quotes_and_is_no_column_is_a_text(sql, postgresql):
    assert translate(sql, "postgresql", NAMES) == postgresql


@pytest.mark.parametrize("dialect", ["postgresql", "mysql"])
def test_a_fault_is_told_without_a_terminals_escapes(dialect):
    outcome = translate("SELECT id FROM sale WHERE city MATCH 'x'", dialect, NAMES)
    assert isinstance(outcome, Failure)
    assert outcome.detail.startswith(f"no translation for {dialect}: Invalid expression")
    assert "MATCH 'x'" in outcome.detail  # what sqlglot underlines


@pytest.mark.parametrize(
    ("division", "mysql"),
    [
        ("7 / 2", "7 DIV 2"),
        ("7 / -2", "7 DIV -2"),
        ("(1 + 2) * 3 / 2", "((1 + 2) * 3) DIV 2"),
        ("id / pieces / 2", "(`id` DIV `Pieces`) DIV 2"),
        ("sum(pieces) / count(*)", "SUM(`Pieces`) DIV COUNT(*)"),
        ("CAST(price AS INTEGER) / 2", "CAST(`price` AS SIGNED) DIV 2"),
        ("price / 2", "`price` / 2"),
        ("7 / 2.0", "7 / 2.0"),
        ("id * 1.0 / pieces", "`id` * 1.0 / `Pieces`"),
        ("CAST(id AS REAL) / 2", "CAST(`id` AS DOUBLE) / 2"),
        ("avg(id) / 2", "AVG(`id`) / 2"),
    ],
)
def test_integers_are_divided_as_in_sqlite(division, mysql):
    assert translate(f"SELECT {division} FROM sale", "mysql", NAMES) == f"SELECT {mysql} FROM `sale`"


def test_a_name_given_in_the_query_is_not_the_integer_column():
    text = translate("SELECT id / 2 FROM (SELECT price AS id FROM sale) AS s", "mysql", NAMES)
    assert text == "SELECT `id` / 2 FROM (SELECT `price` AS `id` FROM `sale`) AS `s`"


@pytest.mark.parametrize(
    ("span", "text"),
    [
        (timedelta(hours=9, minutes=30), "09:30:00"),
        (timedelta(hours=-1), "-01:00:00"),
        (timedelta(hours=838, minutes=59, seconds=59), "838:59:59"),
        (timedelta(seconds=-1, microseconds=-5), "-00:00:01.000005"),
    ],
)
def test_mysqls_times_are_written_as_mysql_writes_them(span, text):
    assert sqlite_value(span) == text
