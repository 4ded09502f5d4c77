"""People's own questions beside the copies: files and feedback, golds that cannot be used, and the rows that golds name."""

import json

import pytest

from sense import cli, records
from sense.config import DatabasesConfig
from sense.own.golds import sqlite_texts
from sense.serving.databases import Catalog
from sense.serving.feedback import FeedbackStore
from sense.serving.messages import FeedbackRequest
from tests.own.shop import rows, write_shop
from tests.serving.shops import LIMITS

COUNT = "SELECT COUNT(*) FROM customers WHERE city = 'Ghent'"


@pytest.fixture
def shop(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return write_shop(tmp_path / "shop.sqlite")


def examples(folder):
    return [(row.question, row.sql, row.source) for row in records.read_dataset(folder / "data/own")]


def test_questions_of_both_kinds_of_files_lie_beside_the_copy(shop, capsys):
    (shop.parent / "one.jsonl").write_text(json.dumps({"question": "How many in Ghent?", "sql": f"{COUNT};", "author": "me"}))
    (shop.parent / "two.csv").write_text('evidence;question;sql;db_id\npaid late;Who?;"SELECT name\nFROM employees";SHOP\n')
    assert cli.main(["own", "shop.sqlite", "--questions", "one.jsonl", "two.csv"]) == 0
    assert examples(shop.parent) == [("How many in Ghent?", COUNT, "own"), ("Who?", "SELECT name\nFROM employees", "own")]
    assert [(row.db_id, row.evidence) for row in records.read_dataset(shop.parent / "data/own")] == [
        ("shop", ""),
        ("shop", "paid late"),
    ]
    printed = capsys.readouterr().out
    assert "questions: 2 of 2 can be used" in printed
    assert "--set 'data.seeds=data/own'" in printed


def test_what_cannot_be_used_is_counted_by_reason_with_file_and_line(shop, capsys):
    lines = {
        "question,sql,db_id": "",
        "Fails?,SELECT nope FROM customers,": "gold fails, first: q.csv, line 2 (no such column: nope)",
        "Writes?,DELETE FROM customers,": "gold rejected, first: q.csv, line 3",
        "Nobody?,SELECT name FROM employees WHERE id = -1,": "gold returns nothing, first: q.csv, line 4",
        "Now?,SELECT date('now') FROM customers,": "gold reads the clock or draws random numbers, first: q.csv, line 5",
        ",SELECT 1,": "no question or no SQL, first: q.csv, line 6",
        "Elsewhere?,SELECT 1,crm": "its database is not copied, first: q.csv, line 7 ('crm'; the copies are called shop",
        f"How many?,{COUNT},": "",
        "how  MANY?,SELECT 1,": "question repeated, first: q.csv, line 9 (it is q.csv, line 8 too)",
    }
    (shop.parent / "q.csv").write_text("\n".join(lines))
    assert cli.main(["own", "shop.sqlite", "--questions", "q.csv"]) == 0
    printed = capsys.readouterr().out
    for expected in filter(None, lines.values()):
        assert f"dropped 1: {expected}" in printed
    assert examples(shop.parent) == [("How many?", COUNT, "own")]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "q.jsonl",
            '{"question": "Who?", "sql": "SELECT 1"}\n{"question": "What?"}\n',
            "q.jsonl, line 2: not a _Line (sql: Field",
        ),
        ("q.jsonl", '{"question": "Who?"', "q.jsonl, line 1"),
        ("q.csv", "question,query\nWho?,SELECT 1\n", "q.csv, line 1: no column sql; there are: question, query"),
        ("q.csv", "question,sql\nWho, where?,SELECT 1\n", "q.csv, line 2: 3 values, but the first line names 2 columns"),
        ("q.csv", "", "q.csv: it is empty"),
        ("q.txt", "Who?", "q.txt: no file of questions; name .jsonl or .csv files"),
        ("other.csv", "", "q.csv: no such file or folder"),
        ("q.csv/notes", "", "q.csv: there is no journal.jsonl in it"),
        ("q.csv", "question,sql\nWho?,SELECT nope FROM customers\n", "none of your questions can be used"),
    ],
)
def test_a_file_that_cannot_be_read_or_used_is_called_so_and_nothing_is_written(shop, capsys, name, text, message):
    file = shop.parent / name
    file.parent.mkdir(exist_ok=True)
    file.write_text(text)
    assert cli.main(["own", "shop.sqlite", "--questions", "q.csv" if "q.csv" in message else name]) == 2
    assert message in capsys.readouterr().err
    assert not (shop.parent / "data/own").exists()


def test_a_question_has_to_say_which_of_several_databases_it_is_about(shop, capsys):
    (shop.parent / "q.csv").write_text(f"question,sql\nHow many?,{COUNT}\n")
    assert cli.main(["own", "shop.sqlite", "other=shop.sqlite", "--questions", "q.csv"]) == 2
    assert (
        "q.csv, line 2: says not which database it is about; give each question a db_id: shop, other" in capsys.readouterr().err
    )


def test_a_copy_of_few_rows_has_those_that_golds_name_and_what_refers_to_them(shop):
    gold = "SELECT o.status FROM orders o JOIN customers c ON c.customer_id = o.customer_id WHERE c.email = 'eva53@mail.com'"
    (shop.parent / "q.jsonl").write_text(json.dumps({"question": "What has Eva ordered?", "sql": gold}))
    copy = shop.parent / "data/own/databases/shop/shop.sqlite"
    assert cli.main(["own", "shop.sqlite", "--rows", "8"]) == 0
    assert rows(copy, gold) == []
    assert cli.main(["own", "shop.sqlite", "--rows", "8", "--questions", "q.jsonl"]) == 0
    assert rows(copy, gold) != []
    assert rows(copy, "SELECT count(*) FROM customers") == [(8,)]
    assert rows(copy, "PRAGMA foreign_key_check") == []


def test_a_masked_value_leaves_its_question_out(shop, capsys):
    gold = "SELECT full_name FROM customers WHERE email = 'eva53@mail.com'"
    (shop.parent / "q.csv").write_text(f"question,sql\nWhose is eva53@mail.com?,{gold}\nHow many?,{COUNT}\n")
    assert cli.main(["own", "shop.sqlite", "--mask", "email", "--questions", "q.csv"]) == 0
    assert "gold returns nothing, first: q.csv, line 2" in capsys.readouterr().out
    assert "eva53" not in (shop.parent / "data/own/examples.jsonl").read_text()


@pytest.fixture
def keep(shop):
    """Feedback as the gateway keeps it in `feedback`."""
    catalog = Catalog(DatabasesConfig(folders=[str(shop.parent)]), LIMITS)
    store = FeedbackStore(shop.parent / "feedback", catalog)

    def keep(number, question, sql, **fields):
        base = {"id": f"f{number}", "question": question, "database": "shop", "sql": sql, "correct": True}
        store.keep(FeedbackRequest.model_validate(base | fields))

    yield keep
    catalog.close()


def test_the_last_feedback_on_a_question_counts_if_it_has_sql(shop, keep, capsys):
    right, wrong = "SELECT name FROM employees", "SELECT id FROM employees"
    keep(1, "Who works here?", wrong)
    keep(2, "who works here?", wrong, correct=False, corrected=right)
    keep(3, "How many customers in Ghent?", COUNT, evidence="the city")
    keep(4, "Which orders are late?", "SELECT 1", correct=False)
    keep(5, "Which cities?", "SELECT city FROM customers")
    keep(6, "Which cities?", "SELECT city FROM customers", correct=False)
    journal = shop.parent / "feedback/journal.jsonl"
    journal.write_bytes(journal.read_bytes() + b'{"id": "f7", "content": {"sa')  # the gateway is writing
    assert cli.main(["own", "shop.sqlite", "--questions", "feedback"]) == 0
    assert examples(shop.parent) == [
        ("who works here?", right, "feedback"),
        ("How many customers in Ghent?", COUNT, "feedback"),
    ]
    printed = capsys.readouterr().out
    assert "questions: 2 of 6 can be used" in printed
    assert "dropped 2: feedback that later one replaces, first: feedback/journal.jsonl, line 1" in printed
    assert "dropped 2: feedback that an answer is wrong, without a correction" in printed


def test_further_feedback_makes_the_next_version_and_the_same_feedback_the_same_bytes(shop, keep):
    keep(1, "Who works here?", "SELECT name FROM employees")
    assert cli.main(["own", "shop.sqlite", "--questions", "feedback"]) == 0
    first = records.digest(shop.parent / "data/own")
    assert cli.main(["own", "shop.sqlite", "--questions", "feedback"]) == 0
    assert records.digest(shop.parent / "data/own") == first
    keep(2, "Which cities?", "SELECT city FROM customers")
    assert cli.main(["own", "shop.sqlite", "--questions", "feedback"]) == 0
    assert len(examples(shop.parent)) == 2


@pytest.mark.parametrize(
    ("dialect", "sql", "expected"),
    [
        ("sqlite", "SELECT `a` FROM t", ("SELECT `a` FROM t",)),
        ("postgres", "SELECT a::text FROM public.t", ("SELECT CAST(a AS TEXT) FROM t", "SELECT a::text FROM public.t")),
        ("mysql", "SELECT `a` FROM `shop`.`t`", ('SELECT "a" FROM "t"', "SELECT `a` FROM `shop`.`t`")),
        ("postgres", "SELECT a FROM t", ("SELECT a FROM t",)),
        ("postgres", "SELECT FROM WHERE", ("SELECT FROM WHERE",)),
        ("postgres", "DROP TABLE t", ("DROP TABLE t",)),
    ],
)
def test_golds_are_read_in_the_dialect_of_their_database(dialect, sql, expected):
    assert sqlite_texts(sql, dialect) == expected
