"""Weak data: k SQL a question from the weak model, on questions it has not seen, each executed against the gold (paper, 3.2)."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sense import console, records
from sense.config import SampleConfig
from sense.llm import Generator
from sense.prompts.dataset import question_prompts
from sense.records import Example, Record, Sample
from sense.sql import parse
from sense.sql.execute import Executor
from sense.sql.score import score

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
    from sense.llm.local import local
    from sense.training import load

    examples = records.draw(records.read_dataset(inputs.unseen), config.limit, config.seed)
    prompts = question_prompts(inputs.unseen, examples, load.card(inputs.model).prompt)
    starts = range(0, len(examples), _CHUNK)
    with records.Log(outputs.metrics.with_name("chunks.jsonl"), _Chunk) as log, Executor(config.execution) as executor:
        with console.bar("sample", len(starts)) as bar:
            bar.advance(len(log.rows))
            generator = local(inputs.model, config.batch_size) if len(log.rows) < len(starts) else None
            for start in starts[len(log.rows) :]:
                part = slice(start, start + _CHUNK)
                found = _sampled(generator, examples[part], prompts[part], config, config.seed + start)
                log.append([_Chunk(samples=list(_labelled(executor, inputs.unseen, found)))])
                bar.advance()
        samples = [sample for chunk in log.rows for sample in chunk.samples]
    records.write_jsonl(outputs.samples, samples)
    return _metrics(samples, len(examples))


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
        (example, f"{example.id}#{number}", parse.extract(text))
        for example, texts in zip(examples, answers, strict=True)
        for number, text in enumerate(texts)
    ]


def _labelled(executor: Executor, dataset: Path, found: Sequence[tuple[Example, str, str]]) -> Iterator[Sample]:
    """The samples with what happened when they ran against the gold."""
    items = [(name, records.database_path(dataset, example.db_id), sql, example.sql) for example, name, sql in found]
    for (example, name, sql), verdict in zip(found, score(executor, items, "execute"), strict=True):
        yield Sample(example_id=example.id, sql=sql, **verdict.model_dump(exclude={"id"}), id=name)


def _metrics(samples: Sequence[Sample], questions: int) -> dict[str, Any]:
    by_question: dict[str, list[bool]] = defaultdict(list)
    for sample in samples:
        by_question[sample.example_id].append(sample.correct)
    return {
        "questions": questions,
        "samples": len(samples),
        "verdicts": records.verdict_counts(sample.verdict for sample in samples),
        "distinct": len({(sample.example_id, parse.fingerprint(sample.sql)) for sample in samples}),
        "pass_at_k": sum(any(flags) for flags in by_question.values()) / max(1, questions),
        "right": sum(sample.correct for sample in samples) / max(1, len(samples)),
    }
