"""Runs that survive a kill, models registered once: against a real MLflow store on SQLite."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import mlflow
import pytest

from sense import registry, tracking
from sense.errors import EndpointError, InputError, StorageError
from sense.registry import aliases, gate, publishing
from sense.tracking import revision, store
from tests.mlflow_store import fresh


@pytest.fixture
def client(tmp_path, monkeypatch):
    return fresh(tmp_path, monkeypatch)


def all_runs(client):
    return client.search_runs([client.get_experiment_by_name("sense").experiment_id])


def points(client, run, key):
    return sorted((point.step, point.value) for point in client.get_metric_history(run.id, key))


def test_a_run_holds_nested_params_its_curve_and_its_last_numbers(client, tmp_path):
    params = {"seed": 0, "model": {"name": None, "nano": {"hidden": 64}}, "long": "x" * 7000}
    with tracking.training_run("sft", params, tmp_path / "run.json") as run:
        run.log(10, {"loss": 2.5, "rewards/chosen": -1.0, "note": "no number"})
        run.log(20, {"loss": 1.5})
        run.finish({"steps": 20, "loss": 1.5, "dropped": {"longer (max_length)": 3}})
    found = client.get_run(run.id)
    assert found.info.run_name == "sft"
    assert found.info.status == "FINISHED"
    assert found.data.params == {"seed": "0", "model.name": "None", "model.nano.hidden": "64", "long": "x" * 6000}
    assert points(client, run, "loss") == [(10, 2.5), (20, 1.5)]
    assert {k: v for k, v in found.data.metrics.items() if k.startswith("final.")} == {
        "final.steps": 20.0,
        "final.loss": 1.5,
        "final.dropped.longer _max_length_": 3.0,
    }


def test_a_killed_stage_continues_its_run_and_repeats_no_step(client, tmp_path):
    first = tracking.training_run("sft", {"seed": 0}, tmp_path / "run.json")
    first.log(10, {"loss": 3.0})
    first.log(20, {"loss": 2.0})
    again = tracking.training_run("sft", {"seed": 0}, tmp_path / "run.json")  # resumes from its checkpoint at step 10
    again.log(20, {"loss": 2.0})
    again.log(30, {"loss": 1.0})
    again.finish({})
    assert again.id == first.id
    assert len(all_runs(client)) == 1
    assert points(client, again, "loss") == [(10, 3.0), (20, 2.0), (30, 1.0)]


def test_killed_before_the_run_was_made(client, tmp_path):
    (tmp_path / "run.json").write_text(json.dumps({"key": "abc"}))
    run = tracking.training_run("sft", {}, tmp_path / "run.json")
    assert client.get_run(run.id).data.tags["sense.key"] == "abc"


def test_a_deleted_run_is_made_anew(client, tmp_path):
    first = tracking.training_run("sft", {}, tmp_path / "run.json")
    client.delete_run(first.id)
    second = tracking.training_run("sft", {}, tmp_path / "run.json")
    assert second.id != first.id
    assert [run.info.run_id for run in all_runs(client)] == [second.id]


def test_another_work_directory_is_another_run(client, tmp_path):
    names = [tracking.training_run("sft", {}, tmp_path / name / "run.json").id for name in ("a", "b")]
    assert names[0] != names[1]


def test_a_deleted_experiment_comes_back(client, tmp_path):
    tracking.training_run("sft", {}, tmp_path / "run.json")
    client.delete_experiment(client.get_experiment_by_name("sense").experiment_id)
    store._open.cache_clear()
    assert tracking.training_run("sft", {}, tmp_path / "b.json").id


@pytest.mark.parametrize(("problem", "status"), [(ValueError("x"), "FAILED"), (KeyboardInterrupt(), "KILLED")])
def test_what_ends_the_stage_is_told(client, tmp_path, problem, status):
    with pytest.raises(type(problem)), tracking.training_run("sft", {}, tmp_path / "run.json") as run:
        raise problem
    assert client.get_run(run.id).info.status == status


def test_hundreds_of_params_and_nothing_of_the_environment(client, tmp_path, monkeypatch):
    monkeypatch.setenv("SENSE_API_KEY", "do-not-tell")
    run = tracking.training_run("sft", {f"p{n}": n for n in range(230)}, tmp_path / "run.json")
    found = client.get_run(run.id)
    assert len(found.data.params) == 230
    assert "do-not-tell" not in str(found.to_dictionary())
    assert set(found.data.tags) == {"sense.key", "sense.code_rev", "mlflow.runName"}


def test_artifacts_lie_beside_the_database(client, tmp_path):
    tracking.training_run("sft", {}, tmp_path / "run.json")
    assert client.get_experiment_by_name("sense").artifact_location == str(tmp_path / "mlruns")


def test_a_store_that_cannot_be_reached_is_named_without_its_password(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@127.0.0.1:9")
    with pytest.raises(EndpointError, match=r"127\.0\.0\.1:9.*MLFLOW_TRACKING_URI") as caught:
        tracking.training_run("sft", {}, tmp_path / "run.json")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("cause", "reason"),
    [
        ("NewConnectionError('HTTPConnection(host=..., port=9): Connection refused')", "Connection refused"),
        ("ProtocolError('Connection aborted.', ConnectionResetError(104, 'reset by peer'))", "Connection aborted."),
    ],
)
def test_why_a_server_was_not_reached_is_told_without_what_requests_wraps_it_in(cause, reason):
    assert store._brief(OSError(f"API request to x failed (Caused by {cause})")) == f"the server cannot be reached: {reason}"


RACE = """
from pathlib import Path
from sense import registry, tracking
import sys
with tracking.training_run("sft", {}, Path(sys.argv[1])) as run:
    run.finish({"loss": 1.0})
"""


@pytest.mark.slow
def test_two_stages_at_once_on_a_store_that_is_not_there_yet(tmp_path):
    uri = f"sqlite:///{tmp_path / 'new' / 'mlflow.db'}"
    environment = os.environ | {"MLFLOW_TRACKING_URI": uri}
    started = [
        subprocess.Popen([sys.executable, "-c", RACE, str(tmp_path / name)], env=environment, stderr=subprocess.PIPE, text=True)
        for name in ("a", "b")
    ]
    told = [process.communicate()[1] for process in started]
    assert [process.returncode for process in started] == [0, 0], told
    assert told == ["", ""]  # MLflow's migrations and deprecations are not for our users
    assert len(all_runs(mlflow.MlflowClient(uri, uri))) == 2


# --- the registry


def model_folder(folder: Path) -> Path:
    """What transformers saves, by name: publishing reads only the two configs."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"architectures": ["LlamaForCausalLM"], "dtype": "bfloat16"}))
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "PreTrainedTokenizerFast"}))
    (folder / "tokenizer.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(bytes(range(256)))
    return folder


def package(folder: Path, key: str = "k1", **changed) -> registry.Package:
    evaluation = folder.with_name("evaluation")
    evaluation.mkdir(exist_ok=True)
    (evaluation / "dev.verdicts.jsonl").write_text('{"id": "q1", "correct": true, "verdict": "match", "hardness": "easy"}\n')
    values = {
        "name": "sense",
        "key": key,
        "folder": folder,
        "evaluation": evaluation,
        "card": "# a card",
        "example": "pet(id, name)\n\nquestion: how many pets?\nsql:",
        "params": {"model": {"hidden": 64}},
        "tags": {"sense.eval.dev.ex": "0.5"},
        "scores": [registry.Score("dev.sense.ex", 0.5, "dev", "d" * 64)],
        "data": {"strong": "5" * 64},
    }
    return registry.Package(**(values | changed))


def logged_models(client):
    return client.search_logged_models([client.get_experiment_by_name("sense").experiment_id])


def downloaded(version: str) -> Path:
    with_uri = os.environ["MLFLOW_TRACKING_URI"]
    return Path(mlflow.artifacts.download_artifacts(f"models:/sense/{version}", tracking_uri=with_uri, registry_uri=with_uri))


def test_a_published_model_has_its_files_numbers_and_origin(client, tmp_path):
    version = registry.publish_model(package(model_folder(tmp_path / "model")), tmp_path / "staging")
    assert version.version == "1"
    assert version.tags == {"sense.eval.dev.ex": "0.5", "sense.key": "k1"}
    root = downloaded("1")
    assert (root / "model" / "model.safetensors").read_bytes() == bytes(range(256))
    assert (root / "model" / "README.md").read_text() == "# a card"
    assert (root / "components" / "tokenizer" / "tokenizer.json").read_text() == "{}"
    assert json.loads((root / "input_example.json").read_text()) == ["pet(id, name)\n\nquestion: how many pets?\nsql:"]
    assert {line.partition("==")[0] for line in (root / "requirements.txt").read_text().split()} == {
        "mlflow",
        "transformers",
        "torch",
        "accelerate",
    }
    flavor = mlflow.models.Model.load(str(root)).flavors["transformers"]
    assert (flavor["task"], flavor["model_binary"], flavor["torch_dtype"]) == ("text-generation", "model", "torch.bfloat16")
    assert client.get_model_version("sense", "1").description == "# a card"
    (model,) = logged_models(client)
    assert [(m.key, m.value, m.dataset_name) for m in model.metrics] == [("dev.sense.ex", 0.5, "dev")]
    assert model.params == {"model.hidden": "64"}
    (run,) = all_runs(client)
    assert run.info.status == "FINISHED"
    assert [entry.dataset.name for entry in run.inputs.dataset_inputs] == ["strong"]
    assert [output.model_id for output in run.outputs.model_outputs] == [version.model_id]
    assert not (tmp_path / "staging").exists()


def test_the_same_key_is_published_once(client, tmp_path):
    folder = model_folder(tmp_path / "model")
    first = registry.publish_model(package(folder), tmp_path / "staging")
    again = registry.publish_model(package(folder), tmp_path / "staging")
    other = registry.publish_model(package(folder, "k2"), tmp_path / "staging")
    assert again == first
    assert other.version == "2"
    assert len(all_runs(client)) == len(logged_models(client)) == 2


def test_a_model_that_was_half_sent_is_completed(client, tmp_path):
    opened = store.current()
    half = opened.client.create_logged_model(opened.experiment, name="sense", tags={"sense.key": "k1"})
    torn = tmp_path / "torn"
    (torn / "model").mkdir(parents=True)
    (torn / "model" / "model.safetensors").write_bytes(b"only the beg")
    opened.client.log_model_artifacts(half.model_id, str(torn))
    version = registry.publish_model(package(model_folder(tmp_path / "model")), tmp_path / "staging")
    assert version.model_id == half.model_id
    assert [model.status for model in logged_models(client)] == ["READY"]
    assert (downloaded("1") / "model" / "model.safetensors").read_bytes() == bytes(range(256))


def test_a_version_whose_logged_model_was_deleted_is_published_again_once_it_is_deleted_too(client, tmp_path):
    given = package(model_folder(tmp_path / "model"))
    client.delete_logged_model(registry.publish_model(given, tmp_path / "staging").model_id)
    with pytest.raises(InputError, match=r"sense version 1: its logged model m-\w+ was deleted; delete the version too"):
        registry.publish_model(given, tmp_path / "staging")
    client.delete_model_version("sense", "1")
    assert (downloaded(registry.publish_model(given, tmp_path / "staging").version) / "model" / "model.safetensors").is_file()


def test_symbolic_links_are_stored_as_what_they_point_at(client, tmp_path):
    cache = model_folder(tmp_path / "cache")
    (cache / "extra").mkdir()
    (cache / "extra" / "more.bin").write_bytes(b"more")
    linked = tmp_path / "model"
    linked.mkdir()
    for entry in cache.iterdir():
        (linked / entry.name).symlink_to(entry)
    registry.publish_model(package(linked), tmp_path / "staging")
    root = downloaded("1")
    assert (root / "model" / "extra" / "more.bin").read_bytes() == b"more"
    assert (root / "model" / "model.safetensors").stat().st_size == 256
    assert (cache / "model.safetensors").read_bytes() == bytes(range(256))


def test_a_card_never_writes_through_into_the_input(client, tmp_path):
    folder = model_folder(tmp_path / "model")
    (folder / "README.md").write_text("the trainer's own")
    registry.publish_model(package(folder), tmp_path / "staging")
    assert (folder / "README.md").read_text() == "the trainer's own"
    assert (downloaded("1") / "model" / "README.md").read_text() == "# a card"


def test_a_file_that_the_store_lacks_is_an_error(client, tmp_path):
    opened = store.current()
    model = opened.client.create_logged_model(opened.experiment, name="sense")
    sent = tmp_path / "sent"
    sent.mkdir()
    (sent / "a.bin").write_bytes(b"abc")
    with pytest.raises(StorageError, match=r"model/b\.bin .*1 of 2 files"):
        publishing._upload(opened.client, model, {"a.bin": 3, "model/b.bin": 4}, sent)
    assert client.get_logged_model(model.model_id).status == "PENDING"


def test_aliases(client, tmp_path):
    assert registry.find_alias("sense", "champion") is None  # no such model
    folder = model_folder(tmp_path / "model")
    registry.publish_model(package(folder), tmp_path / "staging")
    second = registry.publish_model(package(folder, "k2"), tmp_path / "staging")
    assert registry.find_alias("sense", "champion") is None  # no such alias
    aliases.set_alias("sense", "champion", "1")
    aliases.set_alias("sense", "champion", "2")
    assert registry.find_alias("sense", "champion") == second


@pytest.mark.slow
def test_mlflow_loads_the_model_that_was_never_loaded_to_be_published(client, tmp_path):
    import torch
    from transformers import logging

    from sense import config
    from sense.training import nano

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    words = nano.tokenizer(["select name from pet where age = 1"] * 3, 300)
    model = nano.model(config.NanoConfig(vocabulary=300, hidden=16, layers=1, heads=2, context=64), words, 0)
    model.save_pretrained(tmp_path / "model")
    words.save_pretrained(tmp_path / "model")
    registry.publish_model(package(tmp_path / "model"), tmp_path / "staging")
    pipeline = mlflow.transformers.load_model(str(downloaded("1")), device="cpu")
    prompt = words("select name", return_tensors="pt")["input_ids"]
    assert pipeline.task == "text-generation"
    assert pipeline.tokenizer("select name")["input_ids"] == prompt[0].tolist()
    with torch.inference_mode():
        assert torch.equal(pipeline.model(prompt.to(pipeline.device)).logits.cpu(), model.eval()(prompt).logits)


# --- the gate


def standing(version, digest, ex):
    return gate.Standing(version, digest, ex)


@pytest.mark.parametrize(
    ("champion", "promoted", "alias", "reason"),
    [
        (None, True, "champion", "no champion yet"),
        (standing("2", "aaa", 0.5), True, "champion", "EX 60.0% on dev against 50.0%"),
        (standing("2", "aaa", 0.6), True, "champion", "60.0%"),  # as good is enough
        (standing("2", "aaa", 0.6002), False, "challenger", r"EX 60\.000% on dev against 60\.020%"),
        (standing("2", "aaa", 0.61), False, "challenger", "EX 60.0% on dev against 61.0%"),
        (standing("2", "bbb", 0.1), False, "challenger", "digest aaa.*version 2.*bbb.*sense models promote 3 --force"),
        (standing("2", None, None), False, "challenger", "version 2, carries no EX on dev"),
        (standing("3", "aaa", 0.6), False, "champion", "this version is the champion already"),
    ],
)
def test_the_gate(champion, promoted, alias, reason):
    decision = gate.decide(standing("3", "aaa", 0.6), champion, "dev")
    assert (decision.promoted, decision.alias) == (promoted, alias)
    assert re.search(reason, decision.reason)
    assert decision.champion == (champion.version if champion else None)


def test_a_standing_survives_its_tags_exactly():
    third = 1 / 3
    tags = gate.tags({"dev": gate.Standing("1", "aaa", third, 0.1, 2 / 3), "heldout": standing("1", "bbb", None)})
    assert gate.standing("1", tags, "dev") == gate.Standing("1", "aaa", third, 0.1, 2 / 3)
    assert gate.standing("1", tags, "heldout") == standing("1", "bbb", None)
    assert gate.standing("1", {}, "dev") == gate.standing("1", {"sense.eval.dev.digest": ""}, "dev") == standing("1", None, None)


# --- the code's revision


def git(folder, *arguments):
    told = ["git", "-C", str(folder), "-c", "user.name=t", "-c", "user.email=t@example.org", *arguments]
    return subprocess.run(told, check=True, capture_output=True, text=True).stdout.strip()


def test_the_revision_is_the_commit_and_says_when_the_package_differs(tmp_path):
    code = tmp_path / "sense"
    code.mkdir()
    (code / "__init__.py").write_text("")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "first")
    commit = git(tmp_path, "rev-parse", "HEAD")
    (tmp_path / "dvc.lock").write_text("changes with every run")
    assert revision.current(code) == commit
    (code / "__init__.py").write_text("x = 1")
    assert revision.current(code) == f"{commit}-dirty"


def test_without_git_the_image_says_the_revision(tmp_path, monkeypatch):
    monkeypatch.delenv("SENSE_CODE_REV", raising=False)
    assert revision.current(tmp_path) == "unknown"
    monkeypatch.setenv("SENSE_CODE_REV", "v1.2")
    assert revision.current(tmp_path) == "v1.2"
