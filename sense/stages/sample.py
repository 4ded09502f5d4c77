"""Weak data: k SQL of a model for each question on databases it has not seen, each executed against the gold (paper, 3.2).

Several tasks can share the work: each samples a shard of the questions and records which one, and `merge` joins the shards to the
same bytes that the stage writes without shards.
"""

import operator
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import compress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sense import checkpoint_store, console, records
from sense import config as configs
from sense.config import SampleConfig, ShardConfig
from sense.errors import InputError, UserError
from sense.evaluation.score import ScoringItem, score
from sense.prompts import answer_sql
from sense.prompts.dataset import database_keys, question_prompts
from sense.records import Example, Record, Sample
from sense.sql import modes
from sense.sql.execute import Executor
from sense.sql.tree import fingerprint
from sense.stages import long_prompts, shards
from sense.stages.shards import Shard

if TYPE_CHECKING:
    from sense.training.generate import Generator

Config = SampleConfig

WITHOUT_EFFECT = {"generator": configs.GENERATOR_WITHOUT_EFFECT, "execution": {"workers": True}}

_CHUNK = 64  # questions generated, scored and logged together; a killed stage loses the work on one chunk at most


@dataclass(frozen=True)
class Inputs:
    """The folder of the model that is sampled, and the questions (a dataset folder), on databases that no SFT has seen."""

    model: Path
    unseen: Path


@dataclass(frozen=True)
class Outputs:
    """The samples with their verdicts, and the metrics."""

    samples: Path
    metrics: Path


class _Chunk(Record):
    """The samples of one chunk of questions: one line of the log, so a kill leaves whole chunks only.

    `greedy` says of each question whether its greedy answer is right on the main database; it is empty where nobody asked for it.
    """

    samples: list[Sample]
    greedy: list[bool]


def run(config: SampleConfig, inputs: Inputs, outputs: Outputs) -> dict[str, Any]:
    """Samples and labels; returns which model was sampled, counts, greedy EX, pass@k, headroom and the share of samples right.

    A question that is longer than the model reads gets k samples without SQL, which are rejected.
    """
    from sense.training import generators, model_folder

    questions = _questions(config, inputs.unseen)
    starts = _chunk_starts(len(questions), config.shard)
    examples = questions[starts.start : starts.stop]
    info = model_folder.read_info(inputs.model)
    _check_unseen(inputs, questions, info.databases)
    prompts = question_prompts(inputs.unseen, examples, info.prompt)
    with records.Log(outputs.metrics.with_name("chunks.jsonl"), _Chunk) as log, Executor(config.execution) as executor:
        with console.bar("sample", len(starts)) as bar:
            bar.advance(len(log.rows))
            if len(log.rows) < len(starts):
                whole_model = outputs.metrics.with_name("whole-model")
                generator = generators.create(config.generator, inputs.model, config.model, config.batch_size, whole_model)
                rejections = long_prompts.rejections(generator, examples, prompts, config.max_new_tokens, "sample")
                if all(rejections) and config.shard is None:
                    raise long_prompts.nothing_to_ask(inputs.unseen, len(examples), rejections[0], "sample")
            for start in starts[len(log.rows) :]:
                chunk = slice(start - starts.start, start - starts.start + _CHUNK)
                asked = list(compress(zip(examples[chunk], prompts[chunk], strict=True), map(operator.not_, rejections[chunk])))
                completions = _generate(generator, asked, config, config.seed + start)
                if config.greedy:
                    completions += _generate_greedily(generator, asked, config)
                scored = _score(executor, inputs.unseen, completions)
                sampled = list(_in_order(examples[chunk], rejections[chunk], scored, config.k))
                greedy = [not reason and next(scored).ex for reason in rejections[chunk]] if config.greedy else []
                log.append([_Chunk(samples=sampled, greedy=greedy)])
                checkpoint_store.save(soon=False)
                bar.advance()
        samples = [sample for row in log.rows for sample in row.samples]
        greedy = [right for row in log.rows for right in row.greedy]
    rows = samples if config.shard is None else [_shard(config, config.shard, inputs, samples, greedy)]
    records.write_jsonl(outputs.samples, rows)
    return _metrics(config, samples, greedy, len(examples))


def merge(section: Mapping[str, Any], unseen: Path, parts: Sequence[Path], samples: Path) -> dict[str, Any]:
    """Writes what the stage would have written without shards, and returns the metrics it would have returned.

    `section` is the stage's, with any shard or none; `parts` are the files of all shards, in any order. InputError names the
    shard that is missing, there twice or of another run.
    """
    config: SampleConfig = configs.validate(SampleConfig, section, "the section of sample")
    shard_files = [(part, shards.read_shard(part)) for part in parts]
    shards.check_origin(shard_files, _settings(config), unseen)
    questions = _questions(config, unseen)
    ordered = shards.in_order(shard_files)
    for part, shard in ordered:
        starts = _chunk_starts(len(questions), shard.shard)
        expected = [_sample_id(example, k) for example in questions[starts.start : starts.stop] for k in range(config.k)]
        complete = not config.greedy or len(shard.greedy) * config.k == len(expected)
        if [sample.id for sample in shard.samples] != expected or not complete:
            raise InputError(f"{part}: {shard} does not hold {config.k} samples of each of its questions; sample it again")
    rows = [sample for _, shard in ordered for sample in shard.samples]
    if rows and all(sample.limit == "context" for sample in rows):
        raise long_prompts.nothing_to_ask(unseen, len(questions), rows[0].detail, "sample")
    records.write_jsonl(samples, rows)
    return _metrics(config, rows, [right for _, shard in ordered for right in shard.greedy], len(questions))


def _questions(config: SampleConfig, unseen: Path) -> list[Example]:
    return records.draw(records.read_dataset(unseen), config.limit, config.seed)


def _check_unseen(inputs: Inputs, questions: Sequence[Example], trained_on: Set[str] | None) -> None:
    """UserError if the model was trained on databases of the questions: its SQL there would say little of its mistakes."""
    if trained_on is None:
        console.say(
            f"{inputs.model} does not say on which databases it was trained; that the questions are on others is not checked"
        )
        return
    keys = database_keys(inputs.unseen, questions)
    seen = sorted(db_id for db_id, key in keys.items() if key in trained_on)
    if seen:
        names = ", ".join(seen[:5]) + (", ..." if len(seen) > 5 else "")
        raise UserError(
            f"{inputs.unseen}: {inputs.model} was trained on {len(seen)} of its {len(keys)} databases ({names}); "
            "sample questions on other databases, as synthesize lays them aside in data/unseen"
        )


def _chunk_starts(questions: int, shard: ShardConfig | None) -> range:
    """The index of the first question of each chunk, of all questions or of the shard's share of the chunks."""
    starts = range(0, questions, _CHUNK)
    if shard is None:
        return starts
    return starts[shard.number * len(starts) // shard.of : (shard.number + 1) * len(starts) // shard.of]


def _shard(config: SampleConfig, shard: ShardConfig, inputs: Inputs, samples: list[Sample], greedy: list[bool]) -> Shard:
    digests = {name: records.digest(path) for name, path in vars(inputs).items()}
    return Shard(shard=shard, settings=_settings(config), samples=samples, greedy=greedy, **digests)


def _settings(config: SampleConfig) -> dict[str, Any]:
    return config.model_dump(mode="json", exclude={"shard"})


def _generate(
    generator: "Generator", asked: Sequence[tuple[Example, str]], config: SampleConfig, seed: int
) -> list[tuple[Example, str, str]]:
    """(example, sample id, SQL) for each of the k completions of each question, given as (example, prompt)."""
    completions = generator.generate(
        [prompt for _, prompt in asked],
        n=config.k,
        temperature=config.temperature,
        top_p=config.top_p,
        max_tokens=config.max_new_tokens,
        seed=seed,
    )
    return [
        (example, _sample_id(example, number), answer_sql(text))
        for (example, _), texts in zip(asked, completions, strict=True)
        for number, text in enumerate(texts)
    ]


def _generate_greedily(
    generator: "Generator", asked: Sequence[tuple[Example, str]], config: SampleConfig
) -> list[tuple[Example, str, str]]:
    """(example, id, SQL) for the greedy answer to each question, which no sample is."""
    completions = generator.generate(
        [prompt for _, prompt in asked], n=1, temperature=0.0, top_p=1.0, max_tokens=config.max_new_tokens, seed=config.seed
    )
    return [(example, f"{example.id}#greedy", answer_sql(text)) for (example, _), [text] in zip(asked, completions, strict=True)]


def _in_order(examples: Sequence[Example], rejections: Sequence[str], scored: Iterator[Sample], k: int) -> Iterator[Sample]:
    """k samples of each example: those `scored`, in order, or rejected ones of an example that has a reason in `rejections`."""
    for example, reason in zip(examples, rejections, strict=True):
        for number in range(k):
            name = _sample_id(example, number)
            yield _rejected(example, name, reason) if reason else next(scored)


def _rejected(example: Example, name: str, reason: str) -> Sample:
    return Sample(id=name, example_id=example.id, sql="", correct=False, verdict="rejected", detail=reason, limit="context")


def _sample_id(example: Example, number: int) -> str:
    return f"{example.id}#{number}"


def _score(executor: Executor, dataset: Path, samples: Sequence[tuple[Example, str, str]]) -> Iterator[Sample]:
    """The samples, given as (example, sample id, SQL), with their verdicts against the gold."""
    items = [ScoringItem(name, records.database_path(dataset, example.db_id), sql, example.sql) for example, name, sql in samples]
    for (example, name, sql), verdict in zip(samples, score(executor, items, "execute", modes.STRICT_TS), strict=True):
        yield Sample(example_id=example.id, sql=sql, **verdict.model_dump(exclude={"id", "mode", "score"}), id=name)


def _metrics(config: SampleConfig, samples: Sequence[Sample], greedy: Sequence[bool], questions: int) -> dict[str, Any]:
    by_question: dict[str, list[bool]] = defaultdict(list)
    for sample in samples:
        by_question[sample.example_id].append(sample.correct)
    return {
        "model": config.model,
        "questions": questions,
        "too_long": len({sample.example_id for sample in samples if sample.limit == "context"}),
        "samples": len(samples),
        "verdicts": records.verdict_counts(sample.verdict for sample in samples),
        "distinct": len({(sample.example_id, fingerprint(sample.sql)) for sample in samples if sample.limit != "context"}),
        **({"greedy_ex": sum(greedy) / max(1, questions)} if config.greedy else {}),
        "pass_at_k": sum(any(flags) for flags in by_question.values()) / max(1, questions),
        "headroom": sum(any(flags) and not all(flags) for flags in by_question.values()),
        "right": sum(sample.correct for sample in samples) / max(1, len(samples)),
    }
