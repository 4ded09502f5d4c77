"""A model folder sent to MLflow: registered once, whole, and loadable."""

import json
import os
from pathlib import Path

import mlflow
import pytest

from sense import config
from sense.errors import InputError, StorageError
from sense.registry import aliases, package, registration, versions
from sense.registry.package import DatasetMetric, ModelPackage
from sense.tracking import store
from tests.mlflow_store import sense_runs


def model_folder(folder: Path) -> Path:
    """What transformers saves, by name: registration reads only the two configs."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"architectures": ["LlamaForCausalLM"], "dtype": "bfloat16"}))
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "PreTrainedTokenizerFast"}))
    (folder / "tokenizer.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(bytes(range(256)))
    return folder


def model_package(folder: Path, key: str = "k1", **fields) -> ModelPackage:
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
        "metrics": [DatasetMetric("dev.sense.ex", 0.5, "dev", "d" * 64)],
        "data": {"strong": "5" * 64},
    }
    return ModelPackage(**(values | fields))


def logged_models(client):
    return client.search_logged_models([client.get_experiment_by_name("sense").experiment_id])


def downloaded(version: str) -> Path:
    with_uri = os.environ["MLFLOW_TRACKING_URI"]
    return Path(mlflow.artifacts.download_artifacts(f"models:/sense/{version}", tracking_uri=with_uri, registry_uri=with_uri))


def test_a_published_model_has_its_files_numbers_and_origin(client, tmp_path):
    version = registration.register_model(model_package(model_folder(tmp_path / "model")), tmp_path / "staging")
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
    (run,) = sense_runs(client)
    assert run.info.status == "FINISHED"
    assert [entry.dataset.name for entry in run.inputs.dataset_inputs] == ["strong"]
    assert [output.model_id for output in run.outputs.model_outputs] == [version.model_id]
    assert not (tmp_path / "staging").exists()


def test_the_same_key_is_published_once(client, tmp_path):
    folder = model_folder(tmp_path / "model")
    first = registration.register_model(model_package(folder), tmp_path / "staging")
    again = registration.register_model(model_package(folder), tmp_path / "staging")
    other = registration.register_model(model_package(folder, "k2"), tmp_path / "staging")
    assert again == first
    assert other.version == "2"
    assert len(sense_runs(client)) == len(logged_models(client)) == 2


def test_a_model_that_was_half_sent_is_completed(client, tmp_path):
    opened = store.open_store()
    half = opened.client.create_logged_model(opened.experiment, name="sense", tags={"sense.key": "k1"})
    torn = tmp_path / "torn"
    (torn / "model").mkdir(parents=True)
    (torn / "model" / "model.safetensors").write_bytes(b"only the beg")
    opened.client.log_model_artifacts(half.model_id, str(torn))
    version = registration.register_model(model_package(model_folder(tmp_path / "model")), tmp_path / "staging")
    assert version.model_id == half.model_id
    assert [model.status for model in logged_models(client)] == ["READY"]
    assert (downloaded("1") / "model" / "model.safetensors").read_bytes() == bytes(range(256))


def test_a_version_whose_logged_model_was_deleted_is_published_again_once_it_is_deleted_too(client, tmp_path):
    inputs = model_package(model_folder(tmp_path / "model"))
    client.delete_logged_model(registration.register_model(inputs, tmp_path / "staging").model_id)
    with pytest.raises(InputError, match=r"sense version 1: its logged model m-\w+ was deleted; delete the version too"):
        registration.register_model(inputs, tmp_path / "staging")
    client.delete_model_version("sense", "1")
    assert (
        downloaded(registration.register_model(inputs, tmp_path / "staging").version) / "model" / "model.safetensors"
    ).is_file()


def test_symbolic_links_are_stored_as_what_they_point_at(client, tmp_path):
    cache = model_folder(tmp_path / "cache")
    (cache / "extra").mkdir()
    (cache / "extra" / "more.bin").write_bytes(b"more")
    linked = tmp_path / "model"
    linked.mkdir()
    for entry in cache.iterdir():
        (linked / entry.name).symlink_to(entry)
    registration.register_model(model_package(linked), tmp_path / "staging")
    root = downloaded("1")
    assert (root / "model" / "extra" / "more.bin").read_bytes() == b"more"
    assert (root / "model" / "model.safetensors").stat().st_size == 256
    assert (cache / "model.safetensors").read_bytes() == bytes(range(256))


def test_a_card_never_writes_through_into_the_input(client, tmp_path):
    folder = model_folder(tmp_path / "model")
    (folder / "README.md").write_text("the trainer's own")
    registration.register_model(model_package(folder), tmp_path / "staging")
    assert (folder / "README.md").read_text() == "the trainer's own"
    assert (downloaded("1") / "model" / "README.md").read_text() == "# a card"


def test_a_file_that_the_store_lacks_is_an_error(client, tmp_path):
    opened = store.open_store()
    model = opened.client.create_logged_model(opened.experiment, name="sense")
    sent = tmp_path / "sent"
    sent.mkdir()
    (sent / "a.bin").write_bytes(b"abc")
    with pytest.raises(StorageError, match=r"model/b\.bin .*1 of 2 files"):
        registration._upload(opened.client, model, {"a.bin": 3, "model/b.bin": 4}, sent)
    assert client.get_logged_model(model.model_id).status == "PENDING"


def test_aliases(client, tmp_path):
    assert versions.find_by_alias("sense", "champion") is None  # no such model
    folder = model_folder(tmp_path / "model")
    registration.register_model(model_package(folder), tmp_path / "staging")
    second = registration.register_model(model_package(folder, "k2"), tmp_path / "staging")
    assert versions.find_by_alias("sense", "champion") is None  # no such alias
    aliases.set_alias("sense", "champion", "1")
    aliases.set_alias("sense", "champion", "2")
    assert versions.find_by_alias("sense", "champion") == second


@pytest.mark.slow
def test_mlflow_loads_the_model_that_was_never_loaded_to_be_published(client, tmp_path):
    import torch
    from transformers import logging

    from sense.training import nano

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    tokenizer = nano.train_tokenizer(["select name from pet where age = 1"] * 3, 300)
    model = nano.create_model(config.NanoConfig(vocabulary=300, hidden=16, layers=1, heads=2, context=64), tokenizer, 0)
    model.save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    registration.register_model(model_package(tmp_path / "model"), tmp_path / "staging")
    pipeline = mlflow.transformers.load_model(str(downloaded("1")), device="cpu")
    prompt = tokenizer("select name", return_tensors="pt")["input_ids"]
    assert pipeline.task == "text-generation"
    assert pipeline.tokenizer("select name")["input_ids"] == prompt[0].tolist()
    with torch.inference_mode():
        assert torch.equal(pipeline.model(prompt.to(pipeline.device)).logits.cpu(), model.eval()(prompt).logits)


def test_a_long_card_is_cut_between_sections_for_the_description():
    whole = "# a\n\n" + "\n\n".join(f"## {n}\n\n" + "x" * 900 for n in range(9))
    short = registration.shorten_card(whole)
    assert len(short) <= 5000
    assert short.startswith("# a\n\n## 0\n\nxxx")
    assert short.rstrip().endswith("model/README.md` among the files of this version.")
    assert "x" * 899 + "x\n\nThe rest" in short
    assert registration.shorten_card("# short") == "# short"


def test_what_makes_another_version_is_not_reordered():
    """The key of every version so far is a digest of these, in this order."""
    assert package._KEY_SOURCES == ("sense", "evaluation", "predictions")
