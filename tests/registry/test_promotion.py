"""`sense models promote` and `rollback`: what the gate objects to, and what is recorded."""

import shutil
from pathlib import Path

import pytest
import yaml

from sense.registry import aliases, files, latency, versions
from tests.registered_models import (
    alias_versions,
    publish_version,
    recorded_decisions,
    run_json,
    run_models,
    run_refused,
)


def test_a_better_version_is_promoted_and_all_is_recorded(two_versions, capsys):
    result = run_json(capsys, "promote", "2", "--reason", "ünder test | `x`", "--by", "ann")
    assert (result["promoted"], result["version"], result["before"]) == (True, "2", "1")
    assert alias_versions() == {"challenger": "2", "champion": "2", "previous": "1"}
    last = recorded_decisions(two_versions, "2")[-1]
    assert (last["action"], last["by"], last["reason"], last["before"]) == ("promote", "ann", "ünder test | `x`", "1")
    assert last["forced"] is False
    assert {key: last["evidence"][key] for key in ("set", "digest", "ex", "champion_ex")} == {
        "set": "dev",
        "digest": "aaa",
        "ex": 0.6,
        "champion_ex": 0.5,
    }
    assert last["evidence"]["mcnemar"] == {"wins": 3, "losses": 1, "p": 0.625}
    assert "--reason" in run_refused(capsys, "promote", "1", "--force", "--reason", " ")
    assert run_json(capsys, "promote", "2") == {"promoted": False, "version": "2"}  # once is enough
    assert len(recorded_decisions(two_versions, "2")) == 2


def test_the_gate_shows_intervals_and_the_test_before_it_decides(two_versions, capsys):
    assert run_models("promote", "2") == 0
    printed = capsys.readouterr().out
    assert all(word in printed for word in ("10.0%–90.0%", "McNemar: 3 questions", "version 2 is champion, which was version 1"))


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"ex": 0.45}, "EX 45.0% on dev against 50.0% of the champion, version 1"),
        ({"ex": 0.9, "digest": "bbb"}, "not comparable: version 3 was evaluated on dev with the digest bbb"),
    ],
)
def test_a_refusal_moves_nothing_and_can_be_overruled_with_a_reason(options, reason, two_versions, tmp_path, capsys):
    publish_version(tmp_path, "c", **options)
    before = two_versions.get_registered_model("sense")
    message = run_refused(capsys, "promote", "3")
    assert reason in message
    assert "nothing was moved" in message
    assert "--reason" in run_refused(capsys, "promote", "3", "--force")
    after = two_versions.get_registered_model("sense")
    assert (after.aliases, after.tags) == (before.aliases, before.tags)
    assert len(recorded_decisions(two_versions, "3")) == 1
    assert run_json(capsys, "promote", "3", "--force", "--reason", "a hotfix")["forced"] is True
    assert alias_versions() == {"challenger": "3", "champion": "3", "previous": "1"}
    assert reason in recorded_decisions(two_versions, "3")[-1]["evidence"]["against"][0]


def test_the_latency_budget(two_versions, capsys):
    assert "sense models measure 2" in run_refused(capsys, "promote", "2", "--latency-budget", "2")
    versions.set_tags("sense", "2", latency.MeasuredLatency(900.0, 2100.5, 50, "cpu, transformers").tags(), latency.GATE_TAG)
    assert "2.1 s (cpu, transformers) is above 2 s" in run_refused(capsys, "promote", "2", "--latency-budget", "2")
    two_versions.delete_model_version_tag("sense", "2", "sense.latency.where")
    assert "2.1 s (nobody says where) is above 2 s" in run_refused(capsys, "promote", "2", "--latency-budget", "2")
    assert alias_versions()["champion"] == "1"
    assert run_json(capsys, "promote", "2", "--latency-budget", "2.2")["version"] == "2"
    assert run_json(capsys, "list")["versions"][0]["latency_p95_ms"] == 2100.5


def test_without_a_champion_anything_that_was_measured_may_become_it(client, tmp_path, capsys):
    publish_version(tmp_path, "a")
    assert alias_versions()["champion"] is None
    client.delete_model_version_tag("sense", "1", "sense.eval.dev.ex")
    assert "carries no EX on dev" in run_refused(capsys, "promote", "1")
    client.set_model_version_tag("sense", "1", "sense.eval.dev.ex", "0.5")
    assert run_json(capsys, "promote", "1")["before"] is None
    assert alias_versions() == {"challenger": "1", "champion": "1", "previous": None}


def test_rolling_back_swaps_champion_and_previous(two_versions, capsys):
    assert "no previous version" in run_refused(capsys, "rollback")
    assert run_models("promote", "2") == 0
    result = run_json(capsys, "rollback", "--reason", "timeouts", "--by", "ann")
    assert (result["version"], result["before"]) == ("1", "2")
    assert alias_versions() == {"challenger": "2", "champion": "1", "previous": "2"}
    last = recorded_decisions(two_versions, "1")[-1]
    assert (last["action"], last["by"], last["reason"]) == ("rollback", "ann", "timeouts")
    assert run_json(capsys, "rollback")["version"] == "2"  # an undo of the undo
    assert alias_versions() == {"challenger": "2", "champion": "2", "previous": "1"}
    actions = [move["action"] for move in run_json(capsys, "show", "2")["history"]]
    assert actions == ["publish", "promote", "rollback", "rollback"]
    result = run_json(capsys, "rollback", "--reason", " \n", "--by", " ")  # as if nothing had been said
    assert (result["reason"], result["by"]) == ("rolled back from version 2", aliases.current_user())
    assert run_json(capsys, "rollback", "--reason", "日本語　60\u202f%")["reason"] == "日本語　60\u202f%"


def test_a_version_that_could_not_be_deployed_is_not_promoted(two_versions, tmp_path, monkeypatch, capsys):
    publish_version(tmp_path, "c", ex=0.7)
    artifacts = Path(files.artifact_repository("sense", "3").artifact_dir)
    shutil.move(artifacts / "model", tmp_path / "away")
    assert "no model of SENSE" in run_refused(capsys, "promote", "3", "--force", "--reason", "now")
    assert alias_versions() == {"challenger": "3", "champion": "1", "previous": None}
    shutil.move(tmp_path / "away", artifacts / "model")
    assert run_models("promote", "3") == 0
    two_versions.delete_model_version_tag("sense", "1", "sense.digest.model")
    two_versions.delete_model_version_tag("sense", "1", "sense.digest.sense")
    assert "carries no digest" in run_refused(capsys, "rollback")
    assert run_models("values", "champion") == 0
    printed = capsys.readouterr()
    assert yaml.safe_load(printed.out)["model"]["previous"] is None
    assert "previous is left empty" in printed.err


def test_a_champion_that_was_deleted_is_rolled_back_from(two_versions, capsys):
    assert run_models("promote", "2") == 0
    two_versions.delete_registered_model_alias("sense", "champion")
    assert run_models("rollback") == 0
    assert "version 1 is champion (there was no champion)" in capsys.readouterr().out
    assert alias_versions() == {"challenger": "2", "champion": "1", "previous": "1"}
