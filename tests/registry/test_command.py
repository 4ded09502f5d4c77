"""`sense models`: lists, details, errors, and a store that fails."""

import json
import os
import re
import sqlite3
from contextlib import closing

import pytest
import yaml

from sense.registry import aliases, comparison, files, tables, versions
from sense.registry.actions import ACTIONS
from tests.endpoint import Endpoint
from tests.mlflow_server import running
from tests.registered_models import (
    alias_versions,
    publish_version,
    run_json,
    run_models,
    run_refused,
    safetensors_file,
)


def test_list_shows_every_version_with_what_decided_about_it(two_versions, capsys):
    result = run_json(capsys, "list")
    assert result["set"] == "dev"
    new, old = result["versions"]
    assert (new["version"], new["aliases"], old["version"], old["aliases"]) == ("2", ["challenger"], "1", ["champion"])
    assert (new["ex"], new["ex_low"], new["ex_high"], new["edition"]) == (0.6, 0.1, 0.9, "aaa")
    assert new["reason"].startswith("held back: publish.promote is false")
    assert old["reason"] == "there was no champion yet"
    assert run_models("list") == 0
    printed = capsys.readouterr().out
    assert all(word in printed for word in ("champion", "challenger", "60.0%", "10.0%–90.0%", new["digest"][:8]))
    assert "2: publish of 2, held back: publish.promote is false" in printed
    assert "edition" not in printed  # there is one only
    assert [row["ex"] for row in run_json(capsys, "list", "--set", "heldout")["versions"]] == [0.25, 0.25]


def test_ex_of_two_scoring_modes_does_not_look_comparable(two_versions, capsys):
    assert run_models("list") == 0
    assert "strict" not in capsys.readouterr().out
    two_versions.set_model_version_tag("sense", "2", "sense.eval.dev.mode", "strict@2")
    assert run_models("list") == 0
    printed = capsys.readouterr().out
    assert "strict@1" in printed
    assert "strict@2" in printed
    assert run_models("compare", "1", "2") == 0
    assert "Not comparable: version 2 was scored under strict@2, version 1 under strict@1." in capsys.readouterr().out


def test_show_tells_tags_decisions_and_the_whole_card(two_versions, capsys):
    for reference_ in ("champion", "1", "sense@champion", "sense/1", "models:/sense/1"):
        assert run_json(capsys, "show", reference_)["version"] == "1"
    result = run_json(capsys, "show", "2")
    assert result["tags"]["sense.eval.dev.ex"] == "0.6"
    assert result["tags"]["sense.gate"] == "dev"
    assert [(move["action"], move["before"], move["promoted"]) for move in result["history"]] == [("publish", "1", False)]
    assert result["card"].startswith("# sense\n")
    assert run_models("show", "2") == 0
    assert "## Limits" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("show", "9"), "no version or alias '9'; there are: 2, 1, challenger, champion"),
        (("show", "nope"), "no version or alias 'nope'"),
        (("show", "other@champion"), "other: no such registered model"),
        (("list", "--model", "other"), "there are: sense"),
        (("compare", "1", "other@champion"), "versions of two models"),
        (("show", "@"), "names no version"),
        (("promote", "sense@"), "names no version"),
        (("promote", "2", "--set", "test"), "carries no EX on test"),
        (("rollback", "--model", "other"), "no such registered model"),
        (("values", "sense@previous"), "no version or alias 'previous'"),
        (("promote", "2", "--latency-budget", "0"), "--latency-budget"),
        (("promote", "2", "--reason", "x" * 1001), "1,001 characters"),
        (("measure", "2", "--endpoint", "nowhere"), "--endpoint"),
    ],
)
def test_what_the_user_can_mend_ends_with_2(arguments, message, two_versions, capsys):
    before = alias_versions()
    assert message in run_refused(capsys, *arguments)
    assert alias_versions() == before


def test_a_store_that_is_away_is_told_at_once(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@127.0.0.1:9")
    message = run_refused(capsys, "list")
    assert "check MLFLOW_TRACKING_URI" in message
    assert "secret" not in message
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'none.db'}")
    assert "no such MLflow store" in run_refused(capsys, "values", "champion")
    assert not (tmp_path / "none.db").exists()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}")  # a folder: MLflow would try for minutes
    assert "no such MLflow store" in run_refused(capsys, "list")
    (tmp_path / "bad.db").write_bytes(b"no database at all" * 400)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'bad.db'}")
    assert "file is not a database" in run_refused(capsys, "list")


def test_a_list_tells_the_last_decision_that_concerned_each_version(two_versions, capsys):
    assert run_models("promote", "2", "--reason", "better") == 0
    assert run_models("rollback", "--reason", "worse on joins") == 0
    capsys.readouterr()
    assert {row["version"]: row["reason"] for row in run_json(capsys, "list")["versions"]} == dict.fromkeys(
        "12", "worse on joins"
    )
    assert run_models("list") == 0
    assert "2: rollback to 1: worse on joins" in capsys.readouterr().out


def test_decisions_are_shown_whole_on_a_narrow_terminal(two_versions, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    reason = "better on questions over several tables, and no slower than the version that was served before it"
    assert run_models("promote", "2", "--reason", reason, "--by", "margarethe.musterfrau@example.com") == 0
    capsys.readouterr()
    assert run_models("show", "2") == 0
    line = f"promote of 2 (champion before: 1), by margarethe.musterfrau@example.com: {reason}"
    assert line in capsys.readouterr().out


def test_no_number_is_cut_on_a_narrow_terminal(two_versions, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "40")
    two_versions.set_registered_model_alias("sense", "production-eu-west-1-canary", "2")
    assert run_models("list") == 0
    assert re.search(r"challenger +60\.0% +10\.0%–90\.0% +\w{8} +[\d-]{10}", capsys.readouterr().out)
    assert run_models("compare", "1", "2") == 0
    assert re.search(r"all +20 +50\.0% +10\.0%–90\.0% +60\.0% +10\.0%–90\.0% +\+10\.0", capsys.readouterr().out)
    two_versions.set_model_version_tag("sense", "2", "k" * 60 + "END", "v")
    assert run_models("show", "2") == 0
    assert "END" in capsys.readouterr().out


def test_tags_by_other_hands_keep_nobody_from_looking(two_versions, capsys):
    for key, value in (
        ("sense.eval.dev.ex", "nan"),
        ("sense.latency.p95_ms", "1.2 s"),
        ("sense.promotion.note", "tell bob"),
        ("sense.promotion.more", "[1]"),
        ("sense.promotion.odd", json.dumps(vars(aliases.PromotionRecord("promote", "2", "1", None, "bob", 5)))),
    ):
        two_versions.set_model_version_tag("sense", "2", key, value)
    assert run_json(capsys, "list")["versions"][0]["ex"] is None
    assert [move["action"] for move in run_json(capsys, "show", "2")["history"]] == ["publish"]
    assert "version 2 carries no EX on dev" in run_refused(capsys, "promote", "2")
    assert "no latency is recorded of version 2" in run_refused(capsys, "promote", "2", "--latency-budget", "1")


def test_what_others_wrote_into_a_tag_cannot_steer_the_terminal(two_versions, capsys):
    two_versions.set_model_version_tag("sense", "2", "sense.eval.dev.digest", "\x1b[31mred")
    assert "with the digest \ufffd[31mred" in run_refused(capsys, "promote", "2")


@pytest.mark.parametrize("password", ["pa#ss", "pa/ss", "pa?ss", "p@ss", "pa[ss"])
def test_no_password_is_shown_whatever_is_in_it(password, monkeypatch, capsys):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://me:{password}@127.0.0.1:9")
    message = run_refused(capsys, "list")
    assert "me:" not in message
    assert "ss@" not in message


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("promote", "2", "--reason", "f\udcfcr"), "--reason: holds characters that cannot be shown"),
        (("promote", "2", "--reason", "\x1b[31mred"), "--reason: holds characters that cannot be shown"),
        (("rollback", "--by", "a" * 201), "--by: 201 characters"),
        (("show", "9" * 5000), "no version or alias"),
        (("show", "99999999999"), "no version or alias"),
    ],
)
def test_what_no_store_takes_is_refused_before_it_is_asked(arguments, message, two_versions, capsys):
    assert message in run_refused(capsys, *arguments)
    assert alias_versions() == {"challenger": "2", "champion": "1", "previous": None}


@pytest.mark.slow
def test_all_of_it_against_a_real_server(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SENSE_WORK", str(tmp_path / "work"))
    (tmp_path / "server").mkdir()
    with running(tmp_path / "server") as address:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        assert "sense: no such registered model" in run_refused(capsys, "list")
        publish_version(tmp_path, "a", promote=True, right="y" * 10 + "n" * 10)
        publish_version(tmp_path, "b", ex=0.6, right="y" * 9 + "n" + "yyy" + "n" * 7)
        publish_version(tmp_path, "c", ex=0.3)
        assert [row["aliases"] for row in run_json(capsys, "list")["versions"]] == [["challenger"], [], ["champion"]]
        assert run_json(capsys, "compare", "champion", "2")["sets"]["dev"]["test"] == {"wins": 3, "losses": 1, "p": 0.625}
        assert "EX 30.0% on dev against 50.0%" in run_refused(capsys, "promote", "3")
        assert run_json(capsys, "promote", "2", "--reason", "better")["before"] == "1"
        assert run_json(capsys, "rollback")["version"] == "1"
        assert alias_versions() == {"challenger": "3", "champion": "1", "previous": "2"}
        with Endpoint(lambda _: (200, {}, {"choices": [{"text": ""}]})) as endpoint:
            run_json(capsys, "measure", "2", "--questions", "2", "--endpoint", endpoint.base_url)
        assert run_json(capsys, "promote", "2", "--latency-budget", "60")["evidence"]["latency_budget_s"] == 60
        assert run_models("values", "champion") == 0
        model = yaml.safe_load(capsys.readouterr().out)["model"]
        assert (model["version"], model["previous"]["version"]) == ("2", "1")
        assert versions.resolve("models:/sense@champion").digest == model["digest"]
        folder = files.download("sense", "2", tmp_path / "cache" / "sense-2")
        assert (folder / "model.safetensors").read_bytes() == safetensors_file(b"b")
        assert run_json(capsys, "show", "2")["card"].startswith("# sense")
        assert comparison.read_verdicts("sense", "2", "nosuchset") is None
    gone = run_refused(capsys, "list")
    assert "check MLFLOW_TRACKING_URI" in gone
    assert "cannot be reached" in gone
    assert "HTTPConnection" not in gone


@pytest.mark.parametrize(("action", "tries"), [("list", "1"), ("promote", "1"), ("measure", None)])
def test_a_store_that_goes_away_meanwhile_is_not_waited_for_but_by_a_measurement(action, tries, two_versions, monkeypatch):
    monkeypatch.delenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", raising=False)
    seen = []
    monkeypatch.setitem(ACTIONS, action, lambda _: seen.append(os.environ.get("MLFLOW_HTTP_REQUEST_MAX_RETRIES")))
    assert run_models(action, *(["2"] if action != "list" else [])) == 0
    assert seen == [tries]


def test_what_the_database_refuses_is_told_in_a_line(two_versions, tmp_path, caplog, capsys):
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as connection:
        connection.execute("DROP TABLE registered_model_tags")
    assert "no such table: registered_model_tags" in run_refused(capsys, "rollback")
    assert not any(record.exc_info for record in caplog.records)  # MLflow would show a traceback


def test_times_are_shown_in_utc():
    assert tables.format_time(0) == "1970-01-01 00:00"
