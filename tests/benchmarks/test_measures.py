"""What `benchmarks.synthesis` measures, on inputs so small that the result can be told by hand."""

import doctest
import sqlite3
from contextlib import closing
from itertools import combinations
from random import Random

import pytest

from benchmarks import corpora, databases, labels, questions, splits, structures, synthesis
from benchmarks.corpora import Corpus, Row
from sense.records import Example, Pair, Sample, write_jsonl
from sense.sql.tree import parse_query

COLUMNS = {"pet": ["id", "name", "home_city", "age"], "visit": ["pet_id", "cost"]}
PET = "CREATE TABLE pet (id INTEGER PRIMARY KEY, name TEXT, home_city TEXT, age INT)"
VISIT = "CREATE TABLE visit (pet_id INT REFERENCES pet(id), cost REAL)"


def row(question, sql, **rest):
    return Row(question, sql, "pets", COLUMNS, **rest)


def database(path, *statements):
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(";".join(statements))
    return path


@pytest.mark.parametrize("module", [structures, databases, questions, splits, corpora])
def test_doctests(module):
    assert doctest.testmod(module).failed == 0


# -- SQL


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("SELECT name FROM pet WHERE age > 3", "SELECT T1.home_city FROM pet AS T1 WHERE T1.name = 'Rex'", True),
        ("SELECT MAX(age) FROM pet", "SELECT AVG(cost) FROM visit", True),
        ("SELECT name FROM pet ORDER BY age LIMIT 1", "SELECT name FROM pet ORDER BY age DESC LIMIT 5", True),
        ("SELECT name FROM pet WHERE (age BETWEEN 1 AND 2)", "SELECT name FROM pet WHERE age IS NULL", True),
        ("SELECT name FROM pet WHERE age = -1", "SELECT name FROM pet WHERE age = 1", True),
        ("SELECT name FROM pet WHERE age IN (1, 2)", "SELECT name FROM pet WHERE age IN (3)", True),
        ("SELECT name FROM pet WHERE age IN (1, 2)", "SELECT name FROM pet WHERE age IN (SELECT cost FROM visit)", False),
        ("SELECT COUNT(*) FROM pet", "SELECT COUNT(name) FROM pet", False),
        ("SELECT COUNT(DISTINCT name) FROM pet", "SELECT COUNT(name) FROM pet", False),
        ("SELECT name FROM pet", "SELECT DISTINCT name FROM pet", False),
        ("SELECT name FROM pet", "SELECT name, age FROM pet", False),
        ("SELECT name FROM pet WHERE age = 1 AND age = 2", "SELECT name FROM pet WHERE age = 1 OR age = 2", False),
        ("SELECT name FROM pet JOIN visit ON id = pet_id", "SELECT name FROM pet LEFT JOIN visit ON id = pet_id", False),
        ("SELECT name FROM pet UNION SELECT name FROM pet", "SELECT name FROM pet EXCEPT SELECT name FROM pet", False),
        ("WITH a AS (SELECT name FROM pet) SELECT name FROM a", "SELECT name FROM pet", False),
        ("SELECT strftime('%Y', name) FROM pet", "SELECT upper(name) FROM pet", False),
    ],
)
def test_structure(one, other, same):
    assert (structures.structure(parse_query(one)) == structures.structure(parse_query(other))) is same


def test_a_name_in_double_quotes_is_a_value_unless_it_is_a_column():
    one, other = (
        row("?", 'SELECT name FROM pet WHERE home_city = "Rome"'),
        row("?", 'SELECT "name" FROM pet WHERE "home_city" = age'),
    )
    assert structures.structure(one.tree) == "select c from t where c?v"
    assert structures.structure(other.tree) == "select c from t where c?c"


# -- databases


def features_of(tmp_path, *statements):
    return databases.measure(database(tmp_path / "a.sqlite", *statements)).features


@pytest.mark.parametrize(
    ("statements", "expected"),
    [
        ([PET, "INSERT INTO pet VALUES (1, 'Rex', 'Rome', 3), (2, 'Ada', 'Oslo', 4)"], set()),
        (["CREATE TABLE a (x INT, y INT, PRIMARY KEY (x, y))"], {"composite key"}),
        (["CREATE TABLE a (x INT PRIMARY KEY, y INT REFERENCES a(x))"], {"self reference"}),
        (["CREATE TABLE a (x INT NOT NULL)"], {"NOT NULL"}),
        (
            [
                PET,
                VISIT,
                "CREATE TABLE link (one INT REFERENCES pet(id), two INT REFERENCES visit(pet_id), PRIMARY KEY (one, two))",
            ],
            {"composite key", "junction table"},
        ),
        (
            [PET, VISIT, "CREATE TABLE link (one INT REFERENCES pet(id), two INT REFERENCES visit(pet_id), since INT)"],
            {"junction table"},
        ),
        ([PET, "CREATE TABLE trip (id INT PRIMARY KEY, one INT REFERENCES pet(id), two INT REFERENCES pet(id))"], set()),
        (["CREATE TABLE a (x INT)", "INSERT INTO a VALUES (1), (NULL), (3)"], {"NULL", "NULL in 5% of the cells"}),
        (["CREATE TABLE a (x TEXT)", "INSERT INTO a VALUES ('1'), ('2.5'), ('1,200')"], {"number as text"}),
        (["CREATE TABLE a (x TEXT)", "INSERT INTO a VALUES ('12 km'), ('3 km')"], {"number as text"}),
        (["CREATE TABLE a (x TEXT)", "INSERT INTO a VALUES ('0151'), ('22')"], set()),
        (["CREATE TABLE a (x INT)", "INSERT INTO a VALUES (1), (2)"], set()),
        (["CREATE TABLE a (x TEXT)", "INSERT INTO a VALUES ('Zoë'), ('Ann')"], {"non-ASCII"}),
        (["CREATE TABLE a (größe INT)"], {"non-ASCII"}),
        (["CREATE TABLE a (x TEXT)", "INSERT INTO a VALUES ('O''Brien'), ('Ann')"], {"quote in a value"}),
        (['CREATE TABLE "pet owner" (x INT)'], {"space or mark in a name"}),
        (["CREATE TABLE a (d TEXT)", "INSERT INTO a VALUES ('31/12/2020'), ('1/2/2021')"], {"date that is not ISO"}),
        (["CREATE TABLE a (d INT)", "INSERT INTO a VALUES (20201231), (20210102)"], {"date that is not ISO"}),
        (["CREATE TABLE a (d TEXT)", "INSERT INTO a VALUES ('March 3, 2020'), ('Jan 1, 2020')"], {"date that is not ISO"}),
        (["CREATE TABLE a (d TEXT)", "INSERT INTO a VALUES ('2020-12-31'), ('2021-01-02')"], set()),
        (["CREATE TABLE a (deptName TEXT)"], {"abbreviated name"}),
        (["CREATE TABLE a (ltr TEXT)"], {"abbreviated name"}),
        (["CREATE TABLE a (created_at TEXT)"], {"distractor column"}),
        (["CREATE TABLE a (old_price REAL)"], {"distractor column"}),
        (["CREATE TABLE a (x INT)", "INSERT INTO a VALUES (7), (7), (7), (7), (7)"], {"distractor column"}),
    ],
)
def test_database_features(tmp_path, statements, expected):
    assert features_of(tmp_path, *statements) == expected


def test_rows_of_tables_and_the_time_to_write_them(tmp_path):
    file = database(tmp_path / "a.sqlite", PET, VISIT, "INSERT INTO pet (id) VALUES (1), (2)")
    facts = databases.measure(file, timed=True)
    assert facts.rows == [2, 0]
    assert facts.seconds > 0
    assert databases.measure(file).seconds is None


# -- questions


@pytest.mark.parametrize(
    ("question", "sql", "expected"),
    [
        ("What are the names of pets whose home city is Rome?", "SELECT name FROM pet WHERE home_city = 'Rome'", True),
        ("Which pets live in Rome?", "SELECT name FROM pet WHERE home_city = 'Rome'", False),
        ("Which names in which city are at home?", "SELECT name FROM pet WHERE home_city = 'Rome'", False),
        ("How many pets are there?", "SELECT COUNT(*) FROM pet", True),
        ("Show the names.", "SELECT name FROM pet JOIN visit ON pet.id = visit.pet_id", True),
        ("Show the names.", "SELECT name FROM pet WHERE id IN (SELECT pet_id FROM visit)", False),
        ("Show the names.", "SELECT FROM", None),
    ],
)
def test_spells_all_columns(question, sql, expected):
    assert questions.spells_all_columns(row(question, sql)) is expected


def test_names_a_table():
    assert questions.names_a_table(row("How many pets are there?", "SELECT COUNT(*) FROM pet"))
    assert not questions.names_a_table(row("How many are there?", "SELECT COUNT(*) FROM pet"))


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("Among pets over 3, which is the oldest?", {"question"}),
        ("Pets from where?", {"question"}),
        ("Give me all pets.", {"command"}),
        ("I would like to see all pets.", {"command", "polite"}),
        ("Please list all pets.", {"command", "polite"}),
        ("All pets, with their ages.", {"statement"}),
        ("oldest pets", {"keywords"}),
        ("Which pets are old? Show their names.", {"question", "two sentences"}),
    ],
)
def test_styles(question, expected):
    assert questions.styles(question) == expected


def test_type_token_ratio_and_trigrams():
    words = questions.word_sample(["Show the pets.", "Show the pets."], 6)
    assert words == ["show", "the", "pets", "show", "the", "pets"]
    assert questions.type_token_ratio(words) == 0.5
    assert questions.distinct_trigrams(words) == 3
    assert questions.word_sample(["a b", "a b"], 3) == ["a", "b", "a"]


def test_counts_over_a_join():
    grouped = "SELECT name, COUNT(*) FROM pet JOIN visit ON pet.id = visit.pet_id GROUP BY name"
    assert questions.counts_over_join(row("?", grouped))
    assert not questions.counts_over_join(row("?", "SELECT name, COUNT(*) FROM pet GROUP BY name"))


# -- labels


def test_mutants_on_the_database_and_on_instances(tmp_path):
    names = ", ".join(f"({number}, 'pet {number}', 'Rome', {number})" for number in range(1, 9))
    file = database(tmp_path / "pets.sqlite", PET, f"INSERT INTO pet VALUES {names}")
    columns = corpora.table_columns(file)
    gold = Row("?", "SELECT name FROM pet WHERE age > 3 AND home_city = 'Rome'", "pets", columns)
    counts = labels.measure(Corpus("pets", [gold], {"pets": file}), golds=5)
    assert counts.golds == 1
    assert counts.executions == 20
    assert counts.mutants > 3
    # All pets live in Rome: without that condition the result is the same, and only instances tell.
    assert counts.survivors[0] > counts.survivors[9]
    assert counts == labels.measure(Corpus("pets", [gold], {"pets": file}), golds=5)


def test_a_query_that_fails_or_does_not_end(tmp_path):
    with closing(corpora.open_readonly(database(tmp_path / "a.sqlite", PET))) as connection:
        assert labels.execute(connection, "SELECT dogs FROM pet") is None
        assert (
            labels.execute(connection, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT MAX(i) FROM n")
            is None
        )
        assert labels.execute(connection, "SELECT 1") == ((1,),)


def test_weak_data_of_a_finished_run(tmp_path):
    pairs = [
        Pair(id="1", example_id="a", chosen="SELECT x FROM t", rejected="SELECT y FROM t", strategy="s", error="mismatch"),
        Pair(id="2", example_id="b", chosen="SELECT x FROM t", rejected="SELECT x FROM u", strategy="s", error="error"),
    ]
    samples = [
        Sample(id="b#0", example_id="b", sql="SELECT x FROM u", correct=False, verdict="error", detail="no such table: u"),
        Sample(id="b#1", example_id="b", sql="SELECT x FROM t", correct=True, verdict="match"),
    ]
    write_jsonl(tmp_path / "data/pairs/pairs.jsonl", pairs)
    write_jsonl(tmp_path / "data/weak/samples.jsonl", samples)
    weak = labels.read_weak_data(tmp_path)
    assert (weak.pairs, weak.rejected_runs, weak.samples, weak.right, weak.no_such_table) == (2, 1, 2, 1, 1)
    assert weak.classes == {"schema linking": 2}


# -- splits


def test_overlap_of_splits():
    rows = [
        row("How many pets are there in Rome?", "SELECT COUNT(*) FROM pet", domain="pets", split="strong"),
        row("How many pets are there in Rome", "SELECT name FROM pet", domain="pets", split="strong"),
        row("How many pets are there in Rome!", "select count(*) from Pet", domain="pets", split="heldout"),
        row("Which visit was the dearest one?", "SELECT cost FROM visit", domain="visits", split="heldout"),
    ]
    overlap = splits.measure(Corpus("pets", rows, {}))
    assert overlap == splits.Overlap(
        heldout_domains=2, shared_domains=1, heldout_rows=2, shared_sql=1, near_questions=1, strong_rows=2, near_within_strong=1
    )


def test_near_duplicates_are_all_pairs_above_the_threshold():
    rng = Random(0)
    words = "pets cats dogs show all of the names in Rome Oslo older than".split()
    texts = [" ".join(rng.choices(words, k=rng.randint(1, 9))) for _ in range(150)]
    texts += [f"{text} {rng.choice(words)}" for text in texts]
    sets = [splits.trigrams(text) for text in texts]
    expected = {(i, j) for i, j in combinations(range(len(texts)), 2) if splits.jaccard(sets[i], sets[j]) > splits.THRESHOLD}
    assert set(splits.near_duplicates(texts)) == expected
    assert len(expected) > 20


# -- the whole


def test_a_corpus_is_read_from_the_folders_of_a_run(tmp_path):
    for number, split in enumerate(corpora.SPLITS):
        folder = tmp_path / split / "databases" / split
        folder.mkdir(parents=True)
        database(folder / f"{split}.sqlite", PET)
        example = Example(
            id=f"{9 - number}",
            db_id=split,
            question="?",
            sql="SELECT name FROM pet",
            source="grammar",
            hardness="easy",
            domain="pets",
        )
        write_jsonl(tmp_path / split / "examples.jsonl", [example])
    corpus = corpora.read_data(tmp_path, "ours")
    assert [(each.split, each.columns) for each in corpus.rows] == [
        (split, {"pet": COLUMNS["pet"]}) for split in ("heldout", "unseen", "strong")
    ]
    assert set(corpus.first(1).databases) == {"heldout"}


@pytest.mark.slow
def test_the_benchmark_prints_every_section(tmp_path, monkeypatch, capsys):
    arguments = ["synthesis", "--rows", "120", "--golds", "2", "--speed-rows", "60", "--json", str(tmp_path / "figures.json")]
    monkeypatch.setattr("sys.argv", arguments)
    monkeypatch.setattr(synthesis, "SPIDER", tmp_path / "none")
    synthesis.main()
    output = capsys.readouterr().out
    assert [line for line in output.splitlines() if line.startswith("## ")] == [
        "## 1. SQL", "## 1. Databases", "## 2. Questions", "## 3. Labels", "## 5. Splits",
        "## 5. Decontamination", "## 6. Speed",
    ]  # fmt: skip
    assert "Spider is left out" in output
    assert "| same bytes |  | yes |" in output
    assert (tmp_path / "figures.json").is_file()


def test_a_table_has_a_column_for_each_corpus_and_for_the_run_before(capsys):
    figures = [
        synthesis.Figure("rows", {"ours": 1200, "seeds": 3}),
        synthesis.Figure("EXISTS", {"ours": 0.0155, "seeds": 0.0}, "%"),
        synthesis.Figure("nobody", {}),
    ]
    synthesis.print_table("SQL", [synthesis.add_before(figures[0], 7), *figures[1:]])
    assert capsys.readouterr().out.splitlines()[3:] == [
        "| | before | ours | seeds |",
        "|---|---|---|---|",
        "| rows | 7 | 1,200 | 3 |",
        "| EXISTS |  | 1.6% | 0.0% |",
    ]


def test_rows_to_read(capsys):
    rows = [row(f"Question {number}?", "SELECT name\nFROM pet WHERE name = 'a|b'", domain="pets") for number in range(5)]
    synthesis.print_rows(Corpus("pets", rows, {}), 2, seed=1)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    assert lines[2].endswith("SELECT name FROM pet WHERE name = 'a\\|b' | easy | pets |")
