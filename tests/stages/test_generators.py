"""sample and evaluate with a model at a server: the questions asked, the same bytes however they are asked, and after a kill."""

import hashlib
import json
import threading

import pytest

from sense import config, records
from sense.errors import EndpointError, InputError, UserError
from sense.records import Prediction, Sample
from sense.stages import evaluate, sample
from sense.training import endpoint_generator, generators, model_folder, nano
from tests import pipeline
from tests.dataset_folder import write_dataset
from tests.endpoint import Endpoint, error_reply, models_reply, text_reply
from tests.evaluation_inputs import evaluate_inputs
from tests.pipeline import RunDirs, StageRun

pytestmark = pytest.mark.slow

ANSWERS = ("SELECT id FROM thing", "SELECT size FROM thing", "SELECT nothing", "")


def answer(body):
    """A server with all models, whose SQL depends on tokens, seed and model."""
    if not body:
        return models_reply("weak", "org/base", "sft", "sense")
    number = int(hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest(), 16)
    return text_reply(ANSWERS[number % len(ANSWERS)], len(body["prompt"]))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A dataset of 100 questions (two chunks) on one database, and a nano model."""
    root = tmp_path_factory.mktemp("generators")
    statements = "CREATE TABLE thing (id INTEGER PRIMARY KEY, size INT); INSERT INTO thing VALUES (1, 5), (2, 7)"
    questions = {f"e{n}": (f"Sizes, {n}?", "SELECT size FROM thing") for n in range(100)}
    write_dataset(root / "unseen", "stock", statements, questions)
    shape = config.NanoConfig(vocabulary=300, hidden=16, layers=1, heads=2, context=512)
    tokenizer = nano.train_tokenizer(["SELECT size FROM thing"], shape.vocabulary)
    info = model_folder.ModelInfo(config.ModelConfig(nano=shape), 0, config.PromptConfig())
    model_folder.save(nano.create_model(shape, tokenizer, 0), tokenizer, info, root / "model")
    return root


def section(endpoint, **options):
    generator = {"kind": "endpoint", "url": endpoint.base_url, "retries": 0, "models": {"base": "org/base"}} | options
    return {"k": 2, "greedy": False, "max_new_tokens": 8, "generator": generator, "execution": {"workers": 1}}


def sampled(folder, work, endpoint, **options):
    work.mkdir(exist_ok=True)
    outputs = sample.Outputs(work / "samples", work / "metrics")
    sample.run(config.SampleConfig(**section(endpoint, **options)), sample.Inputs(folder / "model", folder / "unseen"), outputs)
    return outputs.samples.read_bytes()


def test_samples_do_not_depend_on_the_concurrency(folder, tmp_path):
    with Endpoint(answer) as endpoint:
        alone = sampled(folder, tmp_path / "1", endpoint, concurrency=1)
        assert sampled(folder, tmp_path / "2", endpoint, concurrency=16) == alone
    rows = [Sample.model_validate_json(line) for line in alone.splitlines()]
    assert [row.id for row in rows] == [f"e{n}#{k}" for n in range(100) for k in range(2)]
    assert {row.sql for row in rows} == set(ANSWERS)
    assert {row.correct for row in rows if row.sql == "SELECT size FROM thing"} == {True}
    bodies = [request.body for request in endpoint.requests if request.body]
    assert [body["seed"] for body in bodies[:200]] == list(range(200))  # in the second chunk they go on
    assert {body["model"] for body in bodies} == {"weak"}


def test_a_server_that_fails_loses_one_chunk(folder, tmp_path):
    with Endpoint(answer) as endpoint:
        undisturbed = sampled(folder, tmp_path / "whole", endpoint)
    down = threading.Event()

    def fails_in_the_second_chunk(body):
        return error_reply(503, "restarting") if body and body["seed"] > 150 and not down.is_set() else answer(body)

    with Endpoint(fails_in_the_second_chunk) as endpoint:
        with pytest.raises(EndpointError, match=r"HTTP 503: restarting .*; run again .*: what is finished is kept"):
            sampled(folder, tmp_path / "broken", endpoint)
        down.set()
        before = len(endpoint.requests)
        assert sampled(folder, tmp_path / "broken", endpoint) == undisturbed
    again = [request.body["seed"] for request in endpoint.requests[before:] if request.body]
    assert sorted(again) == list(range(128, 200))


def test_a_killed_stage_goes_on_to_the_same_bytes(folder, tmp_path):
    with Endpoint(answer) as endpoint:
        settings = config.SampleConfig(**section(endpoint)).model_dump()

        def run(name, kill):
            dirs = RunDirs(tmp_path / name)
            outputs = {port: dirs.out / port for port in ("samples", "metrics")}
            inputs = {"model": folder / "model", "unseen": folder / "unseen"}
            finished = pipeline.run(StageRun("sample", settings, inputs, outputs, dirs, kill))
            return finished, pipeline.digests(outputs)

        whole, expected = run("whole", {})
        assert whole.code == 0
        killed, _ = run("killed", {"delivery": 1})
        assert killed.code < 0
        before = len(endpoint.requests)
        resumed, digests = run("killed", {})
        assert (resumed.code, digests) == (0, expected)
        assert len(endpoint.requests) == before  # all of it was in the log


def test_evaluate_asks_for_base_sft_and_sense_by_name(folder, tmp_path):
    outputs = evaluate.Outputs(tmp_path / "work" / "predictions", tmp_path / "work" / "metrics")
    dev, model = folder / "unseen", folder / "model"
    inputs = evaluate_inputs(tmp_path / "inputs", model, model, dev, dev)
    with Endpoint(answer) as endpoint:
        settings = {key: value for key, value in section(endpoint).items() if key not in ("k", "greedy")} | {
            "limit": 5,
            "resamples": 100,
        }
        evaluate.run(config.EvaluateConfig(**settings), inputs, outputs)
    bodies = [request.body for request in endpoint.requests if request.body]
    assert [body["model"] for body in bodies[::10]] == ["org/base", "sft", "sense"]  # five questions of each set
    assert {body["temperature"] for body in bodies} == {0.0}
    rows = list(records.read_rows(outputs.predictions / "dev.sft.predictions.jsonl", Prediction))
    assert [row.sql for row in rows] == [answer(body)[2]["choices"][0]["text"] for body in by_seed(bodies, "sft")[:5]]


def by_seed(bodies, model):
    """The requests to one model, by set and seed: those of the first set come first."""
    own = [body for body in bodies if body["model"] == model]
    return [*sorted(own[:5], key=lambda body: body["seed"]), *sorted(own[5:], key=lambda body: body["seed"])]


def test_questions_longer_than_the_server_reads_are_not_put_to_it(folder, tmp_path):
    short = models_reply("weak", max_model_len=9)
    with Endpoint(lambda body: answer(body) if body else short) as endpoint, pytest.raises(InputError, match="it reads 9"):
        sampled(folder, tmp_path / "work", endpoint)
    assert [request.body for request in endpoint.requests] == [{}]


# --- the models that vLLM reads


def test_without_vllm_the_error_says_where_it_is(folder, tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(UserError, match=r"not installed there.*\.ci/vllm-up.*serve image.*generator\.kind: transformers"):
        generators.create(config.GeneratorConfig(kind="vllm"), folder / "model", "sft", 8, tmp_path / "whole")
    assert list(tmp_path.iterdir()) == []


def test_a_nano_base_is_written_as_it_was_before_training(folder, tmp_path):
    import torch

    name, revision = model_folder.write_base(folder / "model", tmp_path / "base")
    assert (name, revision) == (str(tmp_path / "base"), None)
    weights, expected = (
        model.state_dict() for model in (model_folder.load_model(tmp_path / "base"), model_folder.load_base(folder / "model"))
    )
    assert all(torch.equal(weights[key], expected[key]) for key in expected)


def test_the_context_is_read_without_the_weights(folder, monkeypatch):
    monkeypatch.setattr(model_folder, "load_model", None)
    assert model_folder.context_length(folder / "model") == 512


def test_the_key_comes_from_the_environment(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("VLLM_API_KEY", "sk-own")
    monkeypatch.setenv("SENSE_API_KEY", "sk-teacher")
    with Endpoint(answer) as endpoint:
        one = generators.create(
            config.GeneratorConfig(kind="endpoint", url=endpoint.base_url), folder / "model", "weak", 8, tmp_path
        )
    assert isinstance(one, endpoint_generator.EndpointGenerator)
    assert endpoint.requests[0].headers["authorization"] == "Bearer sk-own"
