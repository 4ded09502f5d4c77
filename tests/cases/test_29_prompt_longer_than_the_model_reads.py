"""A database whose schema is longer than the model reads: counted and told, never cut, never the end of a run.

defog-ai/sqlcoder #55, langchain-ai/langchain #15476, alejandro-ao/chat-with-mysql #3. `sample` and `evaluate` put 21,510
tokens before a model that reads 1,024, without a word, and died of it where positions are learnt.
"""

import json
import sqlite3
from contextlib import closing

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM, MptConfig, MptForCausalLM

from sense import config, records
from sense.config import GenerationConfig, ModelConfig, PromptConfig
from sense.errors import InputError, UserError
from sense.evaluation import scoreboard
from sense.records import Example, Sample, Verdict
from sense.registry import latency
from sense.report import markdown
from sense.serving import local
from sense.sql import modes
from sense.stages import evaluate, prefer, sample
from sense.training import fit, generate, model_folder, nano, tokenization
from tests.evaluation_inputs import evaluate_inputs
from tests.training.test_fit import ROWS, TRAIN, ignore

SHAPE = config.NanoConfig(vocabulary=300, hidden=16, layers=1, heads=2, context=256)
TABLES = {"small": 1, "wide": 60}
SAMPLE = {"seed": 3, "k": 2, "temperature": 1.0, "max_new_tokens": 8, "batch_size": 48, "execution": {"workers": 1}}
TOO_LONG = r"longer than the model reads: [\d,]+ tokens and 8 for the answer, and it reads 256"


def example(number, database):
    return Example(
        id=f"q{number}",
        db_id=database,
        question=f"How many? {number}",
        sql="SELECT count(*) FROM thing_0",
        source="x",
        hardness="easy",
    )


def dataset(folder, databases):
    """A dataset folder with a question on each of `databases`, in that order."""
    for name in set(databases):
        file = records.database_path(folder, name)
        file.parent.mkdir(parents=True)
        with closing(sqlite3.connect(file)) as connection:
            for number in range(TABLES[name]):
                connection.execute(f"CREATE TABLE thing_{number} (id INTEGER PRIMARY KEY, name TEXT, size INTEGER)")
            connection.commit()
    records.write_jsonl(folder / "examples.jsonl", [example(number, name) for number, name in enumerate(databases)])
    return folder


def saved(folder, model=None):
    """A model folder: a nano model, or the model that `model` makes for a vocabulary."""
    tokenizer = nano.train_tokenizer([row["prompt"] + row["completion"] for row in ROWS], SHAPE.vocabulary)
    torch.manual_seed(0)
    weights = nano.create_model(SHAPE, tokenizer, 0) if model is None else model(len(tokenizer))
    model_folder.save(weights, tokenizer, model_folder.ModelInfo(ModelConfig(nano=SHAPE), 0, PromptConfig()), folder)
    return folder


def learnt_positions(vocabulary):
    return GPT2LMHeadModel(GPT2Config(vocab_size=vocabulary, n_positions=256, n_embd=32, n_layer=1, n_head=2))


def sampled(folder, model, unseen, **changes):
    folder.mkdir(exist_ok=True)
    outputs = sample.Outputs(folder / "samples.jsonl", folder / "metrics")
    return sample.run(config.SampleConfig(**SAMPLE | changes), sample.Inputs(model, unseen), outputs), outputs.samples


MIXED = ["small", "wide", "small", "wide", "wide"]


@pytest.mark.parametrize("model", [None, learnt_positions], ids=["rotary", "learnt"])
def test_sample_rejects_and_counts_what_it_cannot_ask(model, tmp_path, capsys):
    unseen = dataset(tmp_path / "unseen", MIXED)
    metrics, file = sampled(tmp_path / "work", saved(tmp_path / "model", model), unseen)
    rows = records.read_rows(file, Sample)
    assert [row.id for row in rows] == [f"q{number}#{k}" for number in range(5) for k in range(2)]
    assert [row.limit == "context" for row in rows] == [name == "wide" for name in MIXED for _ in range(2)]
    for row in rows:
        if row.limit == "context":
            assert (row.sql, row.correct, row.verdict) == ("", False, "rejected")
            assert row.detail.startswith("longer than the model reads: 1,")
            assert row.detail.endswith(" tokens and 8 for the answer, and it reads 256")
    assert (metrics["questions"], metrics["samples"], metrics["too_long"]) == (5, 10, 3)
    assert metrics["distinct"] <= 4
    said = " ".join(capsys.readouterr().err.split())
    assert (
        "sample: 3 of 5 questions are not put to the model: with an answer of 8 tokens they are longer than the 256 tokens"
        in said
    )
    assert "that it reads; databases: wide" in said
    assert "3 of the questions are longer than the model reads" in markdown._sample(metrics)


def test_what_fits_is_sampled_as_if_nothing_else_were_there(tmp_path):
    model = saved(tmp_path / "model")
    mixed, file = sampled(tmp_path / "mixed", model, dataset(tmp_path / "unseen", MIXED))
    small = dataset(tmp_path / "small", ["small"])
    records.write_jsonl(small / "examples.jsonl", [example(0, "small"), example(2, "small")])
    alone, file_alone = sampled(tmp_path / "alone", model, small)
    assert [row for row in records.read_rows(file, Sample) if row.limit != "context"] == records.read_rows(file_alone, Sample)
    assert (alone["too_long"], mixed["distinct"]) == (0, alone["distinct"])


def test_shards_add_up_and_none_of_them_fails(tmp_path, monkeypatch):
    monkeypatch.setattr(sample, "_CHUNK", 2)
    unseen, model = dataset(tmp_path / "unseen", MIXED), saved(tmp_path / "model")
    whole, file = sampled(tmp_path / "whole", model, unseen)
    shards = [sampled(tmp_path / str(n), model, unseen, shard={"number": n, "of": 3}) for n in range(3)]
    assert [metrics["too_long"] for metrics, _ in shards] == [1, 1, 1]  # the last shard has nothing else
    merged = sample.merge(SAMPLE, unseen, [part for _, part in shards], tmp_path / "merged.jsonl")
    assert merged == whole
    assert (tmp_path / "merged.jsonl").read_bytes() == file.read_bytes()


def test_all_too_long_is_an_error_of_the_whole(tmp_path):
    unseen, model = dataset(tmp_path / "unseen", ["wide", "wide"]), saved(tmp_path / "model")
    expected = rf"unseen: of 2 questions not one fits the model, the first is {TOO_LONG}; lower sample\.max_new_tokens"
    with pytest.raises(InputError, match=expected):
        sampled(tmp_path / "whole", model, unseen)
    parts = [sampled(tmp_path / str(n), model, unseen, shard={"number": n, "of": 2})[1] for n in range(2)]
    with pytest.raises(InputError, match=expected):
        sample.merge(SAMPLE, unseen, parts, tmp_path / "merged.jsonl")


def test_the_answer_needs_room_too(tmp_path):
    unseen, model = dataset(tmp_path / "unseen", ["small", "small"]), saved(tmp_path / "model")
    prompts = sample.question_prompts(unseen, records.read_dataset(unseen), PromptConfig())
    room = 256 - generate.load_generator(model, 1).count_tokens(prompts)[0]
    assert sampled(tmp_path / "fits", model, unseen, max_new_tokens=room)[0]["too_long"] == 0
    with pytest.raises(InputError, match=f"{256 - room} tokens and {room + 1} for the answer, and it reads 256"):
        sampled(tmp_path / "one_more", model, unseen, max_new_tokens=room + 1)


def test_prefer_leaves_those_samples_out_by_their_reason(tmp_path):
    unseen = dataset(tmp_path / "unseen", MIXED)
    _, file = sampled(tmp_path / "work", saved(tmp_path / "model"), unseen)
    rows = [
        row.model_copy(update={"sql": "SELECT 1"}) if row.limit != "context" else row for row in records.read_rows(file, Sample)
    ]
    records.write_jsonl(file, rows)
    outputs = prefer.Outputs(tmp_path / "pairs.jsonl", tmp_path / "metrics.json")
    metrics = prefer.run(config.PreferConfig(chosen="gold"), prefer.Inputs(file, unseen), outputs)
    assert (metrics["questions"], metrics["pairs"]) == (5, 2)
    assert metrics["dropped"]["longer than the model reads"] == 6
    assert metrics["no_pair"] == {"nothing_left": 3}


@pytest.mark.parametrize("model", [None, learnt_positions], ids=["rotary", "learnt"])
def test_evaluate_counts_them_as_wrong_with_their_reason(model, tmp_path, capsys, monkeypatch):
    dev, heldout = dataset(tmp_path / "dev", MIXED), dataset(tmp_path / "heldout", ["small"])
    folder = saved(tmp_path / "model", model)
    monkeypatch.setattr(model_folder, "load_base", lambda folder, dtype=None: model_folder.load_model(folder, dtype=dtype))
    outputs = evaluate.Outputs(tmp_path / "predictions", tmp_path / "metrics")
    settings = config.EvaluateConfig(resamples=100, max_new_tokens=8, execution={"workers": 1})
    metrics = evaluate.run(settings, evaluate_inputs(tmp_path / "inputs", folder, folder, dev, heldout), outputs)
    for name in evaluate.MODELS:
        of_model = metrics["sets"]["dev"]["models"][name]
        assert (of_model["n"], of_model["too_long"]) == (5, 3)
        assert of_model["verdicts"]["rejected"] >= 3
        assert metrics["sets"]["heldout"]["models"][name]["too_long"] == 0
        verdicts = records.read_rows(outputs.predictions / f"dev.{name}.verdicts.jsonl", Verdict)
        assert [verdict.limit == "context" for verdict in verdicts] == [database == "wide" for database in MIXED]
        assert {(verdict.verdict, verdict.correct, verdict.mode) for verdict in verdicts if verdict.limit} == {
            ("rejected", False, modes.STRICT_TS)
        }
        assert "reads: 1," in verdicts[1].detail
        predictions = (outputs.predictions / f"dev.{name}.predictions.jsonl").read_text().splitlines()
        assert json.loads(predictions[1])["rejected"] == verdicts[1].detail
        assert list(json.loads(predictions[0])) == ["id", "sql"]
        rejected = scoreboard._count_verdicts(verdicts)["rejected"]
        assert rejected["why"]["context"] == 3
    assert "evaluate sft on dev: 3 of 5 questions are not put to the model" in " ".join(capsys.readouterr().err.split())
    assert "3 of the questions are longer than the model reads, and count as wrong." in markdown._evaluate(metrics)
    assert (
        evaluate.run(settings, evaluate_inputs(tmp_path / "inputs", folder, folder, dev, heldout), outputs) == metrics
    )  # resumed from predictions


def test_a_further_set_that_cannot_be_asked_at_all_counts_as_wrong(tmp_path, monkeypatch):
    small, wide = dataset(tmp_path / "dev", ["small"]), dataset(tmp_path / "wide", ["wide"])
    folder = saved(tmp_path / "model")
    monkeypatch.setattr(model_folder, "load_base", lambda folder, dtype=None: model_folder.load_model(folder, dtype=dtype))
    settings = {"resamples": 100, "max_new_tokens": 8, "vote": 2, "execution": {"workers": 1}}
    metrics = evaluate.run(
        config.EvaluateConfig(sets={"wide": str(wide)}, **settings),
        evaluate_inputs(tmp_path / "inputs", folder, folder, small, small, [wide]),
        evaluate.Outputs(tmp_path / "work" / "predictions", tmp_path / "work" / "metrics"),
    )
    for name in evaluate.MODELS:
        of_model = metrics["sets"]["wide"]["models"][name]
        assert (of_model["n"], of_model["too_long"], of_model["ex"], of_model["verdicts"]) == (1, 1, 0.0, {"rejected": 1})


def test_a_set_that_cannot_be_asked_at_all_is_an_error(tmp_path):
    wide = dataset(tmp_path / "dev", ["wide"])
    outputs = evaluate.Outputs(tmp_path / "predictions", tmp_path / "metrics")
    folder = saved(tmp_path / "model")
    with pytest.raises(InputError, match=r"dev: of 1 questions not one fits .*lower evaluate\.max_new_tokens"):
        evaluate.run(
            config.EvaluateConfig(max_new_tokens=8, execution={"workers": 1}),
            evaluate_inputs(tmp_path / "inputs", folder, folder, wide, wide),
            outputs,
        )


# --- what a model reads


def rotary(vocabulary, **more):
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=vocabulary, hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2, **more
        )
    )


def alibi(vocabulary):
    return MptForCausalLM(MptConfig(vocab_size=vocabulary, d_model=32, n_heads=2, n_layers=1, max_seq_len=256))


@pytest.mark.parametrize(
    "model",
    [None, learnt_positions, lambda size: rotary(size, max_position_embeddings=256), alibi],
    ids=["nano", "gpt2", "llama", "mpt"],
)
def test_the_gateway_knows_what_every_kind_of_model_reads(model, tmp_path):
    served = local.load_model(saved(tmp_path / "model", model))
    assert served.context == 256
    with pytest.raises(UserError, match=r"longer than the model reads: 300 tokens, and it reads 256"):
        local._generate(served, GenerationConfig(max_new_tokens=8), "9" * 300, 1, 0.0)


def test_latency_is_measured_with_what_fits(tmp_path, capsys):
    folder = saved(tmp_path / "model", learnt_positions)
    measured = latency.measure_here(folder, ["9" * 20, "9" * 250, "9" * 300], 8)
    assert measured.n == 1
    assert "2 of 3 prompts are longer than the model reads, and not measured" in capsys.readouterr().err


def test_the_gateway_knows_what_an_adapter_reads(tmp_path):
    tokenizer = nano.train_tokenizer([row["prompt"] + row["completion"] for row in ROWS], SHAPE.vocabulary)
    base = ModelConfig(nano=SHAPE)
    settings = config.SftConfig(model=base, train=TRAIN.model_copy(update={"max_steps": 1}), lora=config.LoraConfig(r=4))
    rows = tokenization.sft_rows(tokenizer, ROWS, "completion")
    model = nano.create_model(SHAPE, tokenizer, 0)
    model, _ = fit.sft(model, tokenizer, rows, settings, checkpoints=tmp_path / "checkpoints", on_log=ignore)
    model_folder.save(model, tokenizer, model_folder.ModelInfo(base, 0, settings.prompt), tmp_path / "adapter")
    assert local.load_model(tmp_path / "adapter").context == 256
