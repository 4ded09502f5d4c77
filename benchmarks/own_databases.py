"""What training on one's own database brings: EX on its human questions before and after, and the time it takes.

    python -m benchmarks.own_databases --spider ../shared/spider [DATABASE ...]

Each database of Spider's training set is used as if it were one's own: `sense own` copies a sample of its rows, the grammar
writes questions and SQL on the copy, and a student is trained on these alone, with the demo's settings. The questions that people
wrote on the database only evaluate, on the database itself: no training and no selection sees them.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from sense import config, records
from sense.config import ExecutionConfig
from sense.evaluation.score import ScoringItem, score
from sense.evaluation.statistics import interval, mcnemar
from sense.prompts import answer_sql
from sense.prompts.dataset import question_prompts
from sense.records import Example
from sense.sql.execute import Executor
from sense.sql.hardness import hardness

ROOT = Path(__file__).parent.parent
DATABASES = ("hr_1", "college_1", "customers_and_invoices", "bike_1", "gas_company")
RESAMPLES = 1000


def run_sense(folder: Path, *arguments: str) -> float:
    """Runs a command of `sense` in a folder, with its output on stderr; returns its wall-clock seconds."""
    environment = {**os.environ, "SENSE_WORK": "work", "MLFLOW_TRACKING_URI": "sqlite:///mlflow.db", "PYTHONPATH": str(ROOT)}
    start = time.monotonic()
    subprocess.run([sys.executable, "-m", "sense", *arguments], cwd=folder, env=environment, check=True, stdout=sys.stderr)
    return time.monotonic() - start


def human_questions(spider: Path, database: str, folder: Path) -> list[Example]:
    """The questions that people wrote on the database, which is put into the dataset folder as it is."""
    target = records.database_path(folder, database)
    target.parent.mkdir(parents=True)
    target.symlink_to((spider / "database" / database / f"{database}.sqlite").absolute())
    rows = json.loads((spider / "train_spider.json").read_text(encoding="utf-8"))
    return [
        Example(
            id=f"{database}-{number}",
            db_id=database,
            question=row["question"],
            sql=row["query"],
            source="spider",
            hardness=hardness(row["query"]),
        )
        for number, row in enumerate(rows)
        if row["db_id"] == database
    ]


def train(spider: Path, database: str, folder: Path, count: int) -> float:
    """From the database's file to a trained model, `folder`/model; returns the seconds."""
    settings = {"synthesize.own": "[own]", "synthesize.count": count, "synthesize.split": "{unseen: 0.05, heldout: 0.05}"}
    settings["synthesize.levels"] = "{easy: 0.55, medium: 0.35, hard: 0.1}"
    (folder / "params.yaml").write_bytes((ROOT / "configs" / "nano.yaml").read_bytes())
    changes = [argument for key, value in settings.items() for argument in ("--set", f"{key}={value}")]
    run_sense(folder, "profile", *changes, "--set", "sft.data=strong")
    seeds = str(ROOT / "sense" / "seeds")
    run_sense(folder, "ingest", "--seeds", seeds, "--seed", "seed", "--dev", "dev", "--metrics", "ingest.json")
    source = str((spider / "database" / database / f"{database}.sqlite").absolute())
    seconds = run_sense(folder, "own", f"{database}={source}")
    (folder / "own").symlink_to(folder / "data" / "own")
    outputs = ["--strong", "strong", "--unseen", "unseen", "--heldout", "heldout", "--decontamination", "decontamination.json"]
    seconds += run_sense(folder, "synthesize", "--seed", "seed", "--dev", "dev", *outputs, "--metrics", "synthesize.json")
    files = ["--strong", "strong", "--seed", "seed", "--model", "model", "--curve", "curve.csv", "--metrics", "sft.json"]
    return seconds + run_sense(folder, "sft", *files)


def answers(model: Path, dataset: Path, examples: Sequence[Example], base: bool) -> list[bool]:
    """Whether the greedy answer to each question is right, of the model or of the base that it was trained from."""
    from sense.training import generate, model_folder

    settings = config.load(ROOT / "configs" / "nano.yaml").evaluate
    generator = generate.load_generator(model, settings.batch_size, base)
    prompts = question_prompts(dataset, examples, model_folder.read_info(model).prompt)
    context = generator.context or sys.maxsize
    fits = [length + settings.max_new_tokens <= context for length in generator.count_tokens(prompts)]
    answerable = [prompt for prompt, fit in zip(prompts, fits, strict=True) if fit]
    texts = iter(generator.generate(answerable, n=1, temperature=0, top_p=1, max_tokens=settings.max_new_tokens, seed=0))
    items = [
        ScoringItem(
            example.id, records.database_path(dataset, example.db_id), answer_sql(next(texts)[0]) if fit else "", example.sql
        )
        for example, fit in zip(examples, fits, strict=True)
    ]
    with Executor(ExecutionConfig()) as executor:
        return [verdict.correct for verdict in score(executor, items, "score")]


def row(name: str, before: Sequence[bool], after: Sequence[bool], written: str, minutes: str) -> str:
    """A row of the table: EX before and after with 95% intervals, and McNemar's test."""
    shares = []
    for flags in (before, after):
        low, high = interval(flags, RESAMPLES, 0)
        shares.append(f"{sum(flags) / len(flags):.1%} ({100 * low:.1f}–{100 * high:.1f})")
    wins, losses, p = mcnemar(before, after)
    return f"| {name} | {len(before)} | {shares[0]} | {shares[1]} | {wins} : {losses} | {p:.2g} | {written} | {minutes} |"


def main() -> None:
    """Prints a Markdown table with a row for each database and one for all of them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("databases", nargs="*", default=DATABASES, metavar="DATABASE", help="default: five of different sizes")
    parser.add_argument("--spider", type=Path, required=True, help="the folder of Spider's training set")
    parser.add_argument("--count", type=int, default=1500, help="questions to synthesise for each database (default: 1500)")
    options = parser.parse_args()
    print("| database | human questions | EX of the base | EX after | won : lost | p | synthesised | minutes |")
    print("|---|---|---|---|---|---|---|---|", flush=True)
    all_before: list[bool] = []
    all_after: list[bool] = []
    for database in options.databases:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            examples = human_questions(options.spider, database, folder / "human")
            minutes = train(options.spider, database, folder, options.count) / 60
            before, after = (answers(folder / "model", folder / "human", examples, base) for base in (True, False))
            metrics = records.read_json(folder / "sft.json")
            print(row(database, before, after, f"{metrics['examples']:,}", f"{minutes:.1f}"), flush=True)
            all_before += before
            all_after += after
    print(row("all", all_before, all_after, "", ""))


if __name__ == "__main__":
    main()
