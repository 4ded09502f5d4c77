"""Which version is champion: one path for publish, promote and rollback, and what a kill leaves of it."""

import json
import shutil
from dataclasses import replace
from itertools import chain

import pytest

from sense import tracking
from sense.registry import aliases
from tests.killed import run_until_killed, store_changes
from tests.registered_models import (
    alias_versions,
    publish_inputs,
    publish_version,
    recorded_decisions,
    run_json,
    run_models,
    run_publish,
    run_refused,
)

PROMOTION = aliases.PromotionRecord("promote", "2", "1", "why", "ann", "2020-01-01 00:00:00.000000")


def write_record(client, record: aliases.PromotionRecord, moved: tuple[str, ...] = ()) -> aliases.PromotionRecord:
    """The registry as a kill leaves it after the record was written and those aliases were moved."""
    record = replace(record, at=aliases.now())
    value = {key: value for key, value in vars(record).items() if key != "version"}
    key = "sense.promotion." + record.at.replace(":", ".")
    client.set_model_version_tag("sense", record.version, key, json.dumps(value))
    for alias in moved:
        client.set_registered_model_alias("sense", alias, record.version if alias == "champion" else record.before)
    return record


def actions(client, version: str) -> list[str]:
    return [decision["action"] for decision in recorded_decisions(client, version)]


def test_publish_promote_and_rollback_move_the_champion_by_the_same_function(two_versions, tmp_path, monkeypatch, capsys):
    carry_out, carried_out = aliases.carry_out, []
    monkeypatch.setattr(aliases, "carry_out", lambda name, record: carried_out.append(record.action))
    publish_version(tmp_path, "c", promote=True, ex=0.7)
    assert run_models("promote", "2") == 0
    two_versions.set_registered_model_alias("sense", "previous", "2")
    assert run_models("rollback") == 0
    assert carried_out == ["publish", "promote", "rollback"]
    assert alias_versions("champion", "previous") == {"champion": "1", "previous": "2"}  # nothing else has moved them
    assert carry_out is not aliases.carry_out


# --- killed


def registry_state(client) -> dict:
    """Aliases and decisions, without their times."""
    decisions = {v.version: recorded_decisions(client, v.version) for v in client.search_model_versions("name = 'sense'")}
    for decision in chain.from_iterable(decisions.values()):
        del decision["at"]
    return {"aliases": alias_versions(), "decisions": decisions}


@pytest.mark.slow
@pytest.mark.parametrize("command", ["publish", "promote", "rollback", "rollback from version 3"])
def test_killed_between_any_two_changes_and_run_again_it_ends_as_undisturbed(command, two_versions, tmp_path, monkeypatch):
    """Before and after each change of the registry; the champion is always the old or the new one."""
    model = publish_inputs(tmp_path / "c", weights=b"c", ex=0.7)

    def run(folder):
        if command == "publish":
            run_publish(folder, model)
        else:
            assert run_models(command.split()[0], *(["2"] if command == "promote" else []), "--reason", "why") == 0

    if command.startswith("rollback"):
        assert run_models("promote", "2") == 0
    if command.endswith("3"):
        run_publish(tmp_path / "work-c", model)
    old = alias_versions()["champion"]
    new = {"publish": "3", "promote": "2", "rollback": "1", "rollback from version 3": "2"}[command]

    def attempt(name: str, dies_at: int | None) -> tuple[bool, dict]:
        shutil.copy(tmp_path / "mlflow.db", tmp_path / f"{name}.db")
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / name}.db")
        client = tracking.store.read_client()
        finished = run_until_killed(lambda: run(tmp_path / name), dies_at, store_changes)
        moved = alias_versions()
        assert moved["champion"] in (old, new)
        if not finished and (command == "publish" or (moved["champion"], moved["previous"]) != (new, old)):
            # a rollback that was killed when it had nothing left to do would be a second rollback
            assert run_until_killed(lambda: run(tmp_path / name), None, store_changes)
        return finished, registry_state(client)

    _, undisturbed = attempt("undisturbed", None)
    assert (undisturbed["aliases"]["champion"], undisturbed["aliases"]["previous"]) == (new, old)
    dies_at, finished = 1, False
    while not finished:
        finished, state = attempt(f"killed-{dies_at}", dies_at)
        assert state == undisturbed, dies_at
        dies_at += 1
    assert dies_at >= 8  # three changes, before and after each, and one that came through


def test_a_promotion_that_was_killed_is_completed_with_the_reason_and_the_name_on_record(two_versions, capsys):
    write_record(two_versions, PROMOTION)
    assert run_models("promote", "2", "--reason", "another", "--by", "bob") == 0
    printed = capsys.readouterr().out
    assert printed == "finished what was interrupted: version 2 is champion, which was version 1 and is previous now (why)\n"
    assert alias_versions() == {"challenger": "2", "champion": "2", "previous": "1"}
    assert [(d["action"], d["by"]) for d in recorded_decisions(two_versions, "2")][1:] == [("promote", "ann")]
    assert run_json(capsys, "promote", "2") == {"promoted": False, "version": "2"}


def test_a_rollback_is_completed_wherever_it_was_killed(two_versions, capsys):
    for moved in ((), ("champion",)):
        two_versions.set_registered_model_alias("sense", "champion", "2")
        two_versions.set_registered_model_alias("sense", "previous", "1")
        record = write_record(two_versions, replace(PROMOTION, action="rollback", version="1", before="2"), moved)
        assert run_json(capsys, "rollback")["at"] == record.at
        assert alias_versions() == {"challenger": "2", "champion": "1", "previous": "2"}


@pytest.mark.parametrize("command", [("rollback",), ("promote", "3"), ("publish",)], ids=" ".join)
def test_any_other_command_completes_previous_if_the_champion_has_moved(command, two_versions, tmp_path, capsys):
    publish_version(tmp_path, "c", ex=0.7)
    write_record(two_versions, PROMOTION, ("champion",))
    if command == ("publish",):
        publish_version(tmp_path, "d", promote=True, ex=0.1)
        assert alias_versions() == {"challenger": "4", "champion": "2", "previous": "1"}
    else:
        assert run_json(capsys, *command)["before"] == "2"
        assert alias_versions() == {"challenger": "3", "champion": "1" if command == ("rollback",) else "3", "previous": "2"}


def test_another_command_does_not_carry_out_what_never_moved_the_champion(two_versions, tmp_path, capsys):
    publish_version(tmp_path, "c", ex=0.7)
    write_record(two_versions, PROMOTION)
    assert "no previous version" in run_refused(capsys, "rollback")
    assert run_json(capsys, "promote", "3")["before"] == "1"
    assert alias_versions() == {"challenger": "3", "champion": "3", "previous": "1"}
    assert run_json(capsys, "rollback")["version"] == "1"
    assert run_json(capsys, "promote", "2", "--by", "bob")["by"] == "bob"  # what was killed long before is not taken up again


def test_publishing_completes_its_own_decision_even_without_its_work_directory(two_versions, tmp_path):
    model = publish_inputs(tmp_path / "c", weights=b"c", ex=0.7)
    run_publish(tmp_path / "first", model)
    two_versions.set_registered_model_alias("sense", "champion", "1")
    two_versions.delete_registered_model_alias("sense", "previous")
    metrics, _ = run_publish(tmp_path / "second", model)
    assert (metrics["promoted"], metrics["champion_before"], metrics["champion_ex"]) == (True, "1", 0.5)
    assert alias_versions() == {"challenger": "3", "champion": "3", "previous": "1"}
    assert actions(two_versions, "3") == ["publish"]


def test_without_promote_publishing_completes_no_promotion(two_versions, tmp_path):
    model = publish_inputs(tmp_path / "c", weights=b"c", ex=0.7)
    run_publish(tmp_path / "first", model)
    two_versions.set_registered_model_alias("sense", "champion", "1")
    two_versions.delete_registered_model_alias("sense", "previous")
    assert not run_publish(tmp_path / "second", model, promote=False)[0]["promoted"]
    assert alias_versions("champion", "previous") == {"champion": "1", "previous": None}


def test_a_list_says_what_was_interrupted(two_versions, capsys):
    assert run_models("list") == 0
    assert capsys.readouterr().err == ""
    for moved in ((), ("champion",)):
        write_record(two_versions, PROMOTION, moved)
        assert run_models("list") == 0
        assert "a promote to version 2 by ann was interrupted" in capsys.readouterr().err
    assert run_models("promote", "2") == 0
    capsys.readouterr()
    assert run_models("list") == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("note", ["soon", json.dumps({"move": vars(PROMOTION), "previous": None})])
def test_the_note_that_earlier_releases_left_on_the_model_is_ignored(note, two_versions, tmp_path, capsys):
    two_versions.set_registered_model_tag("sense", "sense.move", note)
    assert run_models("list") == 0
    assert run_json(capsys, "promote", "2")["before"] == "1"
    assert run_json(capsys, "rollback")["version"] == "1"
    publish_version(tmp_path, "c", promote=True, ex=0.7)
    assert alias_versions() == {"challenger": "3", "champion": "3", "previous": "1"}


def test_setting_an_alias_moves_it_from_any_other_version(two_versions):
    aliases.set_alias("sense", "champion", "2")
    assert alias_versions("champion", "nobody") == {"champion": "2", "nobody": None}
