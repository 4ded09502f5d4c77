"""`sense score` on a small database: what it refuses, what it writes, and its numbers against a hand count."""

import json
import sqlite3
from contextlib import closing

import pytest

from sense import cli, console
from sense.evaluation import command, scoreboard
from sense.evaluation.scoreboard import QueryLevels
from sense.records import Verdict

MODES = ("strict@2", "strict-ts@1", "strict@1", "spider-exec@1", "bird-ex@1", "bird-f1@1", "bird-rves@1")
ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
GOLD = {
    "a": "SELECT name FROM pet",  # easy, 2 points: band 1
    "b": "SELECT name FROM pet ORDER BY age LIMIT 2",  # medium, 4: band 2
    "c": "SELECT count(*) FROM pet WHERE age > 99",  # easy, 5: band 3
    "d": "SELECT name FROM pet WHERE age > 99",  # easy, 4: band 2
    "e": "SELECT kind FROM pet",  # easy, 2: band 1
    "f": "SELECT name FROM pet WHERE age > (SELECT avg(age) FROM pet)",  # hard, 10: band 6
}
ANSWERS = {
    "a": "SELECT DISTINCT name FROM pet",  # a Tom less than the gold: wrong to strict alone
    "b": "SELECT name FROM pet ORDER BY age DESC LIMIT 2",  # other pets
    "c": "SELECT 0",  # right everywhere
    "d": "SELECT name FROM pet WHERE 1 = 2",  # right, as both are empty
    "e": "SELECT kind, name FROM pet",
    "f": "SELECT nme FROM pet",
}


@pytest.fixture(autouse=True)
def restore_console():
    """Turns on again what `--json` turned off, for the tests that follow in this process."""
    yield
    console.quiet(False)


@pytest.fixture
def folder(tmp_path):
    """A folder of databases, six examples and an answer to each, the answers in another order."""
    database = tmp_path / "databases" / "pets" / "pets.sqlite"
    database.parent.mkdir(parents=True)
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("CREATE TABLE pet (name TEXT, kind TEXT, age INTEGER)")
        pets = [("Tom", "cat", 3), ("Rex", "dog", 5), ("Tom", "dog", 9), ("Ada", "cat", 11)]
        connection.executemany("INSERT INTO pet VALUES (?, ?, ?)", pets)
        connection.commit()
    write(tmp_path / "examples.jsonl", [{"id": key, "db_id": "pets", "sql": sql} for key, sql in GOLD.items()])
    write(tmp_path / "predictions.jsonl", [{"id": key, "sql": ANSWERS[key]} for key in "fedcba"])
    return tmp_path


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def rows(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def score(folder, *arguments, **paths):
    """Runs the command on the files of `folder`, or others given as `paths`; returns its exit code."""
    names = {"databases": "databases", "examples": "examples.jsonl", "predictions": "predictions.jsonl", "output": "out.jsonl"}
    flags = [flag for name, file in (names | paths).items() for flag in (f"--{name}", str(folder / file))]
    return cli.main(["score", *flags, "--timeout", "2", "--workers", "2", *arguments])


def modes(*names):
    return [flag for name in names for flag in ("--mode", name)]


# --- what is refused


@pytest.fixture
def assert_refused(folder, capsys):
    """Runs the command, which must end with 2, print one line on stderr that contains `expected`, and write nothing."""

    def run(*expected, **paths):
        before = sorted(folder.rglob("*"))
        assert score(folder, **paths) == 2
        output = capsys.readouterr()
        assert output.out == ""
        assert output.err.startswith("sense score: ")
        assert output.err.count("\n") == 1
        for part in expected:
            assert part in output.err
        assert sorted(folder.rglob("*")) == before

    return run


def test_an_example_without_a_prediction_is_named(folder, assert_refused):
    write(folder / "predictions.jsonl", [{"id": key, "sql": ANSWERS[key]} for key in "abcd"])
    assert_refused(
        "predictions.jsonl: 2 of 6 examples of", "examples.jsonl have no prediction, the first of them 'e'; add a line"
    )


def test_a_prediction_without_an_example_is_named(folder, assert_refused):
    write(folder / "predictions.jsonl", [{"id": key, "sql": "SELECT 1"} for key in "abcdefxy"])
    assert_refused("predictions.jsonl: 2 of 8 ids are not in", "the first of them 'x'; a prediction joins by its id")
    write(folder / "predictions.jsonl", [{"id": "a", "example_id": "z", "sql": "SELECT 1"}])
    assert_refused("1 of 1 ids are not in", "'z'")


def test_repeated_ids_are_named(folder, assert_refused):
    write(folder / "predictions.jsonl", [{"id": key, "sql": "SELECT 1"} for key in "abcdefcc"])
    assert_refused("predictions.jsonl: the id 'c' occurs 3 times; give several predictions", '"example_id"')
    write(folder / "examples.jsonl", [{"id": key, "db_id": "pets", "sql": "SELECT 1"} for key in "abb"])
    assert_refused("examples.jsonl: the id 'b' occurs 2 times; make ids unique")


@pytest.mark.parametrize("name", ["examples", "predictions"])
def test_empty_and_missing_files_are_named(folder, assert_refused, name):
    path = folder / f"{name}.jsonl"
    path.write_text("\n")
    assert_refused(f"{path}: is empty; give it")
    path.unlink()
    assert_refused(f"{path}: no such file; name a file")
    assert_refused(f"{folder / 'databases'}: no such file", **{name: "databases"})


@pytest.mark.parametrize(
    ("file", "line", "message"),
    [
        ("predictions.jsonl", '{"id": "a"', "predictions.jsonl, line 7: not a ScoringPrediction (Invalid JSON"),
        ("predictions.jsonl", '{"id": "a"}', "predictions.jsonl, line 7: not a ScoringPrediction (sql: Field required)"),
        (
            "predictions.jsonl",
            '{"id": "a", "sql": null}',
            "line 7: not a ScoringPrediction (sql: Input should be a valid string)",
        ),
        (
            "examples.jsonl",
            '{"id": 7, "db_id": "pets", "sql": ""}',
            "line 7: not a ScoringExample (id: Input should be a valid string)",
        ),
        ("examples.jsonl", '{"id": "g", "sql": ""}', "examples.jsonl, line 7: not a ScoringExample (db_id: Field required)"),
        (
            "examples.jsonl",
            '{"id": "g", "db_id": "pets", "sql": "", "hardness": "simple"}',
            "line 7: not a ScoringExample (hardness: ",
        ),
    ],
)
def test_a_line_that_does_not_fit_is_named(folder, assert_refused, file, line, message):
    with (folder / file).open("a") as stream:
        stream.write(line + "\n")
    assert_refused(message, "mend or delete the line")


def test_a_database_that_is_not_there_is_named_with_what_was_looked_for(folder, assert_refused):
    write(folder / "examples.jsonl", [{"id": key, "db_id": "zoo" if key in "ef" else "pets", "sql": ""} for key in GOLD])
    assert_refused(
        f"{folder}/databases/zoo/zoo.sqlite: no such database, but", "examples.jsonl, id 'e' asks", "--databases must be"
    )
    assert_refused(f"{folder}/nowhere/pets/pets.sqlite: no such database", databases="nowhere")


def test_a_folder_too_high_is_told_from_the_right_one(folder, assert_refused):
    assert_refused(f"{folder}/pets/pets.sqlite: no such database", f"give --databases {folder}/databases", databases=".")


@pytest.mark.parametrize("db_id", ["../databases/pets", "..", ".", "", "/etc", "a\\b", "pets/pets", "pets\0"])
def test_a_db_id_is_no_path(folder, assert_refused, db_id):
    write(folder / "examples.jsonl", [{"id": key, "db_id": db_id if key == "c" else "pets", "sql": ""} for key in GOLD])
    assert_refused("examples.jsonl, id 'c': db_id = ", "cannot be the name of a folder; give it a plain name")


@pytest.mark.parametrize("output", ["databases", "examples.jsonl", "databases/../predictions.jsonl"])
def test_the_output_replaces_no_input(folder, assert_refused, output):
    before = (folder / "examples.jsonl").read_bytes()
    assert_refused("--output", "is a folder or an input file", output=output)
    assert (folder / "examples.jsonl").read_bytes() == before


@pytest.mark.parametrize(
    "flags", [["--mode", "spider"], ["--timeout", "0"], ["--timeout", "inf"], ["--timeout", "1s"], ["--workers", "0"]]
)
def test_wrong_flags_are_refused_with_the_right_values(folder, capsys, flags):
    with pytest.raises(SystemExit) as ended:
        score(folder, *flags)
    assert ended.value.code == 2
    stderr = capsys.readouterr().err
    assert f"argument {flags[0]}" in stderr
    assert flags[1] in stderr
    assert not (folder / "out.jsonl").exists()


def test_help_has_an_example_and_every_mode(capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["score", "--help"])
    assert ended.value.code == 0
    printed = capsys.readouterr().out
    assert "example:\n  sense score \\\n" in printed
    assert ", ".join(MODES) in printed


# --- what is written


def test_verdicts_come_in_the_order_of_the_predictions_and_the_modes(folder, capsys):
    assert score(folder, *modes("bird-ex@1", "strict@2", "bird-ex@1")) == 0
    written = rows(folder / "out.jsonl")
    assert [(row["id"], row["mode"]) for row in written] == [
        (key, mode) for key in "fedcba" for mode in ("bird-ex@1", "strict@2")
    ]
    assert list(written[0]) == ["id", "correct", "verdict", "detail", "vacuous", "mode", "kind", "limit", "score"]
    by_mode = {mode: {row["id"]: row for row in written if row["mode"] == mode} for mode in ("strict@2", "bird-ex@1")}
    right = {mode: {key for key, row in scores.items() if row["correct"]} for mode, scores in by_mode.items()}
    assert right == {"strict@2": {"c", "d"}, "bird-ex@1": {"a", "c", "d"}}
    strict = {key: (row["verdict"], row["kind"], row["vacuous"]) for key, row in by_mode["strict@2"].items()}
    assert strict == {
        "a": ("mismatch", "rows", False),
        "b": ("mismatch", "values", False),
        "c": ("match", "", False),
        "d": ("match", "", True),
        "e": ("mismatch", "columns", False),
        "f": ("error", "", False),
    }
    assert "nme" in by_mode["strict@2"]["f"]["detail"]
    assert capsys.readouterr().err == ""


def test_the_mode_is_strict_unless_another_is_named(folder):
    assert score(folder) == 0
    assert {row["mode"] for row in rows(folder / "out.jsonl")} == {"strict@2"}


def test_the_same_files_give_the_same_bytes_whatever_the_workers(folder):
    write(
        folder / "predictions.jsonl",
        [{"id": f"{key}{n}", "example_id": key, "sql": ANSWERS["abcdef"[n]]} for key in GOLD for n in range(6)],
    )
    for name, workers in (("one", "1"), ("two", "3")):
        assert score(folder, *modes(*MODES[:-1]), "--workers", workers, output=name) == 0
    assert len(rows(folder / "one")) == 36 * (len(MODES) - 1)
    assert (folder / "one").read_bytes() == (folder / "two").read_bytes()


def test_several_predictions_join_by_example_id(folder, capsys):
    samples = [{"id": f"{key}#{n}", "example_id": key, "sql": GOLD[key] if n else "", "k": n} for n in (0, 1, 2) for key in GOLD]
    write(folder / "predictions.jsonl", samples)
    assert score(folder, "--json") == 0
    scores = json.loads(capsys.readouterr().out)
    assert (scores["examples"], scores["predictions"]) == (6, 18)
    assert [row["id"] for row in rows(folder / "out.jsonl")] == [row["id"] for row in samples]
    assert [row["correct"] for row in rows(folder / "out.jsonl")] == [False] * 6 + [True] * 12
    strict = scores["modes"]["strict@2"]
    assert (strict["n"], strict["right"], strict["ex"], strict["vacuous"]) == (18, 12, 12 / 18, 2)
    assert strict["verdicts"] == {
        "match": {"n": 12, "share": 12 / 18, "why": {}},
        "rejected": {"n": 6, "share": 6 / 18, "why": {}},
    }


# --- the numbers


def test_the_json_is_what_a_hand_counts(folder, capsys):
    assert score(folder, *modes("strict@2", "bird-ex@1"), "--json") == 0
    output = capsys.readouterr()
    assert output.err == ""
    scores = json.loads(output.out)
    assert {key: scores[key] for key in ("output", "examples", "predictions")} == {
        "output": str(folder / "out.jsonl"),
        "examples": 6,
        "predictions": 6,
    }
    strict = scores["modes"]["strict@2"]
    assert strict.pop("seconds") > 0
    assert strict.pop("per_second") > 0
    assert strict == {
        "n": 6,
        "ex": 2 / 6,
        "right": 2,
        "gold_errors": 0,
        "ex_gold_ok": 2 / 6,
        "vacuous": 1,
        "verdicts": {
            "match": {"n": 2, "share": 2 / 6, "why": {}},
            "mismatch": {"n": 3, "share": 3 / 6, "why": {"columns": 1, "rows": 1, "values": 1}},
            "sql_error": {"n": 1, "share": 1 / 6, "why": {}},
        },
        "hardness": {"easy": {"n": 4, "ex": 0.5}, "medium": {"n": 1, "ex": 0.0}, "hard": {"n": 1, "ex": 0.0}},
        "complexity": {
            "1": {"n": 2, "ex": 0.0},
            "2": {"n": 2, "ex": 0.5},
            "3": {"n": 1, "ex": 1.0},
            "6": {"n": 1, "ex": 0.0},
        },
    }
    assert scores["modes"]["bird-ex@1"]["ex"] == 3 / 6
    assert scores["disagreements"] == [
        {
            "a": "strict@2",
            "b": "bird-ex@1",
            "only_a_right": 0,
            "only_b_right": 1,
            "predictions": [{"id": "a", "a": "mismatch: rows", "b": "match"}],
        }
    ]


def test_a_failing_gold_is_set_apart(folder, capsys):
    golds = [{"id": key, "db_id": "pets", "sql": "SELECT nme FROM pet" if key in "ab" else GOLD[key]} for key in GOLD]
    write(folder / "examples.jsonl", golds)
    assert score(folder, *modes("strict@2", "bird-f1@1"), "--json") == 0
    scores = json.loads(capsys.readouterr().out)["modes"]
    strict = scores["strict@2"]
    assert (strict["ex"], strict["ex_gold_ok"], strict["gold_errors"]) == (2 / 6, 2 / 4, 2)
    assert strict["verdicts"]["gold_error"] == {"n": 2, "share": 2 / 6, "why": {}}
    assert score(folder) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "2 of 6 predictions count as wrong because their GOLD fails" in printed
    assert "EX on the other 4: 50.0%" in printed


def test_the_hardness_in_an_example_line_is_kept(folder, capsys):
    examples = [{"id": key, "db_id": "pets", "sql": GOLD[key], "hardness": "extra", "question": "?", "source": 7} for key in GOLD]
    write(folder / "examples.jsonl", examples)
    assert score(folder, "--json") == 0
    assert json.loads(capsys.readouterr().out)["modes"]["strict@2"]["hardness"] == {"extra": {"n": 6, "ex": 2 / 6}}


def test_a_limit_is_named(folder, capsys):
    write(folder / "predictions.jsonl", [{"id": key, "sql": ENDLESS if key == "b" else GOLD[key]} for key in GOLD])
    assert score(folder, "--timeout", "0.05", "--json") == 0
    (reasons,) = [
        part["why"]
        for name, part in json.loads(capsys.readouterr().out)["modes"]["strict@2"]["verdicts"].items()
        if name == "timeout"
    ]
    assert list(reasons.values()) == [1]
    assert set(reasons) <= {"steps", "clock"}  # which of them depends on the machine


def test_the_limits_follow_the_timeout():
    limits = command.execution_limits(30.0, 7)
    assert limits.model_dump() == {
        "timeout_s": 30.0,
        "workers": 7,
        "max_steps": 300_000_000,
        "max_rows": 1_000_000,
        "max_bytes": 100_000_000,
    }
    assert command.execution_limits(1e-9, 1).max_steps == 1


# --- the tables


def test_the_tables_say_the_same(folder, capsys):
    assert score(folder, *modes("strict@2", "bird-ex@1")) == 0
    output = capsys.readouterr()
    assert output.err == ""
    printed = " ".join(output.out.split())
    for part in (
        "strict@2: EX 33.3% (2 of 6)",
        "1 of these vacuous (both results are empty)",
        "predictions/s",
        "match 2 33.3% easy 4 50.0%",
        "mismatch 3 50.0% medium 1 0.0%",
        "columns 1 16.7% hard 1 0.0%",
        "error 1 16.7% complexity 3 1 100.0%",
        "bird-ex@1: EX 50.0% (3 of 6)",
        "bird-ex@1 strict@2 1 a (mismatch: rows)",
        f"Verdicts: {folder}/out.jsonl",
    ):
        assert part in printed
    assert "GOLD" not in printed
    assert max(len(line) for line in output.out.splitlines() if "Verdicts" not in line) <= 80


def test_modes_that_agree_are_reported_as_agreeing(folder, capsys):
    write(folder / "predictions.jsonl", [{"id": key, "sql": sql} for key, sql in GOLD.items()])
    assert score(folder, *modes("strict@2", "spider-exec@1", "bird-ex@1")) == 0
    printed = capsys.readouterr().out
    assert "The modes agree on all 6 predictions." in printed
    assert "right under" not in printed


def test_control_characters_of_ids_are_escaped(folder, capsys):
    bad = "a\x1b[31m[bold]"
    write(folder / "examples.jsonl", [{"id": bad, "db_id": "pets", "sql": GOLD["a"]}])
    write(folder / "predictions.jsonl", [{"id": bad, "sql": ANSWERS["a"]}])
    assert score(folder, *modes("strict@2", "bird-ex@1")) == 0
    printed = capsys.readouterr().out
    assert "\x1b" not in printed
    assert "'a\\x1b[31m[bold]' (mismatch: rows)" in printed


def verdict(score=None, name="match"):
    return Verdict(id="x", correct=name == "match", verdict=name, score=score)


def count_mode(mode, verdicts, levels=None):
    levels = levels or [QueryLevels("easy", "1")] * len(verdicts)
    return scoreboard.count(levels, {mode: verdicts}, {mode: 2.0})["modes"][mode]


def test_ts_counts_all_databases_and_ex_the_main_one(capsys):
    verdicts = [
        verdict(),
        verdict(name="mismatch").model_copy(update={"instance": "suite_02.sqlite"}),
        verdict(name="mismatch").model_copy(update={"left_out": 1}),
    ]
    numbers = count_mode("strict-ts@1", verdicts)
    assert (numbers["right"], numbers["ex"], numbers["ts"], numbers["left_out"]) == (2, 2 / 3, 1 / 3, 1)
    assert numbers["hardness"] == {"easy": {"n": 3, "ex": 2 / 3, "ts": 1 / 3}}
    assert "ts" not in count_mode("strict@2", [verdict()])
    scoreboard.show({"modes": {"strict-ts@1": numbers}, "disagreements": [], "output": "o", "predictions": 3})
    printed = " ".join(capsys.readouterr().out.split())
    assert "strict-ts@1: EX 66.7% (2 of 3), TS 33.3%" in printed
    assert "1 with further databases on which the gold fails; those do not count" in printed


def test_soft_f1_is_the_mean_of_the_scores():
    verdicts = [verdict(1.0), verdict(0.5, "mismatch"), verdict(0.0, "error"), verdict(None, "gold_error")]
    levels = [QueryLevels("easy", "1"), QueryLevels("easy", "4"), QueryLevels("extra", "4"), QueryLevels("extra", "4")]
    numbers = count_mode("bird-f1@1", verdicts, levels)
    assert numbers["soft_f1"] == 1.5 / 4
    assert numbers["hardness"] == {"easy": {"n": 2, "ex": 0.5, "soft_f1": 0.75}, "extra": {"n": 2, "ex": 0.0, "soft_f1": 0.0}}
    assert numbers["complexity"]["4"] == {"n": 3, "ex": 0.0, "soft_f1": 0.5 / 3}
    assert numbers["per_second"] == 2.0


def test_r_ves_is_the_mean_of_the_rewards_roots():
    verdicts = [verdict(1.0), verdict(0.25), verdict(1.25), verdict(0.0, "mismatch"), verdict(None, "gold_error")]
    numbers = count_mode("bird-rves@1", verdicts)
    assert numbers["r_ves"] == pytest.approx(100 * (1 + 0.5 + 1.25**0.5) / 5)
    assert "r_ves" not in count_mode("bird-ex@1", verdicts)
    assert numbers["ex_gold_ok"] == 3 / 4


def test_with_no_usable_gold_there_is_no_such_ex(capsys):
    numbers = count_mode("strict@2", [verdict(None, "gold_error")])
    assert (numbers["ex"], numbers["ex_gold_ok"]) == (0.0, None)
    scoreboard.show({"modes": {"strict@2": numbers}, "disagreements": [], "output": "o", "predictions": 1})
    assert "no other is left" in " ".join(capsys.readouterr().out.split())


def test_f1_and_r_ves_from_end_to_end(folder, capsys):
    assert score(folder, *modes("bird-f1@1", "bird-rves@1"), "--json") == 0
    scores = json.loads(capsys.readouterr().out)["modes"]
    # a: its distinct rows are the gold's; b: Ada, Tom for Tom, Rex, no cell of a row in its other; e: a cell too many in
    # each of 4 distinct rows against 2: worked out below; f fails
    # e: rows (cat, Tom) for (cat), (dog, Rex) for (dog), two rows more: 2 hits, 2 + 2 too much, none missed; F1 = 2pr/(p+r)
    precision, recall = 2 / 6, 1.0
    f1 = 2 * precision * recall / (precision + recall)
    assert scores["bird-f1@1"]["soft_f1"] == pytest.approx((1 + 0 + 1 + 1 + f1 + 0) / 6)
    assert scores["bird-f1@1"]["ex"] == 3 / 6
    assert scores["bird-rves@1"]["ex"] == 3 / 6
    assert 100 * 3 * 0.25**0.5 / 6 <= scores["bird-rves@1"]["r_ves"] <= 100 * 3 * 1.25**0.5 / 6
