"""Why the rejected SQL of a pair is wrong, in sentences: what was recorded, what the results show, how the texts differ."""

from collections.abc import Iterable, Sequence

from sense.sql.parse import code_tokens
from sense.sql.result import Failure, Outcome, Result, Value
from sense.verdicts import Limit, MismatchKind, VerdictName

_CLAUSES = ("DISTINCT", "JOIN", "WHERE", "GROUP BY", "HAVING", "ORDER BY", "LIMIT", "UNION", "INTERSECT", "EXCEPT")
_AGGREGATES = ("COUNT", "SUM", "AVG", "MIN", "MAX")
_LIMITS: dict[Limit, str] = {
    "clock": "it runs longer than allowed",
    "steps": "it needs more steps than allowed",
    "rows": "its result has more rows than allowed",
    "bytes": "its result is larger than allowed",
    "value": "one value is larger than allowed",
    "memory": "it needs more memory than allowed",
}
_KINDS: dict[MismatchKind, str] = {
    "": "Its result is not that of the right SQL.",
    "columns": "Its result has another number of columns than the right one.",
    "rows": "Its result has another number of rows than the right one.",
    "values": "Its result has as many rows and columns as the right one, but other values.",
    "order": "Its result has the right rows in the wrong order, and the question asks for an order.",
}


def recorded(verdict: VerdictName, limit: Limit, detail: str, tables: Sequence[str]) -> list[str]:
    """What a verdict says that is no mismatch; `tables` are those of the database."""
    said = f": {detail}" if detail else ""
    if verdict == "error":
        return [f"It does not run{said}.", *_known(detail, tables)]
    if verdict == "rejected":
        return [f"It was never executed, as it is not one SELECT{said}."]
    if verdict in ("timeout", "too_large"):
        return [f"It was stopped: {_LIMITS[limit]}{f' ({detail})' if detail else ''}." if limit else f"It was stopped{said}."]
    if verdict == "gold_error":
        return [f"Nothing is known of it, as the right SQL itself failed{said}."]
    return ["It is recorded as right."] if verdict == "match" else []


def _known(detail: str, tables: Sequence[str]) -> list[str]:
    """The tables there are, where one was asked for that is not."""
    return [f"The database's tables are {listed(tables)}."] if detail.startswith("no such table") and tables else []


def results(
    chosen: Outcome, rejected: Outcome, verdict: VerdictName, kind: MismatchKind, lacking: tuple[int, int] | None
) -> list[str]:
    """What executing both just now shows; `lacking`: rows that only the chosen and only the rejected result has."""
    told = [_KINDS[kind]] if verdict == "mismatch" else []
    if isinstance(chosen, Failure):
        return [*told, f"The chosen SQL does not run here: {chosen.detail}."]
    if isinstance(rejected, Failure):
        return [*told, f"Executed now, it does not even run: {rejected.detail}."] if told else []
    found = _compared(chosen, rejected, lacking)
    if verdict != "mismatch":
        return ["Executed now, it runs: the database or the limits are not those of the verdict.", *found]
    return found or told


def _compared(chosen: Result, rejected: Result, lacking: tuple[int, int] | None) -> list[str]:
    if lacking is None:
        return [f"It returns {_many(len(rejected.columns), 'column')}, the right SQL {len(chosen.columns)}."]
    if [len(chosen.columns), len(chosen.rows), len(rejected.rows)] == [1, 1, 1]:
        return (
            [f"It gives {_shown(rejected.rows[0][0])}; the right answer is {_shown(chosen.rows[0][0])}."] if any(lacking) else []
        )
    found = []
    if len(chosen.rows) != len(rejected.rows):
        found.append(f"It returns {_many(len(rejected.rows), 'row')}, the right SQL {len(chosen.rows):,}.")
    missing, extra = lacking
    if missing == len(chosen.rows) > 0 and extra == len(rejected.rows) > 0:
        return [*found, "No row of its result is in the right one."]
    parts = [f"{_many(missing, 'row')} of the right result {_are(missing)} missing"] if missing else []
    if extra:
        parts.append(f"{extra:,} of its own {_are(extra)} not in the right result")
    return [*found, f"{', '.join(parts)}."] if parts else found


def _shown(value: Value) -> str:
    """A value in a sentence."""
    if value is None:
        return "NULL"
    if isinstance(value, bytes):
        return f"a blob of {_many(len(value), 'byte')}"
    text = str(value) if len(str(value)) <= 60 else f"{str(value)[:60]}…"
    return f"“{text}”" if isinstance(value, str) else text


def texts(chosen: str, rejected: str, tables: Sequence[str]) -> list[str]:
    """How the two SQL differ in what they do, by tables, clauses and aggregates."""
    right, wrong = _parts(chosen), _parts(rejected)
    found = []
    read = [[name for name in tables if f"FROM {name.upper()}" in parts] for parts in (right, wrong)]
    mine, its = ([name for name in read[side] if name not in read[1 - side]] for side in (0, 1))
    if its:
        found.append(f"It reads {listed(its)}{f', the right SQL {listed(mine)}' if mine else ', which the right SQL does not'}.")
    ours, theirs = _difference(right, wrong, _AGGREGATES), _difference(wrong, right, _AGGREGATES)
    if ours and theirs:
        found.append(f"It computes {listed(theirs)} where the right SQL computes {listed(ours)}.")
        ours, theirs = [], []
    ours += _difference(right, wrong, _CLAUSES)
    theirs += _difference(wrong, right, _CLAUSES)
    if ours:
        found.append(f"It lacks {listed(ours)}, which the right SQL has.")
    if theirs:
        found.append(f"It has {listed(theirs)}, which the right SQL lacks.")
    return found


def _parts(sql: str) -> set[str]:
    """Clauses and aggregates of a SQL, and `FROM T` for each table T after FROM or JOIN, in capitals."""
    found = set[str]()
    before = ""
    for token in code_tokens(sql):
        word = token.text.strip('"`[]').upper()
        if before in ("FROM", "JOIN"):
            found.add(f"FROM {word}")
        if token.kind == "word":
            found.add(f"{before} BY" if word == "BY" else word if word not in _AGGREGATES else "")
        if word == "(" and before in _AGGREGATES:
            found.add(before)
        before = word if token.kind != "quoted" else ""
    return found


def _difference(one: set[str], other: set[str], names: Iterable[str]) -> list[str]:
    return [name for name in names if name in one and name not in other]


def listed(names: Sequence[str]) -> str:
    """Names as a sentence has them: a, b and c; of many the first."""
    shown = list(names) if len(names) <= 12 else [*names[:11], f"{len(names) - 11} more"]
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"


def _many(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _are(number: int) -> str:
    return "is" if number == 1 else "are"
