"""CSV files as people export them: a line of names, a separator that shows, quotes where they are needed."""

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from sense import records
from sense.errors import InputError

_SEPARATORS = ",;\t|"  # the one that the first line has most often is the file's


def read_cells(file: Path) -> tuple[list[str], Iterator[tuple[int, list[str]]]]:
    """The names in the first line, and of each further row the number of its last line and a text for each name.

    InputError names file and line of what is no CSV.
    """
    text = records.read_text(file)
    separator = max(_SEPARATORS, key=text.partition("\n")[0].count)  # the first of them where there is none
    lines = csv.reader(text.splitlines(keepends=True), delimiter=separator, strict=True)
    rows = _rows(file, lines)
    names = _names(file, next(rows, (1, []))[1])
    return names, _checked(file, names, rows)


def _rows(file: Path, lines: Any) -> Iterator[tuple[int, list[str]]]:
    try:
        for line in lines:
            yield lines.line_num, line
    except csv.Error as error:
        raise InputError(f"{file}, line {lines.line_num}: no CSV ({error}); mend the line") from None


def _checked(file: Path, names: Sequence[str], rows: Iterator[tuple[int, list[str]]]) -> Iterator[tuple[int, list[str]]]:
    """The rows that are not empty; InputError if one has not a value for each name."""
    for number, line in rows:
        if line and len(line) != len(names):
            raise InputError(
                f"{file}, line {number}: {len(line)} values, but the first line names {len(names)} columns; mend the "
                "line, or put quotes round a value with a separator in it"
            )
        if line:
            yield number, line


def _names(file: Path, header: Sequence[str]) -> list[str]:
    names = [name.strip() for name in header]
    if not names:
        raise InputError(f"{file}: it is empty; its first line must hold the names of the columns")
    faults = sorted({name for name in names if not name or names.count(name) > 1})
    if faults:
        fault = f"the column {faults[0]!r} occurs twice" if faults[0] else "a column without a name"
        raise InputError(f"{file}, line 1: {fault}; the first line must hold the names of the columns")
    return names
