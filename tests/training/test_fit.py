"""The recipes on models of a few thousand weights: they learn, they resume to the same bytes, LoRA and full alike."""

from contextlib import suppress
from types import SimpleNamespace

import pytest
import torch
from trl import SFTConfig

from sense import config
from sense.cost import meter
from sense.errors import InputError, UserError
from sense.training import fit, generate, model_folder, nano, sharding, tokenization

ROWS = [
    {"prompt": f"pet(id, name)\n\nquestion: {word} {number}\nsql:", "completion": f" SELECT {number}"}
    for number in range(10)
    for word in ("give", "show")
]
PAIRS = [{"prompt": row["prompt"], "chosen": row["completion"], "rejected": " SELECT name FROM pet"} for row in ROWS[:8]]
NANO = config.NanoConfig(vocabulary=300, hidden=32, layers=1, heads=2, context=128)
BASE = config.ModelConfig(nano=NANO)
TRAIN = config.TrainConfig(
    max_steps=6, batch_size=4, learning_rate=3e-3, max_length=96, save_steps=2, log_steps=1, precision="fp32"
)
FROZEN_EMBEDDINGS = TRAIN.model_copy(update={"freeze_embeddings": True})
UNUSED_EMBEDDINGS = TRAIN.model_copy(update={"freeze_embeddings": "unused", "weight_decay": 0.1})


class Killed(Exception):
    pass


def train_tokenizer():
    return nano.train_tokenizer((row["prompt"] + row["completion"] for row in ROWS), 300)


def weights(folder):
    return (
        folder / ("adapter_model.safetensors" if (folder / "adapter_config.json").exists() else "model.safetensors")
    ).read_bytes()


def kill_at(step):
    def on_log(at, values):
        if at == step:
            raise Killed

    return on_log


def ignore(step, values):
    return None


def trained_sft(folder, on_log=ignore, lora=None, train=TRAIN, **changes):
    settings = config.SftConfig(model=BASE, train=train, lora=lora, **changes)
    tokenizer = train_tokenizer()
    model = nano.create_model(NANO, tokenizer, 0)
    model, curve = fit.sft(
        model,
        tokenizer,
        tokenization.sft_rows(tokenizer, ROWS, settings.loss_on),
        settings,
        checkpoints=folder / "checkpoints",
        on_log=on_log,
    )
    model_folder.save(model, tokenizer, model_folder.ModelInfo(BASE, 0, settings.prompt), folder / "model")
    return folder / "model", curve


def trained_dpo(start, folder, on_log=ignore, train=TRAIN, **changes):
    settings = config.DpoConfig(train=train, **changes)
    model, curve = fit.dpo(
        model_folder.load_model(start, trainable=True),
        model_folder.load_tokenizer(start),
        tokenization.dpo_rows(model_folder.load_tokenizer(start), PAIRS),
        settings,
        checkpoints=folder / "checkpoints",
        on_log=on_log,
    )
    model_folder.save(model, model_folder.load_tokenizer(start), model_folder.read_info(start), folder / "model")
    return folder / "model", curve


@pytest.mark.parametrize(
    "how",
    [
        *({}, {"loss_on": "sequence"}, {"packing": True}, {"lora": config.LoraConfig(r=4, dropout=0.1)}),
        *({"train": FROZEN_EMBEDDINGS}, {"train": UNUSED_EMBEDDINGS}),
    ],
)
def test_a_killed_sft_resumes_to_the_same_weights_and_curve(tmp_path, how):
    whole, curve = trained_sft(tmp_path / "whole", **how)
    with pytest.raises(Killed):
        trained_sft(tmp_path / "killed", kill_at(5), **how)
    (tmp_path / "killed" / "checkpoints" / "checkpoint-6").mkdir()  # torn: killed while saving
    again, resumed = trained_sft(tmp_path / "killed", **how)
    assert weights(again) == weights(whole)
    assert fit.curve_csv(resumed) == fit.curve_csv(curve)
    assert [row["step"] for row in curve] == [1, 2, 3, 4, 5, 6]
    assert curve[-1]["loss"] < curve[0]["loss"]


@pytest.mark.parametrize("steps", [1, 4, 5])
def test_the_last_step_is_a_point_of_the_curve(tmp_path, steps):
    train = TRAIN.model_copy(update={"max_steps": steps, "log_steps": 3, "save_steps": 3})
    _, curve = trained_sft(tmp_path, train=train)
    assert [row["step"] for row in curve] == sorted({1, *range(3, steps + 1, 3), steps})


def test_a_training_that_diverges_is_an_error_when_it_is_resumed_too(tmp_path):
    diverges = TRAIN.model_copy(update={"learning_rate": 1e30})
    for _ in range(2):
        with pytest.raises(UserError, match=r"sft: (loss|grad_norm) is nan at step [23]: the training diverges; lower train"):
            trained_sft(tmp_path, train=diverges)


def test_frozen_embeddings_stay_in_both_steps_and_all_other_weights_move(tmp_path):
    tokenizer = train_tokenizer()
    before = nano.create_model(NANO, tokenizer, 0).state_dict()
    start, _ = trained_sft(tmp_path / "sft", train=FROZEN_EMBEDDINGS)
    after, _ = trained_dpo(start, tmp_path / "dpo", train=FROZEN_EMBEDDINGS, sft_weight=0.5)
    for folder in (start, after):
        weights_now = model_folder.load_model(folder).state_dict()
        stay = {name for name, value in weights_now.items() if torch.equal(value, before[name])}
        assert stay == {"model.embed_tokens.weight", "lm_head.weight"}


@pytest.mark.parametrize("tied", [True, False])
def test_embeddings_of_unused_tokens_stay_in_both_steps_and_those_of_used_ones_move(tmp_path, monkeypatch, tied):
    tokenizer = train_tokenizer()
    create = nano.create_model

    def create_model(*arguments):
        model = create(*arguments)
        if not tied:
            model.config.tie_word_embeddings = False
            model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.detach().clone())
        return model

    monkeypatch.setattr(nano, "create_model", create_model)
    before = nano.create_model(NANO, tokenizer, 0).state_dict()
    start, _ = trained_sft(tmp_path / "sft", train=UNUSED_EMBEDDINGS)
    after, _ = trained_dpo(start, tmp_path / "dpo", train=UNUSED_EMBEDDINGS, sft_weight=0.5)
    texts = [row["prompt"] + answer for row in PAIRS for answer in (row["chosen"], row["rejected"])]
    used = {number for text in texts for number in tokenizer(text)["input_ids"]}
    used |= {number for row in ROWS for number in tokenizer(row["prompt"] + row["completion"])["input_ids"]}
    used.add(tokenizer.eos_token_id)
    for folder in (start, after):
        weights_now = model_folder.load_model(folder).state_dict()
        for name in ("model.embed_tokens.weight", "lm_head.weight"):
            moved = (weights_now[name] != before[name]).any(dim=1).nonzero().flatten().tolist()
            assert moved
            assert set(moved) <= used
    if tied:
        assert len(moved) > 20


def test_the_embeddings_of_unused_tokens_move_where_nothing_is_frozen(tmp_path):
    before = nano.create_model(NANO, train_tokenizer(), 0).state_dict()
    start, _ = trained_sft(tmp_path)
    moved = (model_folder.load_model(start).state_dict()["lm_head.weight"] != before["lm_head.weight"]).any(dim=1)
    assert moved.all()


@pytest.mark.parametrize("lora", [None, config.LoraConfig(r=4, dropout=0.0)])
def test_a_killed_dpo_resumes_to_the_same_weights_and_prefers_the_chosen(tmp_path, lora):
    start, _ = trained_sft(tmp_path / "sft", lora=lora)
    whole, curve = trained_dpo(start, tmp_path / "whole", sft_weight=0.5)
    with pytest.raises(Killed):
        trained_dpo(start, tmp_path / "killed", kill_at(5), sft_weight=0.5)
    again, resumed = trained_dpo(start, tmp_path / "killed", sft_weight=0.5)
    assert weights(again) == weights(whole)
    assert weights(whole) != weights(start)
    assert fit.curve_csv(resumed) == fit.curve_csv(curve)
    assert curve[-1]["rewards/margins"] > 0
    if lora:  # nor does it count the reference's copy of the adapter
        loaded = [model_folder.load_model(folder, trainable=True) for folder in (start, again)]
        assert model_folder.count_parameters(loaded[0]) == model_folder.count_parameters(loaded[1])
    assert curve[0]["logps/chosen_change"] == pytest.approx(0, abs=1e-4)  # before the first step it is the model it starts from
    assert curve[-1]["logps/chosen_change"] == pytest.approx(curve[-1]["rewards/chosen"] / 0.1)
    rejected = len(train_tokenizer()(" SELECT name FROM pet")["input_ids"]) + 1  # and EOS
    assert [row["lengths/rejected"] for row in curve] == [rejected] * 6


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.4])
def test_the_sigmoid_loss_with_label_smoothing_is_that_of_cdpo(tmp_path, smoothing):
    start, _ = trained_sft(tmp_path / "sft")
    one_pair_a_step = TRAIN.model_copy(update={"batch_size": 1, "learning_rate": 3e-2})
    _, curve = trained_dpo(start, tmp_path / "dpo", train=one_pair_a_step, label_smoothing=smoothing)
    margins = torch.tensor([row["rewards/margins"] for row in curve])
    expected = -(1 - smoothing) * torch.nn.functional.logsigmoid(margins) - smoothing * torch.nn.functional.logsigmoid(-margins)
    assert [row["loss"] for row in curve] == pytest.approx(expected.tolist(), rel=1e-4)
    assert margins.abs().max() > 0.5  # else all of them would be alike


@pytest.mark.parametrize("loss", ["ipo", "apo_zero", "robust", "hinge"])
def test_every_loss_of_the_config_trains(tmp_path, loss):
    start, _ = trained_sft(tmp_path / "sft")
    smoothing = 0.1 if loss == "robust" else 0.0
    _, curve = trained_dpo(start, tmp_path / "dpo", loss=loss, label_smoothing=smoothing)
    assert curve[-1]["step"] == 6


def test_a_lora_folder_is_an_adapter_and_merges_into_whole_weights(tmp_path):
    folder, _ = trained_sft(tmp_path, lora=config.LoraConfig(r=4))
    assert (folder / "adapter_config.json").is_file()
    assert not (folder / "model.safetensors").exists()
    merged = model_folder.merge_adapter(folder, tmp_path / "merged")
    assert (merged / "model.safetensors").is_file()
    prompts = [row["prompt"] for row in ROWS]
    # sampled: the greedy answers of a nano model that has hardly been trained are the same with and without the adapter
    answers = [
        generate.TransformersGenerator(model, model_folder.load_tokenizer(folder), 8).generate(
            prompts, n=2, temperature=1.0, top_p=1.0, max_tokens=8, seed=0
        )
        for model in (model_folder.load_model(folder), model_folder.load_model(merged), model_folder.load_base(folder))
    ]
    assert answers[0] == answers[1] != answers[2]
    full, _ = trained_sft(tmp_path / "full")
    assert model_folder.merge_adapter(full, tmp_path / "unused") == full


def test_the_base_of_a_nano_model_is_made_again_from_its_seed(tmp_path):
    folder, _ = trained_sft(tmp_path)
    base, fresh = model_folder.load_base(folder), nano.create_model(NANO, train_tokenizer(), 0)
    assert all((one == two).all() for one, two in zip(base.state_dict().values(), fresh.state_dict().values(), strict=True))
    assert model_folder.read_info(folder).base == BASE


def test_sampling_is_seeded_and_in_the_order_asked(tmp_path):
    folder, _ = trained_sft(tmp_path)
    generator = generate.TransformersGenerator(model_folder.load_model(folder), model_folder.load_tokenizer(folder), 4)
    prompts = [row["prompt"] for row in ROWS[:6]] + ["x" * 50]

    def ask(seed):
        return generator.generate(prompts, n=3, temperature=1.0, top_p=0.9, max_tokens=6, seed=seed)

    first = ask(1)
    assert [len(answers) for answers in first] == [3] * 7
    assert first == ask(1)
    assert first != ask(2)


def test_a_batch_has_no_more_completions_than_allowed_but_one_prompt(tmp_path, monkeypatch):
    folder, _ = trained_sft(tmp_path)
    generator = generate.load_generator(folder, 4, completions=4)
    sizes = []
    generate_batch = generate.TransformersGenerator._generate_batch

    def counted(self, prompts, *rest):
        sizes.append(len(prompts))
        return generate_batch(self, prompts, *rest)

    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)  # other processes would count for themselves
    monkeypatch.setattr(generate.TransformersGenerator, "_generate_batch", counted)

    def batches(n):
        sizes.clear()
        answers = generator.generate(["x"] * 5, n=n, temperature=1.0, top_p=1.0, max_tokens=2, seed=0)
        assert [len(of_prompt) for of_prompt in answers] == [n] * 5
        return list(sizes)

    assert batches(1) == [4, 1]
    assert batches(2) == [2, 2, 1]
    assert batches(5) == [1, 1, 1, 1, 1]


def test_what_is_no_model_folder_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"no sense\.json"):
        model_folder.read_info(tmp_path)
    with pytest.raises(InputError, match="nowhere: no such folder"):
        model_folder.load_pretrained(config.ModelConfig(name=str(tmp_path / "nowhere")))


def test_the_prompt_bears_no_loss_and_the_end_mark_does():
    tokenizer = train_tokenizer()
    (row,) = tokenization.sft_rows(tokenizer, ROWS[:1], "completion")
    assert tokenizer.decode(row["input_ids"]) == ROWS[0]["prompt"] + ROWS[0]["completion"] + "</s>"
    assert tokenizer.decode([label for label in row["labels"] if label != -100]) == ROWS[0]["completion"] + "</s>"
    (row,) = tokenization.sft_rows(tokenizer, ROWS[:1], "sequence")
    assert row["labels"] == row["input_ids"]
    assert tokenization.sft_rows(tokenizer, [], "completion") == []


@pytest.mark.skipif(torch.cuda.is_available(), reason="is about processors")
def test_on_a_cpu_the_loss_takes_a_large_vocabulary_in_small_parts(tmp_path, monkeypatch):
    whole, parts = fit.trl_utils._ChunkedLogProbFunction, []

    def apply(*arguments):
        (part,) = (value for value in arguments if type(value) is int)
        parts.append(part)
        return whole.apply(*arguments)

    monkeypatch.setattr(fit.trl_utils, "_ChunkedLogProbFunction", SimpleNamespace(apply=apply))
    trained_sft(tmp_path / "sft")
    assert set(parts) == {4096}


def test_a_pretrained_base_is_loaded_tuned_by_lora_and_found_again(tmp_path):
    """The path of the 7B profiles, on a base that lies in a folder instead of a hub."""
    base, _ = trained_sft(tmp_path / "base")
    start = config.ModelConfig(name=str(base))
    model, tokenizer = model_folder.load_pretrained(start)
    assert tokenizer.padding_side == "left"
    settings = config.SftConfig(model=start, train=TRAIN, lora=config.LoraConfig(r=4))
    rows = tokenization.sft_rows(tokenizer, ROWS, settings.loss_on)
    model, _ = fit.sft(model, tokenizer, rows, settings, checkpoints=tmp_path / "checkpoints", on_log=ignore)
    model_folder.save(model, tokenizer, model_folder.ModelInfo(start, 0, settings.prompt), tmp_path / "adapter")
    again, whole = model_folder.load_base(tmp_path / "adapter"), model_folder.load_model(base)
    assert all((one == two).all() for one, two in zip(again.state_dict().values(), whole.state_dict().values(), strict=True))
    assert model_folder.merge_adapter(tmp_path / "adapter", tmp_path / "merged") == tmp_path / "merged"
    assert weights(tmp_path / "merged") != weights(base)


def test_the_tokens_of_a_training_are_counted_without_padding_and_for_each_try(tmp_path):
    tokenizer = train_tokenizer()
    lengths = [len(row["input_ids"]) for row in tokenization.sft_rows(tokenizer, ROWS, "completion")]
    once = TRAIN.model_copy(update={"max_steps": None, "epochs": 1.0})
    with meter.measure(tmp_path / "sft-cost"):
        trained_sft(tmp_path / "sft", train=once)
    assert meter.total(tmp_path / "sft-cost").tokens == {"trained": sum(lengths)}
    for kill in (kill_at(3), ignore):
        with suppress(Killed), meter.measure(tmp_path / "killed-cost"):
            trained_sft(tmp_path / "killed", on_log=kill, train=once)
    tokens = meter.total(tmp_path / "killed-cost").tokens["trained"]
    assert sum(lengths) < tokens < 2 * sum(lengths)  # the step after the last checkpoint was taken twice
    with meter.measure(tmp_path / "dpo-cost"):
        trained_dpo(tmp_path / "sft" / "model", tmp_path / "dpo")
    assert meter.total(tmp_path / "dpo-cost").tokens["trained"] > 0


def test_one_process_trains_on_one_gpu_of_several(tmp_path):
    arguments = SFTConfig(**fit.training_arguments(TRAIN, 0, tmp_path))
    arguments._n_gpu = 4
    assert sharding.complete(arguments).train_batch_size == TRAIN.batch_size


def test_generated_tokens_are_counted_up_to_their_end_mark():
    completions = [[5, 6, 2, 2], [5, 6, 7, 8], [2, 2, 2, 2]]
    assert generate._count_tokens(completions, 2) == 3 + 4 + 1


@pytest.mark.parametrize(
    ("model", "train", "message"),
    [
        (SimpleNamespace(peft_config={}), TRAIN, "a LoRA adapter's are few"),
        (SimpleNamespace(), UNUSED_EMBEDDINGS, "unused needs whole weights"),
        (torch.nn.Dropout(0.1), TRAIN, "set train.gradient_checkpointing to false"),
    ],
)
def test_what_cannot_be_divided_is_refused(model, train, message):
    state = SimpleNamespace(fsdp_plugin=SimpleNamespace(activation_checkpointing=True))
    trainer = SimpleNamespace(is_fsdp_enabled=True, model=model, accelerator=SimpleNamespace(state=state))
    with pytest.raises(UserError, match=message):
        sharding.check(trainer, train)
    trainer.is_fsdp_enabled = False
    sharding.check(trainer, train)
