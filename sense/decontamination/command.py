"""`sense decontaminate`: takes out of dataset folders what overlaps with evaluation sets, and writes the report of it."""

import argparse
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from sense import console, records
from sense.decontamination.compared_sets import ComparedSet, read_dataset, read_set
from sense.decontamination.comparison import REASONS, Comparison, Overlap, find_overlaps
from sense.decontamination.report import Report, make_report, write_report
from sense.errors import InputError, UserError
from sense.manifest import FILE, read_manifest, write_manifest
from sense.records import Example


def add_arguments(parser: argparse.ArgumentParser, _name: str) -> None:
    """Adds the flags."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "--data", type=Path, nargs="+", required=True, metavar="DIR", help="dataset folders; what overlaps is taken out of them"
    )
    parser.add_argument(
        "--against",
        type=Path,
        nargs="+",
        required=True,
        metavar="PATH",
        help="evaluation sets: dataset folders, folders in the built-in layout, Spider's or BIRD's, or .json or .jsonl files",
    )
    parser.add_argument("--report", type=Path, required=True, metavar="FILE", help="written to")
    parser.add_argument("--dry-run", action="store_true", help="take nothing out; what overlaps is listed as remaining")
    parser.add_argument("--json", action="store_true", help="print the counts as JSON on stdout, nothing else")
    parser.epilog = (
        "example:\n  sense decontaminate \\\n    --data data/strong data/unseen \\\n    --against data/dev data/heldout \\\n"
        "    --report data/decontamination.json"
    )


def main(options: argparse.Namespace) -> int:
    """Runs the command; returns the exit code."""
    console.quiet(options.json)
    report = decontaminate(options.data, options.against, options.report, drop=not options.dry_run)
    counts = {"dropped": report.dropped, "remaining": len(report.remaining)}
    if options.json:
        print(json.dumps(counts))
    else:
        _print(report)
        print(f"report: {options.report}")
    return 0


def decontaminate(data: Sequence[Path], against: Sequence[Path], report: Path, drop: bool = True) -> Report:
    """Compares the dataset folders `data` with the sets `against`, drops what overlaps and writes the report; returns it.

    A folder that changes keeps its databases, and its manifest is written anew. Raises UserError if a folder is on both sides.
    """
    both = {path.resolve() for path in data} & {path.resolve() for path in against}
    if both:
        raise UserError(f"{min(both)}: cannot be compared with itself; name it under --data or under --against")
    for folder in data:
        if not (folder / "examples.jsonl").is_file():
            raise InputError(f"{folder}: no dataset folder: it has no examples.jsonl; name such folders under --data")
    evaluation_sets = [read_set(path) for path in against]
    comparison = Comparison(evaluation_sets)
    data_sets: list[ComparedSet] = []
    overlaps: list[Overlap] = []
    for folder in data:
        compared = read_dataset(folder.as_posix(), folder)
        of_folder = find_overlaps(compared, comparison)
        if of_folder and drop:
            _drop(folder, {overlap.row.id for overlap in of_folder})
            compared = read_dataset(folder.as_posix(), folder)
        data_sets.append(compared)
        overlaps += of_folder
    dropped, remaining = (overlaps, []) if drop else ([], overlaps)
    result = make_report(data_sets, evaluation_sets, dropped, remaining)
    write_report(report, result)
    return result


def _drop(folder: Path, ids: set[str]) -> None:
    """Takes the examples with these ids out of a dataset folder; a manifest that it has is written anew."""
    examples = records.read_rows(folder / "examples.jsonl", Example)
    manifest = read_manifest(folder) if (folder / FILE).is_file() else None
    records.write_jsonl(folder / "examples.jsonl", [example for example in examples if example.id not in ids])
    if manifest is not None:
        write_manifest(
            folder,
            stage=manifest.stage,
            section=manifest.section,
            revision=manifest.revision,
            false_right=manifest.false_right,
            shared_sql=manifest.shared_sql,
            held_out_by=manifest.held_out_by,
        )


def _print(report: Report) -> None:
    """What was compared, and the rows that overlap by set and reason."""
    for name, summary in report.data.items():
        print(
            f"{name}: {summary.examples} examples without overlap"
            if not report.remaining
            else f"{name}: {summary.examples} examples"
        )
    for name, summary in report.against.items():
        schemas = "" if summary.databases else ", without schemas: a file has none"
        print(f"compared with {name}: {summary.examples} questions{schemas}")
    for verb, overlaps in (("dropped", report.overlaps), ("remaining", report.remaining)):
        counts = Counter((overlap.data, overlap.reason) for overlap in overlaps)
        for (name, reason), count in sorted(counts.items(), key=lambda item: (item[0][0], REASONS.index(item[0][1]))):
            first = next(overlap for overlap in overlaps if (overlap.data, overlap.reason) == (name, reason))
            print(f"{verb} of {name}: {count} {reason}, first: {first.row.question!r} is {first.against_row.question!r}")
