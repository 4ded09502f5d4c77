"""Values of columns replaced by others of the same shape: a letter by a letter, a digit by a digit, a date by a date.

Equal values become equal ones wherever they are masked, and different ones different ones, so that joins, groups and counts of
different values stay as they are. What is drawn depends on a key: whoever has it can find out which value became which by trying,
so it is a pseudonym, and no more.
"""

import hashlib
import hmac
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import date

from sense.errors import InputError
from sense.own.sampling import DrawnTable
from sense.own.tables import OwnTable, OwnValue

_DATE = re.compile(r"(\d{4}-\d\d-\d\d)(.*)", re.DOTALL)
_DAYS = 1_000  # by how many days a date is moved, at most
_ATTEMPTS = 500
_SMALL, _CAPITAL = "abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def masked_columns(tables: Sequence[OwnTable], names: Sequence[str], where: str) -> set[tuple[str, str]]:
    """(table, column) for each column to mask: those called `names`, and what foreign keys join with them.

    InputError if a name is no column.
    """
    columns: set[tuple[str, str]] = set()
    for name in names:
        table_name, _, column_name = name.rpartition(".")
        matches = {
            (table.name, column.name)
            for table in tables
            for column in table.columns
            if column.name.lower() == column_name.lower() and table_name.lower() in ("", table.name.lower())
        }
        if not matches:
            listed = ", ".join(f"{table.name}.{column.name}" for table in tables for column in table.columns)
            raise InputError(f"{where}: mask: there is no column {name!r}; the columns are: {listed[:2000]}")
        columns |= matches
    pairs = [
        ((table.name, column), (reference.parent, other))
        for table in tables
        for reference in table.references
        for column, other in zip(reference.columns, reference.parent_columns, strict=True)
    ]
    while joined := {side for pair in pairs if columns & set(pair) for side in pair} - columns:
        columns |= joined
    return columns


def mask_tables(drawn: Sequence[DrawnTable], columns: Collection[tuple[str, str]], key: str) -> list[DrawnTable]:
    """The tables with the values of `columns` masked."""
    positions = {
        one.table.name: [index for index, column in enumerate(one.table.columns) if (one.table.name, column.name) in columns]
        for one in drawn
    }
    values = {row[index] for one in drawn for index in positions[one.table.name] for row in one.rows if row[index] is not None}
    masks = _masks(values, key)

    def masked(one: DrawnTable) -> DrawnTable:
        chosen = set(positions[one.table.name])
        rows = [tuple(masks.get(value, value) if i in chosen else value for i, value in enumerate(row)) for row in one.rows]
        return replace(one, rows=rows)

    return [masked(one) for one in drawn]


def _masks(values: Collection[OwnValue], key: str) -> Mapping[OwnValue, OwnValue]:
    """Another value for each, no two the same."""
    masks: dict[OwnValue, OwnValue] = {}
    taken: set[OwnValue] = set()
    for value in sorted(values, key=lambda value: (isinstance(value, str), value)):
        for attempt in range(2 * _ATTEMPTS):
            # Where all values of a shape are taken, one with a longer shape is left.
            mask = _mask(value, f"{key}\0{attempt}", longer=attempt >= _ATTEMPTS)
            if mask not in taken and mask != value:
                break
        masks[value] = mask
        taken.add(mask)
    return masks


def _mask(value: OwnValue, key: str, longer: bool) -> OwnValue:
    if isinstance(value, str):
        return _mask_text(value + ("a" if longer else ""), key)
    if isinstance(value, float):
        whole, point, fraction = repr(abs(value)).partition(".")
        if "e" in fraction or "e" in whole or not point:
            return value * (1 + _numbers(repr(value), key, 1)[0] / 256)
        masked = float(_mask_digits(whole + ("0" if longer else ""), key) + point + _mask_digits(f"1{fraction}", key)[1:])
        return -masked if value < 0 else masked
    if value is None:
        return None
    number = int(_mask_digits(str(abs(value)) + ("0" if longer else ""), key))
    return -number if value < 0 else number


def _mask_digits(digits: str, key: str) -> str:
    """Other digits, of which the first is 0 only if it was and is the only one."""
    numbers = _numbers(digits, key, len(digits))
    first = numbers[0] % 10 if len(digits) == 1 else 1 + numbers[0] % 9
    return "".join(map(str, [first, *(number % 10 for number in numbers[1:])]))


def _mask_text(text: str, key: str) -> str:
    match = _DATE.fullmatch(text)
    if match is not None:
        try:
            day = date.fromisoformat(match[1])
            numbers = _numbers(text, key, 2)
            shift = (numbers[0] * 256 + numbers[1]) % _DAYS + 1
            return date.fromordinal(max(1, day.toordinal() - shift)).isoformat() + match[2]
        except ValueError:
            pass  # the digits of something else
    numbers = _numbers(text, key, len(text))
    return "".join(_mask_sign(sign, number) for sign, number in zip(text, numbers, strict=True))


def _mask_sign(sign: str, number: int) -> str:
    if sign.isdigit():
        return str(number % 10)
    if sign.isalpha():
        return (_CAPITAL if sign.isupper() else _SMALL)[number % 26]
    return sign


def _numbers(text: str, key: str, count: int) -> list[int]:
    """`count` numbers below 256 that depend on the text and the key."""
    blocks: list[int] = []
    while len(blocks) < count:
        blocks += hmac.digest(key.encode(), f"{len(blocks)}\0{text}".encode(), hashlib.sha256)
    return blocks[:count]
