"""What a database holds, by its SQLite file alone: the second half of section 1 of `benchmarks.synthesis`."""

import re
import sqlite3
import time
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.corpora import open_readonly
from sense.teacher import database_bytes

_MAX_ROWS = 2_000
"""Rows that are read of a table for what its values are like."""

DATABASE_FEATURES = (
    "composite key",
    "self reference",
    "NOT NULL",
    "junction table",
    "NULL",
    "NULL in 5% of the cells",
    "number as text",
    "non-ASCII",
    "quote in a value",
    "space or mark in a name",
    "date that is not ISO",
    "abbreviated name",
    "distractor column",
)

_NUMBER = re.compile(r"[-+$€£]?(?:0|[1-9]\d*|[1-9]\d{0,2}(?:,\d{3})+)(?:\.\d+)?(?: ?(?:%|[a-z]{1,5}))?")
_MONTH = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|sept|oct|nov|dec)[a-z]*"
_OTHER_DATE = re.compile(
    rf"\d{{1,2}}[/.]\d{{1,2}}[/.]\d{{2,4}}|\d{{4}}[/.]\d{{1,2}}[/.]\d{{1,2}}|(?:19|20)\d{{2}}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])"
    rf"|\d{{1,2}}-\d{{1,2}}-\d{{4}}|\d{{1,2}}[ -]{_MONTH}[ -]\d{{2,4}}|{_MONTH} \d{{1,2}}(?:st|nd|rd|th)?,? \d{{4}}",
    re.IGNORECASE,
)
_ABBREVIATIONS = frozenset(
    """acct addr amt appt attr bal bday bldg cd cnt cntry coef comm comp corp crs ctry cty cust dept desc descr dest dev diff disc
    dist dob doc dpt dt dur emp exp fg fname fst gen grp hgt hrs ht img inv lang len lic lname loc lng lvl meas mgr mbr mth nbr nm
    num obs opn ord org orig pct perc pers ph phn pkg prc pref prev prod prof proj pt pts qty ref rep rpt rtg sal sch sec seq sess
    sl spec st stf stn str strt stu subj svc sz tchr tel temp tot trans ttl txn typ univ usr val veh
    vol wgt wk wt xact yr""".split()
)
_DISTRACTOR = re.compile(
    r"(?:created|updated|modified|inserted|deleted|changed|imported|archived)(?: (?:at|on|by|date|time|timestamp))?"
    r"|last (?:updated?|modified|change)|notes?|remarks?|comments?|other(?: \w+)? (?:details?|information)"
    r"|(?:old|legacy|previous|former|obsolete|unused) .+|.+ (?:old|legacy|unused)|external (?:reference|id|code)"
    r"|import (?:batch|id|date)|row (?:version|id|number)|version|checksum|hash|uuid|guid"
    r"|is (?:deleted|test|active|valid|archived)|(?:deleted|test|active|status) flag|sort order|spare(?: \d+)?"
)


@dataclass(frozen=True)
class DatabaseFacts:
    """What was measured on one file: the rows of each table, the features of DATABASE_FEATURES, the seconds to write it."""

    rows: list[int]
    features: set[str]
    seconds: float | None


def measure(database: Path, timed: bool = False) -> DatabaseFacts:
    """Reads one file; `timed` writes it again from its statements and rows, as a teacher's database is written.

    A composite key has two columns or more. A self reference is a foreign key to the own table. A junction table has two foreign
    keys or more and a key made of them alone, or no key and at most one other column. A number as text is a column of texts
    that are all numbers, without leading zeros, perhaps with thousands separators, a currency or a unit; a date that is not ISO
    is a column of dates in another order, with other marks or with a month's name. An abbreviated name has a word from a list,
    or one of three letters or more without a vowel. A distractor is a column whose name says that it keeps house (created_at,
    notes, old_price, is_test), or one of at least five rows in which all values are the same or all are missing.
    """
    with closing(open_readonly(database)) as connection:
        names = [
            name
            for (name,) in connection.execute(
                "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
            )
        ]
        features: set[str] = set()
        rows: list[int] = []
        cells = nulls = 0
        for name in names:
            rows.append(connection.execute(f"SELECT count(*) FROM {_quoted(name)}").fetchone()[0])
            values = connection.execute(f"SELECT * FROM {_quoted(name)} LIMIT {_MAX_ROWS}").fetchall()
            cells += sum(map(len, values))
            nulls += sum(value is None for row in values for value in row)
            features |= set(_table_features(connection, name, values))
        if nulls >= cells / 20 and nulls:
            features.add("NULL in 5% of the cells")
        seconds = _seconds_to_write(connection, names) if timed else None
    return DatabaseFacts(rows, features, seconds)


def _seconds_to_write(connection: sqlite3.Connection, names: Sequence[str]) -> float:
    ddl = [
        sql
        for (sql,) in connection.execute(
            "SELECT sql FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY rowid"
        )
    ]
    rows = tuple((name, tuple(connection.execute(f"SELECT * FROM {_quoted(name)}"))) for name in names)
    start = time.perf_counter()
    database_bytes("copy", ddl, rows)
    return time.perf_counter() - start


def _table_features(connection: sqlite3.Connection, table: str, values: Sequence[Sequence[Any]]) -> Iterable[str]:
    columns = connection.execute('SELECT name, "notnull", pk FROM pragma_table_info(?) ORDER BY cid', (table,)).fetchall()
    references = connection.execute('SELECT id, "table", "from" FROM pragma_foreign_key_list(?)', (table,)).fetchall()
    key = {name.lower() for name, _, pk in columns if pk}
    referring = {column.lower() for _, _, column in references}
    if len(key) >= 2:
        yield "composite key"
    if any(parent.lower() == table.lower() for _, parent, _ in references):
        yield "self reference"
    if any(notnull for _, notnull, _ in columns):
        yield "NOT NULL"
    if len({number for number, _, _ in references}) >= 2 and (
        (len(key) >= 2 and key <= referring) or (not key and len(columns) - len(referring) <= 1)
    ):
        yield "junction table"
    for name in [table, *(name for name, _, _ in columns)]:
        yield from _name_features(name)
    for position, (name, _, pk) in enumerate(columns):
        is_key = bool(pk) or name.lower() in referring
        yield from _value_features([row[position] for row in values], is_key)
        if not is_key and _DISTRACTOR.fullmatch(" ".join(name_words(name))):
            yield "distractor column"


def _name_features(name: str) -> Iterable[str]:
    if not name.isascii():
        yield "non-ASCII"
    if not re.fullmatch(r"\w+", name):
        yield "space or mark in a name"
    if any(
        word in _ABBREVIATIONS or (len(word) >= 3 and word.isalpha() and not re.search("[aeiouy]", word))
        for word in name_words(name)
    ):
        yield "abbreviated name"


def _value_features(values: Sequence[Any], is_key: bool) -> Iterable[str]:
    """The features of a column's values."""
    present = [value for value in values if value is not None]
    texts = [value for value in present if isinstance(value, str)]
    if len(present) < len(values):
        yield "NULL"
    if any(not text.isascii() for text in texts):
        yield "non-ASCII"
    if any(mark in text for text in texts for mark in "'\"’"):
        yield "quote in a value"
    if is_key:
        return
    if len(values) >= 5 and len(set(present)) <= 1:
        yield "distractor column"
    if len(set(present)) < 2:
        return
    all_texts = len(texts) == len(present)
    if all(_OTHER_DATE.fullmatch(str(value)) for value in present):
        yield "date that is not ISO"
    elif all_texts and all(_NUMBER.fullmatch(text) for text in texts):
        yield "number as text"


def name_words(name: str) -> list[str]:
    """The words of an identifier, in lower case.

    >>> name_words("HomeCity_2"), name_words("stu_fname"), name_words("order id"), name_words("GDPValue")
    (['home', 'city', '2'], ['stu', 'fname'], ['order', 'id'], ['gdp', 'value'])
    """
    return [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[^\W\dA-Z_]+|\d+", name)]


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
