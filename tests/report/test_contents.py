"""Counts as bars, classes of errors, and which questions compare the models."""

from sense.records import Verdict
from sense.report import contents
from tests.report_runs import read_run, write_run


def test_outcomes_take_turns_and_disagreement_comes_first(tmp_path):
    run = read_run(write_run(tmp_path))
    assert [comparison.outcome for comparison in contents.compare_models(run, 0, 10)] == [
        "gained",
        "lost",
        "taught",
        "taught",
        "forgotten",
        "none",
        "all",
    ]
    assert [comparison.outcome for comparison in contents.compare_models(run, 0, 3)] == ["gained", "lost", "taught"]
    assert {comparison.example.id for comparison in contents.compare_models(run, 0, 10)} == {f"dev{i}" for i in range(7)}
    assert contents.compare_models(run, 5, 3) == contents.compare_models(run, 5, 3)


def test_rare_domains_are_one_bar():
    rows = contents.domains({f"d{n:02}": 1 + (n == 3) for n in range(20)})
    assert (rows[0].name, rows[0].n, rows[0].percentage) == ("d03", 2, "9.5%")
    assert (rows[-1].name, rows[-1].n) == ("8 more", 8)
    assert len(rows) == 13


def test_wrong_answers_are_counted_by_what_is_wrong_with_them():
    def row(verdict, detail="", limit=""):
        return Verdict(id="q", correct=verdict == "match", verdict=verdict, detail=detail, limit=limit)

    gold = "SELECT name FROM pet WHERE age > 3"
    answers = [
        (gold, gold, row("match")),
        (gold, "SELECT nam FROM pet WHERE age > 3", row("error", "no such column: nam")),
        (gold, "SELECT name FROM pet WHERE age > 4", row("mismatch")),
        (gold, "SELECT name FROM pet WHERE age > 5", row("mismatch")),
        (gold, "", row("rejected", "longer than the model reads", "context")),
        ("SELECT now()", "SELECT 1", row("gold_error")),
    ]
    assert contents.count_error_classes(answers) == {"schema linking": 1, "filter": 2}


def test_the_rates_of_wrong_sql_with_the_golds_result():
    counts = {"mutants": 200, "survived": 3, "rate": 0.015}
    measured = {
        **counts,
        "by_hardness": {"hard": counts, "easy": counts},
        "by_instances": {"3": counts, "0": counts, "10": counts},
    }
    rows = contents.false_right_rows(measured)
    assert [row[0] for row in rows] == [
        "easy",
        "hard",
        "the main database alone",
        "with 3 further databases",
        "with 10 further databases",
    ]
    assert rows[0][1:] == (200, 3, 0.015)
    assert contents.false_right_rows({}) == []


def test_who_the_teacher_is_and_what_it_mended():
    assert contents.teacher({"teacher": "grammar"}) == "the grammar"
    assert contents.teacher({"teacher": "llm", "model": "gpt-4.1"}) == "the LLM gpt-4.1"
    assert contents.teacher({"teacher": "llm"}) == "an LLM"
    assert contents.repairs({"asked": 40}) == ""
    sentence = contents.repairs({"asked": 1400, "repairs": {"asked": 1200, "kept": 900}})
    assert sentence.endswith("wrote once more: 1,200; kept of these: 900.")
