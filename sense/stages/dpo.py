"""The second step, on the SFT model: preference learning from executed pairs, or another method that uses the verdicts.

`dpo` is cDPO, which is DPO with label smoothing (paper, 3.3). `rft` is SFT on right samples. `grpo` samples while it trains, and
rewards what is right. All read and write the same files.
"""

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import compress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sense import console, manifest, prompts, records
from sense.config import DpoConfig, PromptConfig, SftConfig, is_main_process, processes
from sense.errors import InputError, UserError
from sense.prompts.dataset import database_keys, question_prompts
from sense.records import Example, Pair
from sense.sql.execute import Executor
from sense.stages import rejection_sampling
from sense.stages.execution_reward import ExecutionReward
from sense.stages.pairs import UNEXECUTED, samples_by_question

if TYPE_CHECKING:
    from sense.training.model_folder import ModelInfo

Config = DpoConfig

WITHOUT_EFFECT = {"grpo": {"execution": {"workers": True}}}

_CHANGE = "logps/chosen_change"  # in the curve: nats of a chosen answer above the SFT model's, in the mean

_Curve = Sequence[Mapping[str, float]]
_OnLog = Callable[[int, dict[str, float]], None]


@dataclass(frozen=True)
class Inputs:
    """The SFT model, the preference pairs, the samples with their verdicts, and the dataset folder with their questions.

    `strong` and `seed` are the dataset folders that SFT was on, which RFT can rehearse.
    """

    sft: Path
    pairs: Path
    samples: Path
    unseen: Path
    strong: Path
    seed: Path


@dataclass(frozen=True)
class Outputs:
    """The SENSE model, its training curve (CSV) and the metrics."""

    model: Path
    curve: Path
    metrics: Path


@dataclass(frozen=True)
class _Training:
    """What a method trains on, and how.

    `example_ids` are those of the questions in it, `rehearsed` the dataset folders whose examples are in it too, `counts` belongs
    to the metrics. `train` takes the model, the folder for checkpoints and what each point of the curve is passed to; `outcome`
    gives the metrics that the curve shows.
    """

    example_ids: Collection[str]
    counts: Mapping[str, Any]
    train: Callable[[Any, Path, _OnLog], tuple[Any, list[dict[str, float]]]]
    outcome: Callable[[_Curve], Mapping[str, Any]]
    rehearsed: Sequence[Path] = ()


def run(config: DpoConfig, inputs: Inputs, outputs: Outputs) -> dict[str, Any]:
    """Trains; returns the method, what it trained on, steps, loss, what the curve shows, and what was dropped by reason."""
    from sense import tracking
    from sense.training import averaging, checks, fit, model_folder

    if config.method == "dpo" and config.label_smoothing == "auto":
        config = config.model_copy(update={"label_smoothing": _measured_smoothing(inputs.unseen)})
    info = model_folder.read_info(inputs.sft)
    sft_model = model_folder.load_model(inputs.sft, trainable=True, dtype=model_folder.TRAINING_DTYPE)
    checks.check_max_length(sft_model, config.train.max_length, str(inputs.sft))
    if hasattr(sft_model, "peft_config"):
        _check_adapter(config, inputs.sft)
    tokenizer = model_folder.load_tokenizer(inputs.sft)
    examples = records.read_dataset(inputs.unseen)
    training = _METHODS[config.method](config, inputs, info, tokenizer, examples)
    with tracking.training_run("dpo", config.model_dump(mode="json"), outputs.metrics.with_name("mlflow.json")) as tracked_run:
        model, curve = training.train(sft_model, outputs.model.with_name("checkpoints"), tracked_run.log)
        if is_main_process():
            averaging.move_towards(model, inputs.sft, config.average_with_sft)
            recipe = {**info.recipe, "dpo": config.model_dump(mode="json")}
            trained_on = [(folder, records.read_dataset(folder)) for folder in training.rehearsed]
            trained_on.append((inputs.unseen, [example for example in examples if example.id in training.example_ids]))
            keys = {key for folder, rows in trained_on for key in database_keys(folder, rows).values()}
            databases = None if info.databases is None else info.databases | keys
            model_folder.save(model, tokenizer, replace(info, recipe=recipe, databases=databases), outputs.model)
            records.write_text(outputs.curve, fit.curve_csv(curve))
        metrics = {
            "model": info.base.name or "nano",
            "method": config.method,
            **training.counts,
            **model_folder.count_parameters(model),
            "steps": int(curve[-1]["step"]),
            "loss": curve[-1]["loss"],
            **training.outcome(curve),
        }
        tracked_run.finish(metrics)
    return metrics


def _preference(config: DpoConfig, inputs: Inputs, info: "ModelInfo", tokenizer: Any, examples: Sequence[Example]) -> _Training:
    """DPO on the pairs; InputError if a pair belongs to no question of the dataset, or none is short enough."""
    from sense.training import fit, tokenization

    pairs = _read_pairs(inputs.pairs)
    tokenized = tokenization.dpo_rows(tokenizer, _pair_rows(inputs, pairs, examples, info.prompt))
    lengths = [len(row["prompt_ids"]) + max(len(row["chosen_ids"]), len(row["rejected_ids"])) for row in tokenized]
    fits = [length <= config.train.max_length for length in lengths]
    fitting, fitting_pairs = list(compress(tokenized, fits)), list(compress(pairs, fits))
    if not fitting:
        raise InputError(f"{inputs.pairs}: no pair fits into dpo.train.max_length = {config.train.max_length} tokens; raise it")

    def train(model: Any, checkpoints: Path, log: _OnLog) -> tuple[Any, list[dict[str, float]]]:
        return fit.dpo(model, tokenizer, fitting, config, checkpoints=checkpoints, on_log=_watch(config, log))

    counts = {
        "pairs": len(fitting),
        "label_smoothing": config.label_smoothing if config.loss in ("sigmoid", "robust") else 0.0,
        "dropped": {"longer than max_length": len(pairs) - len(fitting)},
        "tokens": {side: sum(len(row[f"{side}_ids"]) for row in fitting) / len(fitting) for side in ("chosen", "rejected")},
        "rejected_runs": sum(pair.error not in UNEXECUTED for pair in fitting_pairs) / len(fitting_pairs),
    }
    return _Training({pair.example_id for pair in pairs}, counts, train, partial(_log_probabilities, config))


def _rejection_sampling(
    config: DpoConfig, inputs: Inputs, info: "ModelInfo", tokenizer: Any, examples: Sequence[Example]
) -> _Training:
    """SFT on the right samples, and on what the SFT was on if asked for; InputError if there is no right answer to train on."""
    from sense.stages import sft_rows
    from sense.training import fit

    rft = config.rft
    settings = SftConfig(
        seed=config.seed,
        model=info.base,
        prompt=info.prompt,
        train=config.train,
        loss_on=rft.loss_on,
        questions_per_sequence=rft.questions_per_sequence,
    )
    answers, dropped, samples = rejection_sampling.select(rft, examples, samples_by_question(inputs.samples, list(examples)))
    rows = list(sft_rows.rows(inputs.unseen, answers, settings))
    rehearsed = {name: getattr(inputs, name) for name in rft.data.split("+")[1:]}
    for name, folder in rehearsed.items():
        again = [example.model_copy(update={"source": name}) for example in records.read_dataset(folder)]
        rows += sft_rows.rows(folder, again, settings)
    fitting, tokenized = sft_rows.tokenize(tokenizer, rows, settings)
    sources = Counter(row["source"] for row in fitting)
    if not sources["sample"] + sources["gold"]:
        if answers:
            raise InputError(
                f"{inputs.samples}: all {len(answers)} answers to train on are longer than dpo.train.max_length = "
                f"{config.train.max_length} tokens with their prompts; raise it"
            )
        raise InputError(
            f"{inputs.samples}: no right answer to train on (questions left out: {dict(dropped)}); sample more, or set "
            "dpo.rft.gold: true or dpo.rft.questions: all"
        )

    def train(model: Any, checkpoints: Path, log: _OnLog) -> tuple[Any, list[dict[str, float]]]:
        return fit.sft(model, tokenizer, tokenized, settings, checkpoints=checkpoints, on_log=log, label="rft")

    ids = {row["id"] for row in fitting if row["source"] not in rehearsed}
    counts = {
        "examples": len(ids),
        "rows": len(fitting),
        "answers": {source: sources[source] for source in ("sample", "gold")},
        "rehearsed": {name: sources[name] for name in ("strong", "seed")},
        "dropped": {"longer than max_length": len(rows) - len(fitting), **dict(sorted(dropped.items()))},
        "samples_left_out": {reason: n for reason, n in sorted(samples.items()) if n},
    }
    return _Training(ids, counts, train, lambda _: {}, list(rehearsed.values()))


def _reinforcement(
    config: DpoConfig, inputs: Inputs, info: "ModelInfo", tokenizer: Any, examples: Sequence[Example]
) -> _Training:
    """GRPO on the questions of the pairs; UserError if a step has no whole groups, InputError if no prompt is short enough."""
    from sense.training import grpo, tokenization

    settings, train_config = config.grpo, config.train
    answers = train_config.batch_size * train_config.accumulation * processes()
    if answers % settings.num_generations:
        raise UserError(
            f"dpo.train: batch_size x accumulation x processes = {answers} answers in a step, which is no multiple of "
            f"dpo.grpo.num_generations = {settings.num_generations}; change one of them"
        )
    pairs = _read_pairs(inputs.pairs)
    _check_questions(inputs, pairs, examples)
    ids = {pair.example_id for pair in pairs}
    asked = [example for example in examples if example.id in ids]
    texts = question_prompts(inputs.unseen, asked, info.prompt)
    room = train_config.max_length - settings.max_completion_length
    fits = [len(tokens) <= room for tokens in tokenization.prompt_tokens(tokenizer, texts)]
    fitting = {example.id: example for example in compress(asked, fits)}
    if not fitting:
        raise InputError(
            f"{inputs.pairs}: no question fits into train.max_length = {train_config.max_length} tokens with an answer of "
            f"dpo.grpo.max_completion_length = {settings.max_completion_length}; raise the one or lower the other"
        )
    rows = [{"example_id": name, "prompt": text} for name, text in zip(fitting, compress(texts, fits), strict=True)]

    def train(model: Any, checkpoints: Path, log: _OnLog) -> tuple[Any, list[dict[str, float]]]:
        with Executor(settings.execution) as executor:
            reward = ExecutionReward(executor, inputs.unseen, fitting)
            return grpo.train(model, tokenizer, rows, reward, config, checkpoints=checkpoints, on_log=log)

    counts = {"examples": len(rows), "dropped": {"longer than max_length": len(asked) - len(rows)}}
    return _Training(set(fitting), counts, train, _rewards)


def _read_pairs(file: Path) -> list[Pair]:
    """The pairs; InputError if there is none."""
    pairs = records.read_rows(file, Pair)
    if not pairs:
        raise InputError(
            f"{file}: holds no pair: no question has a right and a wrong answer; sample more questions, or at a "
            "higher temperature"
        )
    return pairs


_METHODS = {"dpo": _preference, "rft": _rejection_sampling, "grpo": _reinforcement}


def _rewards(curve: _Curve) -> dict[str, Any]:
    """The mean reward at the first and the last point of the curve, the KL divergence at the last, and what was learnt from.

    That is the share of the answers in groups that did not all earn the same.
    """
    divergences = [point["kl"] for point in curve if "kl" in point]
    kl = {"kl": divergences[-1]} if divergences else {}
    shares = [point["completions/learnt_from"] for point in curve]
    return {
        "reward": {"first": curve[0]["reward"], "last": curve[-1]["reward"]},
        **kl,
        "learnt_from": sum(shares) / len(shares),
    }


def _watch(config: DpoConfig, log: _OnLog) -> _OnLog:
    """`log`, which also warns, once, when the chosen answers have become less likely than the configuration allows."""
    warned = False

    def log_and_warn(step: int, values: dict[str, float]) -> None:
        nonlocal warned
        log(step, values)
        if not warned and values[_CHANGE] < -config.max_chosen_drop:
            warned = True
            console.say(
                f"dpo: at step {step} the chosen answers have lost {-values[_CHANGE]:.2f} nats of log-probability, more than "
                f"dpo.max_chosen_drop = {config.max_chosen_drop:g}: the model unlearns right answers. Raise dpo.sft_weight or "
                "dpo.beta, or lower dpo.train.learning_rate"
            )

    return log_and_warn


def _log_probabilities(config: DpoConfig, curve: _Curve) -> dict[str, Any]:
    """The rewards and the log-probabilities (nats) of the answers at the last point of the curve.

    `chosen_lowest` is the lowest change of the chosen answers' in the whole curve.
    """
    last, lowest = curve[-1], min(point[_CHANGE] for point in curve)
    return {
        **{name.replace("/", "_"): value for name, value in sorted(last.items()) if name.startswith("rewards/")},
        "logps": {
            "chosen": last["logps/chosen"],
            "rejected": last["logps/rejected"],
            "chosen_change": last[_CHANGE],
            "chosen_lowest": lowest,
        },
        "chosen_dropped": lowest < -config.max_chosen_drop,
    }


def _measured_smoothing(dataset: Path) -> float:
    """The false-right rate in the manifest of a dataset; UserError if nobody measured it, or it is too high to learn from."""
    false_right = manifest.read_manifest(dataset).false_right
    file = dataset / manifest.FILE
    if false_right is None or false_right.mutants == 0:
        raise UserError(
            f"{file}: no false_right, which dpo.label_smoothing: auto takes; run synthesize, which measures it, or give a number"
        )
    if false_right.rate >= 0.5:
        raise UserError(
            f"{file}: {false_right.survived} of {false_right.mutants} mutants pass for right, and labels that are as often wrong "
            "teach nothing: build test suites that tell more apart, or give dpo.label_smoothing a number"
        )
    return false_right.rate


def _check_adapter(config: DpoConfig, folder: Path) -> None:
    """UserError for a setting that needs whole weights, where the SFT model in `folder` is a LoRA adapter."""
    instead = "or train whole weights (sft.lora: null)"
    if config.average_with_sft:
        share = f"dpo.average_with_sft = {config.average_with_sft:g}"
        raise UserError(f"{folder} is a LoRA adapter, and {share} averages whole weights; set it to 0, {instead}")
    if config.train.fsdp:
        raise UserError(f"{folder} is a LoRA adapter, and dpo.train.fsdp divides whole weights; set it to false, {instead}")


def _check_questions(inputs: Inputs, pairs: Sequence[Pair], examples: Sequence[Example]) -> None:
    ids = {example.id for example in examples}
    for pair in pairs:
        if pair.example_id not in ids:
            raise InputError(
                f"{inputs.pairs}: the pair {pair.id!r} answers {pair.example_id!r}, which {inputs.unseen} does not hold"
            )


def _pair_rows(inputs: Inputs, pairs: Sequence[Pair], examples: Sequence[Example], prompt: PromptConfig) -> list[dict[str, str]]:
    """Prompt, chosen and rejected of each pair; InputError if a pair belongs to no question of the dataset."""
    _check_questions(inputs, pairs, examples)
    by_id = {example.id: example for example in examples}
    texts = question_prompts(inputs.unseen, [by_id[pair.example_id] for pair in pairs], prompt)
    return [
        {"prompt": text, **{side: prompts.completion(getattr(pair, side), prompt.target) for side in ("chosen", "rejected")}}
        for text, pair in zip(texts, pairs, strict=True)
    ]
