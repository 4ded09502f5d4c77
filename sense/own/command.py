"""`sense own`: a sample of your own databases as a dataset folder, for the teacher to write questions on, with your questions."""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

from sense import config, console
from sense.config import OwnConfig
from sense.own.copying import OwnCopies, copy_databases, guessed_references
from sense.own.sources import parse_sources


def add_arguments(parser: argparse.ArgumentParser, _name: str) -> None:
    """Adds the flags."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "sources",
        nargs="*",
        metavar="DIR_OR_URL",
        help="a SQLite file, a folder of them, a folder of CSV or Parquet files (one a table), a URL of PostgreSQL, MySQL or "
        "MariaDB, or env:VARIABLE that holds one; NAME=... names the copy (default: data.own.sources of params.yaml)",
    )
    parser.add_argument(
        "--questions",
        nargs="+",
        metavar="FILE",
        help="your own questions with their SQL: JSONL or CSV files (question, sql, db_id, evidence), or the gateway's folder of "
        "feedback (default: data.own.questions)",
    )
    parser.add_argument(
        "--out", type=Path, default=Path("data/own"), metavar="DIR", help="the dataset folder (default: data/own)"
    )
    parser.add_argument("--rows", type=int, metavar="N", help="rows of each table at most (default: data.own.rows)")
    parser.add_argument("--tables", nargs="+", metavar="TABLE", help="the tables to copy (default: data.own.tables, or all)")
    parser.add_argument(
        "--mask", nargs="+", metavar="COLUMN", help="columns whose values become others of the same shape: email customer.phone"
    )
    parser.add_argument("--seed", type=int, metavar="N", help="seed of the random draws (default: data.own.seed)")
    parser.add_argument(
        "--params", type=Path, metavar="FILE", help="the file with data.own (default: params.yaml, if it is there)"
    )
    parser.add_argument("--json", action="store_true", help="print the rows of each table as JSON on stdout, nothing else")
    parser.epilog = (
        "examples:\n  sense own shop.sqlite --mask email\n"
        "  sense own shop.sqlite --questions questions.csv feedback\n"
        "  sense own crm=exports/2024 shop=env:SHOP_URL --rows 500 --out data/own"
    )


def main(options: argparse.Namespace) -> int:
    """Runs the command; returns the exit code."""
    console.quiet(options.json)
    settings = _settings(options)
    copies = copy_databases(settings, parse_sources(settings.sources), options.out)
    rows = {name: {one.table.name: len(one.rows) for one in drawn} for name, drawn in copies.tables.items()}
    if options.json:
        print(json.dumps(rows))
        return 0
    for name, drawn in copies.tables.items():
        print(f"{name}: {', '.join(f'{count} rows of {table}' for table, count in rows[name].items())}")
        if guesses := guessed_references(drawn):
            print(f"{name}: foreign keys guessed from names and values, as none is declared: {'; '.join(guesses)}")
    out = options.out.as_posix()
    seeds = f"--set 'data.seeds={out}' " if copies.golds.examples else ""
    for line in _question_lines(copies):
        print(line)
    print(
        f"written to {out}; correct {out}/glossary/*.yaml, then have questions written:\n"
        f"  sense profile {seeds}--set 'synthesize.own=[{out}]'"
    )
    return 0


def _question_lines(copies: OwnCopies) -> Iterator[str]:
    """What became of the questions."""
    number, dropped = len(copies.golds.examples), copies.dropped
    if number or dropped.counts:
        yield f"questions: {number} of {number + dropped.counts.total()} can be used"
        yield from (f"  {line}" for line in dropped.lines())
        if copies.golds.translated:
            yield f"  {copies.golds.translated} golds were translated to the dialect of SQLite, which the copies have; read some"


def _settings(options: argparse.Namespace) -> OwnConfig:
    """The section `data.own` of params.yaml, with the flags before it."""
    path = options.params or Path("params.yaml")
    section = config.load(path).data.own if options.params or path.is_file() else OwnConfig()
    flags = {name: getattr(options, name) for name in ("questions", "rows", "tables", "mask", "seed")}
    changes = {name: value for name, value in flags.items() if value is not None}
    changes |= {"sources": options.sources} if options.sources else {}
    merged: OwnConfig = config.validate(OwnConfig, section.model_dump() | changes, "sense own")
    return merged
