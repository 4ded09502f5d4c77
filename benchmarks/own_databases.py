"""What training on one's own database brings: EX on its human questions before and after, and the time it takes.

    python -m benchmarks.own_databases --spider ../shared/spider [DATABASE ...]

Each database of Spider's training set is used as if it were one's own: `sense own` copies a sample of its rows, the grammar
writes questions and SQL on the copy, and a student is trained with the demo's SFT, but longer rows, on these and on the seeds,
people's questions on other databases. Two sets evaluate: the questions that people wrote on the database, which no training and
no selection sees, and synthesised ones, whose SQL skeletons no training has.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Duration:
    """Seconds on the clock, and seconds of the processors, which other work on the machine hardly changes."""

    clock: float
    processors: float


def run_sense(folder: Path, *arguments: str) -> Duration:
    """Runs a command of `sense` in a folder, with its output on stderr; returns how long it took."""
    environment = {**os.environ, "SENSE_WORK": "work", "MLFLOW_TRACKING_URI": "sqlite:///mlflow.db", "PYTHONPATH": str(ROOT)}
    clock, processors = time.monotonic(), _processors()
    subprocess.run([sys.executable, "-m", "sense", *arguments], cwd=folder, env=environment, check=True, stdout=sys.stderr)
    return Duration(time.monotonic() - clock, _processors() - processors)


def _processors() -> float:
    """Seconds that processes which have ended kept processors busy."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


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


def train(spider: Path, database: str, folder: Path, count: int) -> Duration:
    """From the database's file to a trained model, `folder`/model; returns how long it took."""
    settings = {"synthesize.own": "[own]", "synthesize.count": count, "synthesize.split": "{unseen: 0.05, heldout: 0.15}"}
    settings |= {"sft.train.max_length": 1024}
    (folder / "params.yaml").write_bytes((ROOT / "configs" / "nano.yaml").read_bytes())
    changes = [argument for key, value in settings.items() for argument in ("--set", f"{key}={value}")]
    run_sense(folder, "profile", *changes)
    seeds = str(ROOT / "sense" / "seeds")
    run_sense(folder, "ingest", "--seeds", seeds, "--seed", "seed", "--dev", "dev", "--metrics", "ingest.json")
    source = str((spider / "database" / database / f"{database}.sqlite").absolute())
    durations = [run_sense(folder, "own", f"{database}={source}")]
    (folder / "own").symlink_to(folder / "data" / "own")
    outputs = ["--strong", "strong", "--unseen", "unseen", "--heldout", "heldout", "--decontamination", "decontamination.json"]
    durations += [run_sense(folder, "synthesize", "--seed", "seed", "--dev", "dev", *outputs, "--metrics", "synthesize.json")]
    files = ["--strong", "strong", "--seed", "seed", "--model", "model", "--curve", "curve.csv", "--metrics", "sft.json"]
    durations += [run_sense(folder, "sft", *files)]
    return Duration(sum(one.clock for one in durations), sum(one.processors for one in durations))


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


HEADER = ("database", "questions of", "n", "EX of the base", "EX after", "won : lost", "p", "trained on", "minutes", "CPU")


def row(names: Sequence[str], before: Sequence[bool], after: Sequence[bool], *rest: str) -> str:
    """A row of the table: EX before and after with 95% intervals, and McNemar's test."""
    shares = []
    for flags in (before, after):
        low, high = interval(flags, RESAMPLES, 0)
        shares.append(f"{sum(flags) / len(flags):.1%} ({100 * low:.1f}–{100 * high:.1f})")
    wins, losses, p = mcnemar(before, after)
    cells = [*names, str(len(before)), *shares, f"{wins} : {losses}", f"{p:.2g}", *(rest or ("", "", ""))]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Prints a Markdown table with two rows for each database and two for all of them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("databases", nargs="*", default=DATABASES, metavar="DATABASE", help="default: five of different sizes")
    parser.add_argument("--spider", type=Path, required=True, help="the folder of Spider's training set")
    parser.add_argument("--count", type=int, default=800, help="questions to synthesise for each database (default: 800)")
    options = parser.parse_args()
    print(f"| {' | '.join(HEADER)} |")
    print("|---" * len(HEADER) + "|", flush=True)
    verdicts: dict[str, tuple[list[bool], list[bool]]] = {"people": ([], []), "the grammar": ([], [])}
    for database in options.databases:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            human = human_questions(options.spider, database, folder / "human")
            duration = train(options.spider, database, folder, options.count)
            trained = f"{records.read_json(folder / 'sft.json')['examples']:,}"
            times = [f"{seconds / 60:.1f}" for seconds in (duration.clock, duration.processors)]
            sets = (folder / "human", human), (folder / "heldout", records.read_dataset(folder / "heldout"))
            for (kind, both), (dataset, examples) in zip(verdicts.items(), sets, strict=True):
                before, after = (answers(folder / "model", dataset, examples, base) for base in (True, False))
                print(row((database, kind), before, after, trained, *times), flush=True)
                both[0].extend(before)
                both[1].extend(after)
    for kind, (before, after) in verdicts.items():
        print(row(("all", kind), before, after))


if __name__ == "__main__":
    main()
