"""`sense models`: what is compared, what the gate lets through, what moves, and what a kill leaves."""

import json
import os
import re
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
import yaml
from botocore.exceptions import NoCredentialsError
from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository

from sense import config, records, registry
from sense.errors import InputError
from sense.records import Verdict
from sense.registry import aliases, card, comparison, evidence, latency, package, publishing, reference, tables
from sense.registry.actions import CARRY_OUT
from sense.registry.evidence import Judged
from tests.endpoint import Endpoint
from tests.killed import file_changes, run_until_killed
from tests.mlflow_server import running
from tests.registered_models import (
    alias_versions,
    publish_inputs,
    publish_two,
    publish_version,
    recorded_decisions,
    run_json,
    run_models,
    run_publish,
    run_refused,
)

# --- looking


def test_list_shows_every_version_with_what_decided_about_it(two_versions, capsys):
    found = run_json(capsys, "list")
    assert found["set"] == "dev"
    new, old = found["versions"]
    assert (new["version"], new["aliases"], old["version"], old["aliases"]) == ("2", ["challenger"], "1", ["champion"])
    assert (new["ex"], new["ex_low"], new["ex_high"], new["edition"]) == (0.6, 0.1, 0.9, "aaa")
    assert new["reason"].startswith("held back: publish.promote is false")
    assert old["reason"] == "there was no champion yet"
    assert run_models("list") == 0
    shown = capsys.readouterr().out
    assert all(word in shown for word in ("champion", "challenger", "60.0%", "10.0%–90.0%", new["digest"][:8]))
    assert "2: publish of 2, held back: publish.promote is false" in shown
    assert "edition" not in shown  # there is one only
    assert [row["ex"] for row in run_json(capsys, "list", "--set", "heldout")["versions"]] == [0.25, 0.25]


def test_show_tells_tags_decisions_and_the_whole_card(two_versions, capsys):
    for reference_ in ("champion", "1", "sense@champion", "sense/1", "models:/sense/1"):
        assert run_json(capsys, "show", reference_)["version"] == "1"
    found = run_json(capsys, "show", "2")
    assert found["tags"]["sense.eval.dev.ex"] == "0.6"
    assert found["tags"]["sense.gate"] == "dev"
    assert [(move["action"], move["before"], move["promoted"]) for move in found["history"]] == [("publish", "1", False)]
    assert found["card"].startswith("# sense\n")
    assert run_models("show", "2") == 0
    assert "## Limits" in capsys.readouterr().out


def test_compare_joins_the_verdicts_by_id(two_versions, capsys):
    dev = run_json(capsys, "compare", "1", "2")["sets"]["dev"]
    assert dev["comparable"]
    assert dev["test"] == {"wins": 3, "losses": 1, "p": 0.625}  # exact: 2 * (1 + 4) / 2**4
    levels = [(level["name"], level["n"], level["ex"]) for level in dev["first_levels"]]
    assert levels == [("all", 20, 0.5), ("easy", 15, 7 / 15), ("hard", 5, 0.6)]
    assert run_json(capsys, "compare", "2", "1")["sets"]["dev"]["test"] == {"wins": 1, "losses": 3, "p": 0.625}
    assert run_models("compare", "champion", "challenger") == 0
    shown = capsys.readouterr().out
    assert "3 questions only version 2 gets right, 1 only version 1; p = 0.625, no more than chance explains" in shown
    assert "+10.0" in shown


def test_where_the_two_answered_other_numbers_of_questions_both_are_shown(capsys):
    levels = [[evidence.Level(name, n, 0.5, 0.4, 0.6) for name in ("all", "easy")] for n in (20, 15)]
    standings = (registry.gate.Standing(version, "aaa", 0.5) for version in "12")
    tables.comparison("1", "2", [comparison.Compared("dev", *standings, *levels, "", "", None)])
    assert capsys.readouterr().out.count("20 / 15") == 2


def question_verdicts(*pairs):
    return [Judged(id=key, correct=flag, verdict="match" if flag else "error", hardness="easy") for key, flag in pairs]


def test_pairs_are_joined_by_id_and_never_by_place():
    before = question_verdicts(("a", True), ("b", False), ("c", False))
    after = question_verdicts(("c", True), ("a", True), ("b", False))
    assert comparison.paired(before, after) == ("", comparison.Test(1, 0, 1.0))
    why, test = comparison.paired(before, after[:2])
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


# --- promotion


def test_a_better_version_is_promoted_and_all_is_recorded(two_versions, capsys):
    found = run_json(capsys, "promote", "2", "--reason", "ünder test | `x`", "--by", "ann")
    assert (found["promoted"], found["version"], found["before"]) == (True, "2", "1")
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
    shown = capsys.readouterr().out
    assert all(word in shown for word in ("10.0%–90.0%", "McNemar: 3 questions", "version 2 is champion, which was version 1"))


@pytest.mark.parametrize(
    ("about", "reason"),
    [
        ({"ex": 0.45}, "EX 45.0% on dev against 50.0% of the champion, version 1"),
        ({"ex": 0.9, "digest": "bbb"}, "not comparable: version 3 was evaluated on dev with the digest bbb"),
    ],
)
def test_a_refusal_moves_nothing_and_can_be_overruled_with_a_reason(about, reason, two_versions, tmp_path, capsys):
    publish_version(tmp_path, "c", **about)
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
    registry.versions.set_tags("sense", "2", latency.Latency(900.0, 2100.5, 50, "cpu, transformers").tags(), latency.LAST_TAG)
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
    found = run_json(capsys, "rollback", "--reason", "timeouts", "--by", "ann")
    assert (found["version"], found["before"]) == ("1", "2")
    assert alias_versions() == {"challenger": "2", "champion": "1", "previous": "2"}
    last = recorded_decisions(two_versions, "1")[-1]
    assert (last["action"], last["by"], last["reason"]) == ("rollback", "ann", "timeouts")
    assert run_json(capsys, "rollback")["version"] == "2"  # an undo of the undo
    assert alias_versions() == {"challenger": "2", "champion": "2", "previous": "1"}
    actions = [move["action"] for move in run_json(capsys, "show", "2")["history"]]
    assert actions == ["publish", "promote", "rollback", "rollback"]
    found = run_json(capsys, "rollback", "--reason", " \n", "--by", " ")  # as if nothing had been said
    assert (found["reason"], found["by"]) == ("rolled back from version 2", aliases.current_user())
    assert run_json(capsys, "rollback", "--reason", "日本語　60\u202f%")["reason"] == "日本語　60\u202f%"


# --- versions of earlier days


@pytest.fixture
def early(client, tmp_path):
    """Version 1 as it was registered before verdicts, intervals, decisions and the gate's set went with a version."""
    publish_two(tmp_path)
    place = Path(client.get_logged_model(client.get_model_version("sense", "1").source.rpartition("/")[2]).artifact_location)
    shutil.rmtree(place / "evaluation")
    for key in client.get_model_version("sense", "1").tags:
        if key.startswith(("sense.promotion.", "sense.gate")) or key.endswith(("ex_low", "ex_high")):
            client.delete_model_version_tag("sense", "1", key)
    return client


def test_an_early_version_is_listed_compared_promoted_over_and_not_measured(early, capsys):
    row = run_json(capsys, "list")["versions"][1]
    assert (row["ex_low"], row["ex_high"], row["reason"]) == (0.1, 0.9, "")  # from the logged model
    dev = run_json(capsys, "compare", "1", "2")["sets"]["dev"]
    assert dev["comparable"]
    assert (dev["test"], dev["untested"]) == (
        None,
        "version 1: no per-question verdicts registered; publish again (dvc repro publish)",
    )
    assert "--set dev or --set heldout" in run_refused(capsys, "measure", "1")
    assert "no prompts of dev registered; publish again (dvc repro publish)" in run_refused(
        capsys, "measure", "1", "--set", "dev"
    )
    assert run_json(capsys, "promote", "2")["before"] == "1"
    assert run_json(capsys, "rollback")["version"] == "1"


def test_publishing_an_early_version_again_makes_one_with_verdicts(early, tmp_path, capsys):
    records.remove(tmp_path / "work-a")
    version = early.get_model_version("sense", "1")
    early.set_model_version_tag("sense", "1", "sense.key", "a key of earlier days")
    early.set_logged_model_tags(version.source.rpartition("/")[2], {"sense.key": "a key of earlier days"})
    assert publish_version(tmp_path, "a", promote=True, right="y" * 10 + "n" * 10) == "3"
    assert run_json(capsys, "compare", "3", "2")["sets"]["dev"]["test"]["wins"] == 3


# --- errors


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("show", "9"), "no version or alias '9'; there are: 2, 1, challenger, champion"),
        (("show", "nope"), "no version or alias 'nope'"),
        (("show", "other@champion"), "other: no such registered model"),
        (("list", "--model", "other"), "there are: sense"),
        (("compare", "1", "other@champion"), "versions of two models"),
        (("show", "@"), "names no version"),
        (("promote", "sense@"), "names no version"),
        (("promote", "2", "--set", "test"), "invalid choice: 'test'"),
        (("rollback", "--model", "other"), "no such registered model"),
        (("values", "sense@previous"), "no version or alias 'previous'"),
        (("promote", "2", "--latency-budget", "0"), "--latency-budget"),
        (("promote", "2", "--reason", "x" * 1001), "1,001 characters"),
        (("measure", "2", "--endpoint", "nowhere"), "--endpoint"),
    ],
)
def test_what_the_user_can_mend_ends_with_2(words, said, two_versions, capsys):
    before = alias_versions()
    assert said in run_refused(capsys, *words)
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


# --- values


def test_values_are_one_resolved_version_and_the_one_beside_it(two_versions, tmp_path, capsys):
    digest = {v: two_versions.get_model_version("sense", v).tags["sense.digest.sense"] for v in "12"}
    prompt = {"schemaStyle": "compact", "sampleValues": 0}
    first, second = ({"version": v, "digest": digest[v], "prompt": prompt} for v in "12")

    def values(which: str) -> dict:
        capsys.readouterr()
        assert run_models("values", which) == 0
        return yaml.safe_load(capsys.readouterr().out)["model"]

    assert values("sense@champion") == {"name": "sense", **first, "previous": None}
    assert values("2") == {"name": "sense", **second, "previous": first}  # the champion is served when it arrives
    assert run_models("promote", "2") == 0
    assert values("champion") == {"name": "sense", **second, "previous": first}
    assert run_models("rollback") == 0
    assert values("champion") == {"name": "sense", **first, "previous": second}
    file = tmp_path / "values.champion.yaml"
    capsys.readouterr()
    assert run_models("values", "champion", "-o", str(file)) == 0
    assert capsys.readouterr().out == ""
    assert yaml.safe_load(file.read_text())["model"] == {"name": "sense", **first, "previous": second}
    for tag in ("sense.digest.model", "sense.digest.sense"):
        two_versions.delete_model_version_tag("sense", "1", tag)
    assert "carries no digest" in run_refused(capsys, "values", "champion", "-o", str(tmp_path / "other.yaml"))
    assert not (tmp_path / "other.yaml").exists()


# --- latency


def test_percentiles_are_values_that_were_measured():
    assert latency.percentile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert latency.percentile([float(n) for n in range(1, 101)], 0.95) == 95.0
    assert latency.percentile([7.0], 0.95) == 7.0


def test_latency_is_measured_at_an_endpoint_one_question_after_the_other(two_versions, monkeypatch, capsys):
    monkeypatch.setenv("VLLM_API_KEY", "k")
    with Endpoint(lambda _: (200, {}, {"choices": [{"text": " SELECT 1"}]})) as endpoint:
        found = run_json(capsys, "measure", "2", "--questions", "7", "--endpoint", endpoint.base_url.removesuffix("/v1"))
        asked = [request.body for request in endpoint.requests]
        assert {request.path for request in endpoint.requests} == {"/v1/completions"}
        assert endpoint.requests[0].headers["authorization"] == "Bearer k"
    assert len(asked) == 8  # one of them to warm up
    assert len({body["prompt"] for body in asked}) == 7
    assert {(body["model"], body["temperature"], body["max_tokens"]) for body in asked} == {("sense-2", 0, 256)}
    assert "question: q" in asked[0]["prompt"]
    tags = two_versions.get_model_version("sense", "2").tags
    assert (tags["sense.latency.n"], tags["sense.latency.where"]) == ("7", "endpoint, sense-2")
    assert float(tags["sense.latency.p50_ms"]) == found["p50_ms"] <= found["p95_ms"] == float(tags["sense.latency.p95_ms"])


@pytest.mark.parametrize(
    ("reply", "fix"),
    [
        ((404, {}, "no such model"), "serves no 'sense-2': give --served-name"),
        ((401, {}, ""), "VLLM_API_KEY"),
        ((400, {}, "maximum context length is 1024 \x1b[31m"), "context length is 1024.*--max-new-tokens"),
        ((200, {}, {"choices": []}), "OpenAI-compatible"),
        ((200, {}, "<html>"), "OpenAI-compatible"),
    ],
)
def test_an_endpoint_that_does_not_answer_leaves_no_latency(reply, fix, two_versions, capsys):
    with Endpoint(lambda _: reply) as endpoint:
        message = run_refused(capsys, "measure", "2", "--endpoint", endpoint.base_url)
    assert re.search(fix, message), message
    assert "\x1b" not in message
    assert not any(key.startswith("sense.latency") for key in two_versions.get_model_version("sense", "2").tags)
    assert "no answer" in run_refused(capsys, "measure", "2", "--endpoint", endpoint.base_url)  # it is closed by now


@pytest.mark.slow
def test_latency_is_measured_in_this_process(client, tmp_path, capsys):
    from sense.training import load, nano

    about = config.NanoConfig(vocabulary=300, hidden=16, layers=1, heads=2, context=256)
    words = nano.tokenizer(["pet(id, name) question: how many pets? sql: select name from pet where age = 1"] * 3, 300)
    given = publish_inputs(tmp_path / "in")
    load.save(
        nano.model(about, words, 7), words, load.Card(config.ModelConfig(nano=about), 7, config.PromptConfig()), given.sense
    )
    run_publish(tmp_path / "w", given)
    found = run_json(capsys, "measure", "1", "--questions", "3", "--max-new-tokens", "4")
    assert (found["n"], found["where"]) == (3, f"{load.device().type}, transformers")
    assert 0 < found["p50_ms"] <= found["p95_ms"]


# --- what goes with a version


def test_verdicts_that_are_not_those_of_the_metrics_are_refused(client, tmp_path):
    given = publish_inputs(tmp_path / "in", ex=0.5)
    file = given.predictions / "dev.sense.verdicts.jsonl"
    rows = records.read_rows(file, Verdict)
    for wrong in (rows[:-1], [row.model_copy(update={"correct": True}) for row in rows]):
        records.write_jsonl(file, wrong)
        with pytest.raises(InputError, match=r"dev\.sense\.verdicts\.jsonl: these verdicts are not those.*sense evaluate"):
            run_publish(tmp_path / "work", given)


def test_the_card_tells_recipe_data_limits_and_no_more_than_that(client, tmp_path, capsys):
    recipe = {"dpo": {"beta": 0.1, "loss": "sigmoid", "label_smoothing": 0.1}, "sft": {"note": "`|\n# forged\u202e" + "x" * 500}}
    publish_version(tmp_path, "a", recipe=recipe)
    whole = run_json(capsys, "show", "1")["card"]
    assert "- `dpo.beta`: `0.1`" in whole
    assert "- `dpo.label_smoothing`: `0.1`" in whole
    assert "- `base.name`: `x`" in whole
    assert "\n# forged" not in whole
    assert "\u202e" not in whole
    assert "x" * 200 not in whole
    assert "| dev | hard | 5 | 60.0% |" in whole
    for name in ("predictions", "dev", "heldout", "strong", "samples", "pairs"):
        assert f"- {name}: `{client.get_model_version('sense', '1').tags[f'sense.digest.{name}']}`" in whole
    assert "Questions are in English" in whole
    assert len(client.get_model_version("sense", "1").description) <= 5000


def test_a_long_card_is_cut_between_sections_for_the_description():
    whole = "# a\n\n" + "\n\n".join(f"## {n}\n\n" + "x" * 900 for n in range(9))
    short = publishing.shortened(whole)
    assert len(short) <= 5000
    assert short.startswith("# a\n\n## 0\n\nxxx")
    assert short.rstrip().endswith("model/README.md` among the files of this version.")
    assert "x" * 899 + "x\n\nThe rest" in short
    assert publishing.shortened("# short") == "# short"


def test_inline_code_cannot_be_left():
    assert card.code("a`b|c\nd") == "`a'b¦c d`"
    assert card.code("") == "–"


# --- for those who serve


def test_resolving_says_what_serving_must_know(two_versions, tmp_path):
    given = publish_inputs(tmp_path / "a", weights=b"a")
    found = registry.resolve("models:/sense@champion")
    assert found == registry.Resolved("sense", "1", records.digest(given.sense), {"schema_style": "compact", "sample_values": 0})
    assert registry.resolve("models:/sense/2").version == "2"
    for wrong in ("models:/sense@none", "models:/sense/7", "models:/none@champion", "sense", "models:/sense/latest"):
        with pytest.raises(InputError):
            registry.resolve(wrong)


def test_a_download_is_whole_kept_and_mended(two_versions, tmp_path):
    target = tmp_path / "cache" / "sense-1"
    assert registry.download("sense", "1", target) == target
    assert (target / "model.safetensors").read_bytes() == b"a"
    assert (target / "sense.json").is_file()
    stamp = (target / "model.safetensors").stat().st_mtime_ns
    registry.download("sense", "1", target)
    assert (target / "model.safetensors").stat().st_mtime_ns == stamp
    (target / "model.safetensors").write_bytes(b"ab")  # of another size than the store lists
    registry.download("sense", "1", target)
    assert (target / "model.safetensors").read_bytes() == b"a"
    registry.download("sense", "2", target)  # of the same sizes, and yet another
    assert (target / "model.safetensors").read_bytes() == b"b"
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "diary.txt").write_text("dear diary")
    with pytest.raises(InputError, match="something else"):
        registry.download("sense", "1", tmp_path / "mine")
    assert (tmp_path / "mine" / "diary.txt").exists()


# --- what may be deployed, and what is shown


def test_a_version_that_could_not_be_deployed_is_not_promoted(two_versions, tmp_path, monkeypatch, capsys):
    publish_version(tmp_path, "c", ex=0.7)
    files = Path(registry.files.repository("sense", "3").artifact_dir)
    shutil.move(files / "model", tmp_path / "away")
    assert "no model of SENSE" in run_refused(capsys, "promote", "3", "--force", "--reason", "now")
    assert alias_versions() == {"challenger": "3", "champion": "1", "previous": None}
    shutil.move(tmp_path / "away", files / "model")
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


def test_what_plain_mlflow_registered_stands_in_nobodys_way(two_versions, capsys):
    for source in ("s3://a-bucket/model", "runs:/gone/model"):
        two_versions.create_model_version("sense", source)
    assert not run_json(capsys, "compare", "1", "3")["sets"]["dev"]["comparable"]  # its files are not looked at
    for words in (("show", "4"), ("values", "4"), ("promote", "4", "--force", "--reason", "why")):
        assert "sense version 4: the run that held its files is gone from MLflow" in run_refused(capsys, *words)
    two_versions.set_registered_model_alias("sense", "champion", "3")
    assert "the champion, version 3, carries no EX on dev" in run_refused(capsys, "promote", "2")
    assert run_json(capsys, "promote", "2", "--force", "--reason", "why")["before"] == "3"


def test_what_others_wrote_into_a_tag_cannot_steer_the_terminal(two_versions, capsys):
    two_versions.set_model_version_tag("sense", "2", "sense.eval.dev.digest", "\x1b[31mred")
    assert "with the digest \ufffd[31mred" in run_refused(capsys, "promote", "2")


def test_an_artifact_store_that_fails_is_told_with_what_to_check(two_versions, monkeypatch, capsys):
    def fail(*_):
        raise NoCredentialsError

    monkeypatch.setattr(LocalArtifactRepository, "list_artifacts", fail)
    message = run_refused(capsys, "show", "2")
    assert "NoCredentialsError: Unable to locate credentials; check that their store runs and the credentials" in message


@pytest.mark.parametrize("password", ["pa#ss", "pa/ss", "pa?ss", "p@ss", "pa[ss"])
def test_no_password_is_shown_whatever_is_in_it(password, monkeypatch, capsys):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://me:{password}@127.0.0.1:9")
    message = run_refused(capsys, "list")
    assert "me:" not in message
    assert "ss@" not in message


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("promote", "2", "--reason", "f\udcfcr"), "--reason: holds characters that cannot be shown"),
        (("promote", "2", "--reason", "\x1b[31mred"), "--reason: holds characters that cannot be shown"),
        (("rollback", "--by", "a" * 201), "--by: 201 characters"),
        (("show", "9" * 5000), "no version or alias"),
        (("show", "99999999999"), "no version or alias"),
    ],
)
def test_what_no_store_takes_is_refused_before_it_is_asked(words, said, two_versions, capsys):
    assert said in run_refused(capsys, *words)
    assert alias_versions() == {"challenger": "2", "champion": "1", "previous": None}


def test_a_killed_download_leaves_nothing_that_looks_whole(two_versions, tmp_path):
    target = tmp_path / "cache" / "sense-1"
    dies_at, whole = 1, False
    while not whole:
        whole = run_until_killed(lambda: registry.download("sense", "1", target), dies_at, file_changes(target.parent))
        if target.exists():
            assert (target / "model.safetensors").read_bytes() == b"a"
            assert (target / "registered.json").is_file()
        dies_at += 1
    assert dies_at > 6
    assert sorted(path.name for path in target.parent.iterdir()) == [".sense-1.lock", "sense-1"]


# --- over HTTP


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
        assert registry.resolve("models:/sense@champion").digest == model["digest"]
        folder = registry.download("sense", "2", tmp_path / "cache" / "sense-2")
        assert (folder / "model.safetensors").read_bytes() == b"b"
        assert run_json(capsys, "show", "2")["card"].startswith("# sense")
        assert evidence.verdicts("sense", "2", "nosuchset") is None
    gone = run_refused(capsys, "list")
    assert "check MLFLOW_TRACKING_URI" in gone
    assert "cannot be reached" in gone
    assert "HTTPConnection" not in gone


@pytest.mark.parametrize(("action", "tries"), [("list", "1"), ("promote", "1"), ("measure", None)])
def test_a_store_that_goes_away_meanwhile_is_not_waited_for_but_by_a_measurement(action, tries, two_versions, monkeypatch):
    monkeypatch.delenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", raising=False)
    seen = []
    monkeypatch.setitem(CARRY_OUT, action, lambda _: seen.append(os.environ.get("MLFLOW_HTTP_REQUEST_MAX_RETRIES")))
    assert run_models(action, *(["2"] if action != "list" else [])) == 0
    assert seen == [tries]


def test_what_the_database_refuses_is_told_in_a_line(two_versions, tmp_path, caplog, capsys):
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as connection:
        connection.execute("DROP TABLE registered_model_tags")
    assert "no such table: registered_model_tags" in run_refused(capsys, "rollback")
    assert not any(record.exc_info for record in caplog.records)  # MLflow would show a traceback


def test_a_name_may_hold_what_mlflow_allows():
    assert reference.parsed("my.model@champion", "sense") == ("my.model", "champion")
    assert reference.parsed("models:/a-b/12", "sense") == ("a-b", "12")
    assert package._KEY[0] == "sense"
    assert tables.when(0) == "1970-01-01 00:00"
