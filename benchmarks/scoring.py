"""Times `score` against the evaluators that it stands in for, on many samples a question, and compares their verdicts.

    .venv/bin/python benchmarks/scoring.py [--databases DIR --examples FILE] [--questions N] [--samples K] [--json]

Questions: Spider's training set if it lies beside the working copy, else the built-in seeds, else `--databases` and
`--examples` (a dataset folder's). A sample is the gold or a mutation of it (`mutations.py`), in two ways:

    drawn      K samples drawn with replacement from the gold and five mutations, as a weak model repeats itself
    distinct   K different texts, the gold among them

The originals (`originals.py`) run in one process, as they do; ours with one worker and with two, workers' start included.
Texts that take more than MAX_STEPS are left out beforehand: the originals would spend most of their time on a handful of them.
"""

import argparse
import json
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks import originals  # noqa: E402  (the working copy is not on the path of a script in it)
from benchmarks.mutations import mutations  # noqa: E402
from sense import ingest, records  # noqa: E402
from sense.config import ExecutionConfig  # noqa: E402
from sense.evaluation.score import ScoringItem, score  # noqa: E402
from sense.sql.execute import Executor  # noqa: E402

SPIDER = ROOT.parent / "shared" / "spider"
MODES: dict[str, Callable[..., bool]] = {"spider-exec@1": originals.spider_exec, "bird-ex@1": originals.bird_ex}
POOL = 6  # texts that a weak model repeats
MAX_STEPS = 1_000_000  # of one text; ordinary queries take thousands
MAX_WORK = 50_000_000  # of the originals on one pair, column orders included
MAX_DIFFERENCES = 10


class Question(NamedTuple):
    """A database and a gold on it."""

    database: Path
    gold: str


class Timing(NamedTuple):
    """One row of the table: seconds, pairs that a limit left without a verdict on either side, others judged differently."""

    samples: str
    mode: str
    pairs: int
    distinct: int
    right: int
    original_s: float
    one_worker_s: float
    two_workers_s: float
    limited: int
    differences: list[str]

    def as_row(self) -> dict[str, Any]:
        """The row with its ratios."""
        ratios = {
            "ratio": self.original_s / self.two_workers_s,
            "ratio_one_worker": self.original_s / self.one_worker_s,
            "scaling": self.one_worker_s / self.two_workers_s,
            "pairs_per_s": self.pairs / self.two_workers_s,
        }
        values = {**self._asdict(), **ratios, "differences": len(self.differences)}
        return {key: round(value, 2) if isinstance(value, float) else value for key, value in values.items()}


def builtin_questions(folder: Path) -> list[Question]:
    """The questions of Spider or of the built-in seeds, their databases laid into `folder`."""
    source = ingest.read_seeds(SPIDER if SPIDER.is_dir() else ROOT / "sense" / "seeds")
    rows = [*source.seed, *(source.dev or ())]
    for name in {row.db_id for row in rows}:
        source.write_database(name, folder / name)
    return [Question(folder / row.db_id / f"{row.db_id}.sqlite", row.sql) for row in rows]


def dataset_questions(databases: Path, examples: Path) -> list[Question]:
    """The questions of a dataset folder."""
    rows = records.read_jsonl(examples, records.Example)
    return [Question(databases / row.db_id / f"{row.db_id}.sqlite", row.sql) for row in rows]


def ends_in_time(connection: sqlite3.Connection, sql: str) -> bool:
    """Whether `sql` ends within MAX_STEPS, well or not."""
    left = MAX_STEPS // 1_000

    def progress() -> bool:
        nonlocal left
        left -= 1
        return left < 0

    connection.set_progress_handler(progress, 1_000)
    try:
        connection.execute(sql).fetchall()
    except (sqlite3.Error, sqlite3.Warning, UnicodeError, ValueError):
        return left >= 0
    return True


def candidates(questions: list[Question], count: int, samples: int, random: Random) -> list[tuple[Question, list[str]]]:
    """`count` questions, each with as many different texts as samples, the gold first; what takes too long is left out."""
    golds: dict[Path, list[str]] = {}
    for question in questions:
        golds.setdefault(question.database, []).append(question.gold)
    chosen: list[tuple[Question, list[str]]] = []
    while len(chosen) < count:  # small sets are gone through more than once
        for question in random.sample(questions, len(questions))[: count - len(chosen)]:
            with closing(sqlite3.connect(question.database)) as connection:
                texts = [question.gold, *mutations(question.gold, random, 2 * samples, golds[question.database])]
                affordable = [text for text in texts if ends_in_time(connection, text)][:samples]
            if affordable[:1] == [question.gold] and len(affordable) == samples:
                chosen.append((question, affordable))
    return chosen


def run_original(mode: str, items: list[ScoringItem]) -> tuple[list[bool | None], float]:
    """The original's verdicts one by one, None where it has none, and its seconds."""
    judge = MODES[mode]
    verdicts: list[bool | None] = []
    started = time.perf_counter()
    for _, database, predicted, gold in items:
        try:
            verdicts.append(judge(database, predicted, gold, MAX_WORK))
        except originals.StepsExceededError:
            verdicts.append(None)
        except originals.GoldError:
            verdicts.append(False)
    return verdicts, time.perf_counter() - started


def ours(mode: str, items: list[ScoringItem], workers: int) -> tuple[list[records.Verdict], float]:
    """Our verdicts and seconds."""
    started = time.perf_counter()
    with Executor(ExecutionConfig(workers=workers)) as executor:
        verdicts = score(executor, items, f"{mode}, {workers}", mode)
    return verdicts, time.perf_counter() - started


def time_all(samples: str, mode: str, items: list[ScoringItem]) -> Timing:
    """Runs all three on the same pairs."""
    theirs, original_s = run_original(mode, items)
    _, one_s = ours(mode, items, 1)
    mine, two_s = ours(mode, items, 2)
    limited = [expected is None or verdict.limit != "" for expected, verdict in zip(theirs, mine, strict=True)]
    different = [
        f"{mode}: {expected} there, {verdict.verdict} {verdict.detail} here\n"
        f"  {item.predicted!r}\n  {item.gold!r}\n  {item.database}"
        for item, expected, verdict, stopped in zip(items, theirs, mine, limited, strict=True)
        if not stopped and verdict.correct != expected
    ]
    distinct = len({item[1:] for item in items})
    seconds = (original_s, one_s, two_s)
    return Timing(samples, mode, len(items), distinct, theirs.count(True), *seconds, sum(limited), different)


def pairs(chosen: list[tuple[Question, list[str]]], samples: int, random: Random) -> dict[str, list[ScoringItem]]:
    """The pairs to judge, `samples` a question, in the two ways."""

    def items(drawn: list[list[str]]) -> list[ScoringItem]:
        return [
            ScoringItem(f"{number}#{k}", question.database, text, question.gold)
            for number, ((question, _), texts) in enumerate(zip(chosen, drawn, strict=True))
            for k, text in enumerate(texts)
        ]

    return {
        "drawn": items([random.choices(texts[:POOL], k=samples) for _, texts in chosen]),
        "distinct": items([random.sample(texts, len(texts)) for _, texts in chosen]),
    }


def main() -> None:
    """Prints a markdown table, or JSON, and on stderr the first pairs that are judged differently."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--databases", type=Path, help="<db_id>/<db_id>.sqlite; it is only read")
    parser.add_argument("--examples", type=Path, help="examples.jsonl")
    parser.add_argument("--questions", type=int, default=1000)
    parser.add_argument("--samples", type=int, default=16)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if (options.databases is None) != (options.examples is None):
        parser.error("--databases and --examples go together")
    random = Random(0)
    with tempfile.TemporaryDirectory() as folder:
        questions = (
            dataset_questions(options.databases, options.examples) if options.examples else builtin_questions(Path(folder))
        )
        chosen = candidates(questions, options.questions, options.samples, random)
        timings = [
            time_all(samples, mode, items) for samples, items in pairs(chosen, options.samples, random).items() for mode in MODES
        ]
    for line in [line for timing in timings for line in timing.differences][:MAX_DIFFERENCES]:
        print(line, file=sys.stderr)
    if options.json:
        print(json.dumps([timing.as_row() for timing in timings], indent=1))
        return
    columns = ("samples", "mode", "pairs", "distinct", "right", "original_s", "one_worker_s", "two_workers_s")
    columns += ("ratio", "scaling", "differences", "limited")
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
    for row in (timing.as_row() for timing in timings):
        print(f"| {' | '.join(str(row[column]) for column in columns)} |")


if __name__ == "__main__":
    main()
