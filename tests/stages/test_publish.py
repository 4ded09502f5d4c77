"""What registration leaves in the registry, whatever was there and wherever it was killed."""

import json
from pathlib import Path

import pytest

from sense import records
from sense.cost import record
from sense.cost.record import Cost
from sense.errors import InputError
from sense.stages import publish
from tests.killed import run_until_killed, store_calls
from tests.mlflow_store import fresh
from tests.registered_models import alias_versions, publish_inputs, run_publish, safetensors_file


@pytest.fixture
def client(tmp_path, monkeypatch):
    return fresh(tmp_path, monkeypatch)


def test_the_first_model_is_the_champion(client, tmp_path):
    inputs = publish_inputs(tmp_path / "in")
    metrics, record = run_publish(tmp_path / "work", inputs)
    assert (metrics["version"], metrics["alias"], metrics["promoted"], metrics["ex"]) == ("1", "champion", True, 0.5)
    assert metrics["champion_ex"] is None
    assert alias_versions() == {"challenger": "1", "champion": "1", "previous": None}
    assert record["uri"] == "models:/sense/1"
    assert record["digests"]["strong"] == records.digest(inputs.strong)
    assert record["tags"]["sense.eval.dev.digest"] == "aaa"
    assert record["tags"]["sense.digest.sense"] == records.digest(inputs.sense)
    data = {name: records.revision(getattr(inputs, name)) for name in ("dev", "heldout", "strong", "samples", "pairs")}
    assert {f"sense.data.{name}": md5 for name, md5 in data.items()}.items() <= record["tags"].items()
    assert record["tags"]["sense.code_rev"]


def test_the_card_and_the_prompt_go_along(client, tmp_path):
    run_publish(tmp_path / "work", publish_inputs(tmp_path / "in"))
    version = client.get_model_version("sense", "1")
    assert "| dev | SENSE | 20 | 50.0% | 10.0% to 90.0% | 100.0% | 0.50 |" in version.description
    assert "models:/sense/VERSION" in version.description
    root = Path(client.get_logged_model(version.source.rpartition("/")[2]).artifact_location)
    assert json.loads((root / "input_example.json").read_text()) == ["pet(id, name)\n\nquestion: How many pets?\nsql:"]
    assert (root / "model" / "README.md").read_text() == version.description


def test_the_costs_are_in_the_card_and_the_run_and_change_nothing_in_the_record(tmp_path, monkeypatch):
    inputs = publish_inputs(tmp_path / "in")
    monkeypatch.setenv("SENSE_WORK", str(tmp_path / "unfinished"))
    outcomes = []
    for number, wall_s in enumerate((3.0, 4.0)):
        store = tmp_path / f"store{number}"
        store.mkdir()
        client = fresh(store, monkeypatch)
        record.write("evaluate", inputs.evaluation, Cost(wall_s, 1.0, 0.0, 2**30))
        metrics, row = run_publish(tmp_path / f"work{number}", inputs)
        assert f"| evaluate | {wall_s} | 1.0 | 1.00 | – |" in client.get_model_version("sense", "1").description
        assert "Not recorded here, and in no sum: ingest, synthesize" in client.get_model_version("sense", "1").description
        assert client.get_run(metrics["run_id"]).data.metrics["evaluate.cost.wall_s"] == wall_s
        outcomes.append({key: value for key, value in row.items() if key not in ("run_id", "model_id")})
    assert outcomes[0] == outcomes[1]


def test_scores_of_every_set_and_model_lie_on_the_run(client, tmp_path):
    metrics, _ = run_publish(tmp_path / "work", publish_inputs(tmp_path / "in"))
    run = client.get_run(metrics["run_id"])
    assert run.data.metrics["dev.base.ex"] == 0.0
    assert run.data.metrics["dev.sense.ex"] == 0.5
    assert run.data.metrics["heldout.sense.ex"] == 0.25
    assert run.data.params["model.hidden_size"] == "64"
    assert run.data.params["prompt.schema_style"] == "compact"


def test_a_better_model_takes_over(client, tmp_path):
    run_publish(tmp_path / "w1", publish_inputs(tmp_path / "a", ex=0.5))
    metrics, record = run_publish(tmp_path / "w2", publish_inputs(tmp_path / "b", ex=0.6, weights=b"w2"))
    assert alias_versions() == {"challenger": "2", "champion": "2", "previous": "1"}
    assert (metrics["promoted"], metrics["champion_before"], metrics["champion_ex"]) == (True, "1", 0.5)
    assert record["reason"] == "EX 60.0% on dev against 50.0% of the champion, version 1"


def test_a_killed_try_does_not_overrule_what_was_decided_since(client, tmp_path):
    run_publish(tmp_path / "one", publish_inputs(tmp_path / "a"))
    killed = publish_inputs(tmp_path / "b", weights=b"2", ex=0.55)
    run_publish(tmp_path / "two", killed)  # its folder holds the decision, as a killed try's would
    run_publish(tmp_path / "three", publish_inputs(tmp_path / "c", weights=b"3", ex=0.6))
    metrics, _ = run_publish(tmp_path / "two", killed)
    assert (metrics["version"], metrics["promoted"], metrics["reason"][:31]) == ("2", False, "EX 55.0% on dev against 60.0% o")
    assert alias_versions("champion", "previous") == {"champion": "3", "previous": "2"}


def test_a_worse_model_stays_challenger(client, tmp_path):
    run_publish(tmp_path / "w1", publish_inputs(tmp_path / "a", ex=0.5))
    metrics, _ = run_publish(tmp_path / "w2", publish_inputs(tmp_path / "b", ex=0.4, weights=b"w2"))
    assert (metrics["alias"], metrics["promoted"]) == ("challenger", False)
    assert alias_versions() == {"challenger": "2", "champion": "1", "previous": None}


def test_another_edition_of_the_set_is_not_compared(client, tmp_path):
    run_publish(tmp_path / "w1", publish_inputs(tmp_path / "a", ex=0.1, digest="aaa"))
    metrics, _ = run_publish(tmp_path / "w2", publish_inputs(tmp_path / "b", ex=0.9, digest="bbb", weights=b"w2"))
    assert alias_versions() == {"challenger": "2", "champion": "1", "previous": None}
    assert "bbb" in metrics["reason"]
    assert "aaa" in metrics["reason"]


def test_the_gate_looks_at_the_set_of_the_config(client, tmp_path):
    run_publish(tmp_path / "w1", publish_inputs(tmp_path / "a", ex=0.9))
    metrics, _ = run_publish(tmp_path / "w2", publish_inputs(tmp_path / "b", ex=0.1, weights=b"w2"), gate="heldout")
    assert (metrics["ex"], metrics["promoted"]) == (0.25, True)  # equal on heldout, whatever dev says


def test_the_same_content_again_is_the_same_version(client, tmp_path):
    inputs = publish_inputs(tmp_path / "in")
    first, _ = run_publish(tmp_path / "w1", inputs)
    again, _ = run_publish(tmp_path / "w2", inputs)
    assert (again["version"], again["alias"], again["promoted"]) == ("1", "champion", False)
    assert again["reason"] == "this version is the champion already"
    assert again["run_id"] == first["run_id"]
    assert len(client.search_model_versions("name = 'sense'")) == 1


# --- held back, and looked at before


@pytest.mark.parametrize(
    ("ex", "reason"),
    [
        (
            0.6,
            "held back: publish.promote is false (the gate: EX 60.0% on dev against 50.0% of the champion, version 1)",
        ),
        (0.4, "held back: EX 40.0% on dev against 50.0% of the champion, version 1"),
    ],
)
def test_without_promote_a_model_is_registered_and_the_champion_stays(ex, reason, client, tmp_path):
    run_publish(tmp_path / "w1", publish_inputs(tmp_path / "a", ex=0.3))
    run_publish(tmp_path / "w2", publish_inputs(tmp_path / "b", ex=0.5, weights=b"w2"))
    client.set_registered_model_alias("sense", "champion", "1")
    client.set_registered_model_alias("sense", "previous", "2")
    client.set_model_version_tag("sense", "1", "sense.eval.dev.ex", "0.5")
    metrics, record = run_publish(tmp_path / "w3", publish_inputs(tmp_path / "c", ex=ex, weights=b"w3"), promote=False)
    assert alias_versions() == {"challenger": "3", "champion": "1", "previous": "2"}
    assert (metrics["version"], metrics["alias"], metrics["promoted"]) == ("3", "challenger", False)
    assert (metrics["champion_before"], metrics["champion_ex"]) == ("1", 0.5)
    assert metrics["reason"] == record["reason"] == reason


def test_without_promote_there_is_no_first_champion(client, tmp_path):
    metrics, _ = run_publish(tmp_path / "work", publish_inputs(tmp_path / "in"), promote=False)
    assert alias_versions() == {"challenger": "1", "champion": None, "previous": None}
    assert metrics["reason"] == "held back: publish.promote is false (the gate: there was no champion yet)"


def test_a_model_that_was_held_back_can_be_promoted_later(client, tmp_path):
    run_publish(tmp_path / "w1", publish_inputs(tmp_path / "a", ex=0.5))
    inputs = publish_inputs(tmp_path / "b", ex=0.6, weights=b"w2")
    run_publish(tmp_path / "w2", inputs, promote=False)
    assert alias_versions() == {"challenger": "2", "champion": "1", "previous": None}
    metrics, _ = run_publish(tmp_path / "w3", inputs)
    assert (metrics["version"], metrics["promoted"]) == ("2", True)
    assert alias_versions() == {"challenger": "2", "champion": "2", "previous": "1"}
    metrics, _ = run_publish(tmp_path / "w4", inputs, promote=False)  # what is champion by now stays it
    assert (metrics["alias"], metrics["reason"]) == ("champion", "this version is the champion already")
    assert alias_versions() == {"challenger": "2", "champion": "2", "previous": "1"}


@pytest.mark.parametrize("promote", [True, False])
@pytest.mark.parametrize("champion", [None, {"ex": 0.5}, {"ex": 0.6}, {"ex": 0.6000001}, {"ex": 0.1, "digest": "bbb"}], ids=str)
def test_the_preview_is_what_publishing_then_decides(champion, promote, client, tmp_path):
    if champion is not None:
        run_publish(tmp_path / "w1", publish_inputs(tmp_path / "a", **champion))
    inputs = publish_inputs(tmp_path / "b", ex=0.6, weights=b"w2")
    before = alias_versions()
    decision = publish.preview({"gate": "dev", "promote": promote}, inputs.evaluation)
    assert decision.version == "this run"
    assert alias_versions() == before  # it has only looked
    assert len(client.search_model_versions("name = 'sense'")) == (champion is not None)
    metrics, _ = run_publish(tmp_path / "w2", inputs, promote=promote)
    assert (decision.promoted, decision.alias) == (metrics["promoted"], metrics["alias"])
    assert (decision.champion, decision.champion_ex) == (metrics["champion_before"], metrics["champion_ex"])
    assert decision.reason.replace("this run", metrics["version"]) == metrics["reason"]


def test_the_preview_asks_for_the_set_that_the_gate_needs(client, tmp_path):
    records.write_json(tmp_path / "evaluate.json", {"sets": {"dev": {"n": 0, "digest": "a", "models": {}}}})
    with pytest.raises(InputError, match=r"evaluate\.json: no EX of sense on 'dev' \(sets there: dev\)"):
        publish.preview({}, tmp_path / "evaluate.json")
    with pytest.raises(InputError, match=r"no EX of sense on 'test' \(sets there: dev\); set publish.gate"):
        publish.preview({"gate": "test"}, tmp_path / "evaluate.json")


def test_a_gate_that_was_not_evaluated_is_the_users_to_mend(client, tmp_path):
    inputs = publish_inputs(tmp_path / "in")
    records.write_json(inputs.evaluation, {"sets": {"dev": {"n": 0, "digest": "a", "models": {}}}})
    with pytest.raises(InputError, match=r"evaluate\.json: no EX of sense on 'heldout' \(sets there: dev\).*publish\.gate"):
        run_publish(tmp_path / "work", inputs, gate="heldout")


def test_strong_data_without_examples(client, tmp_path):
    inputs = publish_inputs(tmp_path / "in")
    (inputs.strong / "examples.jsonl").write_text("")
    with pytest.raises(InputError, match=r"examples\.jsonl: no examples"):
        run_publish(tmp_path / "work", inputs)


# --- kill -9


def state(client) -> dict:
    """What the registry holds, without the ids."""
    (experiment,) = [e.experiment_id for e in client.search_experiments() if e.name == "sense"]
    versions = client.search_model_versions("name = 'sense'")
    return {
        "versions": sorted((v.version, v.tags["sense.eval.dev.ex"], v.status) for v in versions),
        "decisions": sorted((v.version, sum(key.startswith("sense.promotion.") for key in v.tags)) for v in versions),
        "aliases": dict(client.get_registered_model("sense").aliases),
        "models": sorted((m.status, len(m.metrics)) for m in client.search_logged_models([experiment])),
        "runs": sorted((r.info.status, sorted(r.data.metrics.items())) for r in client.search_runs([experiment])),
        "outputs": sorted(len(r.outputs.model_outputs) for r in client.search_runs([experiment])),
    }


@pytest.mark.slow
@pytest.mark.parametrize(("promote", "step"), [(True, 9), (False, 20)])
def test_killed_at_any_call_and_run_again_it_ends_as_undisturbed(promote, step, tmp_path, monkeypatch):
    old, new = publish_inputs(tmp_path / "a", ex=0.5), publish_inputs(tmp_path / "b", ex=0.6, weights=b"w2")
    fresh(tmp_path, monkeypatch)
    run_until_killed(lambda: run_publish(tmp_path / "w1", old), None, store_calls)
    before = (tmp_path / "mlflow.db").read_bytes()

    def attempt(name: str, dies_at: int | None) -> tuple[bool, dict, dict]:
        home = tmp_path / name
        home.mkdir()
        client = fresh(home, monkeypatch, before)
        whole = run_until_killed(lambda: run_publish(home / "w2", new, promote=promote), dies_at, store_calls)
        if not whole:
            run_until_killed(lambda: run_publish(home / "w2", new, promote=promote), None, store_calls)
        record = records.read_json(home / "w2" / "record")
        return whole, state(client), {key: value for key, value in record.items() if not key.endswith("_id")}

    _, undisturbed, record = attempt("undisturbed", None)
    moved = {"champion": 2, "previous": 1} if promote else {"champion": 1}
    assert [n for _, n in undisturbed["decisions"]] == [1, 1]
    assert undisturbed["aliases"] == {"challenger": 2} | moved
    assert (record["promoted"], record["champion_ex"]) == (promote, 0.5)
    dies_at, whole = 1, False
    while not whole:
        whole, after, rerun_record = attempt(f"killed-{dies_at}", dies_at)
        assert after == undisturbed, dies_at
        assert rerun_record == record, dies_at
        dies_at += step
    assert dies_at > 30  # it was killed at many places indeed


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("model.safetensors", safetensors_file(b"weights")[:-1], "cut off or damaged"),
        ("model.safetensors", b"", "empty"),
        ("config.json", b"[]", "holds a list, not a JSON object"),
        ("sense.json", b"[]", "holds a list, not a JSON object"),
        ("tokenizer_config.json", b"version https://git-lfs.github.com/spec/v1\n", "a pointer of Git LFS"),
    ],
)
def test_a_broken_model_is_not_registered(client, tmp_path, name, content, problem):
    inputs = publish_inputs(tmp_path / "in")
    (inputs.sense / name).write_bytes(content)
    with pytest.raises(InputError, match=f"{name}: {problem}"):
        run_publish(tmp_path / "work", inputs)
    assert not client.search_registered_models()


@pytest.mark.slow
def test_a_lora_adapter_is_published_merged(client, tmp_path):
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    from sense import config
    from sense.training import model_folder, nano

    nano_config = config.NanoConfig(vocabulary=300, hidden=16, layers=1, heads=2, context=64)
    tokenizer = nano.train_tokenizer(["select name from pet where age = 1"] * 3, 300)
    adapted = get_peft_model(
        nano.create_model(nano_config, tokenizer, 7), LoraConfig(r=2, target_modules="all-linear", init_lora_weights=False)
    )
    inputs = publish_inputs(tmp_path / "in")
    model_folder.save(
        adapted, tokenizer, model_folder.ModelInfo(config.ModelConfig(nano=nano_config), 7, config.PromptConfig()), inputs.sense
    )
    metrics, _ = run_publish(tmp_path / "work", inputs)
    stored = Path(client.get_logged_model(metrics["model_id"]).artifact_location) / "model"
    assert (stored / "model.safetensors").is_file()
    assert not (stored / "adapter_config.json").exists()
    tokens = torch.tensor([[5, 6, 7]])
    with torch.inference_mode():
        merged = AutoModelForCausalLM.from_pretrained(str(stored))(tokens).logits
        assert torch.allclose(merged, adapted.eval()(tokens).logits, atol=1e-5)
