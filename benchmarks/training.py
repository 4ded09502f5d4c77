"""Times SFT and DPO of SENSE against TRL's trainers as they come, on one model and the same rows.

    .venv/bin/python benchmarks/training.py [--rows N] [--pairs N] [--epochs E] [--json]

The model has the shape of `configs/nano-base-1.yaml` and random weights; the rows are the built-in seeds', the rejected answers
those of other questions. The tokens per second are those of the rows: a schema counts for each of its questions, also where it is
read once for several, and padding never. Building the trainers is not counted, the reference's pass over the pairs is. Each line
is one run; times vary on a machine with other work.
"""

import argparse
import functools
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import trl.trainer.utils as trl_utils
from datasets import Dataset
from transformers import PrinterCallback
from trl import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer
from trl.kernels.chunked_logprob import _use_triton as trl_use_triton

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.tables import print_rows  # noqa: E402
from sense import config, ingest, prompts, records  # noqa: E402  (the working copy is not on the path of a script in it)
from sense.config import PromptConfig  # noqa: E402
from sense.prompts.dataset import read_schemas  # noqa: E402
from sense.schema import schema_text  # noqa: E402
from sense.training import fit, nano, shared_schema, tokenization  # noqa: E402

BATCH = 16  # rows
SHARED = 5  # questions in a sequence
LONGEST = 1024  # tokens


class Timing(NamedTuple):
    """One row of the table; `rows` were trained on in `seconds`, and have `tokens`."""

    training: str
    rows: int
    tokens: int
    seconds: float


def seed_rows(folder: Path, count: int) -> list[dict[str, Any]]:
    """Rows of the built-in seeds as the stage `sft` makes them, database by database, repeated where there are too few."""
    source = ingest.read_seeds(ROOT / "sense" / "seeds")
    examples = [
        records.Example(id=str(n), db_id=row.db_id, question=row.question, sql=row.sql, source="seed", hardness="easy")
        for n, row in enumerate([*source.seed, *(source.dev or ())])
    ]
    for name in {example.db_id for example in examples}:
        source.write_database(name, records.database_path(folder, name).parent)
    schemas = read_schemas(folder, examples, PromptConfig())
    rows: list[dict[str, Any]] = []
    while len(rows) < count:
        for db_id, own in groupby(sorted(examples, key=lambda example: example.db_id), key=lambda example: example.db_id):
            for number, example in enumerate(own):
                rows.append(
                    {
                        "schema": schema_text(schemas[db_id], "compact"),
                        "prompt": prompts.question_prompt(schemas[db_id], example.question, "", "compact"),
                        "completion": prompts.completion(example.sql, "sql"),
                        "sequence": f"{len(rows) // len(examples)} {db_id} {number // SHARED}",
                    }
                )
    return rows[:count]


def timed(train: Callable[[], Any]) -> float:
    """The seconds that a call takes."""
    started = time.perf_counter()
    train()
    return time.perf_counter() - started


def train_config(epochs: int, batch_size: int) -> config.TrainConfig:
    """One optimization for all: float32, so that the numbers are those of the processor and not of its bfloat16."""
    return config.TrainConfig(
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=1e-4,
        max_length=LONGEST,
        precision="fp32",
        log_steps=1000,
        save_steps=1000,
    )


def trl_arguments(folder: Path, epochs: int) -> dict[str, Any]:
    """TRL's own defaults but for what `train_config` sets."""
    arguments = fit.training_arguments(train_config(epochs, BATCH), 0, folder)
    return arguments | {"max_length": LONGEST}


def sft_timings(
    model_of: Callable[[], Any], tokenizer: Any, rows: list[dict[str, Any]], epochs: int, folder: Path
) -> Iterable[Timing]:
    """TRL's trainer, SENSE's with a row in each sequence, and with several questions in each."""
    tokenized = tokenization.sft_rows(tokenizer, rows, "completion")
    tokens = epochs * sum(len(row["input_ids"]) for row in tokenized)
    senses_choice, trl_utils._use_triton = trl_utils._use_triton, trl_use_triton
    plain = SFTTrainer(
        model=model_of(),
        args=SFTConfig(**trl_arguments(folder / "trl", epochs)),
        train_dataset=Dataset.from_list([{key: row[key] for key in ("prompt", "completion")} for row in rows]),
        processing_class=tokenizer,
    )
    plain.remove_callback(PrinterCallback)
    yield Timing("SFT, TRL", epochs * len(rows), tokens, timed(plain.train))
    trl_utils._use_triton = senses_choice
    shared = shared_schema.sequences(tokenizer, rows, tokenized, LONGEST)
    for name, data, questions, batch_size in (
        ("SFT, SENSE", tokenized, 1, BATCH),
        (f"SFT, SENSE, {SHARED} questions a sequence", shared, SHARED, BATCH // SHARED),
    ):
        settings = config.SftConfig(
            model=config.ModelConfig(nano=config.NanoConfig()),
            questions_per_sequence=questions,
            train=train_config(epochs, batch_size),
        )
        seconds = timed(functools.partial(sense_sft, model_of(), tokenizer, data, settings, folder / name))
        yield Timing(name, epochs * len(rows), tokens, seconds)


def sense_sft(model: Any, tokenizer: Any, rows: Any, settings: config.SftConfig, folder: Path) -> None:
    """SENSE's SFT."""
    fit.sft(model, tokenizer, rows, settings, checkpoints=folder, on_log=lambda *_: None)


def dpo_timings(
    model_of: Callable[[], Any], tokenizer: Any, rows: list[dict[str, Any]], epochs: int, folder: Path
) -> Iterable[Timing]:
    """TRL's trainer, which asks the reference in every step, and SENSE's, which asks it once."""
    pairs = [
        {"prompt": row["prompt"], "chosen": row["completion"], "rejected": other["completion"]}
        for row, other in zip(rows, [*rows[1:], rows[0]], strict=True)
    ]
    tokenized = tokenization.dpo_rows(tokenizer, pairs)
    tokens = epochs * sum(len(ids) for row in tokenized for ids in row.values())
    senses_choice, trl_utils._use_triton = trl_utils._use_triton, trl_use_triton
    plain = DPOTrainer(
        model=model_of(),
        ref_model=model_of(),
        args=DPOConfig(**trl_arguments(folder / "trl-dpo", epochs)),
        train_dataset=Dataset.from_list(pairs),
        processing_class=tokenizer,
    )
    plain.remove_callback(PrinterCallback)
    yield Timing("DPO, TRL", epochs * len(pairs), tokens, timed(plain.train))
    trl_utils._use_triton = senses_choice
    settings = config.DpoConfig(train=train_config(epochs, BATCH))
    seconds = timed(
        lambda: fit.dpo(model_of(), tokenizer, tokenized, settings, checkpoints=folder / "dpo" / "steps", on_log=lambda *_: None)
    )
    yield Timing("DPO, SENSE, reference asked once", epochs * len(pairs), tokens, seconds)


def table(timings: list[Timing]) -> list[dict[str, Any]]:
    """The rows to print; a ratio compares a training with TRL's, which is the first of its kind."""
    first = {timing.training.partition(",")[0]: timing for timing in reversed(timings)}
    return [
        {
            "training": timing.training,
            "seconds": round(timing.seconds, 1),
            "rows/s": round(timing.rows / timing.seconds, 1),
            "tokens/s": round(timing.tokens / timing.seconds),
            "times TRL": round(first[timing.training.partition(",")[0]].seconds / timing.seconds, 2),
        }
        for timing in timings
    ]


def main() -> None:
    """Prints a markdown table, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=960)
    parser.add_argument("--pairs", type=int, default=320)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    profile = config.load(ROOT / "configs" / "nano-base-1.yaml").sft
    assert profile.model.nano is not None
    nano_config = profile.model.nano
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = seed_rows(folder / "seeds", max(options.rows, options.pairs))
        tokenizer = nano.train_tokenizer((row["prompt"] + row["completion"] for row in rows), nano_config.vocabulary)

        def model_of() -> Any:
            return nano.create_model(nano_config, tokenizer, profile.seed)

        timings = [*sft_timings(model_of, tokenizer, rows[: options.rows], options.epochs, folder)]
        timings += dpo_timings(model_of, tokenizer, rows[: options.pairs], options.epochs, folder)
    print_rows(table(timings), options.json)


if __name__ == "__main__":
    main()
