"""Two versions compared on the same questions, and the verdicts that are registered for it."""

import re

import pytest

from sense import records
from sense.errors import InputError
from sense.records import Verdict
from sense.registry import comparison, gate, tables
from sense.registry.comparison import QuestionVerdict
from tests.registered_models import (
    publish_inputs,
    publish_version,
    run_json,
    run_models,
    run_publish,
)


def test_compare_joins_the_verdicts_by_id(two_versions, capsys):
    dev = run_json(capsys, "compare", "1", "2")["sets"]["dev"]
    assert dev["comparable"]
    assert dev["test"] == {"wins": 3, "losses": 1, "p": 0.625}  # exact: 2 * (1 + 4) / 2**4
    levels = [(level["name"], level["n"], level["ex"]) for level in dev["first_levels"]]
    assert levels == [("all", 20, 0.5), ("easy", 15, 7 / 15), ("hard", 5, 0.6)]
    assert run_json(capsys, "compare", "2", "1")["sets"]["dev"]["test"] == {"wins": 1, "losses": 3, "p": 0.625}
    assert run_models("compare", "champion", "challenger") == 0
    printed = capsys.readouterr().out
    assert "3 questions only version 2 gets right, 1 only version 1; p = 0.625, no more than chance explains" in printed
    assert "+10.0" in printed


def test_where_the_two_answered_other_numbers_of_questions_both_are_shown(capsys):
    levels = [[comparison.HardnessScore(name, n, 0.5, 0.4, 0.6) for name in ("all", "easy")] for n in (20, 15)]
    standings = (gate.VersionScore(version, "aaa", 0.5) for version in "12")
    tables.print_comparison("1", "2", [comparison.SetComparison("dev", *standings, *levels, "", "", None)])
    assert capsys.readouterr().out.count("20 / 15") == 2


def question_verdicts(*pairs):
    return [QuestionVerdict(id=key, correct=flag, verdict="match" if flag else "error", hardness="easy") for key, flag in pairs]


def test_pairs_are_joined_by_id_and_never_by_place():
    before = question_verdicts(("a", True), ("b", False), ("c", False))
    after = question_verdicts(("c", True), ("a", True), ("b", False))
    assert comparison.mcnemar_test(before, after) == ("", comparison.McNemarTest(1, 0, 1.0))
    why, test = comparison.mcnemar_test(before, after[:2])
    assert test is None
    assert "(1 differ, such as 'b')" in why


def test_other_editions_are_shown_and_not_compared(two_versions, tmp_path, capsys):
    publish_version(tmp_path, "c", ex=0.9, digest="bbb")
    assert run_models("list") == 0
    assert re.search(r"edition .*\n.*\n +3 .* bbb +90\.0%", capsys.readouterr().out)
    dev = run_json(capsys, "compare", "1", "3")["sets"]["dev"]
    assert (dev["comparable"], dev["test"]) == (False, None)
    assert "aaa" in dev["problem"]
    assert "bbb" in dev["problem"]
    assert run_models("compare", "1", "3") == 0
    assert "Not comparable: version 3" in capsys.readouterr().out


def test_verdicts_that_are_not_those_of_the_metrics_are_refused(client, tmp_path):
    inputs = publish_inputs(tmp_path / "in", ex=0.5)
    file = inputs.predictions / "dev.sense.verdicts.jsonl"
    rows = records.read_rows(file, Verdict)
    for wrong in (rows[:-1], [row.model_copy(update={"correct": True}) for row in rows]):
        records.write_jsonl(file, wrong)
        with pytest.raises(InputError, match=r"dev\.sense\.verdicts\.jsonl: these verdicts are not those.*sense evaluate"):
            run_publish(tmp_path / "work", inputs)


def test_a_prompt_may_hold_any_line_separator(tmp_path, monkeypatch):
    """Sample values in a prompt come from databases; JSON leaves U+2028 and U+0085 as they are, and they end no line."""
    rows = [comparison.QuestionPrompt(id="q1", prompt="a\u2028b\x85c\x1d"), comparison.QuestionPrompt(id="q2", prompt="d")]
    records.write_jsonl(tmp_path / "prompts", rows)
    monkeypatch.setattr(comparison.files, "artifact_repository", lambda *_: None)
    monkeypatch.setattr(comparison.files, "read_text", lambda *_: (tmp_path / "prompts").read_text(encoding="utf-8"))
    assert comparison.read_prompts("sense", "1", "dev") == rows


def test_a_further_set_is_registered_with_verdicts_and_without_prompts(client, tmp_path, capsys):
    inputs = publish_inputs(tmp_path / "run")
    metrics = records.read_json(inputs.evaluation)
    metrics["sets"]["spider"] = metrics["sets"]["dev"]
    records.write_json(inputs.evaluation, metrics)
    for kind in ("examples", "sense.verdicts"):
        records.write_text(inputs.predictions / f"spider.{kind}.jsonl", (inputs.predictions / f"dev.{kind}.jsonl").read_text())
    metrics, _ = run_publish(tmp_path / "work", inputs, gate="spider")
    assert (metrics["gate"], metrics["alias"]) == ("spider", "champion")
    assert comparison.read_verdicts("sense", "1", "spider") == comparison.read_verdicts("sense", "1", "dev")
    assert comparison.read_prompts("sense", "1", "dev") is not None
    assert comparison.read_prompts("sense", "1", "spider") is None
    assert list(run_json(capsys, "compare", "1", "1")["sets"]) == ["dev", "heldout", "spider"]
