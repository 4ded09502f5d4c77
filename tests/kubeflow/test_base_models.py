"""Whether a base model can be had: missing, gated, cached or a folder, by a hub's stand-in and its cache on disk."""

import numpy as np
import pytest
from huggingface_hub import constants
from safetensors.numpy import save_file

from sense.config import ModelConfig, NanoConfig
from sense.errors import UserError
from sense.kubeflow import base_models
from tests.hub_server import TOKEN, Hub, Repository

NAME = "acme/base-1b"
FILES = {"main": {"config.json": b"{}"}}


@pytest.fixture
def cache(tmp_path, monkeypatch):
    folder = tmp_path / "hub"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(folder))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    return folder


@pytest.fixture
def hub(cache, monkeypatch):
    with Hub() as running:
        monkeypatch.setenv("HF_ENDPOINT", running.address)
        yield running


def fill(folder):
    """A model that is whole, as far as its files are looked at before it is loaded."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    save_file({"weight": np.zeros(1, np.float32)}, folder / "model.safetensors")
    return folder


def failure(**model):
    with pytest.raises(UserError) as caught:
        base_models.check(ModelConfig(**model), "sft.model")
    return str(caught.value)


def test_a_model_of_random_weights_and_a_folder_need_no_hub(tmp_path, cache):
    assert base_models.check(ModelConfig(nano=NanoConfig()), "sft.model") == "nano, made of random weights"
    folder = fill(tmp_path / "model")
    assert base_models.check(ModelConfig(name=str(folder)), "sft.model") == f"{folder}, a folder"
    assert "no such folder where the task runs" in failure(name=str(tmp_path / "other"))
    (folder / "config.json").unlink()
    assert f"sft.model.name: {folder}: no config.json" in failure(name=str(folder))


def test_a_public_model_is_told_from_one_that_is_missing(hub):
    hub.repositories[NAME] = Repository(private=False, branches=FILES)
    assert f"{NAME}, to be downloaded from {hub.address}" in base_models.check(ModelConfig(name=NAME), "sft.model")
    assert "has no such model, or it is private (HF_TOKEN is not set)" in failure(name="acme/other")
    assert "not its revision v9; correct sft.model.revision" in failure(name=NAME, revision="v9")
    assert "no q8.gguf in it" in failure(name=NAME, gguf_file="q8.gguf")
    assert "no name that a hub could have" in failure(name="a/b/c")


def test_a_gated_model_needs_a_token_of_a_member(hub, monkeypatch):
    hub.repositories[NAME] = Repository(private=False, gated=True, branches=FILES)
    assert f"gated on {hub.address}" in failure(name=NAME)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    message = failure(name=NAME)
    assert f"accept its terms at {hub.address}/{NAME}" in message
    assert TOKEN not in message
    hub.members.add(TOKEN)
    assert "to be downloaded" in base_models.check(ModelConfig(name=NAME), "sft.model")


def test_a_model_in_the_cache_is_not_asked_for_unless_it_is_in_parts(hub, cache, monkeypatch):
    snapshot = cache / "models--acme--base-1b" / "snapshots" / ("a" * 40)
    fill(snapshot)
    (cache / "models--acme--base-1b" / "refs").mkdir()
    (cache / "models--acme--base-1b" / "refs" / "main").write_text("a" * 40)
    assert base_models.check(ModelConfig(name=NAME), "sft.model") == f"{NAME}, cached in {cache}"
    assert hub.requests == []
    assert base_models.check_claim(cache) == f"{cache} can be read and holds {NAME}"
    (snapshot / "model.safetensors").unlink()
    assert "has no such model" in failure(name=NAME)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert "does not hold it whole, and HF_HUB_OFFLINE is set" in failure(name=NAME)


def test_a_hub_that_cannot_be_reached_is_named(cache, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert "http://127.0.0.1:9 cannot be reached" in failure(name=NAME)


def test_a_claim_that_is_not_mounted_is_told(tmp_path):
    with pytest.raises(UserError, match=r"weights: no such folder; mount the claim of cluster\.weights"):
        base_models.check_claim(tmp_path / "weights")
