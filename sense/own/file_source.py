"""A folder of CSV or Parquet files as a source of rows: each file is a table.

A CSV file says nothing of types: a column is INTEGER, REAL, BOOLEAN, DATE or DATETIME where each of its values is one, else TEXT.
"00123" stays a text, and so does what has an empty beginning or end. An empty value is NULL.
"""

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

from sense.database_servers.values import sqlite_value
from sense.errors import InputError, UserError, install
from sense.own.csv_file import read_cells
from sense.own.tables import (
    MAX_TEXT,
    OwnColumn,
    OwnRow,
    OwnTable,
    OwnValue,
    guess_key,
    guess_references,
    reservoir,
    select_tables,
)

ENDINGS = (".csv", ".tsv", ".parquet")

_INTEGER = re.compile(r"-?(?:0|[1-9]\d{0,17})")
_REAL = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][-+]?\d{1,2})?")
_DATE = re.compile(r"\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])")
_DATETIME = re.compile(rf"{_DATE.pattern}[ T](?:[01]\d|2[0-3]):[0-5]\d(?::[0-5]\d(?:\.\d+)?)?")
_FLAGS = {"true": 1, "false": 0}


class FileSource:
    """The files of a folder as tables, of each the first `scan` rows; use it in a `with` block."""

    def __init__(self, folder: Path, names: Sequence[str], scan: int) -> None:
        """`names` are the tables to take (none: all); InputError names file and line of what can't be read."""
        self._rows: dict[str, list[OwnRow]] = {}
        tables = []
        files = table_files(folder)
        for name, file in files.items():
            if names and name not in names:
                tables.append(OwnTable(name, ()))
                continue
            columns, rows = _read_parquet(file, scan) if file.suffix.lower() == ".parquet" else _read_csv(file, scan)
            self._rows[name] = rows
            unique = [column.name for index, column in enumerate(columns) if _is_unique([row[index] for row in rows])]
            key = guess_key([column.name for column in columns], name, unique)
            tables.append(OwnTable(name, tuple(columns), key))
        self.tables = guess_references(select_tables(tables, names, str(folder)))

    def __enter__(self) -> "FileSource":
        return self

    def __exit__(self, *_: object) -> None:
        self._rows.clear()

    def draw(self, table: OwnTable, count: int, random: Random) -> list[OwnRow]:
        """At most `count` of the rows."""
        return reservoir(self._rows[table.name], count, random)

    def look_up(
        self, table: OwnTable, columns: Sequence[str], keys: Collection[OwnRow], limit: int | None = None
    ) -> list[OwnRow]:
        """The rows whose values in `columns` are one of `keys`; with `limit`, the first of them."""
        positions, among = table.positions(columns), set(keys)
        rows = (row for row in self._rows[table.name] if tuple(row[index] for index in positions) in among)
        return list(islice(rows, limit))


def table_files(folder: Path) -> dict[str, Path]:
    """The CSV and Parquet files of a folder by the names of their tables; InputError if two have one name."""
    files: dict[str, Path] = {}
    for file in sorted(folder.iterdir()):
        if file.is_file() and file.suffix.lower() in ENDINGS and not file.name.startswith("."):
            if file.stem in files:
                raise InputError(f"{files[file.stem]} and {file}: two files for one table; rename one of them")
            files[file.stem] = file
    return files


def _is_unique(values: Sequence[OwnValue]) -> bool:
    return bool(values) and None not in values and len(set(values)) == len(values)


# --- CSV


def _read_csv(file: Path, scan: int) -> tuple[list[OwnColumn], list[OwnRow]]:
    """The columns of a file with a line of names first, and its first `scan` rows, each value by its column's type."""
    names, rows = read_cells(file)
    cells = [line for _, line in islice(rows, scan)]
    columns, values = [], []
    for name, column in zip(names, zip(*cells, strict=True) if cells else [()] * len(names), strict=True):
        kind, typed = _typed(column)
        columns.append(OwnColumn(name, kind))
        values.append(typed)
    return columns, list(zip(*values, strict=True))


def _typed(cells: Sequence[str]) -> tuple[str, list[OwnValue]]:
    """The type that fits all values of a column, and the values."""
    filled = [cell for cell in cells if cell]
    name, _, convert = next(kind for kind in _TYPES if all(map(kind[1], filled))) if filled else _TYPES[-1]
    return name, [convert(cell) if cell else None for cell in cells]


_TYPES: tuple[tuple[str, Callable[[str], object], Callable[[str], OwnValue]], ...] = (
    ("INTEGER", _INTEGER.fullmatch, int),
    ("REAL", _REAL.fullmatch, float),
    ("BOOLEAN", lambda cell: cell.lower() in _FLAGS, lambda cell: _FLAGS[cell.lower()]),
    ("DATE", _DATE.fullmatch, str),
    ("DATETIME", _DATETIME.fullmatch, lambda cell: cell.replace("T", " ")),
    ("TEXT", lambda _: True, lambda cell: cell[:MAX_TEXT]),
)


# --- Parquet


def _read_parquet(file: Path, scan: int) -> tuple[list[OwnColumn], list[OwnRow]]:
    try:
        import pyarrow as pa  # type: ignore[import-untyped]
        import pyarrow.parquet as pq  # type: ignore[import-untyped]
    except ImportError:
        raise UserError(
            f"{file}: reading Parquet needs pyarrow, which comes with the extra `databases`; {install('databases')}"
        ) from None
    try:
        with pq.ParquetFile(file) as parquet:
            schema = parquet.schema_arrow
            rows: list[OwnRow] = []
            for batch in parquet.iter_batches(batch_size=min(scan, 10_000)):
                if len(rows) >= scan:
                    break
                rows += [_row(row, schema.names) for row in batch.to_pylist()]
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{file}: no readable Parquet file ({' '.join(str(error).split())[:200]}); write it again") from None
    return [OwnColumn(field.name, _arrow_type(pa, field.type)) for field in schema], rows[:scan]


def _row(row: Mapping[str, Any], names: Sequence[str]) -> OwnRow:
    return tuple(_cell(row[name]) for name in names)


def _cell(value: Any) -> OwnValue:
    plain = sqlite_value(value)
    if isinstance(plain, bytes):
        return None
    return plain[:MAX_TEXT] if isinstance(plain, str) else plain


def _arrow_type(pa: Any, kind: Any) -> str:
    types = pa.types
    checks: Iterator[tuple[bool, str]] = iter(
        [
            (types.is_boolean(kind), "BOOLEAN"),
            (types.is_integer(kind), "INTEGER"),
            (types.is_floating(kind), "REAL"),
            (types.is_decimal(kind), f"DECIMAL({getattr(kind, 'precision', 0)},{getattr(kind, 'scale', 0)})"),
            (types.is_date(kind), "DATE"),
            (types.is_timestamp(kind), "DATETIME"),
        ]
    )
    return next((name for applies, name in checks if applies), "TEXT")
