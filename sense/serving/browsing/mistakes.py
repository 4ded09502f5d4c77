"""Why the rejected SQL of a pair is wrong, in sentences: what was recorded, what the results show, how the texts differ."""

from collections import Counter
from collections.abc import Sequence

from sense.sql.parse import code_tokens
from sense.sql.result import Failure, Outcome, Result, ResultRow, Value
from sense.verdicts import Limit, MismatchKind, VerdictName

_CLAUSES = ("DISTINCT", "JOIN", "WHERE", "GROUP BY", "HAVING", "ORDER BY", "LIMIT", "UNION", "INTERSECT", "EXCEPT")
_AGGREGATES = ("COUNT", "SUM", "AVG", "MIN", "MAX")
_MOST_ALIGNED_COLUMNS = 30  # of results with more, columns are compared in their positions
_LIMITS: dict[Limit, str] = {
    "clock": "it runs longer than allowed",
    "steps": "it needs more steps than allowed",
    "rows": "its result has more rows than allowed",
    "bytes": "its result is larger than allowed",
    "value": "one value is larger than allowed",
    "memory": "it needs more memory than allowed",
}
_MISMATCHES: dict[MismatchKind, str] = {
    "": "Its result is not that of the right SQL.",
    "columns": "Its result has another number of columns than the right one.",
    "rows": "Its result has another number of rows than the right one.",
    "values": "Its result has as many rows and columns as the right one, but other values.",
    "order": "Its result has the right rows in the wrong order, and the question asks for an order.",
}


def by_verdict(verdict: VerdictName, limit: Limit, detail: str, tables: Sequence[str]) -> list[str]:
    """What the recorded verdict says if it is not `mismatch`; `tables` are the names of those of the database."""
    reason = f": {detail}" if detail else ""
    if verdict == "error":
        return [f"It does not run{reason}.", *_existing_tables(detail, tables)]
    if verdict == "rejected":
        return [f"It was never executed, as it is not one SELECT{reason}."]
    if verdict in ("timeout", "too_large"):
        return [f"It was stopped: {_LIMITS[limit]}{f' ({detail})' if detail else ''}." if limit else f"It was stopped{reason}."]
    if verdict == "gold_error":
        return [f"Nothing is known of it, as the right SQL itself failed{reason}."]
    return ["It is recorded as right."] if verdict == "match" else []


def _existing_tables(detail: str, tables: Sequence[str]) -> list[str]:
    """The tables there are, if the SQL reads one that is not there."""
    return [f"The database's tables are {_enumerate(tables)}."] if detail.startswith("no such table") and tables else []


def by_results(
    chosen: Outcome, rejected: Outcome, verdict: VerdictName, kind: MismatchKind, unmatched: tuple[int, int] | None
) -> list[str]:
    """What executing both just now shows; `unmatched`: how many rows only the chosen and only the rejected result has."""
    recorded = [_MISMATCHES[kind]] if verdict == "mismatch" else []
    if isinstance(chosen, Failure):
        return [*recorded, f"The chosen SQL does not run here: {chosen.detail}."]
    if isinstance(rejected, Failure):
        return [*recorded, f"Executed now, it does not even run: {rejected.detail}."] if recorded else []
    differences = _compare(chosen, rejected, unmatched)
    if verdict != "mismatch":
        return ["Executed now, it runs: the database or the limits are not those of the verdict.", *differences]
    return differences or recorded


def _compare(chosen: Result, rejected: Result, unmatched: tuple[int, int] | None) -> list[str]:
    if unmatched is None:
        return [f"It returns {_plural(len(rejected.columns), 'column')}, the right SQL {len(chosen.columns)}."]
    if [len(chosen.columns), len(chosen.rows), len(rejected.rows)] == [1, 1, 1]:
        values = f"It gives {_quote(rejected.rows[0][0])}; the right answer is {_quote(chosen.rows[0][0])}."
        return [values] if any(unmatched) else []
    sentences = []
    if len(chosen.rows) != len(rejected.rows):
        sentences.append(f"It returns {_plural(len(rejected.rows), 'row')}, the right SQL {len(chosen.rows):,}.")
    missing, extra = unmatched
    if missing == len(chosen.rows) > 0 and extra == len(rejected.rows) > 0:
        return [*sentences, "No row of its result is in the right one."]
    parts = [f"{_plural(missing, 'row')} of the right result {_is_or_are(missing)} missing"] if missing else []
    if extra:
        parts.append(f"{extra:,} of its own {_is_or_are(extra)} not in the right result")
    return [*sentences, f"{', '.join(parts)}."] if parts else sentences


def unmatched_rows(one: Result, other: Result) -> tuple[list[int], list[int]] | None:
    """The numbers of the rows of each result that the other lacks, counting repetitions; None if they differ in width.

    Columns may stand in another order, as they may when a verdict is made: each is compared with the one most like it.
    """
    if len(one.columns) != len(other.columns):
        return None
    left = [tuple(map(_rounded, row)) for row in one.rows]
    right = [tuple(map(_rounded, row)) for row in other.rows]
    order = _align_columns(left, right, len(one.columns))
    right = [tuple(row[column] for column in order) for row in right]
    return _missing_in(right, left), _missing_in(left, right)


def _rounded(value: Value) -> Value:
    """Floating-point numbers that a verdict takes for equal, made equal, nearly always."""
    if isinstance(value, float):
        rounded = float(f"{value:.6g}")
        return int(rounded) if rounded.is_integer() else rounded
    return value


def _align_columns(left: Sequence[ResultRow], right: Sequence[ResultRow], columns: int) -> list[int]:
    """For each column of the left rows the one of the right rows with the most values in common, or that in its position."""
    if columns > _MOST_ALIGNED_COLUMNS or not left or not right:
        return list(range(columns))
    left_values = [Counter(values) for values in zip(*left, strict=True)]
    right_values = [Counter(values) for values in zip(*right, strict=True)]
    candidates = [((left_values[i] & right_values[j]).total(), i == j, -i, -j) for i in range(columns) for j in range(columns)]
    order = [-1] * columns
    for _, _, i, j in sorted(candidates, reverse=True):
        if order[-i] < 0 and -j not in order:
            order[-i] = -j
    return order


def _missing_in(others: Sequence[ResultRow], rows: Sequence[ResultRow]) -> list[int]:
    """The numbers of the rows that are not among the others."""
    left = Counter(others)
    numbers = []
    for number, row in enumerate(rows):
        if left[row] > 0:
            left[row] -= 1
        else:
            numbers.append(number)
    return numbers


def _quote(value: Value) -> str:
    """A value as it stands in a sentence."""
    if value is None:
        return "NULL"
    if isinstance(value, bytes):
        return f"a blob of {_plural(len(value), 'byte')}"
    text = str(value) if len(str(value)) <= 60 else f"{str(value)[:60]}…"
    return f"“{text}”" if isinstance(value, str) else text


def by_texts(chosen: str, rejected: str, tables: Sequence[str]) -> list[str]:
    """How the two SQL differ in what they do, by tables, clauses and aggregates."""
    right, wrong = _features(chosen), _features(rejected)
    right_reads, wrong_reads = ([name for name in tables if f"FROM {name.upper()}" in features] for features in (right, wrong))
    only_right, only_wrong = _without(right_reads, wrong_reads), _without(wrong_reads, right_reads)
    sentences = []
    if only_wrong:
        instead = f", the right SQL {_enumerate(only_right)}" if only_right else ", which the right SQL does not"
        sentences.append(f"It reads {_enumerate(only_wrong)}{instead}.")
    lacks, has = ([name for name in _AGGREGATES if name in one - other] for one, other in ((right, wrong), (wrong, right)))
    if lacks and has:
        sentences.append(f"It computes {_enumerate(has)} where the right SQL computes {_enumerate(lacks)}.")
        lacks, has = [], []
    lacks += [name for name in _CLAUSES if name in right - wrong]
    has += [name for name in _CLAUSES if name in wrong - right]
    if lacks:
        sentences.append(f"It lacks {_enumerate(lacks)}, which the right SQL has.")
    if has:
        sentences.append(f"It has {_enumerate(has)}, which the right SQL lacks.")
    return sentences


def _features(sql: str) -> set[str]:
    """Clauses and aggregates of a SQL, and `FROM T` for each table T after FROM or JOIN, in capitals."""
    features = set[str]()
    before = ""
    for token in code_tokens(sql):
        word = token.text.strip('"`[]').upper()
        if before in ("FROM", "JOIN"):
            features.add(f"FROM {word}")
        if token.kind == "word":
            features.add(f"{before} BY" if word == "BY" else word if word not in _AGGREGATES else "")
        if word == "(" and before in _AGGREGATES:
            features.add(before)
        before = word if token.kind != "quoted" else ""
    return features


def _without(names: Sequence[str], others: Sequence[str]) -> list[str]:
    return [name for name in names if name not in others]


def _enumerate(names: Sequence[str]) -> str:
    """Names as a sentence has them: a, b and c; of many the first."""
    names = names if len(names) <= 12 else [*names[:11], f"{len(names) - 11} more"]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _plural(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _is_or_are(number: int) -> str:
    return "is" if number == 1 else "are"
