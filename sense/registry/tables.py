"""Versions, histories and comparisons, for a person on a terminal."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from sense.registry.aliases import PromotionRecord
from sense.registry.comparison import HardnessScore, SetComparison
from sense.report import text

_DIGEST_DIGITS = 8  # enough to tell versions apart
_TABLE_WIDTH = 1000  # rich would cut 90.0% to 9 on a narrow terminal; the terminal itself wraps a line that is too long


def print_versions(name: str, dataset: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Every version on a line; `rows` as `sense models list --json` gives them."""
    is_shown = {
        "edition": len({row["edition"] for row in rows} - {None}) > 1,  # EX on two editions must not look comparable
        "mode": len({row["mode"] for row in rows if row["ex"] is not None}) > 1,
        "p95": any(row["latency_p95_ms"] is not None for row in rows),
    }
    names = ("version", "aliases", "edition", "mode", "EX", "95% CI", "p95", "digest", "created")
    columns = [name for name in names if is_shown.get(name, True)]
    table = _table(*columns, title=f"{name}: EX on {dataset}")
    for row in rows:
        cells = {
            "version": row["version"],
            "aliases": "\n".join(row["aliases"]),
            "edition": (row["edition"] or "")[:_DIGEST_DIGITS],
            "mode": row["mode"],
            "EX": text.percent(row["ex"]),
            "95% CI": format_interval(row["ex_low"], row["ex_high"]),
            "p95": _seconds(row["latency_p95_ms"]),
            "digest": row["digest"][:_DIGEST_DIGITS],
            "created": row["created"].partition(" ")[0],
        }
        table.add_row(*(_plain(cells[column]) for column in columns))
    out = Console(width=_TABLE_WIDTH)
    out.print(table)
    for row in rows:
        if row["reason"]:
            out.print(_plain(f"{row['version']}: {row['decision']}: {_reason(row)}"), soft_wrap=True)


def print_version(version: Mapping[str, Any]) -> None:
    """One version; `version` as `sense models show --json` gives it."""
    out = Console()
    out.print(
        _plain(
            f"{version['name']} version {version['version']}, {', '.join(version['aliases']) or 'no alias'}, {version['created']}"
        )
    )
    tags = _table("tag", "value")
    for key, value in version["tags"].items():
        tags.add_row(_plain(key), _plain(value))
    out.print(tags)
    for decision in version["history"]:
        before = f" (champion before: {decision['before']})" if decision["before"] else ""
        line = f"{decision['at'][:16]} UTC, {describe_decision(decision)}{before}, by {decision['by']}: {_reason(decision)}"
        out.print(_plain(line, max_length=None), soft_wrap=True)
    out.print(_plain(version["card"], max_length=None), soft_wrap=True)


def describe_decision(decision: Mapping[str, Any]) -> str:
    """What was decided: "promote of 3", "rollback to 2", "publish of 4, held back", "canary of 4"."""
    held_back = decision["action"] == "publish" and not decision["promoted"]
    outcome = "forced" if decision["forced"] else "held back" if held_back else ""
    preposition = "to" if decision["action"] == "rollback" else "of"
    return f"{decision['action']} {preposition} {decision['version']}" + (f", {outcome}" if outcome else "")


def _reason(decision: Mapping[str, Any]) -> str:
    """The reason of a decision, without the outcome, which `describe_decision` tells."""
    return str(decision["reason"]).removeprefix("held back: ")


def print_comparison(first: str, second: str, comparisons: Sequence[SetComparison]) -> None:
    """Two versions on every set: EX with intervals, by hardness too, McNemar's test, and whether they may be compared."""
    out = Console(width=_TABLE_WIDTH)
    if not comparisons:
        out.print(f"Neither version {first} nor version {second} was measured on any set.")
    for on_set in comparisons:
        table = _table("questions", "n", f"version {first}", "95% CI", f"version {second}", "95% CI", "points", title=on_set.name)
        for row in _rows(on_set):
            table.add_row(*row)
        out.print(table)
        for line in conclusions(on_set):
            out.print(_plain(line), soft_wrap=True)


def _rows(on_set: SetComparison) -> Iterator[tuple[str, ...]]:
    """EX as it was registered, then by hardness as the verdicts have it."""
    n = _question_counts(*(next(iter(levels), None) for levels in (on_set.first_levels, on_set.second_levels))) or "–"
    old, new = on_set.first, on_set.second
    change = _change(None if on_set.problem else old.ex, new.ex)
    yield (
        "all",
        n,
        text.percent(old.ex),
        format_interval(old.low, old.high),
        text.percent(new.ex),
        format_interval(new.low, new.high),
        change,
    )
    before, after = ({level.name: level for level in levels[1:]} for levels in (on_set.first_levels, on_set.second_levels))
    for name in [*before, *(name for name in after if name not in before)]:
        a, b = before.get(name), after.get(name)
        change = _change(None if a is None or on_set.problem else a.ex, None if b is None else b.ex)
        yield (name, _question_counts(a, b), *_cells(a), *_cells(b), change)


def _question_counts(a: HardnessScore | None, b: HardnessScore | None) -> str:
    """How many questions, of both versions where they differ."""
    return " / ".join(dict.fromkeys(str(level.n) for level in (a, b) if level is not None))


def _cells(level: HardnessScore | None) -> tuple[str, str]:
    return ("–", "") if level is None else (text.percent(level.ex), format_interval(level.low, level.high))


def conclusions(on_set: SetComparison) -> list[str]:
    """Whether the two may be compared on this set and why, and what McNemar's test says."""
    new, old = on_set.second.version, on_set.first.version
    if on_set.problem:
        return [f"Not comparable: {on_set.problem}."]
    lines = [f"Comparable: both were evaluated on the edition {on_set.second.digest}, under {on_set.second.mode}."]
    if on_set.test is None:
        return [*lines, f"No McNemar test: {on_set.untested}."]
    significance = "more than chance explains" if on_set.test.p < 0.05 else "no more than chance explains"
    counts = f"{on_set.test.wins} questions only version {new} gets right, {on_set.test.losses} only version {old}"
    return [*lines, f"McNemar: {counts}; p = {on_set.test.p:.3g}, {significance}."]


def format_interval(low: float | None, high: float | None) -> str:
    """Both ends as per cent; nothing where they are not known."""
    return "" if low is None or high is None else f"{text.percent(low)}–{text.percent(high)}"


def format_time(seconds: float) -> str:
    """Unix seconds as a date and time, UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M")


def describe_promotion(record: PromotionRecord) -> str:
    """A promotion or rollback in one line."""
    before = f", which was version {record.before} and is previous now" if record.before else ""
    return f"version {record.version} is champion{before} ({text.printable(record.reason)})"


def _change(old: float | None, new: float | None) -> str:
    return "" if old is None or new is None else text.percentage_points(new - old)


def _seconds(milliseconds: float | None) -> str:
    return "" if milliseconds is None else f"{milliseconds / 1000:.3g} s"


def _plain(value: str, max_length: int | None = 300) -> Text:
    """Text that somebody else wrote, safe to print: no markup, no control characters."""
    plain = text.printable(value) if max_length else "\n".join(map(text.printable, value.splitlines()))
    return Text(plain if max_length is None or len(plain) <= max_length else plain[:max_length] + "…")


def _table(*columns: str, title: str = "") -> Table:
    table = Table(box=SIMPLE_HEAD, title=Text(title, style="bold") if title else None, title_justify="left", pad_edge=False)
    for column in columns:
        is_text = column in ("tag", "value", "aliases", "questions")
        table.add_column(column, justify="left" if is_text else "right", overflow="fold", no_wrap=column not in ("tag", "value"))
    return table
