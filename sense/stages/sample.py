"""Weak data: k SQL a question from the weak model, on questions it has not seen, each executed against the gold (paper, 3.2).

Several tasks can share the work: each takes a shard of the questions and writes it down with where it belongs, and `merge` gives
the file that the stage writes without shards, byte for byte.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sense import config as configs
from sense import console, records
from sense.config import SampleConfig, ShardConfig
from sense.errors import InputError
from sense.evaluation.score import ScoringItem, score
from sense.prompts.dataset import question_prompts
from sense.records import Example, Record, Sample
from sense.sql.execute import Executor
from sense.sql.parse import extract
from sense.sql.tree import fingerprint
from sense.stages import shards
from sense.stages.shards import Shard
from sense.training.generator import Generator

Config = SampleConfig

_CHUNK = 64  # questions generated, scored and logged together: what a kill costs at the most


@dataclass(frozen=True)
class Inputs:
    """The weak model's folder, and the questions (a dataset folder) that no SFT has seen."""

    model: Path
    unseen: Path


@dataclass(frozen=True)
class Outputs:
    """The samples with their verdicts, and the metrics."""

    samples: Path
    metrics: Path


class _Chunk(Record):
    """The samples of one chunk of questions: one line of the log, so a kill leaves whole chunks only."""

    samples: list[Sample]


def run(config: SampleConfig, inputs: Inputs, outputs: Outputs) -> dict[str, Any]:
    """Samples and labels; returns questions, samples, verdicts, distinct SQL, pass@k and the share that is right."""
    from sense.training import load
    from sense.training.local import local

    drawn = _drawn(config, inputs.unseen)
    starts = _starts(len(drawn), config.shard)
    examples = drawn[starts.start : starts.stop]
    prompts = question_prompts(inputs.unseen, examples, load.card(inputs.model).prompt)
    with records.Log(outputs.metrics.with_name("chunks.jsonl"), _Chunk) as log, Executor(config.execution) as executor:
        with console.bar("sample", len(starts)) as bar:
            bar.advance(len(log.rows))
            generator = local(inputs.model, config.batch_size) if len(log.rows) < len(starts) else None
            for start in starts[len(log.rows) :]:
                part = slice(start - starts.start, start - starts.start + _CHUNK)
                found = _sampled(generator, examples[part], prompts[part], config, config.seed + start)
                log.append([_Chunk(samples=list(_labelled(executor, inputs.unseen, found)))])
                bar.advance()
        samples = [sample for chunk in log.rows for sample in chunk.samples]
    records.write_jsonl(outputs.samples, samples if config.shard is None else [_shard(config, config.shard, inputs, samples)])
    return _metrics(samples, len(examples))


def merge(section: Mapping[str, Any], unseen: Path, parts: Sequence[Path], samples: Path) -> dict[str, Any]:
    """Writes what the stage would have written without shards, and returns the metrics it would have returned.

    `section` is the stage's, with any shard or none; `parts` are the files of all shards, in any order. InputError names the
    shard that is missing, there twice or of another run.
    """
    config: SampleConfig = configs.validate(SampleConfig, section, "the section of sample")
    found = [(part, shards.read(part)) for part in parts]
    shards.check_origin(found, _settings(config), unseen)
    drawn = _drawn(config, unseen)
    whole = shards.in_order(found)
    for part, shard in whole:
        starts = _starts(len(drawn), shard.shard)
        expected = [_name(example, k) for example in drawn[starts.start : starts.stop] for k in range(config.k)]
        if [sample.id for sample in shard.samples] != expected:
            raise InputError(f"{part}: {shard} does not hold {config.k} samples of each of its questions; sample it again")
    rows = [sample for _, shard in whole for sample in shard.samples]
    records.write_jsonl(samples, rows)
    return _metrics(rows, len(drawn))


def _drawn(config: SampleConfig, unseen: Path) -> list[Example]:
    return records.draw(records.read_dataset(unseen), config.limit, config.seed)


def _starts(questions: int, shard: ShardConfig | None) -> range:
    """Where the chunks of the questions start, and where the last one ends: of all, or of the shard's share of whole chunks."""
    starts = range(0, questions, _CHUNK)
    if shard is None:
        return starts
    return starts[shard.number * len(starts) // shard.of : (shard.number + 1) * len(starts) // shard.of]


def _shard(config: SampleConfig, shard: ShardConfig, inputs: Inputs, samples: list[Sample]) -> Shard:
    digests = {name: records.digest(path) for name, path in vars(inputs).items()}
    return Shard(shard=shard, settings=_settings(config), samples=samples, **digests)


def _settings(config: SampleConfig) -> dict[str, Any]:
    return config.model_dump(mode="json", exclude={"shard"})


def _sampled(
    generator: Generator | None, examples: Sequence[Example], prompts: Sequence[str], config: SampleConfig, seed: int
) -> list[tuple[Example, str, str]]:
    """(example, sample id, SQL) for each of the k completions of each question."""
    if generator is None:
        return []
    answers = generator.generate(
        prompts, n=config.k, temperature=config.temperature, top_p=config.top_p, max_tokens=config.max_new_tokens, seed=seed
    )
    return [
        (example, _name(example, number), extract(text))
        for example, texts in zip(examples, answers, strict=True)
        for number, text in enumerate(texts)
    ]


def _name(example: Example, number: int) -> str:
    return f"{example.id}#{number}"


def _labelled(executor: Executor, dataset: Path, found: Sequence[tuple[Example, str, str]]) -> Iterator[Sample]:
    """The samples with what happened when they ran against the gold."""
    items = [ScoringItem(name, records.database_path(dataset, example.db_id), sql, example.sql) for example, name, sql in found]
    for (example, name, sql), verdict in zip(found, score(executor, items, "execute"), strict=True):
        yield Sample(example_id=example.id, sql=sql, **verdict.model_dump(exclude={"id", "mode", "score"}), id=name)


def _metrics(samples: Sequence[Sample], questions: int) -> dict[str, Any]:
    by_question: dict[str, list[bool]] = defaultdict(list)
    for sample in samples:
        by_question[sample.example_id].append(sample.correct)
    return {
        "questions": questions,
        "samples": len(samples),
        "verdicts": records.verdict_counts(sample.verdict for sample in samples),
        "distinct": len({(sample.example_id, fingerprint(sample.sql)) for sample in samples}),
        "pass_at_k": sum(any(flags) for flags in by_question.values()) / max(1, questions),
        "right": sum(sample.correct for sample in samples) / max(1, len(samples)),
    }
