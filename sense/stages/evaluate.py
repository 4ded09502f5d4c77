"""Execution accuracy (EX) of base, SFT and SENSE: greedy, on the same questions, with intervals and McNemar's tests.

EX counts what is right on the main database, under strict@2; where further ones lie beside it, TS counts what is right on all.
Further sets, further scoring modes of the same predictions, and the vote of samples stand beside that, where they are asked for.
"""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sense import records
from sense.config import GENERATOR_WITHOUT_EFFECT, EvaluateConfig
from sense.decontamination import report as decontamination
from sense.errors import InputError
from sense.evaluation import evaluation_set, voting
from sense.evaluation.evaluation_set import EvaluationSet
from sense.evaluation.score import ScoringItem, score
from sense.manifest import FILE, read_manifest
from sense.records import HARDNESS, Prediction, Sample, Verdict
from sense.sql import modes
from sense.sql.execute import Executor
from sense.sql.hardness import BANDS, complexity
from sense.stages import perturbed_sets, predictions
from sense.stages.perturbed_sets import Origin

if TYPE_CHECKING:
    from sense.evaluation.accuracy import Accuracy

Config = EvaluateConfig

WITHOUT_EFFECT = {"generator": GENERATOR_WITHOUT_EFFECT, "execution": {"workers": True}}

MODELS = ("base", "sft", "sense")


@dataclass(frozen=True)
class Inputs:
    """The two model folders, and the dev sets: human-written `dev`, synthetic `heldout` on databases no model has seen (or
    with SQL that none has seen, on one's own databases).

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
    """A folder of `<set>.examples.jsonl`, `<set>.<model>.predictions.jsonl` and `.verdicts.jsonl`, and the metrics.

    The verdicts of a further scoring mode are in `<set>.<model>.<mode>.verdicts.jsonl`. Where samples vote, they are in
    `<set>.<model>.samples.jsonl`, and what they chose in `<set>.<model>.vote.predictions.jsonl` and `.vote.verdicts.jsonl`.
    """

    predictions: Path
    metrics: Path


@dataclass(frozen=True)
class Judged:
    """The verdicts on a model's answers to a set: on greedy ones, on the same under further modes, and on the vote's.

    `samples` says of each sample of each question whether it is right; `fell_back` is of how many questions no sample runs.
    """

    greedy: Sequence[Verdict]
    modes: Mapping[str, Sequence[Verdict]]
    voted: Sequence[Verdict] = ()
    samples: Sequence[Sequence[bool]] = ()
    fell_back: int = 0


def further_paths(config: EvaluateConfig) -> dict[str, Path]:
    """What the section names that is read beside the inputs."""
    return {f"sets.{name}": Path(folder) for name, folder in config.sets.items()}


def run(config: EvaluateConfig, inputs: Inputs, outputs: Outputs) -> dict[str, Any]:
    """Scores every model on every set.

    Returns, for each set and model: n, EX with its interval, EX by hardness, complexity and domain, TS too if there are test
    suites, counts of verdicts and of questions too long for the model, McNemar's test on EX, what further modes and the vote
    measure, and on a perturbed copy of another set the comparison with the same questions there. Where `sft` and `sense` are one
    folder, as in an ablation without preference learning, the model answers once; a server is asked for both by name. Raises
    UserError if the training data were not compared with the sets as they are now.
    """
    sets, origins = _read_sets(config, inputs)
    folders = {"base": inputs.sft, "sft": inputs.sft, "sense": inputs.sense}
    outputs.predictions.mkdir(parents=True, exist_ok=True)
    judged: dict[tuple[str, str], Judged] = {}
    with Executor(config.execution) as executor:
        for each in sets:
            _check_gold(executor, each)
            records.write_jsonl(outputs.predictions / f"{each.name}.examples.jsonl", each.examples)
        for model in MODELS:
            same = "sft" if model == "sense" and _is_one_model(config, inputs) else None
            if same is None:
                predictions.predict(model, folders[model], sets, config, outputs.predictions)
            for each in sets:
                if same is None:
                    judged[each.name, model] = _judge(executor, config, each, model, outputs.predictions)
                else:
                    _copy_answers(each, same, model, outputs.predictions)
                    judged[each.name, model] = judged[each.name, same]
    by = held_out_by(sets)
    metrics = {
        each.name: _metrics(each, {model: judged[each.name, model] for model in MODELS}, config) | by[each.name] for each in sets
    }
    for name, origin in origins.items():
        _compare_with_original(metrics[name], origin, name, judged, config)
    return {"sets": metrics}


def _read_sets(config: EvaluateConfig, inputs: Inputs) -> tuple[list[EvaluationSet], dict[str, Origin]]:
    """All sets, each at most `config.limit` questions, and which of them are perturbed copies of others.

    Of a copy those questions are taken that are taken of its original, if it has any of them. UserError if training data may have
    something in common with the sets.
    """
    folders = {"dev": inputs.dev, "heldout": inputs.heldout}
    further = {name: Path(folder) for name, folder in config.sets.items()}
    examples = {name: evaluation_set.read_named(name, folder) for name, folder in further.items()}
    training = {"strong": inputs.strong, "unseen": inputs.unseen, "seed": inputs.seed}
    decontamination.check(inputs.decontamination, training, folders, further)
    examples |= {name: records.read_dataset(folder) for name, folder in folders.items()}
    origins = perturbed_sets.find_origins(folders | further)
    drawn = {name: records.draw(examples[name], config.limit, config.seed) for name in examples}
    for name, origin in origins.items():
        if config.limit is not None:
            drawn[name] = perturbed_sets.same_questions(examples[name], drawn[origin.set_name]) or drawn[name]
    return [EvaluationSet(name, folder, drawn[name]) for name, folder in (folders | further).items()], origins


def _is_one_model(config: EvaluateConfig, inputs: Inputs) -> bool:
    """Whether the same model answers as SFT and as SENSE; a server may have another under each name, whatever the folders are."""
    return config.generator.kind != "endpoint" and inputs.sense.resolve() == inputs.sft.resolve()


def _judge(executor: Executor, config: EvaluateConfig, each: EvaluationSet, model: str, target: Path) -> Judged:
    """Scores a model's answers to a set, and writes the verdicts; InputError if the predictions do not fit the set."""
    greedy = records.read_rows(predictions.predictions_file(target, model, each.name), Prediction)
    verdicts = score_predictions(executor, each, greedy)
    stem = target / f"{each.name}.{model}"
    records.write_jsonl(Path(f"{stem}.verdicts.jsonl"), verdicts)
    under: dict[str, Sequence[Verdict]] = {}
    for mode in config.modes:
        under[mode] = verdicts if mode == modes.STRICT_TS else score_predictions(executor, each, greedy, mode)
        records.write_jsonl(Path(f"{stem}.{mode}.verdicts.jsonl"), under[mode])
    if not config.vote:
        return Judged(verdicts, under)
    texts = predictions.read_samples(model, each, target)
    samples = _score_samples(executor, each, texts)
    records.write_jsonl(Path(f"{stem}.samples.jsonl"), [sample for of_question in samples for sample in of_question])
    by_id = {prediction.id: prediction for prediction in greedy}
    winners = voting.winners(executor, each, texts, f"vote {each.name}")
    voted = [
        by_id[example.id] if winner is None else Prediction(id=example.id, sql=winner)
        for example, winner in zip(each.examples, winners, strict=True)
    ]
    records.write_jsonl(Path(f"{stem}.vote.predictions.jsonl"), voted)
    voted_verdicts = score_predictions(executor, each, voted)
    records.write_jsonl(Path(f"{stem}.vote.verdicts.jsonl"), voted_verdicts)
    return Judged(
        verdicts,
        under,
        voted_verdicts,
        [[sample.ex for sample in of_question] for of_question in samples],
        sum(winner is None and bool(of_question) for winner, of_question in zip(winners, texts, strict=True)),
    )


def _copy_answers(each: EvaluationSet, source: str, model: str, target: Path) -> None:
    """Writes the files of the model `source` on a set for `model` too, which is the same model."""
    for file in sorted(target.glob(f"{each.name}.{source}.*.jsonl")):
        shutil.copyfile(file, target / file.name.replace(f".{source}.", f".{model}.", 1))


def _score_samples(executor: Executor, each: EvaluationSet, texts: Sequence[Sequence[str]]) -> list[list[Sample]]:
    """The samples of each question with their verdicts; `texts` are their SQL, by questions."""
    items = [
        ScoringItem(f"{example.id}#{number}", records.database_path(each.folder, example.db_id), sql, example.sql)
        for example, of_question in zip(each.examples, texts, strict=True)
        for number, sql in enumerate(of_question)
    ]
    verdicts = iter(score(executor, items, f"score samples on {each.name}", modes.STRICT_TS))
    return [
        [Sample(example_id=example.id, sql=sql, **next(verdicts).model_dump(exclude={"mode", "score"})) for sql in of_question]
        for example, of_question in zip(each.examples, texts, strict=True)
    ]


def score_predictions(
    executor: Executor, each: EvaluationSet, predicted: Sequence[Prediction], mode: str = modes.STRICT_TS
) -> list[Verdict]:
    """One verdict for each example, joined by id; InputError names missing and unknown ids.

    Where the question was longer than the model reads, the verdict is `rejected`, with `context` as the limit.
    """
    by_id = {prediction.id: prediction for prediction in predicted}
    ids = {example.id for example in each.examples}
    missing, unknown = sorted(ids - set(by_id)), sorted(set(by_id) - ids)
    if missing or unknown:
        raise InputError(
            f"{each.folder}: the predictions do not fit its examples: {len(missing)} ids are missing {missing[:3]}, "
            f"{len(unknown)} are unknown {unknown[:3]}; predict this set again"
        )
    items = [
        ScoringItem(example.id, records.database_path(each.folder, example.db_id), by_id[example.id].sql, example.sql)
        for example in each.examples
        if not by_id[example.id].rejected
    ]
    label = f"score {each.name}" if mode == modes.STRICT_TS else f"score {each.name}, {mode}"
    scored = {verdict.id: verdict for verdict in score(executor, items, label, mode)}
    return [scored.get(example.id) or _rejected(by_id[example.id], mode) for example in each.examples]


def _rejected(prediction: Prediction, mode: str) -> Verdict:
    return Verdict(id=prediction.id, correct=False, verdict="rejected", detail=prediction.rejected, limit="context", mode=mode)


def _check_gold(executor: Executor, each: EvaluationSet) -> None:
    """Scores the gold as a prediction: a set on which that is not 100% right cannot measure a model."""
    gold_verdicts = score_predictions(executor, each, [Prediction(id=example.id, sql=example.sql) for example in each.examples])
    wrong = [verdict for verdict in gold_verdicts if not verdict.correct]
    if wrong:
        first = "\n".join(f"  {verdict.id}: {verdict.verdict} {verdict.detail}" for verdict in wrong[:5])
        raise InputError(
            f"{each.folder}: {len(wrong)} of {len(gold_verdicts)} gold queries do not score as right against themselves; "
            f"mend or drop them:\n{first}"
        )


def _metrics(each: EvaluationSet, judged: Mapping[str, Judged], config: EvaluateConfig) -> dict[str, Any]:
    from sense.evaluation.accuracy import Accuracy
    from sense.evaluation.statistics import mcnemar

    further = each.further_databases
    accuracy = Accuracy(config.resamples, config.seed, bool(further))
    levels = [example.hardness for example in each.examples]
    bands = [complexity(example.sql).band for example in each.examples]
    domains = [example.domain for example in each.examples]
    models: dict[str, Any] = {}
    before: list[bool] | None = None
    for model, of_model in judged.items():
        right = [verdict.ex for verdict in of_model.greedy]
        wins, losses, p = (None, None, None) if before is None else mcnemar(before, right)
        models[model] = {
            **accuracy.of(of_model.greedy),
            "hardness": accuracy.by_label(HARDNESS, levels, of_model.greedy),
            "complexity": accuracy.by_label(BANDS, bands, of_model.greedy),
            "wins": wins,
            "losses": losses,
            "mcnemar_p": p,
            **({"domains": accuracy.by_domain(domains, of_model.greedy)} if any(domains) else {}),
            **_further_metrics(accuracy, of_model, config),
        }
        before = right
    suite = {"suite": {"mode": modes.STRICT_TS, "databases": len(further), "digest": each.suite_digest}} if further else {}
    return {"n": len(each.examples), "digest": each.digest, "mode": modes.STRICT, **suite, "models": models}


def held_out_by(sets: Sequence[EvaluationSet]) -> dict[str, dict[str, str]]:
    """What the questions of each set are held out by, where that is not the database: so their manifests say.

    That of dev cannot know that the teachers wrote on its databases; the one of what they wrote does.
    """
    manifests = {each.name: read_manifest(each.folder) for each in sets if (each.folder / FILE).is_file()}
    what = {name: manifest.held_out_by for name, manifest in manifests.items()}
    heldout = manifests.get("heldout")
    if heldout is not None and heldout.section.get("databases") == "dev":
        what["dev"] = heldout.held_out_by
    return {each.name: {"held_out_by": by} if (by := what.get(each.name)) else {} for each in sets}


def _compare_with_original(
    metrics: dict[str, Any],
    origin: Origin,
    name: str,
    judged: Mapping[tuple[str, str], Judged],
    config: EvaluateConfig,
) -> None:
    """Adds to the metrics of the perturbed set `name` what each model answers on it and on the same questions of its original."""
    from sense.evaluation.accuracy import Accuracy

    accuracy = Accuracy(config.resamples, config.seed, False)
    compared = {
        model: accuracy.of_perturbed(judged[name, model].greedy, judged[origin.set_name, model].greedy) for model in MODELS
    }
    if all(compared.values()):
        metrics["perturbation"] = {"kind": origin.kind, "set": origin.set_name}
        for model, numbers in compared.items():
            metrics["models"][model]["original"] = numbers


def _further_metrics(accuracy: "Accuracy", of_model: Judged, config: EvaluateConfig) -> dict[str, Any]:
    """What further modes and the vote measure, as far as they are asked for."""
    metrics: dict[str, Any] = {}
    if config.modes:
        metrics["modes"] = {mode: accuracy.under(mode, verdicts) for mode, verdicts in of_model.modes.items()}
    if config.vote:
        metrics["vote"] = {
            "k": config.vote,
            "temperature": config.temperature,
            **accuracy.of_vote(of_model.voted, of_model.greedy, of_model.samples),
            "fell_back": of_model.fell_back,
        }
    return metrics
