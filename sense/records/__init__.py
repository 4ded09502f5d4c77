"""The rows that flow between stages, the files and dataset folders that hold them, and the only code that writes files whole."""

from sense.records.datasets import database_path, draw, read_dataset
from sense.records.digests import combine_digests, digest, revision
from sense.records.json_files import (
    Log,
    dump,
    first_problem,
    jsonl_lines,
    parse_jsonl,
    read_json,
    read_jsonl,
    read_numbered_jsonl,
    read_rows,
    write_json,
    write_jsonl,
)
from sense.records.metrics import finite_numbers, flatten, is_number, verdict_counts
from sense.records.rows import HARDNESS, Example, Hardness, JudgedRow, Pair, Prediction, Record, Sample, Verdict
from sense.records.storage import atomic, deliver, remove, write_first, write_text
from sense.records.surrogates import find_surrogate
from sense.records.text_files import foreign_content, read_text

__all__ = [
    "HARDNESS",
    "Example",
    "Hardness",
    "JudgedRow",
    "Log",
    "Pair",
    "Prediction",
    "Record",
    "Sample",
    "Verdict",
    "atomic",
    "combine_digests",
    "database_path",
    "deliver",
    "digest",
    "draw",
    "dump",
    "find_surrogate",
    "finite_numbers",
    "first_problem",
    "flatten",
    "foreign_content",
    "is_number",
    "jsonl_lines",
    "parse_jsonl",
    "read_dataset",
    "read_json",
    "read_jsonl",
    "read_numbered_jsonl",
    "read_rows",
    "read_text",
    "remove",
    "revision",
    "verdict_counts",
    "write_first",
    "write_json",
    "write_jsonl",
    "write_text",
]
