"""`sense models canary`: started, given another weight, aborted, promoted, also after a kill; and a gateway that follows it."""

import shutil
from contextlib import ExitStack

import pytest
import yaml

from sense import tracking
from sense.registry import aliases, canary
from sense.registry.rollout import Canary
from sense.serving import command
from tests.killed import run_until_killed, store_changes
from tests.registered_models import alias_versions, run_json, run_models, run_refused
from tests.serving.conftest import shop  # noqa: F401  (a fixture)
from tests.serving.model_server import ModelServer
from tests.serving.running import Running, settings


def start(capsys, *flags):
    return run_json(capsys, "canary", "2", "--weight", "10", *flags)


def test_a_canary_is_started_given_more_and_aborted(two_versions, capsys):
    assert run_json(capsys, "canary") == {"champion": "1", "running": False, "canary": None}
    first = start(capsys, "--reason", "new data", "--by", "ann")
    assert (first["running"], first["champion"]) == (True, "1")
    assert first["canary"]["weight"] == 10
    more = run_json(capsys, "canary", "challenger", "--weight", "50")["canary"]
    assert (more["weight"], more["started"]) == (50, first["canary"]["started"])  # the same canary: those who have it keep it
    assert alias_versions("champion", "canary") == {"champion": "1", "canary": "2"}
    ended = run_json(capsys, "canary", "--abort", "--reason", "slow", "--by", "bea")
    assert (ended["running"], ended["canary"]["end"], ended["canary"]["end_reason"]) == (False, "aborted", "slow")
    assert alias_versions("champion", "canary") == {"champion": "1", "canary": None}
    assert run_models("canary") == 0
    assert "the last canary was version 2, aborted at" in capsys.readouterr().out
    assert start(capsys)["canary"]["started"] != first["canary"]["started"]
    actions = [(move["action"], move["reason"]) for move in run_json(capsys, "show", "2")["history"]]
    assert actions[1:] == [
        ("canary", "new data"),
        ("canary", "canary with 50%"),
        ("abort", "slow"),
        ("canary", "canary with 10%"),
    ]
    assert run_models("list") == 0


def test_a_canary_that_makes_no_sense_is_refused(two_versions, capsys):
    assert "version 1 is the champion" in run_refused(capsys, "canary", "1", "--weight", "10")
    assert "how many percent" in run_refused(capsys, "canary", "2")
    assert "of which version" in run_refused(capsys, "canary", "--weight", "5")
    assert "no version or alias '9'" in run_refused(capsys, "canary", "9", "--weight", "5")
    assert "above 0, 100 at most" in run_refused(capsys, "canary", "2", "--weight", "101")
    for flag in ("--abort", "--promote"):
        assert "no canary runs" in run_refused(capsys, "canary", flag)
    two_versions.set_registered_model_tag("sense", canary.TAG, "what somebody else wrote")
    two_versions.set_registered_model_alias("sense", canary.ALIAS, "2")
    assert canary.read("sense").running is None


def test_promotion_asks_the_gate_and_ends_the_canary(two_versions, capsys):
    start(capsys)
    two_versions.set_model_version_tag("sense", "2", "sense.eval.dev.ex", "0.1")
    assert "is not promoted, nothing was moved" in run_refused(capsys, "canary", "--promote")
    assert canary.read("sense").running is not None
    promoted = run_json(capsys, "canary", "--promote", "--force", "--reason", "better in service")
    assert (promoted["promoted"], promoted["version"], promoted["before"]) == (True, "2", "1")
    assert alias_versions("champion", "previous", "canary") == {"champion": "2", "previous": "1", "canary": None}
    assert canary.read("sense").canary.end == "promoted"


@pytest.mark.parametrize("flags", [("2", "--weight", "10"), ("--abort",), ("--promote",)])
def test_a_command_that_was_killed_is_completed_by_the_same_command(two_versions, capsys, monkeypatch, tmp_path, flags):
    if flags[0] != "2":
        start(capsys)

    def state():
        rollout = canary.read("sense")
        last = rollout.canary
        return rollout.champion, rollout.alias, rollout.running is not None, last and (last.version, last.weight, last.end)

    def attempt(name, dies_at):
        """Whether the command came to its end, and what is in the registry once it was run again, if that was needed."""
        shutil.copy(tmp_path / "mlflow.db", tmp_path / f"{name}.db")
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / name}.db")
        tracking.store.read_client()
        finished = run_until_killed(lambda: run_models("canary", *flags), dies_at, store_changes)
        if not finished and state() != expected:
            assert run_models("canary", *flags) == 0
        return finished, state()

    expected = None
    _, expected = attempt("undisturbed", None)
    dies_at, finished = 1, False
    while not finished:
        finished, after = attempt(f"killed-{dies_at}", dies_at)
        assert after == expected, dies_at
        dies_at += 1
    assert dies_at >= 8  # three changes, before and after each, and one that came through


def test_a_gateway_follows_the_registry_aborts_there_and_stays_aborted_after_a_restart(two_versions, capsys, shop):  # noqa: F811
    with ExitStack() as stack:
        champion, candidate = (stack.enter_context(ModelServer([name])) for name in ("sense-1", "sense-2"))
        candidate.write = lambda body, index: " SELECT nothing FROM nowhere"
        vllm = {"url": candidate.url, "models": {"sense-2": {"name": "sense", "version": "2"}}}
        section = {"vllm": vllm, "follow_s": 0.05, "abort": {"answers": 10}}
        config = settings(champion.url, shop, canary=section)
        assert run_models("canary", "2", "--weight", "50") == 0
        with Running(config, command.create_backend(config)) as gateway:
            ask_until(gateway, lambda answer: answer["model"]["version"] == "2")
            ask_until(gateway, lambda _: canary.read("sense").running is None)
        ended = run_json(capsys, "canary")["canary"]
        assert (ended["end"], ended["ended_by"]) == ("aborted", "gateway")
        assert ended["end_reason"].startswith("answers without SQL: ")
        assert alias_versions("champion", "canary") == {"champion": "1", "canary": None}
        asked = len(candidate.requests)
        with Running(config, command.create_backend(config)) as gateway:
            for _ in range(20):
                gateway.ask()
            assert len(candidate.requests) == asked
            candidate.write = champion.write
            assert run_models("canary", "2", "--weight", "50") == 0  # a person starts it again
            ask_until(gateway, lambda answer: answer["model"]["version"] == "2")
            assert run_models("canary", "--promote", "--force", "--reason", "good") == 0
            versions = []
            ask_until(gateway, lambda answer: versions.append(answer["model"]["version"]) or versions[-12:] == ["2"] * 12)
            champion.die()
            assert {gateway.ask().json()["model"]["version"] for _ in range(5)} == {"2"}


def ask_until(gateway, check):
    """Asks one question after the other until `check` holds of an answer; each must be answered."""
    for _ in range(1000):
        response = gateway.ask()
        assert response.status_code == 200, response.text
        if check(response.json()):
            return
    raise AssertionError("it never held")


def test_the_charts_values_of_the_champion_hold_the_canary(two_versions, capsys):
    start(capsys)
    assert run_models("values", "champion") == 0
    model = yaml.safe_load(capsys.readouterr().out)["model"]
    assert (model["version"], model["canary"]["version"]) == ("1", "2")
    assert model["canary"]["digest"] == two_versions.get_model_version("sense", "2").tags["sense.digest.sense"]
    assert run_models("values", "2") == 0
    assert "canary" not in yaml.safe_load(capsys.readouterr().out)["model"]


def test_late_news_of_an_abort_do_not_end_another_canary(two_versions, capsys):
    first = Canary(**start(capsys)["canary"])
    start(capsys, "--reason", "the same canary")
    assert canary.end("sense", first, "aborted", "gateway", "too slow", aliases.now())
    second = Canary(**start(capsys)["canary"])
    assert not canary.end("sense", first, "aborted", "gateway", "too slow", aliases.now())  # late news of the first
    assert canary.read("sense").running == second
