"""The second step on hand-made pairs and samples: what each method trains on, and that all resume."""

import json
from pathlib import Path

import pytest

from sense import config, manifest, records
from sense.errors import InputError, UserError
from sense.prompts.dataset import database_keys
from sense.records import Example, Pair, Sample
from sense.sql.execute import Executor
from sense.stages import dpo, rejection_sampling
from sense.stages.execution_reward import ExecutionReward
from tests.dataset_folder import write_dataset
from tests.pipeline import digests

GOLD = "SELECT name FROM pet"
PETS = "CREATE TABLE pet (name TEXT, age INTEGER); INSERT INTO pet VALUES ('Rex', 5), ('Ada', 2), ('Tom', 3)"
TRAIN = {"max_steps": 1, "batch_size": 1, "max_length": 256, "precision": "fp32", "save_steps": 1, "log_steps": 1}


@pytest.fixture
def inputs(tmp_path: Path) -> dpo.Inputs:
    """A pair and a right sample on a database of one table with three rows; the folder of the SFT model is empty."""
    dataset = write_dataset(tmp_path / "unseen", "pets", PETS, {"q0": ("Which names?", GOLD)})
    pair = Pair(id="q0#pair0", example_id="q0", chosen=GOLD, rejected="SELECT age FROM pet", strategy="all", error="mismatch")
    records.write_jsonl(tmp_path / "pairs.jsonl", [pair])
    records.write_jsonl(tmp_path / "samples.jsonl", [sample("q0", 0, GOLD)])
    strong = write_dataset(
        tmp_path / "strong", "cats", PETS, {"s0": ("Which ages?", "SELECT age FROM pet"), "s1": ("Who?", GOLD)}
    )
    seed = write_dataset(tmp_path / "seed", "dogs", PETS, {"h0": ("Who is 5?", "SELECT name FROM pet WHERE age = 5")})
    (tmp_path / "sft").mkdir()
    return dpo.Inputs(tmp_path / "sft", tmp_path / "pairs.jsonl", tmp_path / "samples.jsonl", dataset, strong, seed)


def sample(question: str, number: int, sql: str, verdict: str = "match") -> Sample:
    values = {"id": f"{question}#{number}", "example_id": question, "sql": sql, "verdict": verdict, "correct": verdict == "match"}
    return Sample.model_validate(values)


def write_sft(inputs: dpo.Inputs, adapter: bool = False) -> None:
    """A nano model of random weights as the SFT model, or a LoRA adapter on one, trained on another database."""
    from sense.training import fit, model_folder, nano, tokenization

    shape = config.NanoConfig(vocabulary=300, hidden=16, layers=1, heads=2, context=512)
    tokenizer = nano.train_tokenizer([GOLD, "SELECT age FROM pet"], shape.vocabulary)
    model = nano.create_model(shape, tokenizer, 0)
    info = model_folder.ModelInfo(config.ModelConfig(nano=shape), 0, config.PromptConfig(), databases=frozenset({"other:0"}))
    if adapter:
        rows = tokenization.sft_rows(tokenizer, [{"prompt": "Which ages?", "completion": " SELECT age FROM pet"}], "completion")
        settings = config.SftConfig(model=info.base, lora=config.LoraConfig(r=4), train=config.TrainConfig(**TRAIN))
        checkpoints = inputs.sft.with_name("checkpoints-of-sft")
        model, _ = fit.sft(model, tokenizer, rows, settings, checkpoints=checkpoints, on_log=lambda *_: None)
    model_folder.save(model, tokenizer, info, inputs.sft)


def write_manifest(folder: Path, counts: tuple[int, int] | None) -> None:
    rate = None if counts is None else manifest.false_right({"easy": counts})
    manifest.write_manifest(folder, stage="synthesize", section={}, revision="0", false_right=rate)


def run(inputs: dpo.Inputs, folder: Path) -> dict:
    settings = config.DpoConfig.model_validate({"label_smoothing": "auto", "train": TRAIN})
    return dpo.run(settings, inputs, dpo.Outputs(folder / "model", folder / "curve", folder / "metrics"))


def test_without_a_manifest_there_is_nothing_to_take_it_from(inputs: dpo.Inputs, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"manifest.json: no such file; the stage that wrote .* writes it: run that again"):
        run(inputs, tmp_path)


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        (None, "manifest.json: no false_right, which dpo.label_smoothing: auto takes; run synthesize"),
        ((0, 0), "manifest.json: no false_right"),
        ((10, 6), "6 of 10 mutants pass for right"),
    ],
)
def test_a_rate_that_says_nothing_is_refused(
    inputs: dpo.Inputs, tmp_path: Path, counts: tuple[int, int] | None, message: str
) -> None:
    write_manifest(inputs.unseen, counts)
    with pytest.raises(UserError, match=message):
        run(inputs, tmp_path)


@pytest.mark.parametrize("method", ["dpo", "grpo"])
def test_no_pairs_are_an_error_of_their_own(inputs: dpo.Inputs, tmp_path: Path, method: str) -> None:
    write_sft(inputs)
    inputs.pairs.write_text("")
    values = {"method": method, "train": TRAIN | {"batch_size": 2}, "grpo": {"num_generations": 2}}
    settings = config.DpoConfig.model_validate(values)
    with pytest.raises(InputError, match=r"pairs.jsonl: holds no pair: no question has a right and a wrong answer"):
        dpo.run(settings, inputs, dpo.Outputs(tmp_path / "model", tmp_path / "curve", tmp_path / "metrics"))


def test_chosen_answers_that_become_less_likely_are_warned_of_once(capsys: pytest.CaptureFixture[str]) -> None:
    points = [(step, {"logps/chosen_change": change}) for step, change in ((1, 0.0), (2, -0.5), (3, -0.75), (4, -2.0))]
    logged = []
    watch = dpo._watch(config.DpoConfig(max_chosen_drop=0.5), lambda step, values: logged.append((step, values)))
    for step, values in points:
        watch(step, values)
    assert logged == points
    message = capsys.readouterr().err
    assert message.count("dpo: ") == 1
    assert "at step 3 the chosen answers have lost 0.75 nats of log-probability, more than dpo.max_chosen_drop = 0.5" in message


@pytest.mark.slow
def test_the_measured_rate_is_trained_with_and_recorded(inputs: dpo.Inputs, tmp_path: Path) -> None:
    from sense.training import model_folder

    write_sft(inputs)
    tokenizer = model_folder.load_tokenizer(inputs.sft)
    write_manifest(inputs.unseen, (40, 3))
    metrics = run(inputs, tmp_path)
    assert metrics["label_smoothing"] == 0.075
    lengths = {"chosen": len(tokenizer(f" {GOLD}")["input_ids"]), "rejected": len(tokenizer(" SELECT age FROM pet")["input_ids"])}
    assert metrics["tokens"] == {answer: length + 1 for answer, length in lengths.items()}  # with EOS
    assert (metrics["rejected_runs"], metrics["chosen_dropped"]) == (1.0, False)
    assert metrics["logps"]["chosen_change"] == metrics["logps"]["chosen_lowest"] == pytest.approx(0, abs=1e-4)
    assert metrics["logps"]["chosen"] < 0
    after = json.loads((tmp_path / "model" / "sense.json").read_text())
    assert after["recipe"]["dpo"]["label_smoothing"] == 0.075
    assert [key.partition(":")[0] for key in after["databases"]] == ["other", "pets"]


# --- the other methods


def examples(n: int) -> list[Example]:
    return [Example(id=f"q{k}", db_id="pets", question="?", sql=GOLD, source="grammar", hardness="easy") for k in range(n)]


def test_rft_takes_distinct_right_samples_and_else_the_gold() -> None:
    by_question = {
        "q0": [
            sample("q0", 0, "SELECT name FROM pet WHERE age > 3"),
            sample("q0", 1, "select name from pet where age > 3"),  # the same query
            sample("q0", 2, "SELECT age FROM pet", "mismatch"),
            sample("q0", 3, "SELECT name FROM pet WHERE age >= 4"),
            sample("q0", 4, "SELECT name FROM pet WHERE 3 < age"),
        ],
        "q1": [sample("q1", 0, "SELECT age FROM pet", "mismatch")],
        "q2": [sample("q2", 0, GOLD, "gold_error")],
    }
    with_gold = rejection_sampling.select(config.RftConfig(plans=2), examples(4), by_question)
    assert [(answer.id, answer.sql, answer.source) for answer in with_gold.answers] == [
        ("q0", "SELECT name FROM pet WHERE age > 3", "sample"),
        ("q0", "SELECT name FROM pet WHERE age >= 4", "sample"),
        ("q1", GOLD, "gold"),
    ]
    assert with_gold.questions == {"gold_error": 1}
    assert {reason: n for reason, n in with_gold.samples.items() if n} == {
        "duplicate": 1,
        "wrong": 2,
        "more than rft.plans": 1,
        "gold_error": 1,
    }
    without = rejection_sampling.select(config.RftConfig(gold=False), examples(4), by_question)
    assert [answer.id for answer in without.answers] == ["q0"] * 3
    assert without.questions == {"gold_error": 1, "no right sample": 1}


def test_rft_on_missed_questions_leaves_out_those_with_right_samples_alone() -> None:
    by_question = {
        "q0": [sample("q0", 0, GOLD), sample("q0", 1, "SELECT name FROM pet WHERE age > 0")],
        "q1": [sample("q1", 0, GOLD), sample("q1", 1, "SELECT age FROM pet", "mismatch")],
        "q2": [sample("q2", 0, "SELECT nam FROM pet", "error")],
    }
    missed = rejection_sampling.select(config.RftConfig(questions="missed"), examples(3), by_question)
    assert [(answer.id, answer.source) for answer in missed.answers] == [("q1", "sample"), ("q2", "gold")]
    assert missed.questions == {"all samples right": 1}


@pytest.mark.parametrize(
    ("answer", "reward"),
    [
        (" SELECT name FROM pet", 1.0),
        (" -- tables: pet columns: name\nSELECT name FROM pet ORDER BY age", 1.0),
        (" SELECT age FROM pet", 0.1),
        (" SELECT 1", 0.0),  # runs and reads no table
        (" SELECT 'Rex' UNION SELECT 'Ada' UNION SELECT 'Tom'", 0.0),  # the result by heart
        (" WITH pet AS (SELECT 1 AS name) SELECT name FROM pet", 0.0),  # a CTE in the place of the table
        (" SELECT name FROM sqlite_master", 0.0),
        (" SELECT nam FROM pet", 0.0),
        (" DROP TABLE pet", 0.0),
        (" DELETE FROM pet; SELECT name FROM pet", 1.0),  # the query is read out of it, as in an evaluation
        (" SELECT load_extension('x') FROM pet", 0.0),
        ("", 0.0),
    ],
)
def test_the_reward_of_an_answer_is_what_its_execution_is_worth(inputs: dpo.Inputs, answer: str, reward: float) -> None:
    database = records.database_path(inputs.unseen, "pets")
    before = records.digest(database)
    with Executor(config.ExecutionConfig(workers=1)) as executor:
        rewards = ExecutionReward(executor, inputs.unseen, {"q0": examples(1)[0]})
        assert rewards(["q0", "q0"], [answer, " SELECT name FROM pet"]) == [reward, 1.0]
    assert records.digest(database) == before


def test_two_empty_results_that_match_are_worth_a_tenth(inputs: dpo.Inputs) -> None:
    empty = examples(1)[0].model_copy(update={"sql": "SELECT name FROM pet WHERE age > 90"})
    with Executor(config.ExecutionConfig(workers=1)) as executor:
        rewards = ExecutionReward(executor, inputs.unseen, {"q0": empty})
        assert rewards(["q0"], [" SELECT name FROM pet WHERE age > 80"]) == [0.1]


METHODS = {
    "dpo": {},
    "rft": {"rft": {"loss_on": "question", "questions_per_sequence": 2}},
    "grpo": {"grpo": {"num_generations": 2, "max_completion_length": 8, "execution": {"workers": 1}}},
}
STEPS = TRAIN | {"max_steps": 4, "batch_size": 2, "learning_rate": 1e-2}


def run_method(method: str, inputs: dpo.Inputs, folder: Path) -> dict:
    settings = config.DpoConfig.model_validate({"method": method, "train": STEPS, **METHODS[method]})
    return dpo.run(settings, inputs, dpo.Outputs(folder / "model", folder / "curve", folder / "metrics"))


class KilledError(Exception):
    pass


@pytest.mark.slow
@pytest.mark.parametrize("adapter", [False, True])
@pytest.mark.parametrize("method", METHODS)
def test_a_killed_method_ends_as_if_undisturbed(
    method: str, adapter: bool, inputs: dpo.Inputs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sense import tracking

    write_sft(inputs, adapter)
    whole = run_method(method, inputs, tmp_path / "whole")
    run_type = type(tracking.training_run("probe", {}, tmp_path / "probe.json"))
    log = run_type.log

    def killed_at_3(self, step, values):
        if step == 3:
            raise KilledError
        log(self, step, values)

    with monkeypatch.context() as patch, pytest.raises(KilledError):
        patch.setattr(run_type, "log", killed_at_3)
        run_method(method, inputs, tmp_path / "killed")
    assert run_method(method, inputs, tmp_path / "killed") == whole
    names = ("model", "curve")
    files = [{name: tmp_path / folder / name for name in names} for folder in ("whole", "killed")]
    assert digests(files[0]) == digests(files[1])
    assert (whole["method"], whole["steps"]) == (method, 4)
    assert (tmp_path / "whole" / "model" / "adapter_model.safetensors").is_file() == adapter
    assert (whole["trainable"] < whole["parameters"]) == adapter
    weights = "adapter_model.safetensors" if adapter else "model.safetensors"
    is_same = (inputs.sft / weights).read_bytes() == (tmp_path / "whole" / "model" / weights).read_bytes()
    assert is_same == (method == "grpo")  # random weights earn nothing
    recipe = json.loads((tmp_path / "whole" / "model" / "sense.json").read_text())
    assert recipe["recipe"]["dpo"]["method"] == method
    assert [key.partition(":")[0] for key in recipe["databases"]] == ["other", "pets"]


@pytest.mark.slow
def test_rft_and_grpo_say_what_they_trained_on(inputs: dpo.Inputs, tmp_path: Path) -> None:
    write_sft(inputs)
    rft = run_method("rft", inputs, tmp_path / "rft")
    assert (rft["examples"], rft["rows"], rft["answers"]) == (1, 1, {"sample": 1, "gold": 0})
    assert rft["rehearsed"] == {"strong": 0, "seed": 0}
    grpo = run_method("grpo", inputs, tmp_path / "grpo")
    assert (grpo["examples"], grpo["dropped"]) == (1, {"longer than max_length": 0})
    assert grpo["reward"] == {"first": 0.0, "last": 0.0}  # random weights write no SQL
    assert grpo["learnt_from"] == 0.0


@pytest.mark.slow
@pytest.mark.parametrize(("data", "seeds"), [("samples+strong", 0), ("samples+strong+seed", 1)])
def test_rft_rehearses_what_the_sft_was_on(
    data: str, seeds: int, inputs: dpo.Inputs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sense.training import fit

    write_sft(inputs)
    trained_on = []
    sft = fit.sft
    monkeypatch.setattr(fit, "sft", lambda *args, **options: trained_on.append(args[2]) or sft(*args, **options))
    monkeypatch.setitem(METHODS, "rft", {"rft": METHODS["rft"]["rft"] | {"data": data}})
    metrics = run_method("rft", inputs, tmp_path / "rft")
    assert (metrics["examples"], metrics["rows"], metrics["answers"]) == (1, 3 + seeds, {"sample": 1, "gold": 0})
    assert metrics["rehearsed"] == {"strong": 2, "seed": seeds}
    assert [max(sequence["segments"]) for sequence in trained_on[0]] == [1, 2, 1][: 2 + seeds]  # each database has its sequence
    expected = databases_of(inputs.unseen, inputs.strong, *([inputs.seed] * seeds))
    assert json.loads((tmp_path / "rft" / "model" / "sense.json").read_text())["databases"] == expected


def databases_of(*datasets: Path) -> list[str]:
    """What a model was trained on: what SFT was, and the questions of the datasets."""
    keys = {key for folder in datasets for key in database_keys(folder, records.read_dataset(folder)).values()}
    return sorted({"other:0", *keys})


@pytest.mark.slow
def test_the_average_with_the_sft_model(inputs: dpo.Inputs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from safetensors.torch import load_file

    write_sft(inputs)
    run_method("rft", inputs, tmp_path / "whole")
    monkeypatch.setitem(METHODS, "rft", METHODS["rft"] | {"average_with_sft": 0.25})
    run_method("rft", inputs, tmp_path / "averaged")
    folders = (inputs.sft, tmp_path / "whole" / "model", tmp_path / "averaged" / "model")
    before, after, averaged = (load_file(folder / "model.safetensors") for folder in folders)
    assert any((before[name] != after[name]).any() for name in after)
    for name, weight in averaged.items():
        assert (weight - (0.25 * before[name] + 0.75 * after[name])).abs().max() < 1e-6


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"average_with_sft": 0.25}, r"dpo\.average_with_sft = 0\.25 averages whole weights; set it to 0, or train"),
        ({"train": STEPS | {"fsdp": True}}, r"dpo\.train\.fsdp divides whole weights; set it to false, or train"),
    ],
)
def test_an_adapter_is_neither_averaged_nor_divided(
    changes: dict[str, object], message: str, inputs: dpo.Inputs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_sft(inputs, adapter=True)
    monkeypatch.setitem(METHODS, "rft", METHODS["rft"] | changes)
    with pytest.raises(UserError, match=f"sft is a LoRA adapter, and {message}"):
        run_method("rft", inputs, tmp_path / "refused")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"method": "grpo", "grpo": {"num_generations": 4}}, UserError, "1 answers in a step, which is no multiple of dpo.grpo"),
        (
            {"method": "grpo", "grpo": {"num_generations": 2}, "train": STEPS},
            InputError,
            "no question fits into train.max_length = 256 tokens with an answer of dpo.grpo.max_completion_length = 256",
        ),
        ({"method": "rft", "train": STEPS | {"max_length": 4}}, InputError, "all 1 answers to train on are longer than"),
    ],
)
def test_settings_that_leave_nothing_to_train_on_are_refused(
    inputs: dpo.Inputs, tmp_path: Path, changes: dict, error: type[UserError], message: str
) -> None:
    write_sft(inputs)
    settings = config.DpoConfig.model_validate({"train": TRAIN, **changes})
    with pytest.raises(error, match=message):
        dpo.run(settings, inputs, dpo.Outputs(tmp_path / "model", tmp_path / "curve", tmp_path / "metrics"))
