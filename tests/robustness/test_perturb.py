"""`sense perturb` on the built-in seeds and on small folders: whole dataset folders, counted drops, reruns after a kill."""

import json
import sqlite3
from contextlib import closing

import pytest

from sense import cli, records
from sense.config import ExecutionConfig, IngestConfig
from sense.errors import InputError, UserError
from sense.manifest import read_manifest
from sense.records import Example
from sense.robustness.kinds import KINDS
from sense.robustness.perturb import FILE, perturb
from sense.schema import introspect
from sense.stages import ingest
from tests import killed
from tests.pipeline import ROOT

LIMITS = ExecutionConfig(workers=1)
SCHEMA = "CREATE TABLE city (city_id INTEGER PRIMARY KEY, name TEXT, country TEXT, mayor INT REFERENCES city (city_id));"
ROWS = [
    "(1, 'Rome', 'Italy', 3), (2, 'Bari', 'Italy', 1), (3, 'Oslo', 'Norway', 2)",
    "(1, 'Rome', 'Italy', 1), (5, 'Kyiv', 'Norway', 1)",
]
QUESTIONS = {
    "a": ("How many cities are there?", "SELECT count(*) FROM city"),
    "b": ("Which cities are in Norway?", "SELECT name FROM city WHERE country = 'Norway'"),
    "c": ("Show everything.", "SELECT * FROM city ORDER BY city_id"),
    "d": ("Which towns?", "SELECT no_column FROM city"),
    "e": ("Who is it?", "SELECT name FROM a_view"),
}


@pytest.fixture(scope="module")
def seeds(tmp_path_factory):
    folder = tmp_path_factory.mktemp("seeds")
    ingest.run(
        IngestConfig(suite=1),
        ingest.Inputs(ROOT / "sense" / "seeds"),
        ingest.Outputs(folder / "seed", folder / "dev", folder / "metrics.json"),
    )
    return folder / "dev"


@pytest.fixture
def cities(tmp_path):
    """A dataset folder with one database and one more of its test suite."""
    folder = tmp_path / "cities"
    main = records.database_path(folder, "geo")
    main.parent.mkdir(parents=True)
    for file, rows in zip((main, main.with_name("suite_01.sqlite")), ROWS, strict=True):
        with closing(sqlite3.connect(file)) as connection:
            connection.executescript(f"{SCHEMA} INSERT INTO city VALUES {rows}; CREATE VIEW a_view AS SELECT name FROM city;")
    rows = [
        Example(id=key, db_id="geo", question=question, sql=sql, source="s", hardness="easy", domain="geography")
        for key, (question, sql) in QUESTIONS.items()
    ]
    records.write_jsonl(folder / "examples.jsonl", rows)
    return folder


def rows_of(folder):
    return {row.id: row for row in records.read_dataset(folder)}


def test_the_built_in_seeds_under_every_kind(seeds, tmp_path):
    before = records.digest(seeds)
    results = perturb(seeds, list(KINDS), tmp_path, 0, LIMITS)
    assert records.digest(seeds) == before
    originals = rows_of(seeds)
    for kind, result in results.items():
        rows, manifest = rows_of(tmp_path / kind), read_manifest(tmp_path / kind)
        assert len(rows) == result.rows == manifest.examples
        assert len(rows) + result.dropped.total() == len(originals) == 113
        assert manifest.further_databases == manifest.databases == 4
        assert (manifest.stage, manifest.seeds, manifest.section["kind"]) == ("perturb", {"seed": 0}, kind)
        assert manifest.digests.examples == records.digest(tmp_path / kind / "examples.jsonl")
        assert json.loads((tmp_path / kind / FILE).read_text())["dropped"] == dict(sorted(result.dropped.items()))
        for id_, row in rows.items():
            same = {name for name in Example.model_fields if getattr(row, name) == getattr(originals[id_], name)}
            changed = "question" if kind.startswith("question-") else "sql" if kind.startswith("columns-") else ""
            assert same == set(Example.model_fields) - {changed}, (kind, row)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(KINDS)
    for kind in ("schema-shuffled", "distractors", "no-keys", "columns-abbreviation"):  # in these no gold of the seeds is lost
        assert results[kind].rows == 113


def test_what_is_dropped_is_counted_by_reason(cities, tmp_path):
    results = perturb(cities, ["columns-synonym", "distractors", "schema-shuffled", "no-keys"], tmp_path / "out", 3, LIMITS)
    assert {kind: result.counts for kind, result in results.items()} == {
        "columns-synonym": {
            "rows": 2,
            "dropped": {
                "gold cannot be rewritten for certain": 1,
                "gold fails": 1,
                "no column of the gold has another name": 1,
            },
        },
        "distractors": {"rows": 3, "dropped": {"gold fails": 1, "gold gives another result": 1}},
        "schema-shuffled": {"rows": 4, "dropped": {"gold fails": 1}},
        "no-keys": {"rows": 4, "dropped": {"gold fails": 1}},
    }
    renamed = json.loads((tmp_path / "out/columns-synonym" / FILE).read_text())["databases"]["geo"]["renamed"]
    assert renamed.pop("city_id") in {"town_id", "municipality_id"}
    assert renamed == {"name": "designation", "country": "nation"}
    assert rows_of(tmp_path / "out/columns-synonym")["b"].sql == "SELECT designation FROM city WHERE nation = 'Norway'"


def test_further_databases_are_perturbed_alike(cities, tmp_path):
    perturb(cities, ["schema-shuffled", "distractors", "columns-synonym"], tmp_path, 0, LIMITS)
    for kind in ("schema-shuffled", "distractors", "columns-synonym"):
        folder = records.database_path(tmp_path / kind, "geo").parent
        assert sorted(file.name for file in folder.iterdir()) == ["geo.sqlite", "suite_01.sqlite"]
        assert introspect(folder / "geo.sqlite") == introspect(folder / "suite_01.sqlite")
        assert introspect(folder / "geo.sqlite") != introspect(records.database_path(cities, "geo"))


def test_a_gold_that_differs_on_a_further_database_alone_is_dropped(cities, tmp_path):
    """The main database has three rows and so counts nothing; the further one has two, and its tables are counted."""
    gold = "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND (SELECT count(*) FROM city) = 2"
    records.write_jsonl(cities / "examples.jsonl", [rows_of(cities)["a"], rows_of(cities)["b"].model_copy(update={"sql": gold})])
    results = perturb(cities, ["distractors", "schema-shuffled"], tmp_path, 0, LIMITS)
    assert results["distractors"].counts == {"rows": 1, "dropped": {"gold gives another result": 1}}
    assert results["schema-shuffled"].rows == 2


def test_the_same_seed_gives_the_same_bytes_and_another_one_others(cities, tmp_path):
    digests = []
    for number, seed in enumerate([1, 1, 2]):
        perturb(cities, list(KINDS), tmp_path / str(number), seed, LIMITS)
        digests.append(
            {kind: records.digest(tmp_path / str(number) / kind) for kind in KINDS if (tmp_path / str(number) / kind).is_dir()}
        )
    assert digests[0] == digests[1]
    assert digests[0]["schema-shuffled"] != digests[2]["schema-shuffled"]


def test_a_row_is_perturbed_alike_whatever_stands_beside_it(cities, tmp_path):
    perturb(cities, ["question-typos", "question-rephrased"], tmp_path / "all", 0, LIMITS)
    records.write_jsonl(cities / "examples.jsonl", [rows_of(cities)["b"]])
    perturb(cities, ["question-rephrased", "question-typos"], tmp_path / "one", 0, LIMITS)
    for kind in ("question-typos", "question-rephrased"):
        assert rows_of(tmp_path / "one" / kind)["b"] == rows_of(tmp_path / "all" / kind)["b"]


def test_a_kind_that_keeps_no_row_leaves_no_folder(cities, tmp_path):
    perturb(cities, ["question-lower-case"], tmp_path, 0, LIMITS)
    lower = [row.model_copy(update={"question": row.question.lower()}) for row in rows_of(cities).values()]
    records.write_jsonl(cities / "examples.jsonl", lower)
    results = perturb(cities, ["question-lower-case", "no-keys"], tmp_path, 0, LIMITS)
    assert results["question-lower-case"].counts == {"rows": 0, "dropped": {"gold fails": 1, "the question has no capital": 4}}
    assert [path.name for path in tmp_path.iterdir() if path != cities] == ["no-keys"]
    with pytest.raises(
        InputError, match=r"cities: no row can be perturbed so \(dropped: 4 the question has no capital, 1 gold fails\)"
    ):
        perturb(cities, ["question-lower-case"], tmp_path, 0, LIMITS)


def test_what_sqlite_cannot_change_is_counted(cities, tmp_path):
    with closing(sqlite3.connect(records.database_path(cities, "geo"))) as connection:
        connection.execute("CREATE VIRTUAL TABLE texts USING fts5(body)")
    results = perturb(cities, ["no-keys", "question-typos"], tmp_path, 0, LIMITS)
    assert results["no-keys"].dropped == {"gold fails": 1, "database cannot be changed so": 4}
    assert results["question-typos"].rows == 3


def test_the_command_prints_a_table_and_what_to_configure(cities, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    arguments = ["perturb", "--data", "cities", "--out", "out", "--kinds", "no-keys", "question-keywords", "no-keys"]
    assert cli.main(arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        "kind                 rows  dropped",
        "no-keys                 4        1  1 gold fails",
        "question-keywords       1        4  3 no keyword in the question, 1 gold fails",
        "",
        "to evaluate on them, write into params.yaml (training data are compared with the sets that they are evaluated on):",
        "synthesize:",
        "  decontaminate:",
        "    - out/no-keys",
        "    - out/question-keywords",
        "evaluate:",
        "  sets:",
        "    no-keys: out/no-keys",
        "    question-keywords: out/question-keywords",
    ]
    assert cli.main([*arguments, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "no-keys": {"rows": 4, "dropped": {"gold fails": 1}},
        "question-keywords": {"rows": 1, "dropped": {"gold fails": 1, "no keyword in the question": 3}},
    }


def test_places_that_would_be_overwritten_are_refused(cities, tmp_path):
    with pytest.raises(InputError, match=r"nowhere: no dataset folder: it has no examples.jsonl"):
        perturb(tmp_path / "nowhere", ["no-keys"], tmp_path, 0, LIMITS)
    with pytest.raises(UserError, match=r"lies in .*cities or holds it"):
        perturb(cities, ["no-keys"], cities, 0, LIMITS)
    cities.rename(tmp_path / "no-keys")
    with pytest.raises(UserError, match="name another folder under --out"):
        perturb(tmp_path / "no-keys", ["no-keys"], tmp_path, 0, LIMITS)


@pytest.mark.slow
def test_killed_at_any_moment_and_run_again_it_ends_as_if_undisturbed(cities, tmp_path):
    kinds = ["columns-synonym", "distractors"]
    perturb(cities, kinds, tmp_path / "whole", 0, LIMITS)
    expected = records.digest(tmp_path / "whole")
    out, moment, ended = tmp_path / "out", 0, False
    while not ended:
        moment += 3
        records.remove(out)
        ended = killed.run_until_killed(lambda: perturb(cities, kinds, out, 0, LIMITS), moment, killed.file_changes(out))
        perturb(cities, kinds, out, 0, LIMITS)
        assert records.digest(out) == expected, moment
        assert sorted(path.name for path in out.iterdir()) == sorted(kinds), moment
    assert moment > 30
    # the second time over a finished folder, killed while that is replaced
    for moment in range(1, 80, 7):
        killed.run_until_killed(lambda: perturb(cities, kinds, out, 0, LIMITS), moment, killed.file_changes(out))
        perturb(cities, kinds, out, 0, LIMITS)
        assert records.digest(out) == expected, moment
