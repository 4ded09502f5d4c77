"""Execution accuracy (EX) of base, SFT and SENSE: greedy, on the same questions, with intervals and McNemar's tests.

EX counts what is right on the main database, under strict@2; where further ones lie beside it, TS counts what is right on all.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sense import console, records
from sense.config import EvaluateConfig
from sense.decontamination import report as decontamination
from sense.errors import InputError
from sense.evaluation.score import ScoringItem, score
from sense.prompts import answer_sql
from sense.prompts.dataset import question_prompts
from sense.records import HARDNESS, Example, Prediction, Verdict
from sense.sql import modes
from sense.sql.execute import Executor
from sense.sql.hardness import BANDS, complexity
from sense.stages import long_prompts

Config = EvaluateConfig

MODELS = ("base", "sft", "sense")


@dataclass(frozen=True)
class Inputs:
    """The two model folders, and the dev sets: human-written `dev`, synthetic `heldout` on databases no model has seen.

    `decontamination` is the report that the training data `strong`, `unseen` and `seed` have nothing in common with them.
    """

    sft: Path
    sense: Path
    dev: Path
    heldout: Path
    strong: Path
    unseen: Path
    seed: Path
    decontamination: Path


@dataclass(frozen=True)
class Outputs:
    """A folder of `<set>.examples.jsonl`, `<set>.<model>.predictions.jsonl` and `.verdicts.jsonl`, and the metrics."""

    predictions: Path
    metrics: Path


@dataclass(frozen=True)
class DevSet:
    """The questions asked of a dataset folder."""

    name: str
    folder: Path
    examples: list[Example]


def run(config: EvaluateConfig, inputs: Inputs, outputs: Outputs) -> dict[str, Any]:
    """Scores every model on every set.

    Returns, for each set and model: n, EX with its interval, EX by hardness and complexity, TS too if there are test suites,
    counts of verdicts and of questions too long for the model, McNemar's test on EX. Raises UserError if the training data
    were not compared with the sets as they are now.
    """
    training = {"strong": inputs.strong, "unseen": inputs.unseen, "seed": inputs.seed}
    decontamination.check(inputs.decontamination, training, {"dev": inputs.dev, "heldout": inputs.heldout})
    sets = [
        DevSet(name, folder, records.draw(records.read_dataset(folder), config.limit, config.seed))
        for name, folder in (("dev", inputs.dev), ("heldout", inputs.heldout))
    ]
    folders = {"base": inputs.sft, "sft": inputs.sft, "sense": inputs.sense}
    outputs.predictions.mkdir(parents=True, exist_ok=True)
    verdicts: dict[tuple[str, str], list[Verdict]] = {}
    with Executor(config.execution) as executor:
        for dev in sets:
            _check_gold(executor, dev)
            records.write_jsonl(outputs.predictions / f"{dev.name}.examples.jsonl", dev.examples)
        for model in MODELS:
            _predict(model, folders[model], sets, config, outputs.predictions)
            for dev in sets:
                predictions = records.read_rows(outputs.predictions / f"{dev.name}.{model}.predictions.jsonl", Prediction)
                verdicts[dev.name, model] = score_predictions(executor, dev, predictions)
                records.write_jsonl(outputs.predictions / f"{dev.name}.{model}.verdicts.jsonl", verdicts[dev.name, model])
    return {"sets": {dev.name: _metrics(dev, {model: verdicts[dev.name, model] for model in MODELS}, config) for dev in sets}}


def score_predictions(executor: Executor, dev: DevSet, predictions: Sequence[Prediction]) -> list[Verdict]:
    """One verdict for each example, joined by id; InputError names missing and unknown ids.

    Where the question was longer than the model reads, the verdict is `rejected`, with `context` as the limit.
    """
    by_id = {prediction.id: prediction for prediction in predictions}
    ids = {example.id for example in dev.examples}
    missing, unknown = sorted(ids - set(by_id)), sorted(set(by_id) - ids)
    if missing or unknown:
        raise InputError(
            f"{dev.folder}: the predictions do not fit its examples: {len(missing)} ids are missing {missing[:3]}, "
            f"{len(unknown)} are unknown {unknown[:3]}; predict this set again"
        )
    items = [
        ScoringItem(example.id, records.database_path(dev.folder, example.db_id), by_id[example.id].sql, example.sql)
        for example in dev.examples
        if not by_id[example.id].rejected
    ]
    scored = {verdict.id: verdict for verdict in score(executor, items, f"score {dev.name}", modes.STRICT_TS)}
    return [scored.get(example.id) or _rejected(by_id[example.id]) for example in dev.examples]


def _rejected(prediction: Prediction) -> Verdict:
    return Verdict(
        id=prediction.id, correct=False, verdict="rejected", detail=prediction.rejected, limit="context", mode=modes.STRICT_TS
    )


def _check_gold(executor: Executor, dev: DevSet) -> None:
    """Scores the gold as a prediction: a set on which that is not 100% right cannot measure a model."""
    gold_verdicts = score_predictions(executor, dev, [Prediction(id=example.id, sql=example.sql) for example in dev.examples])
    wrong = [verdict for verdict in gold_verdicts if not verdict.correct]
    if wrong:
        first = "\n".join(f"  {verdict.id}: {verdict.verdict} {verdict.detail}" for verdict in wrong[:5])
        raise InputError(
            f"{dev.folder}: {len(wrong)} of {len(gold_verdicts)} gold queries do not score as right against themselves; "
            f"mend or drop them:\n{first}"
        )


def _predict(model: str, folder: Path, sets: Sequence[DevSet], config: EvaluateConfig, target: Path) -> None:
    """Writes the predictions of one model on every set. A file that is there already was written whole and is kept."""
    todo = [dev for dev in sets if not (target / f"{dev.name}.{model}.predictions.jsonl").exists()]
    if not todo:
        return
    from sense.training import model_folder
    from sense.training.generate import load_generator

    generator = load_generator(folder, config.batch_size, base=model == "base")
    with console.bar(f"evaluate {model}", sum(len(dev.examples) for dev in todo)) as bar:
        for dev in todo:
            prompts = question_prompts(dev.folder, dev.examples, model_folder.read_info(folder).prompt)
            label = f"evaluate {model} on {dev.name}"
            rejections = long_prompts.rejections(generator, dev.examples, prompts, config.max_new_tokens, label)
            if all(rejections):
                raise long_prompts.nothing_to_ask(dev.folder, len(dev.examples), rejections[0], "evaluate")
            completions = generator.generate(
                [prompt for prompt, reason in zip(prompts, rejections, strict=True) if not reason],
                n=1,
                temperature=0.0,
                top_p=1.0,
                max_tokens=config.max_new_tokens,
                seed=config.seed,
            )
            answers = iter(completions)
            rows = [
                Prediction(id=example.id, sql="" if reason else answer_sql(next(answers)[0]), rejected=reason)
                for example, reason in zip(dev.examples, rejections, strict=True)
            ]
            records.write_jsonl(target / f"{dev.name}.{model}.predictions.jsonl", rows)
            bar.advance(len(rows))


def _metrics(dev: DevSet, verdicts: Mapping[str, Sequence[Verdict]], config: EvaluateConfig) -> dict[str, Any]:
    from sense.evaluation.statistics import mcnemar

    levels = [example.hardness for example in dev.examples]
    bands = [complexity(example.sql).band for example in dev.examples]
    further = _further_databases(dev)
    models: dict[str, Any] = {}
    before: list[bool] | None = None
    for model, model_verdicts in verdicts.items():
        right = [verdict.ex for verdict in model_verdicts]
        wins, losses, p = (None, None, None) if before is None else mcnemar(before, right)
        parts = {
            "hardness": _by_label(HARDNESS, levels, model_verdicts, bool(further)),
            "complexity": _by_label(BANDS, bands, model_verdicts, bool(further)),
        }
        models[model] = {
            **_accuracy(model_verdicts, config, bool(further)),
            **parts,
            "wins": wins,
            "losses": losses,
            "mcnemar_p": p,
        }
        before = right
    suite = {"suite": {"mode": modes.STRICT_TS, "databases": len(further), "digest": _digest_files(further)}} if further else {}
    return {"n": len(dev.examples), "digest": _digest(dev), "mode": modes.STRICT, **suite, "models": models}


def _accuracy(verdicts: Sequence[Verdict], config: EvaluateConfig, suite: bool) -> dict[str, Any]:
    from sense.evaluation.statistics import interval

    right = [verdict.ex for verdict in verdicts]
    low, high = interval(right, config.resamples, config.seed)
    on_all = [verdict.correct for verdict in verdicts]
    ts_low, ts_high = interval(on_all, config.resamples, config.seed)
    left_out = sum(verdict.left_out > 0 for verdict in verdicts)
    executed = sum(verdict.verdict in ("match", "mismatch") for verdict in verdicts)
    return {
        "n": len(right),
        "ex": sum(right) / len(right),
        "ex_low": low,
        "ex_high": high,
        **({"ts": sum(on_all) / len(on_all), "ts_low": ts_low, "ts_high": ts_high, "left_out": left_out} if suite else {}),
        "executable": executed / len(right),
        "too_long": sum(verdict.limit == "context" for verdict in verdicts),
        "verdicts": records.verdict_counts(verdict.verdict for verdict in verdicts),
    }


def _by_label(names: Sequence[str], labels: Sequence[str], verdicts: Sequence[Verdict], suite: bool) -> dict[str, Any]:
    """n and EX, with a suite TS too, of the questions under each label that occurs, in the order of `names`."""
    parts = {name: [verdict for label, verdict in zip(labels, verdicts, strict=True) if label == name] for name in names}
    numbers = {}
    for name, part in parts.items():
        if part:
            numbers[name] = {"n": len(part), "ex": sum(verdict.ex for verdict in part) / len(part)}
            if suite:
                numbers[name]["ts"] = sum(verdict.correct for verdict in part) / len(part)
    return numbers


def _digest(dev: DevSet) -> str:
    """SHA-256 over the questions and their databases: two EX can be compared only if it is the same."""
    total = hashlib.sha256()
    for example in dev.examples:
        total.update(f"{example.id}\0{example.db_id}\0{example.question}\0{example.sql}\n".encode())
    for path in _main_databases(dev):
        total.update(records.digest(path).encode())
    return total.hexdigest()


def _main_databases(dev: DevSet) -> list[Path]:
    return [records.database_path(dev.folder, name) for name in sorted({example.db_id for example in dev.examples})]


def _further_databases(dev: DevSet) -> list[Path]:
    """The databases beside the main ones, on which TS needs predictions to be right too."""
    return [file for main in _main_databases(dev) for file in modes.databases(modes.STRICT_TS, main)[1:]]


def _digest_files(files: Sequence[Path]) -> str:
    """SHA-256 over the files: two TS can be compared only if it is the same too."""
    return hashlib.sha256("".join(map(records.digest, files)).encode()).hexdigest()
