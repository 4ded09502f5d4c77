"""The SQL of a renamed copy, executed on a database that is renamed in the same way, gives the original result, renamed."""

import json
import random
import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sense import schema as schemas
from sense.training import renaming, sql_words
from tests.training.renamed_databases import copy_and_words, difference, example, open_database, quoted

SPIDER = Path(__file__).parents[2].parent / "shared" / "spider"
quick = settings(
    max_examples=150,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)

DATABASE = """
CREATE TABLE musical (id INTEGER PRIMARY KEY, name TEXT, award TEXT, nominee TEXT, "Home City" TEXT, "order" TEXT, rank INTEGER,
    length REAL, date TEXT, "a""b" TEXT, kind VARCHAR(9) COLLATE NOCASE);
INSERT INTO musical VALUES
    (1, 'The Phantom', 'Tony Award', 'Best Actor', 'New York', 'first', 1, 2.5, '2010-03-01', 'x', 'Drama'),
    (2, 'Cats', 'Drama Desk Award', 'Tony Award', 'Rome', 'second', 2, 1.5, '2011-04-01', 'Rome', 'drama'),
    (3, 'award', 'tony award', 'it''s', 'ROME', 'first', 3, 1.0, '2012-05-01', 'y "z"', 'CATS'),
    (4, 'McDonald', 'nominee', NULL, 'Romeo Rome', 'third', 4, NULL, NULL, 'Tony', 'cat'),
    (5, 'Mcdonald', '94107', 'Tony', 'São Paulo', 'first', 5, 9.0, '2012-05-01', '', 'Boy'),
    (6, 'Café Rome', 'Tony Award!', 'Tony  Award', 'Cafétéria', 'order', 6, 9.5, '2012-05-01', '%', 'boys');
CREATE TABLE actor (id INTEGER PRIMARY KEY, musical_id INTEGER, name TEXT, boys TEXT, award TEXT);
INSERT INTO actor VALUES (1, 1, 'Ann', 'boy', 'Tony Award'), (2, 2, 'Tony', 'Boys', 'award'), (3, 2, 'Rome', 'girls', 'name');
CREATE TABLE "Theatre" ("Theatre Name" TEXT, PetAge INTEGER, last TEXT);
INSERT INTO "Theatre" VALUES ('Rome', 3, 'Award'), ('Petage', 4, 'theatre');
"""

QUERIES = [  # (question, SQL)
    ("Who was nominated for the Tony Award?", 'SELECT nominee FROM musical WHERE award = "Tony Award"'),
    ("Who was not nominated for the Tony Award?", "SELECT nominee FROM musical WHERE award != 'Tony Award'"),
    (
        "Who was nominated for Tony Award or 'Drama Desk Award'?",
        "SELECT nominee FROM musical WHERE award IN (\"Tony Award\", 'Drama Desk Award')",
    ),
    ("Which award is name?", 'SELECT id FROM actor WHERE award = "name"'),  # a column, in spite of the quotes
    ("Which award is nominee?", 'SELECT count(*) FROM actor WHERE award = "nominee"'),  # a column, but of another table
    ("Nominees of nominee", 'SELECT id FROM musical WHERE "award" = \'nominee\' OR award = "Tony Award"'),
    ("Which one is it's?", "SELECT id FROM musical WHERE nominee = 'it''s'"),
    ('Which one is y "z"?', 'SELECT id FROM musical WHERE "a""b" = \'y "z"\''),
    ('Which one is y "z"?', 'SELECT id FROM musical WHERE "a""b" = "y ""z"""'),
    ("Which are in New York?", "SELECT `name`, [Home City] FROM [musical] WHERE `Home City` = 'New York'"),
    ("Which are in Rome?", 'SELECT m.name, "m"."Home City" FROM musical AS m WHERE m."Home City" = \'Rome\''),
    ("Which are in rome?", "SELECT name FROM musical WHERE lower(\"Home City\") = 'rome'"),
    ("Which are in ROME?", "SELECT name FROM musical WHERE UPPER(trim(\"Home City\")) = 'ROME'"),
    ("Which are in rome?", "SELECT name FROM musical WHERE \"Home City\" = 'rome' COLLATE NOCASE"),
    ("Which are in ROME?", "SELECT name FROM musical WHERE \"Home City\" LIKE 'rome'"),
    ("Which contain Rom?", "SELECT name FROM musical WHERE \"Home City\" LIKE '%Rom%'"),
    ("Which contain Rome?", "SELECT name FROM musical WHERE \"Home City\" LIKE '%Rome%' OR name = 'Rome'"),
    ("Which begin with Tony and a blank?", "SELECT name FROM musical WHERE award LIKE 'Tony %'"),
    ("Which contain an award?", 'SELECT name FROM musical WHERE award LIKE "%award%"'),
    ("Which are from the city of CA?", "SELECT name FROM musical WHERE \"Home City\" = 'San'"),
    ("Award in the zip 94107 or 2010-03-01?", "SELECT id FROM musical WHERE award = '94107' OR date = '2010-03-01'"),
    ("McDonald or Mcdonald", "SELECT id FROM musical WHERE name = 'McDonald'"),
    ("Not a mcdonald", "SELECT id, name FROM musical WHERE name <> 'Cats'"),
    ("São Paulo or Cafétéria", "SELECT id FROM musical WHERE \"Home City\" IN ('São Paulo', 'Cafétéria')"),
    ("Café Rome", "SELECT id FROM musical WHERE name = 'Café Rome'"),
    ("Names in the first three letters Rom", "SELECT name FROM musical WHERE substr(\"Home City\", 1, 3) = 'Rom'"),
    ("Names with the place of Rome", "SELECT instr(\"Home City\", 'Rome') FROM musical"),
    ("Musicals of the month of 2012", "SELECT id FROM musical WHERE date(date, 'start of month') = '2012-05-01'"),
    ("Tony and his actor", "SELECT name || ' the actor' FROM actor WHERE name || ' x' = 'Tony x'"),
    (
        "The order first by rank and length",
        "SELECT rank, length, length(rank), rank() OVER (ORDER BY rank) FROM musical WHERE \"order\" = 'first'",
    ),
    ("The length as a date", "SELECT CAST(length AS date), CAST(date AS TEXT) FROM musical ORDER BY length DESC NULLS FIRST"),
    (
        "Each award as a musical",
        "SELECT musical.award AS musical, count(*) AS actor FROM musical AS musical GROUP BY musical.award ORDER BY actor",
    ),
    (
        "Actors as awards",
        "SELECT award.name FROM actor AS award JOIN musical AS actor ON actor.id = musical_id WHERE actor.award = 'Tony Award'",
    ),
    ("Boys named boy", "SELECT boys FROM actor WHERE boys = 'boy'"),
    ("How many boys are boys?", "SELECT count(*) FROM musical AS m, actor AS a WHERE m.kind = 'boys' AND a.boys = 'Boys'"),
    ("Which cats are cat?", "SELECT id FROM musical WHERE kind = 'cat'"),
    (
        "Theatre named Rome with PetAge 3",
        'SELECT "Theatre Name", petage FROM theatre WHERE "Theatre Name" = "Rome" AND last = \'Award\'',
    ),
    ("Theatre named Petage", 'SELECT PetAge FROM "Theatre" WHERE "Theatre Name" = \'Petage\''),
    ("Is the kind Drama?", "SELECT CASE kind WHEN 'Drama' THEN 'drama it is' ELSE 'no Drama' END FROM musical"),
    ("Those called Tony", 'WITH tony AS (SELECT name AS n FROM actor WHERE name = "Tony") SELECT n FROM tony WHERE "n" = "Tony"'),
    ("Those called Tony", 'SELECT "n" FROM (SELECT name AS n FROM actor) WHERE n = "Tony" ORDER BY "n"'),
    (
        "Tony Award for both",
        'SELECT nominee FROM musical WHERE award = "Tony Award" INTERSECT SELECT award FROM actor WHERE name != "Ann"',
    ),
    (
        "Awards of Ann",
        'SELECT award FROM musical WHERE id IN (SELECT musical_id FROM actor WHERE name = "Ann" AND award = "Tony Award")',
    ),
    ("More Tony than Rome", "SELECT count(*) FROM actor WHERE name BETWEEN 'Rome' AND 'Tony'"),
    ("With the row number", 'SELECT "rowid" FROM actor WHERE "Tony" = name'),
    ("Award named award", "SELECT award FROM actor WHERE award IS 'award' AND name IS NOT 'Ann' -- 'award' is \"award\""),
]


@pytest.fixture(scope="module")
def musicals(tmp_path_factory):
    file = tmp_path_factory.mktemp("musicals") / "musicals.sqlite"
    with closing(sqlite3.connect(file)) as connection:
        connection.executescript(DATABASE)
    return file


@pytest.mark.parametrize(("question", "sql"), QUERIES)
def test_the_copy_gives_the_renamed_result(musicals, monkeypatch, question, sql):
    for seed in range(3):
        assert difference(monkeypatch, musicals, example(question, sql), seed) is None


@pytest.mark.parametrize(("question", "sql"), QUERIES)
def test_a_text_is_a_name_to_the_copy_exactly_where_it_is_one_to_sqlite(musicals, question, sql):
    check_double_quotes(sqlite3.connect(musicals), sql, schemas.introspect(musicals))


def check_double_quotes(connection, sql, schema):
    """SQLite compiles a text in double quotes as it compiles one in single quotes, and a name in another way."""
    with closing(connection):
        for part in sql_words.find_parts(sql, schema):
            is_surely_a_name = sql[part.end :].startswith(".") or re.search(r"(FROM|JOIN|AS)\s*$|\.$", sql[: part.start])
            if sql[part.start] == '"' and not is_surely_a_name:
                as_text = sql[: part.start] + "'" + part.text.replace("'", "''") + "'" + sql[part.end :]
                assert (part.use is not None) == (bytecode(connection, as_text) == bytecode(connection, sql)), part


def bytecode(connection, sql):
    try:
        return connection.execute(f"EXPLAIN {sql}").fetchall()
    except sqlite3.OperationalError as error:
        return str(error)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 'open",
        "SELECT FROM WHERE",
        "SELECT name FROM sqlite_master",
        "SELECT v FROM a_view",
        "SELECT value FROM json_each('[1]')",
        "SELECT 1; SELECT 2",
        "DELETE FROM musical",
        "SELECT id FROM musical ORDER BY id NULLS LAST",  # last is the name of a column, too
    ],
)
def test_what_cannot_be_told_for_certain_has_no_copy(musicals, sql):
    assert renaming.rename(example("?", sql), schemas.introspect(musicals), random.Random(0)) is None


@pytest.mark.parametrize(
    ("question", "sql", "stays"),
    [
        (
            "How many musicals are from California?",
            "SELECT count(*) FROM musical WHERE \"Home City\" = 'CA'",
            ["California", "'CA'"],
        ),
        ("Which musicals are uniformed?", "SELECT id FROM musical WHERE kind = 'Uniform'", ["uniformed", "'Uniform'"]),
        ("Musicals of March", "SELECT id FROM musical WHERE date LIKE '%Mar%'", ["March", "'%Mar%'"]),
        (
            "Which musical is a McDonald?",
            "SELECT id FROM musical WHERE substr(name, 1) = 'McDonald'",
            ["McDonald?", "'McDonald'"],
        ),
        (
            "Musicals at the start of the month?",
            "SELECT date(date, 'start of month') FROM musical",
            ["start of the month", "'start of month'"],
        ),
    ],
)
def test_words_stay_where_the_question_does_not_have_them_or_sqlite_needs_them(musicals, monkeypatch, question, sql, stays):
    copy, _, _ = copy_and_words(monkeypatch, example(question, sql), schemas.introspect(musicals))
    assert stays[0] in copy.question
    assert stays[1] in copy.sql
    assert "zq" in copy.sql


def test_a_value_in_the_plural_of_a_name_is_the_plural_of_its_new_word(musicals, monkeypatch):
    row = example("Which of the actors are Actors?", "SELECT id FROM actor WHERE name = 'Actors'")
    copy, _, words = copy_and_words(monkeypatch, row, schemas.introspect(musicals))
    new = words.name("actor")
    assert copy.question == f"Which of the {new}s are {new.capitalize()}s?"
    assert copy.sql == f"SELECT id FROM {new} WHERE name = '{new.capitalize()}s'"


def test_a_name_in_the_question_as_the_schema_has_it(musicals, monkeypatch):
    row = example("The PetAge of the theatre?", "SELECT PetAge FROM Theatre", evidence="PetAge refers to Theatre.PetAge")
    copy, _, words = copy_and_words(monkeypatch, row, schemas.introspect(musicals))
    new = words.name("PetAge")
    assert copy.question.startswith(f"The {new} of the ")
    assert copy.evidence == f"{new} refers to {words.name('Theatre')}.{new}"


def test_no_new_word_is_one_that_stays(musicals):
    """With the real words: a question that holds half of them as ordinary words, and a schema with more words than there are."""
    all_words = renaming.replacement_words()
    question = " ".join(all_words[::2]) + " Tony Award"
    row = example(question, "SELECT nominee FROM musical WHERE award = 'Tony Award'")
    copy, schema = renaming.rename(row, schemas.introspect(musicals), random.Random(1))
    new = {word for table in schema.tables for word in re.findall("[a-z]+", table.name.lower())}
    assert not new & set(all_words[::2])
    assert copy.question.startswith(question.removesuffix("Tony Award"))
    large = schemas.Schema(
        tuple(
            schemas.Table(word, (schemas.Column(f"{word}s{number}", "TEXT", False),))
            for number, word in enumerate(all_words[::-1])
        ),
        (),
    )
    _, schema = renaming.rename(example("?", f"SELECT * FROM {all_words[0]}"), large, random.Random(1))
    names = [table.name for table in schema.tables] + [column.name for table in schema.tables for column in table.columns]
    assert len({name.lower() for name in names}) == len(names) == 2 * len(all_words)


def test_new_words_need_no_quotes_and_are_no_plurals_of_each_other():
    words = set(renaming.replacement_words())
    assert not {word.upper() for word in words} & schemas._RESERVED_WORDS
    assert not {word + ending for word in words for ending in ("s", "es")} & words


# --- generated databases: names and values of few words, so that they meet in every way

WORD = st.sampled_from(
    ["tony", "Tony", "TONY", "award", "awards", "Award", "city", "cities", "rome", "Rome", "é", "x", "12", "name"]
)
NAME = st.lists(WORD, min_size=1, max_size=2).flatmap(
    lambda words: st.sampled_from(["_", " ", ""]).map(lambda glue: glue.join(words))
)
VALUE = st.lists(WORD, min_size=1, max_size=3).flatmap(
    lambda words: st.sampled_from([" ", "-", "'", '"', ""]).map(lambda glue: glue.join(words))
)


@st.composite
def databases(draw):
    names = draw(st.lists(NAME, min_size=4, max_size=6, unique_by=str.lower))
    table, *columns = names
    rows = draw(st.lists(st.tuples(*(VALUE | st.none() for _ in columns)), min_size=1, max_size=6))
    return table, columns, rows


@st.composite
def comparisons(draw, columns):
    """A comparison of a column with a text, and what a question would say of it."""
    column, value = draw(st.sampled_from(columns)), draw(VALUE)
    name = draw(st.sampled_from(['"{}"', "`{}`", "[{}]"])).format(column)
    mark = draw(st.sampled_from("'\""))
    kind = draw(st.sampled_from(["=", "<>", "IS NOT", "IN", "LIKE", "lower"]))
    text = mark + value.replace(mark, mark * 2) + mark
    if kind == "IN":
        return f"{name} IN ({text}, 'Rome')", f"{column} {value} Rome"
    if kind == "LIKE":
        pattern = draw(st.sampled_from(["{}", "{} %", "% {}", "%{}%", "{}_"])).format(value.replace(mark, mark * 2))
        return f"{name} LIKE {mark}{pattern}{mark}", f"{column} like {value}"
    return (
        f"lower({name}) = lower({name}) AND {name} = {text}" if kind == "lower" else f"{name} {kind} {text}",
        f"{column} {value}",
    )


@quick
@given(st.data())
def test_generated_databases_and_queries(tmp_path_factory, monkeypatch, data):
    table, columns, rows = data.draw(databases())
    conditions = data.draw(st.lists(comparisons(columns), min_size=1, max_size=3))
    file = tmp_path_factory.mktemp("generated") / "any.sqlite"
    with closing(sqlite3.connect(file)) as connection:
        connection.execute(f"CREATE TABLE {quoted(table)} ({', '.join(f'{quoted(column)} TEXT' for column in columns)})")
        connection.executemany(f"INSERT INTO {quoted(table)} VALUES ({', '.join('?' * len(columns))})", rows)
        connection.commit()
    sql = f"SELECT * FROM {quoted(table)} AS t WHERE {' OR '.join(condition for condition, _ in conditions)}"
    question = f"Which {table} have {' or '.join(said for _, said in conditions)}?"
    assert difference(monkeypatch, file, example(question, sql), data.draw(st.integers(0, 3))) is None
    check_double_quotes(open_database(file), sql, schemas.introspect(file))


# --- Spider's golds


@pytest.mark.spider
@pytest.mark.skipif(not SPIDER.is_dir(), reason="no Spider beside the checkout")
def test_golds_of_spider(monkeypatch):
    """A sample on small databases: all would take minutes."""
    rows = json.loads((SPIDER / "train_spider.json").read_text())
    drawn = random.Random(7).sample(range(len(rows)), 250)
    executed = 0
    for number in sorted(drawn, key=lambda number: rows[number]["db_id"]):
        row = rows[number]
        file = SPIDER / "database" / row["db_id"] / f"{row['db_id']}.sqlite"
        sql = row["query"].strip().rstrip(";").rstrip()
        if file.stat().st_size > 100_000 or re.search("LIKE .%?[A-Za-z]%", sql):
            continue  # a name that begins with a letter may be renamed to one that does not
        assert difference(monkeypatch, file, example(row["question"], sql), number) is None
        check_double_quotes(open_database(file), sql, schemas.introspect(file))
        executed += 1
    assert executed > 200
