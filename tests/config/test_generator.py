"""The section `generator` of sample and evaluate: what belongs to the endpoint is wanted there and nowhere else."""

import pytest

from sense import config
from sense.config import GeneratorConfig
from sense.errors import ConfigError
from sense.stages import fingerprint


def refusal(**section):
    with pytest.raises(ConfigError) as caught:
        config.validate(config.SampleConfig, {"generator": section}, "the section of sample")
    return str(caught.value)


def test_both_stages_use_transformers_by_default():
    assert config.SampleConfig().generator == config.EvaluateConfig().generator == GeneratorConfig(kind="transformers")


def test_an_endpoint_needs_a_url():
    for url in ({}, {"url": None}, {"url": ""}):
        assert "generator" in (message := refusal(kind="endpoint", **url))
        assert "kind: endpoint needs a url, such as http://vllm:8000/v1" in message


@pytest.mark.parametrize("kind", ["transformers", "vllm"])
@pytest.mark.parametrize("key", [{"url": "http://host/v1"}, {"models": {"sft": "m"}}])
def test_url_and_models_are_refused_elsewhere(kind, key):
    assert f"take them out, or set kind: endpoint instead of {kind}" in refusal(kind=kind, **key)


def test_models_are_those_of_the_pipeline():
    assert "generator.models.dpo" in refusal(kind="endpoint", url="http://host/v1", models={"dpo": "m"})


def test_what_changes_no_completion_does_not_start_sampling_anew(tmp_path):
    def name(**section):
        return fingerprint("sample", config.SampleConfig(generator=section), {"unseen": tmp_path})

    endpoint = {"kind": "endpoint", "url": "http://a/v1"}
    first = name(**endpoint)
    assert name(**endpoint, concurrency=1, timeout_s=5, retries=0) == first
    assert name(kind="vllm", kv_cache_gb=2) == name(kind="vllm")
    assert len({first, name(kind="endpoint", url="http://b/v1"), name(**endpoint, models={"weak": "m"}), name(kind="vllm")}) == 4


def test_the_teachers_key_goes_to_no_model_server(monkeypatch):
    monkeypatch.setenv("SENSE_API_KEY", "sk-teacher")
    monkeypatch.delenv("VLLM_API_KEY", raising=False)
    assert config.generator_key() == ""
    monkeypatch.setenv("VLLM_API_KEY", "own")
    assert config.generator_key() == "own"
