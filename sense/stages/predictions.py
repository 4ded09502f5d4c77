"""What a model answers on evaluation sets: a greedy prediction for each question, and samples that vote, if they are asked for.

A killed stage goes on: greedy predictions of a set are written whole, and samples are logged by chunks of questions.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import compress
from pathlib import Path
from typing import TYPE_CHECKING

from sense import checkpoint_store, console, records
from sense.config import EvaluateConfig
from sense.config.evaluation import SETS
from sense.evaluation.evaluation_set import EvaluationSet
from sense.prompts import answer_sql
from sense.prompts.dataset import question_prompts
from sense.records import Prediction, Record
from sense.stages import long_prompts

if TYPE_CHECKING:
    from sense.training.generate import Generator

_CHUNK = 64  # questions sampled and logged together; a killed stage loses the work on one chunk at most


class SampledChunk(Record):
    """The SQL sampled for some questions, in their order; none for a question that was not put to the model."""

    sql: list[list[str]]


@dataclass(frozen=True)
class _Prompts:
    """The prompts of a set's questions, and why each cannot be put to the model, '' for one that can."""

    texts: Sequence[str]
    rejections: Sequence[str]

    def part(self, start: int, stop: int) -> "_Prompts":
        """Those of some of the questions."""
        return _Prompts(self.texts[start:stop], self.rejections[start:stop])

    def complete(
        self,
        generator: "Generator",
        config: EvaluateConfig,
        n: int,
        temperature: float,
        seed: int,
        on_progress: Callable[[int], None],
    ) -> list[list[str]]:
        """The SQL of `n` completions for each question, none for one that is not put to the model."""
        on_progress(len(self.texts) - self.rejections.count(""))
        completions = generator.generate(
            list(compress(self.texts, (not reason for reason in self.rejections))),
            n=n,
            temperature=temperature,
            top_p=1.0,
            max_tokens=config.max_new_tokens,
            seed=seed,
            on_progress=on_progress,
        )
        answers = iter(completions)
        return [[] if reason else [answer_sql(text) for text in next(answers)] for reason in self.rejections]


def predictions_file(target: Path, model: str, name: str) -> Path:
    """Where the greedy predictions of a model on the set `name` are."""
    return target / f"{name}.{model}.predictions.jsonl"


def predict(model: str, folder: Path, sets: Sequence[EvaluationSet], config: EvaluateConfig, target: Path) -> None:
    """Writes the predictions of one model on every set to `target`, and logs its samples beside that folder.

    What is there already was written whole and is kept. InputError if every question of dev or heldout is too long for the model.
    """
    greedy = [each for each in sets if not predictions_file(target, model, each.name).exists()]
    sampled = [each for each in sets if config.vote and len(read_samples(model, each, target)) < len(each.examples)]
    if not greedy and not sampled:
        return
    from sense.training import generators, model_folder

    size, whole_model = config.batch_size, target.with_name(f"whole-{model}")
    generator = generators.create(config.generator, folder, model, size, whole_model, completions=size)
    prompt = model_folder.read_info(folder).prompt
    with console.bar(f"evaluate {model}", sum(len(each.examples) for each in [*greedy, *sampled])) as bar:
        for each in sets:
            if each not in greedy and each not in sampled:
                continue
            texts = question_prompts(each.folder, each.examples, prompt)
            label = f"evaluate {model} on {each.name}"
            rejections = long_prompts.rejections(generator, each.examples, texts, config.max_new_tokens, label)
            if all(rejections) and each.name in SETS:  # without a further set the rest can be measured
                raise long_prompts.nothing_to_ask(each.folder, len(each.examples), rejections[0], "evaluate")
            prompts = _Prompts(texts, rejections)
            if each in greedy:
                answers = prompts.complete(generator, config, 1, 0.0, config.seed, bar.advance)
                rows = [
                    Prediction(id=example.id, sql=sqls[0] if sqls else "", rejected=reason)
                    for example, sqls, reason in zip(each.examples, answers, rejections, strict=True)
                ]
                records.write_jsonl(predictions_file(target, model, each.name), rows)
                checkpoint_store.save(soon=False)
            if each in sampled:
                with records.Log(_log_file(target, model, each.name), SampledChunk) as log:
                    done = sum(len(chunk.sql) for chunk in log.rows)
                    bar.advance(done)
                    for start in range(done, len(texts), _CHUNK):
                        part = prompts.part(start, start + _CHUNK)
                        answers = part.complete(
                            generator, config, config.vote, config.temperature, config.seed + start, bar.advance
                        )
                        log.append([SampledChunk(sql=answers)])
                        checkpoint_store.save(soon=False)


def read_samples(model: str, evaluation_set: EvaluationSet, target: Path) -> list[list[str]]:
    """The samples of a model that were logged for the first questions of a set, in order; none if none were."""
    log = _log_file(target, model, evaluation_set.name)
    if not log.exists():
        return []
    with records.Log(log, SampledChunk) as chunks:
        return [sqls for chunk in chunks.rows for sqls in chunk.sql]


def _log_file(target: Path, model: str, name: str) -> Path:
    return target.parent / f"{name}.{model}.chunks.jsonl"
