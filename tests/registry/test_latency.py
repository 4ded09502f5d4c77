"""A version's latency, at an endpoint or in this process, recorded with it."""

import re

import pytest

from sense import config
from sense.registry import latency
from tests.endpoint import Endpoint
from tests.registered_models import (
    publish_inputs,
    run_json,
    run_publish,
    run_refused,
)


def test_percentiles_are_values_that_were_measured():
    assert latency.percentile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert latency.percentile([float(n) for n in range(1, 101)], 0.95) == 95.0
    assert latency.percentile([7.0], 0.95) == 7.0


def test_latency_is_measured_at_an_endpoint_one_question_after_the_other(two_versions, monkeypatch, capsys):
    monkeypatch.setenv("VLLM_API_KEY", "k")
    with Endpoint(lambda _: (200, {}, {"choices": [{"text": " SELECT 1"}]})) as endpoint:
        latency_json = run_json(capsys, "measure", "2", "--questions", "7", "--endpoint", endpoint.base_url.removesuffix("/v1"))
        requested = [request.body for request in endpoint.requests]
        assert {request.path for request in endpoint.requests} == {"/v1/completions"}
        assert endpoint.requests[0].headers["authorization"] == "Bearer k"
    assert len(requested) == 8  # one of them to warm up
    assert len({body["prompt"] for body in requested}) == 7
    assert {(body["model"], body["temperature"], body["max_tokens"]) for body in requested} == {("sense-2", 0, 256)}
    assert "question: q" in requested[0]["prompt"]
    tags = two_versions.get_model_version("sense", "2").tags
    assert (tags["sense.latency.n"], tags["sense.latency.where"]) == ("7", "endpoint, sense-2")
    assert (
        float(tags["sense.latency.p50_ms"])
        == latency_json["p50_ms"]
        <= latency_json["p95_ms"]
        == float(tags["sense.latency.p95_ms"])
    )


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
    from sense.training import devices, model_folder, nano

    nano_config = config.NanoConfig(vocabulary=300, hidden=16, layers=1, heads=2, context=256)
    tokenizer = nano.train_tokenizer(["pet(id, name) question: how many pets? sql: select name from pet where age = 1"] * 3, 300)
    inputs = publish_inputs(tmp_path / "in")
    model_folder.save(
        nano.create_model(nano_config, tokenizer, 7),
        tokenizer,
        model_folder.ModelInfo(config.ModelConfig(nano=nano_config), 7, config.PromptConfig()),
        inputs.sense,
    )
    run_publish(tmp_path / "w", inputs)
    latency_json = run_json(capsys, "measure", "1", "--questions", "3", "--max-new-tokens", "4")
    assert (latency_json["n"], latency_json["where"]) == (3, f"{devices.device().type}, transformers")
    assert 0 < latency_json["p50_ms"] <= latency_json["p95_ms"]
