"""`sense decontaminate` on dataset folders and files, and the check of its report."""

import json
import sqlite3
from contextlib import closing

import pytest

from sense import cli, records
from sense.decontamination import report
from sense.decontamination.command import decontaminate
from sense.errors import InputError, UserError
from sense.manifest import read_manifest, write_manifest
from sense.records import Example

QUESTIONS = {
    "strong": {
        "a": ("Which dogs are older than Rex?", "SELECT name FROM dog WHERE age > 3"),
        "b": ("How many singers are there?", "SELECT count(*) FROM singer"),
        "c": ("Where do the oldest people live?", "SELECT city FROM singer ORDER BY age DESC LIMIT 1"),
    },
    "dev": {
        "x": ("How many singers are there!", "SELECT count(*) FROM band"),
        "y": ("Town of the eldest", "SELECT s.city FROM singer AS s ORDER BY s.age DESC LIMIT 1"),
    },
}
TABLES = {"strong": "dog (name TEXT, age INTEGER)", "dev": "singer (city TEXT, age INTEGER, tall REAL)"}


@pytest.fixture
def folders(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, questions in QUESTIONS.items():
        rows = [
            Example(id=key, db_id=name, question=question, sql=sql, source="s", hardness="easy")
            for key, (question, sql) in questions.items()
        ]
        folder = tmp_path / name
        database = records.database_path(folder, name)
        database.parent.mkdir(parents=True)
        with closing(sqlite3.connect(database)) as connection:
            connection.execute(f"CREATE TABLE {TABLES[name]}")
        records.write_jsonl(folder / "examples.jsonl", rows)
        write_manifest(folder, stage="synthesize", section={"seed": 3}, revision="1+2")
    return tmp_path


def run(*arguments):
    return cli.main(["decontaminate", *map(str, arguments)])


def ids(folder):
    return [row.id for row in records.read_dataset(folder)]


def test_what_overlaps_is_taken_out_and_listed_with_both_rows(folders, capsys):
    assert run("--data", "strong", "--against", "dev", "--report", "report.json", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {
        "dropped": {"strong": {"same SQL": 1, "same question": 1}},
        "remaining": 0,
    }
    assert ids(folders / "strong") == ["a"]
    assert read_manifest(folders / "strong").examples == 1
    assert read_manifest(folders / "strong").seeds == {"seed": 3}
    written = report.read_report(folders / "report.json")
    pairs = [(overlap.row.id, overlap.reason, overlap.against_row.id, overlap.against) for overlap in written.overlaps]
    assert pairs == [("b", "same question", "x", "dev"), ("c", "same SQL", "y", "dev")]
    assert run("--data", "strong", "--against", "dev", "--report", "report.json") == 0
    assert "strong: 1 examples" in capsys.readouterr().out


def test_a_dry_run_takes_nothing_out_and_says_what_remains(folders, capsys):
    before = records.digest(folders / "strong")
    assert run("--data", "strong", "--against", "dev", "--report", "report.json", "--dry-run") == 0
    assert records.digest(folders / "strong") == before
    output = capsys.readouterr().out
    assert "remaining of strong: 1 same question, first: 'How many singers are there?' is 'How many singers are there!'" in output
    assert [overlap.row.id for overlap in report.read_report(folders / "report.json").remaining] == ["b", "c"]


@pytest.mark.parametrize("name", ["questions.json", "questions.jsonl"])
def test_a_file_of_questions_has_no_schemas(folders, capsys, name):
    rows = [{"question": question, "query": sql} for question, sql in QUESTIONS["dev"].values()]
    (folders / name).write_text(json.dumps(rows) if name.endswith("json") else "\n".join(map(json.dumps, rows)))
    assert run("--data", "strong", "--against", name, "--report", "report.json") == 0
    assert f"compared with {name}: 2 questions, without schemas: a file has none" in capsys.readouterr().out
    assert ids(folders / "strong") == ["a"]


def test_built_in_seeds_and_several_sets_are_compared(folders):
    from tests.pipeline import ROOT

    written = decontaminate([folders / "strong"], [folders / "dev", ROOT / "sense" / "seeds"], folders / "report.json")
    summaries = list(written.against.values())
    assert [summary.examples for summary in summaries] == [2, 113]
    assert summaries[1].databases == 4


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[1]", r"row 0 \(counted from 0\): must be an object, is int"),
        (
            '[{"question": "?"}]',
            r"row 0 .* must have texts under question or utterance and under sql or query or SQL; it has: quest",
        ),
        ("{}", "must hold a list of questions, holds dict"),
    ],
)
def test_a_malformed_file_is_named_with_its_row(folders, capsys, content, message):
    (folders / "bad.json").write_text(content)
    with pytest.raises(InputError, match=message):
        decontaminate([folders / "strong"], [folders / "bad.json"], folders / "report.json")


def test_what_cannot_be_compared_is_refused(folders):
    with pytest.raises(UserError, match="strong: cannot be compared with itself"):
        decontaminate([folders / "strong"], [folders / "strong"], folders / "report.json")
    with pytest.raises(InputError, match=r"nowhere: no dataset folder: it has no examples.jsonl"):
        decontaminate([folders / "nowhere"], [folders / "dev"], folders / "report.json")
    with pytest.raises(InputError, match="nowhere: no such file or folder; name a dataset folder"):
        decontaminate([folders / "strong"], [folders / "nowhere"], folders / "report.json")


def check(folders):
    report.check(folders / "report.json", {"strong": folders / "strong"}, {"dev": folders / "dev"})


def test_a_report_holds_until_the_data_change(folders):
    decontaminate([folders / "strong"], [folders / "dev"], folders / "report.json")
    check(folders)
    for name in ("dev", "strong"):
        examples = folders / name / "examples.jsonl"
        text = examples.read_text()
        examples.write_text(text.replace("Rex", "Max").replace("singers", "actors"))
        with pytest.raises(
            UserError, match=rf"does not know .*{name} as it is now(.|\n)* sense decontaminate --data .*strong --ag"
        ):
            check(folders)
        examples.write_text(text)
    check(folders)


def test_a_report_of_a_dry_run_does_not_pass(folders):
    decontaminate([folders / "strong"], [folders / "dev"], folders / "report.json", drop=False)
    with pytest.raises(
        UserError, match=r"2 training rows overlap with the evaluation sets, the first of them b of .*strong with x"
    ):
        check(folders)


def test_what_is_no_report_is_refused(folders):
    (folders / "report.json").write_text('{"data": {}}')
    with pytest.raises(InputError, match=r"not a report of sense decontaminate \(against: Field required\)"):
        check(folders)
