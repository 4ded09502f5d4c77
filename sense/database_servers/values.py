"""Values of database drivers as SQLite would give them."""

import json
import math
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from sense.sql.result import Value

MIN_VALUE = 32  # bytes that every value of a result counts at least: half of what a short text takes in memory
_LARGEST_INTEGER = (1 << 63) - 1  # integers beyond it are floating-point numbers in SQLite


def load_times_as_text(connection: Any) -> None:
    """Lets psycopg return times as PostgreSQL writes them: Python cannot hold infinity, years BC, 24:00 and months."""
    from psycopg.types.string import TextLoader

    for kind in ("date", "time", "timetz", "timestamp", "timestamptz", "interval"):
        connection.adapters.register_loader(kind, TextLoader)


def sqlite_value(value: Any) -> Value:
    """A driver's value as one of SQLite's five types.

    A decimal without digits behind the point becomes an integer, any other the nearest floating-point number. Dates and
    times become ISO text with a space in the middle, spans of time [-]HH:MM:SS, NaN and all that is no number become text.
    """
    if value is None or isinstance(value, (str, bytes)):
        return value
    if isinstance(value, (int, float, Decimal)):
        return _number(value)
    if isinstance(value, (bytearray, memoryview)):
        return bytes(value)
    return _text(value)


def _number(value: int | float | Decimal) -> Value:
    if math.isnan(value):
        return "NaN"
    exponent = value.as_tuple().exponent if isinstance(value, Decimal) else 0
    whole = not isinstance(value, float) and isinstance(exponent, int) and exponent >= 0
    if whole and -_LARGEST_INTEGER <= value <= _LARGEST_INTEGER:
        return int(value)
    return float(value)


def _text(value: Any) -> str:
    if isinstance(value, datetime):
        return value.isoformat(" ")
    if isinstance(value, (date, time)):
        return value.isoformat()
    if isinstance(value, timedelta):
        return _mysql_time(value)
    if isinstance(value, (list, dict, tuple)):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)


def _mysql_time(span: timedelta) -> str:
    """As MySQL writes a TIME, which can be negative and longer than a day."""
    seconds, microseconds = divmod(abs(span) // timedelta(microseconds=1), 1_000_000)
    text = f"{'-' if span < timedelta() else ''}{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    return f"{text}.{microseconds:06}" if microseconds else text
