"""Several questions in one sequence that share their schema train a model as separate rows do."""

import random

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from sense import config
from sense.cost import meter
from sense.training import fit, nano, shared_schema, tokenization

SCHEMAS = ["pet(id, name, age)\nowner(id, name)", "ship(id, tonnage)"]
QUESTIONS = [
    ("How many pets?", " SELECT COUNT(*) FROM pet"),
    ("Names?", " SELECT name FROM owner"),
    ("Old?", " SELECT 1"),
]
ROWS = [
    {"schema": schema, "prompt": f"{schema}\n\nquestion: {question}\nsql:", "completion": answer, "sequence": str(number)}
    for number, schema in enumerate(SCHEMAS)
    for question, answer in QUESTIONS
]


@pytest.fixture
def tokenizer():
    return nano.train_tokenizer((row["prompt"] + row["completion"] for row in ROWS), 300)


def model_of(tokenizer):
    torch.manual_seed(0)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            initializer_range=0.5,
        )
    ).double()


def gradients(model, *batches):
    """The gradients of the summed loss over all batches."""
    model.zero_grad()
    for batch in batches:
        labels = batch.pop("labels")
        logits = model(**batch, use_cache=False).logits
        torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), reduction="sum").backward()
    return [parameter.grad.clone() for parameter in model.parameters()]


@pytest.mark.parametrize("loss_on", ["completion", "question"])
def test_the_gradient_is_that_of_separate_rows(tokenizer, loss_on):
    model = model_of(tokenizer)
    tokenized = tokenization.sft_rows(tokenizer, ROWS, loss_on)
    separate = [{key: torch.tensor([value]) for key, value in row.items()} for row in tokenized]
    sequences = shared_schema.sequences(tokenizer, ROWS, tokenized, 1000)
    assert [max(sequence["segments"]) for sequence in sequences] == [3, 3]
    together = shared_schema.collate(sequences, tokenizer.pad_token_id)
    assert together["input_ids"].numel() < sum(row["input_ids"].numel() for row in separate)
    for one, other in zip(gradients(model, *separate), gradients(model, together), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_a_question_that_does_not_fit_begins_another_sequence(tokenizer):
    tokenized = tokenization.sft_rows(tokenizer, ROWS, "question")
    longest = max(len(row["input_ids"]) for row in tokenized)
    sequences = shared_schema.sequences(tokenizer, ROWS, tokenized, longest + 10)
    assert len(sequences) > 2
    assert max(len(sequence["input_ids"]) for sequence in sequences) <= longest + 10
    labelled = [label for sequence in sequences for label in sequence["labels"] if label != -100]
    assert labelled == [label for row in tokenized for label in row["labels"] if label != -100]


def test_the_schema_and_the_token_behind_it_bear_no_loss(tokenizer):
    row = tokenization.sft_rows(tokenizer, ROWS[:1], "question")[0]
    text = tokenizer.decode([label for label in row["labels"] if label != -100])
    assert text.strip() == "question: How many pets?\nsql: SELECT COUNT(*) FROM pet</s>"


def test_the_order_has_all_sequences_in_every_pass():
    lengths = [random.Random(0).randrange(10, 500) for _ in range(40)]
    order = shared_schema.order(lengths, batch_size=4, passes=2, seed=1)
    assert sorted(order[:40]) == sorted(order[40:]) == list(range(40))
    assert order[:40] != order[40:]
    assert order == shared_schema.order(lengths, batch_size=4, passes=2, seed=1)


def test_sft_trains_on_sequences(tokenizer, tmp_path):
    settings = config.SftConfig(
        model=config.ModelConfig(nano=config.NanoConfig()),
        questions_per_sequence=3,
        loss_on="question",
        train=config.TrainConfig(epochs=1.5, batch_size=1, learning_rate=1e-2, log_steps=1, save_steps=1, max_length=200),
    )
    rows = shared_schema.sequences(tokenizer, ROWS, tokenization.sft_rows(tokenizer, ROWS, "question"), 200)
    with meter.measure(tmp_path / "cost"):
        _, curve = fit.sft(
            model_of(tokenizer), tokenizer, rows, settings, checkpoints=tmp_path / "checkpoints", on_log=lambda *_: None
        )
    order = shared_schema.order([len(row["input_ids"]) for row in rows], batch_size=1, passes=2, seed=settings.seed)
    assert meter.total(tmp_path / "cost").tokens == {"trained": sum(len(rows[number]["input_ids"]) for number in order[:3])}
    assert len(curve) == 3
    assert curve[-1]["loss"] < curve[0]["loss"]
