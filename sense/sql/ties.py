"""An ordered gold's result with its ties: rows that may change places, and rows that may stand for others at a LIMIT's edge.

The gold is executed once, with its sort keys beside its columns (`order.py` writes that query), and rows that tie are neighbours.
Keys are equal if SQLite takes them for equal, under the collation of each. Rows behind a LIMIT are read until the last tie has
come. Standard library only: worker processes import this.
"""

from collections.abc import Callable, Iterator
from functools import cache, partial
from math import isclose
from typing import Any, NamedTuple

from sense.sql.result import Failure, Result, ResultRow, Value
from sense.sql.sandbox import fetch_all

_NOISE = 1e-13  # relative: sums of the same numbers in another order are closer
_LOWER = {code: code + 32 for code in range(ord("A"), ord("Z") + 1)}  # NOCASE knows no other letters
_SAME_WITHOUT_LIMIT = ("clock", "steps", "rows")  # limits that a query meets with its sort keys or without


class Ordering(NamedTuple):
    """How the ties among the rows of an ordered query are found.

    `queries` are the query without its LIMIT and with `hidden` sort keys appended to its columns; where a name in a key may be a
    column's or an alias, there are several, of which the first that runs is right. `keys` are each key's position among the
    columns (from the end if it is negative), its name or "", and its collation if it has one from a COLLATE, else "". Where a
    name is that of a column, from the position `star` on, it goes before the position, which may be None.

    `limit` is the text of the LIMIT clause. It leaves the rows from number `start` to before `stop` (None: all); `readable` is
    false if that cannot be told from it. `distinct` is the query itself without LIMIT if it is a SELECT DISTINCT to which keys
    were appended, else "". `problem` says why there are no `queries`.
    """

    queries: tuple[str, ...]
    keys: tuple[tuple[int | None, str, str], ...]
    hidden: int = 0
    star: int = 0
    limit: str = ""
    start: int = 0
    stop: int | None = None
    readable: bool = True
    distinct: str = ""
    problem: str = ""


class TiedResult(NamedTuple):
    """A gold's result and its ties.

    The rows of `result` are those of `pool` from number `start` on; the others of the pool are left out by LIMIT or OFFSET
    although they tie with the first or the last of the result. `groups` has a number for each row of the pool, the same for rows
    that tie. `problem` says why the ties could not be told, or not all of them, or "".
    """

    result: Result
    pool: list[ResultRow]
    groups: list[int]
    start: int = 0
    problem: str = ""


class UnresolvedError(Exception):
    """Ties cannot be told."""


Run = Callable[[str, Callable[[tuple[str, ...], Iterator[ResultRow]], Any]], Any]  # (SQL, consume); see Sandbox.run


def fetch_tied(run: Run, gold: str, ordering: Ordering) -> TiedResult | Failure:
    """The result of the gold and its ties, or why it has no result; `run` executes."""
    problem = ordering.problem
    if ordering.queries:
        try:
            return _resolve(run, ordering)
        except UnresolvedError as error:
            problem = str(error)
    fetched = run(gold, fetch_all)
    if isinstance(fetched, Failure):
        return fetched
    result = Result(*fetched)
    return TiedResult(result, result.rows, list(range(len(result.rows))), problem=problem)


def _resolve(run: Run, ordering: Ordering) -> TiedResult | Failure:
    """The gold's result by its query with keys; a Failure if the gold itself must fail alike, else raises UnresolvedError."""
    problem = ""
    if ordering.readable:
        outcome = _run_first(run, ordering, "")
        if isinstance(outcome, TiedResult):
            return outcome
        if not ordering.limit and outcome.limit in _SAME_WITHOUT_LIMIT:
            return outcome
        problem = outcome.detail
    if ordering.limit:
        outcome = _run_first(run, ordering._replace(start=0, stop=None), ordering.limit)
        if isinstance(outcome, TiedResult):
            return outcome._replace(problem=f"rows behind its LIMIT cannot be read: {problem or 'it is no number'}")
        if outcome.limit in _SAME_WITHOUT_LIMIT:
            return outcome
        problem = outcome.detail
    raise UnresolvedError(problem)


def _run_first(run: Run, ordering: Ordering, limit: str) -> TiedResult | Failure:
    """The outcome of the first of the queries that SQLite understands."""
    failure = Failure("error", "")
    for query in ordering.queries:
        keyed: _Keyed | Failure = run(query + limit, partial(_read, ordering))
        if not isinstance(keyed, Failure):
            if ordering.distinct:
                _check_distinct(run, query, ordering.distinct)
            return _tie(keyed, ordering, partial(_collation, run, query))
        failure = keyed
        if failure.verdict != "error":
            break
    return failure


def _check_distinct(run: Run, query: str, plain: str) -> None:
    """UnresolvedError if one row of a SELECT DISTINCT has several values of a sort key; SQLite then takes any of them."""
    difference = f"SELECT (SELECT count(*) FROM ({query}\n)) - (SELECT count(*) FROM ({plain}\n))"  # noqa: S608  (run in the sandbox)
    counts = run(difference, fetch_all)
    if isinstance(counts, Failure) or counts[1] != [(0,)]:
        raise UnresolvedError("a row of its SELECT DISTINCT has several values of a sort key")


class _Keyed(NamedTuple):
    """Rows as they came, the last columns being appended keys; `keys` are where each key stands, `start` is as in TiedResult."""

    columns: tuple[str, ...]
    rows: list[ResultRow]
    keys: list[int]
    start: int


def _read(ordering: Ordering, columns: tuple[str, ...], rows: Iterator[ResultRow]) -> _Keyed:
    """Consumes the rows that LIMIT and OFFSET leave, and those around them that may tie with the first or the last."""
    keys = _places(ordering, columns)
    kept: list[ResultRow] = []
    start, last = ordering.start, tuple[Value, ...]()
    for number, row in enumerate(rows):
        key = tuple([row[place] for place in keys])
        if number > 0 and key != last and not all(_equal(*pair, _any_collation) for pair in zip(key, last, strict=True)):
            if ordering.stop is not None and number >= ordering.stop:
                break
            if number <= ordering.start:
                kept.clear()
                start = ordering.start - number
        last = key
        kept.append(row)
    return _Keyed(columns, kept, keys, start)


def _any_collation() -> str:
    """A collation that takes for equal what any of SQLite's does."""
    return "NOCASE RTRIM"


def _places(ordering: Ordering, columns: tuple[str, ...]) -> list[int]:
    """Where the keys stand in a row."""
    width = len(columns) - ordering.hidden
    named = {name.lower(): place for place, name in reversed(list(enumerate(columns[:width]))) if place >= ordering.star}
    places = []
    for position, name, _ in ordering.keys:
        place = named.get(name, position)
        if place is None or place >= width:
            raise UnresolvedError("a key of its ORDER BY is none of its columns")
        places.append(place if place >= 0 else len(columns) + place)
    return places


def _equal(one: Value, other: Value, collation: Callable[[], str]) -> bool:
    """Whether two values of a key tie; `collation` is asked only where it matters."""
    if one == other:
        return True
    if isinstance(one, str) and isinstance(other, str):
        return _fold(one, _any_collation()) == _fold(other, _any_collation()) and _fold(one, collation()) == _fold(
            other, collation()
        )
    if isinstance(one, (int, float)) and isinstance(other, (int, float)):
        return (isinstance(one, float) or isinstance(other, float)) and isclose(one, other, rel_tol=_NOISE)
    return False


def _fold(text: str, collation: str) -> str:
    """A text that is the same for texts which are equal under the collation."""
    text = text.rstrip(" ") if "RTRIM" in collation else text
    return text.translate(_LOWER) if "NOCASE" in collation else text


def _collation(run: Run, query: str, width: int, place: int, explicit: str) -> str:
    """The collation under which SQLite sorts by a column of the query; nothing of the query is executed."""
    columns = ", ".join(f"c{number}" for number in range(width))
    name = explicit.replace('"', '""')
    key = f"c{place}" + (f' COLLATE "{name}"' if name else "")
    # A column of a UNION has the collation that it has in the first SELECT.
    letter = f"SELECT {key} AS k FROM gold WHERE 0 UNION ALL SELECT 'a'"  # noqa: S608  (run in the sandbox)
    answer = run(f"WITH gold({columns}) AS ({query}\n) SELECT k = 'A', k = 'a ' FROM ({letter})", fetch_all)  # noqa: S608
    if isinstance(answer, Failure):
        raise UnresolvedError(f"the collation of a sort key is not known: {answer.detail}")
    ((nocase, rtrim),) = answer[1]
    return "NOCASE" if nocase else "RTRIM" if rtrim else "BINARY"


def _tie(keyed: _Keyed, ordering: Ordering, ask_collation: Callable[[int, int, str], str]) -> TiedResult:
    """The result that LIMIT and OFFSET leave of the rows, and its ties."""
    explicit = [collation for _, _, collation in ordering.keys]
    width = len(keyed.columns) - ordering.hidden
    places = keyed.keys

    @cache
    def collation(number: int) -> str:
        return ask_collation(len(keyed.columns), places[number], explicit[number])

    asks = [partial(collation, number) for number in range(len(places))]

    def tie(one: ResultRow, other: ResultRow) -> bool:
        return all(_equal(one[place], other[place], ask) for place, ask in zip(places, asks, strict=True))

    groups: list[int] = []
    for number, row in enumerate(keyed.rows):
        same = number > 0 and tie(row, keyed.rows[number - 1])
        groups.append(groups[-1] + (not same) if groups else 0)
    count = None if ordering.stop is None else ordering.stop - ordering.start
    inside = groups[keyed.start :][:count]
    rows = [row[:width] for row in keyed.rows] if ordering.hidden else keyed.rows
    result = Result(keyed.columns[:width], rows[keyed.start :][:count])
    first = groups.index(inside[0]) if inside else 0
    end = len(groups) - groups[::-1].index(inside[-1]) if inside else 0
    return TiedResult(result, rows[first:end], groups[first:end], keyed.start - first if inside else 0)
