"""Measures strong data beside the built-in seeds and Spider's training set: its SQL, databases, questions, labels, splits, speed.

    .venv/bin/python -m benchmarks.synthesis                    6,000 rows, written here by the grammar
    .venv/bin/python -m benchmarks.synthesis --rows 20000       with the growth of structures up to 20,000
    .venv/bin/python -m benchmarks.synthesis --data data        strong, unseen and heldout of a finished run
    .venv/bin/python -m benchmarks.synthesis --read 120         rows to read, as a Markdown table, and nothing else
    .venv/bin/python -m benchmarks.synthesis --demo .           also the weak data and pairs of a finished run
    .venv/bin/python -m benchmarks.synthesis --asking           how an LLM is asked, and nothing else: four minutes
    .venv/bin/python -m benchmarks.synthesis --tokens           what an example of an LLM costs, and nothing else: some minutes

Everything but the times is the same in every run with the same arguments. What is measured, and how, is in the modules:
structures.py (SQL), databases.py, asking.py, tokens.py, questions.py and sense/teacher/question_rules.py, labels.py, splits.py.
"""

import argparse
import resource
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from statistics import fmean, quantiles
from typing import Any

from benchmarks import asking, databases, labels, questions, splits, stand_in, tokens
from benchmarks.corpora import SPLITS, Corpus, Row, read_data, read_questions
from benchmarks.structures import HARD_FEATURES, QUERY_FEATURES, structure
from sense import records
from sense.config import ExecutionConfig, SplitConfig, SynthesizeConfig
from sense.sql.features import features
from sense.stages import synthesize
from sense.teacher.question_rules import NAMED_ROW, TWO_READINGS, ZERO_GROUPS, problems

ROOT = Path(__file__).parents[1]
SPIDER = ROOT.parent / "shared" / "spider"
LEVELS = {"easy": 0.25, "medium": 0.35, "hard": 0.25, "extra": 0.15}
GROWTH = (1_000, 2_000, 4_000, 6_000, 10_000, 20_000)
WORD_SAMPLES = (3_000, 40_000)
Value = float | int | str | None


@dataclass(frozen=True)
class Figure:
    """A line of a table: a value for each corpus that has one. `unit` is %, ms, s or empty."""

    label: str
    values: Mapping[str, Value]
    unit: str = ""


@dataclass(frozen=True)
class Run:
    """How long it took to write data: seconds of the clock and of all processors, and the digest of what was written."""

    rows: int
    wall: float
    cpu: float
    digest: str


def share(hits: Iterable[object]) -> float:
    """The share of true values; 0 of none."""
    values = [bool(hit) for hit in hits]
    return sum(values) / len(values) if values else 0.0


# -- writing the data


def write_rows(folder: Path, rows: int, seed: int, processes: int | None = None) -> Run:
    """Lets the stage `synthesize` write `rows` rows with `processes` processes (None: one a core) at LEVELS, else by default."""
    config = SynthesizeConfig(
        count=rows,
        seed=seed,
        levels=LEVELS,
        split=SplitConfig(heldout_domains=max(1, min(8, rows // 500))),  # few rows have few databases
        execution=ExecutionConfig(workers=processes),
    )
    outputs = synthesize.Outputs(
        *(folder / split for split in SPLITS), folder / "work" / "decontamination.json", folder / "work" / "metrics.json"
    )
    no_seeds = folder / "work" / "no-seeds"
    records.write_jsonl(no_seeds / "examples.jsonl", [])
    start, before = time.perf_counter(), _cpu_seconds()
    synthesize.run(config, synthesize.Inputs(no_seeds, no_seeds), outputs)
    wall, cpu = time.perf_counter() - start, _cpu_seconds() - before
    digests = [records.digest(folder / split / name) for split in SPLITS for name in ("examples.jsonl", "databases")]
    return Run(rows, wall, cpu, " ".join(digests))


def _cpu_seconds() -> float:
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


# -- section 1: SQL and databases


def measure_sql(corpora: Sequence[Corpus]) -> list[Figure]:
    """Structures and constructs; the coverage is of the first corpus by the structures of the first."""
    shapes = {corpus.name: [structure(row.tree) if row.tree is not None else "" for row in corpus.rows] for corpus in corpora}
    ours = set(shapes[corpora[0].name])
    found = {corpus.name: [features(row.tree) if row.tree is not None else set() for row in corpus.rows] for corpus in corpora}
    hard = {
        corpus.name: [
            sets for sets, row in zip(found[corpus.name], corpus.rows, strict=True) if row.hardness in ("hard", "extra")
        ]
        for corpus in corpora
    }
    figures = [
        Figure("rows", {corpus.name: len(corpus.rows) for corpus in corpora}),
        Figure("coarse structures", {name: len(set(texts)) for name, texts in shapes.items()}),
        Figure(
            "rows whose structure occurs in ours",
            {name: share(text in ours for text in texts) for name, texts in shapes.items() if name != corpora[0].name},
            "%",
        ),
    ]
    figures += [
        Figure(
            f"structures in {count:,} rows",
            {name: len(set(texts[:count])) for name, texts in shapes.items() if len(texts) >= count},
        )
        for count in GROWTH
    ]
    figures += [
        Figure(feature, {name: share(feature in sets for sets in rows) for name, rows in found.items()}, "%")
        for feature in (*QUERY_FEATURES, *HARD_FEATURES)
    ]
    figures += [
        Figure(
            f"{feature}, at hard and extra", {name: share(feature in sets for sets in rows) for name, rows in hard.items()}, "%"
        )
        for feature in HARD_FEATURES
    ]
    return figures


def measure_databases(corpora: Sequence[Corpus]) -> list[Figure]:
    """Tables, rows, and the shares of databases that have something; times for our databases alone."""
    facts = {
        corpus.name: [databases.measure(file, timed=corpus is corpora[0]) for _, file in sorted(corpus.databases.items())]
        for corpus in corpora
    }
    tables = {name: [len(each.rows) for each in rows] for name, rows in facts.items()}
    table_rows = {name: [count for each in rows for count in each.rows] for name, rows in facts.items()}
    milliseconds = [1000 * each.seconds for each in facts[corpora[0].name] if each.seconds is not None]
    figures = [
        Figure("databases", {name: len(rows) for name, rows in facts.items()}),
        Figure("tables, mean", {name: round(fmean(counts), 2) for name, counts in tables.items()}),
        Figure("tables, most", {name: max(counts) for name, counts in tables.items()}),
        Figure("rows of a table, median", {name: _quantile(counts, 50) for name, counts in table_rows.items()}),
        Figure("rows of a table, p95", {name: _quantile(counts, 95) for name, counts in table_rows.items()}),
        Figure("rows of a table, most", {name: max(counts) for name, counts in table_rows.items()}),
        Figure(
            "instances beside a database, mean", {name: round(fmean(counts), 2) for name, counts in _instances(corpora).items()}
        ),
        Figure("to write a database, median", {corpora[0].name: _quantile(milliseconds, 50)}, "ms"),
        Figure("to write a database, p95", {corpora[0].name: _quantile(milliseconds, 95)}, "ms"),
    ]
    figures += [
        Figure(
            f"databases with: {feature}",
            {name: share(feature in each.features for each in rows) for name, rows in facts.items()},
            "%",
        )
        for feature in databases.DATABASE_FEATURES
    ]
    return figures


def _instances(corpora: Sequence[Corpus]) -> dict[str, list[int]]:
    """How many further *.sqlite files lie beside each database, as a test suite."""
    return {
        corpus.name: [len(list(file.parent.glob("*.sqlite"))) - 1 for file in corpus.databases.values()] for corpus in corpora
    }


def _quantile(values: Sequence[float], percent: int) -> float:
    return round(quantiles(values, n=100, method="inclusive")[percent - 1], 2) if len(values) > 1 else values[0]


# -- section 2: questions


def measure_questions(corpora: Sequence[Corpus]) -> list[Figure]:
    """Wording, and the classes of the teacher's rules."""
    classes = {corpus.name: [problems(row.question, row.sql, row.evidence) for row in corpus.rows] for corpus in corpora}
    styles = {corpus.name: [questions.styles(row.question) for row in corpus.rows] for corpus in corpora}
    figures = [
        Figure("all columns spelt in the question", _shares(corpora, questions.spells_all_columns), "%"),
        Figure("with evidence", _shares(corpora, lambda row: row.evidence), "%"),
        Figure("names a table", _shares(corpora, questions.names_a_table), "%"),
    ]
    figures += [
        Figure(f"style: {style}", {name: share(style in sets for sets in rows) for name, rows in styles.items()}, "%")
        for style in questions.STYLES
    ]
    for count in WORD_SAMPLES:
        samples = {corpus.name: questions.word_sample([row.question for row in corpus.rows], count) for corpus in corpora}
        samples = {name: words for name, words in samples.items() if len(words) == count}
        figures += [
            Figure(
                f"type-token ratio of {count:,} words",
                {name: questions.type_token_ratio(words) for name, words in samples.items()},
                "%",
            ),
            Figure(
                f"distinct trigrams of {count:,} words",
                {name: questions.distinct_trigrams(words) for name, words in samples.items()},
            ),
        ]
    unnatural = {name: share(set(names) - set(TWO_READINGS) for names in rows) for name, rows in classes.items()}
    figures.append(Figure("unnatural by rule", unnatural, "%"))
    shares = {name: questions.share_of_classes(rows) for name, rows in classes.items()}
    ranked = Counter({label: shares[corpora[0].name].get(label, 0.0) for rows in shares.values() for label in rows})
    figures += [
        Figure(f"rule: {label}", {name: rows.get(label, 0.0) for name, rows in shares.items()}, "%")
        for label, _ in sorted(ranked.items(), key=lambda pair: (-pair[1], pair[0]))
        if label not in TWO_READINGS
    ]
    counted = {
        corpus.name: [
            names for names, row in zip(classes[corpus.name], corpus.rows, strict=True) if questions.counts_over_join(row)
        ]
        for corpus in corpora
    }
    figures += [
        Figure("grouped counts over a join", {name: len(rows) for name, rows in counted.items()}),
        Figure(
            "of these, groups of zero missing unsaid",
            {name: share(ZERO_GROUPS in names for names in rows) for name, rows in counted.items()},
            "%",
        ),
        *(
            Figure(label, {name: rows.get(label, 0.0) for name, rows in shares.items()}, "%")
            for label in (ZERO_GROUPS, NAMED_ROW)
        ),
    ]
    return figures


def _shares(corpora: Sequence[Corpus], measure: Callable[[Row], object]) -> dict[str, Value]:
    return {corpus.name: share(measure(row) for row in corpus.rows) for corpus in corpora}


# -- sections 3 to 6


def measure_labels(corpora: Sequence[Corpus], golds: int) -> list[Figure]:
    """Mutants of some golds of each corpus on instances built for the purpose."""
    counts = {corpus.name: labels.measure(corpus, golds) for corpus in corpora}
    return [
        Figure("golds", {name: count.golds for name, count in counts.items()}),
        Figure("mutants that differ somewhere", {name: count.mutants for name, count in counts.items()}),
        Figure("mutants that differ nowhere, left out", {name: count.same for name, count in counts.items()}),
        *(
            Figure(
                f"mutants right on the main database{f' and {further} instances' if further else ''}",
                {name: count.survivors[further] / max(1, count.mutants) for name, count in counts.items()},
                "%",
            )
            for further in labels.INSTANCES
        ),
        Figure(
            "golds empty on an instance", {name: count.empty / max(1, count.executions) for name, count in counts.items()}, "%"
        ),
    ]


def measure_run(folder: Path) -> list[Figure]:
    """The weak data and the pairs of a finished run."""
    weak = labels.read_weak_data(folder)
    values: dict[str, tuple[Value, str]] = {
        "pairs": (weak.pairs, ""),
        "rejected answers that run": (weak.rejected_runs / max(1, weak.pairs), "%"),
        "samples": (weak.samples, ""),
        "samples that are right": (weak.right / max(1, weak.samples), "%"),
        "samples that name a table that does not exist": (weak.no_such_table / max(1, weak.samples), "%"),
    }
    values |= {f"rejected from: {source}": (count / weak.pairs, "%") for source, count in weak.sources.most_common()}
    values |= {f"rejected: {name}": (count / weak.pairs, "%") for name, count in weak.classes.most_common()}
    return [Figure(label, {"run": value}, unit) for label, (value, unit) in values.items()]


def measure_splits(corpus: Corpus) -> list[Figure]:
    """What the splits of our data share."""
    overlap = splits.measure(corpus)
    values: dict[str, tuple[Value, str]] = {
        "domains of heldout": (overlap.heldout_domains, ""),
        "of these, in strong too": (overlap.shared_domains, ""),
        "rows of heldout": (overlap.heldout_rows, ""),
        "of these, SQL in strong too (fingerprint)": (overlap.shared_sql, ""),
        "of these, question nearly in strong too": (overlap.near_questions, ""),
        "near duplicates within strong": (overlap.near_within_strong / max(1, overlap.strong_rows), "%"),
    }
    return [Figure(label, {corpus.name: value}, unit) for label, (value, unit) in values.items()]


def measure_decontamination(sets: Mapping[str, Path], folder: Path) -> list[Figure]:
    """Rows of evaluation sets, planted in data as they are or changed, that `sense decontaminate` drops."""
    recall = {name: splits.planted_recall(path, folder / name, each=50) for name, path in sets.items()}
    return [
        Figure(f"planted, {kind}", {name: f"{kinds[kind][1]} of {kinds[kind][0]}" for name, kinds in recall.items()})
        for kind in next(iter(recall.values()))
    ]


def measure_speed(rows: int, seed: int, folder: Path) -> list[Figure]:
    """Writes the same rows with one process and with two."""
    runs = {f"{processes} process{'es' if processes > 1 else ''}": processes for processes in (1, 2)}
    results = {name: write_rows(folder / f"speed-{processes}", rows, seed, processes) for name, processes in runs.items()}
    one, two = results.values()
    return [
        Figure("rows", {name: run.rows for name, run in results.items()}),
        Figure("wall time", {name: round(run.wall, 2) for name, run in results.items()}, "s"),
        Figure("CPU time", {name: round(run.cpu, 2) for name, run in results.items()}, "s"),
        Figure("rows per second", {name: round(run.rows / run.wall, 1) for name, run in results.items()}),
        Figure("rows per CPU-second", {name: round(run.rows / run.cpu, 1) for name, run in results.items()}),
        Figure("same bytes", {"2 processes": "yes" if one.digest == two.digest else "NO"}),
    ]


def measure_asking(folder: Path) -> list[Figure]:
    """How an LLM is asked, against a stand-in on this machine; what is written lies in `folder`."""
    values: dict[str, tuple[Value, str]] = {}
    for concurrency, count in ((16, 2400), (64, 9600)):  # 30 s each, so that the careful start weighs as little as in a real run
        for latency in stand_in.LATENCIES:
            run = asking.ask(folder, count, concurrency, latency)
            case = f"{concurrency} in flight, {latency}"
            values[f"{case}: throughput against ideal"] = (run.ideal / run.seconds, "%")
            values[f"{case}: in flight, of those that may be"] = (run.in_flight / concurrency, "%")
            values[f"{case}: from start to as many"] = (round(run.full_s, 2), "s")
            values[f"{case}: client's CPU time a request"] = (round(1000 * run.cpu_s / run.answered, 2), "ms")
    rates = (4.0, 1.5)
    for rate, run in zip(rates, asking.ask_limited(folder, 120, rates), strict=True):
        values[f"limit of {rate:g} requests/s: share answered 429"] = (run.refused / (run.answered + run.refused), "%")
        values[f"limit of {rate:g} requests/s: answered for a second"] = (round(run.answered / run.seconds, 2), "")
    values |= {f"asked again after: {change}": (count, "") for change, count in asking.asked_again(8).items()}
    return [Figure(label, {"ours": value}, unit) for label, (value, unit) in values.items()]


def measure_tokens(count: int) -> list[Figure]:
    """What an example costs with one question a request, and with several."""
    figures: list[Figure] = []
    for case, faults in (("no faults", {}), ("faults of the demo", tokens.FAULTS)):
        runs = {number: tokens.measure(number, count, faults) for number in (1, 5, 10, 20)}
        by_name = {f"{number} a request": run for number, run in runs.items()}
        figures += [
            Figure(f"{case}: requests", {name: run.requests for name, run in by_name.items()}),
            Figure(f"{case}: prompt tokens an example", {name: round(run.prompt / run.kept) for name, run in by_name.items()}),
            Figure(
                f"{case}: completion tokens an example", {name: round(run.completion / run.kept) for name, run in by_name.items()}
            ),
            Figure(
                f"{case}: examples a token, against one",
                {name: round(runs[1].tokens / run.tokens, 2) for name, run in by_name.items()},
            ),
        ]
    return figures


# -- printing


def add_before(figure: Figure, value: Value) -> Figure:
    """The figure with the value of an earlier run in front, if there is one."""
    return figure if value is None else Figure(figure.label, {"before": value, **figure.values}, figure.unit)


def print_table(title: str, figures: Sequence[Figure]) -> None:
    """A Markdown table with a column for each corpus, and no line for what none of them has."""
    names = list(
        dict.fromkeys(name for figure in sorted(figures, key=lambda figure: -len(figure.values)) for name in figure.values)
    )
    print(f"\n## {title}\n\n| | {' | '.join(names)} |\n|---|{'---|' * len(names)}")
    for figure in (figure for figure in figures if figure.values):
        cells = (_cell(figure.values[name], figure.unit) if name in figure.values else "" for name in names)
        print(f"| {figure.label} | {' | '.join(cells)} |")
    sys.stdout.flush()


def _cell(value: Value, unit: str) -> str:
    if isinstance(value, float) and unit == "%":
        return f"{value:.1%}"
    text = f"{value:,}" if isinstance(value, int | float) else str(value)
    return f"{text} {unit}".strip()


def print_rows(corpus: Corpus, count: int, seed: int) -> None:
    """`count` rows drawn with `seed`, for a person who judges them."""
    rows = Random(seed).sample(corpus.rows, min(count, len(corpus.rows)))
    print("| | question | evidence | SQL | hardness | domain |\n|---|---|---|---|---|---|")
    for number, row in enumerate(rows, start=1):
        cells = (row.question, row.evidence, row.sql, row.hardness, row.domain)
        print(f"| {number} | {' | '.join(' '.join(cell.split()).replace('|', chr(92) + '|') for cell in cells)} |")


def main() -> None:
    """Measures and prints, section by section."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=6_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--data", type=Path, help="measure these splits; nothing is written or timed")
    parser.add_argument("--demo", type=Path, help="working copy of a finished run: its weak data and pairs are measured too")
    parser.add_argument("--golds", type=int, default=100, help="golds of each corpus whose mutants are executed")
    parser.add_argument("--speed-rows", type=int, default=1_000)
    parser.add_argument("--read", type=int, help="print so many rows to read, and nothing else")
    parser.add_argument("--asking", action="store_true", help="measure how an LLM is asked, and nothing else")
    parser.add_argument("--tokens", action="store_true", help="measure what an example of an LLM costs, and nothing else")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    parser.add_argument("--before", type=Path, help="a file of --json, whose figures of our data stand beside these")
    options = parser.parse_args()
    figures: dict[str, list[Figure]] = {}
    before = records.read_json(options.before) if options.before is not None else {}

    def report(title: str, rows: list[Figure]) -> None:
        figures[title] = rows
        earlier = {label: values["ours"] for label, values in before.get(title, {}).items() if "ours" in values}
        print_table(title, [add_before(figure, earlier.get(figure.label)) for figure in rows] if earlier else rows)

    if options.asking:
        with tempfile.TemporaryDirectory() as temporary:
            report("7. Asking an LLM", measure_asking(Path(temporary)))
        return
    if options.tokens:
        report("8. Tokens", measure_tokens(120))
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        if options.data is None:
            write_rows(folder / "ours", options.rows, options.seed)
        ours = read_data(options.data or folder / "ours", "ours").first(options.rows)
        if options.read is not None:
            print_rows(ours, options.read, options.seed)
            return
        corpora = [ours, read_questions(ROOT / "sense/seeds", "seeds", folder / "seeds")]
        if SPIDER.is_dir():
            corpora.append(read_questions(SPIDER, "Spider", folder / "spider"))
        else:
            print(f"{SPIDER}: no such folder; Spider is left out")
        report("1. SQL", measure_sql(corpora))
        report("1. Databases", measure_databases(corpora))
        report("2. Questions", measure_questions(corpora))
        report("3. Labels", measure_labels(corpora, options.golds))
        if options.demo is not None:
            report("4. Weak data", measure_run(options.demo))
        report("5. Splits", measure_splits(ours))
        sets = {"seeds": ROOT / "sense/seeds"} | ({"Spider": SPIDER} if SPIDER.is_dir() else {})
        report("5. Decontamination", measure_decontamination(sets, folder / "planted"))
        if options.data is None:
            report("6. Speed", measure_speed(options.speed_rows, options.seed, folder))
    if options.json is not None:
        content: dict[str, Any] = {
            title: {figure.label: dict(figure.values) for figure in rows} for title, rows in figures.items()
        }
        records.write_json(options.json, content)


if __name__ == "__main__":
    main()
