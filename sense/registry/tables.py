"""Versions, histories and comparisons, for a person on a terminal."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from sense.registry.comparison import Compared
from sense.registry.evidence import Level
from sense.report import text

if TYPE_CHECKING:
    from sense.registry.aliases import PromotionRecord

_DIGEST = 8  # digits: enough to tell versions apart
_WIDE = 1000  # of tables of numbers: rich would cut 90.0% to 9 on a narrow terminal, which wraps a long line itself


def listing(name: str, dataset: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Every version on a line; `rows` as `sense models list --json` gives them."""
    told = {
        "edition": len({row["edition"] for row in rows} - {None}) > 1,  # EX on two editions must not look comparable
        "p95": any(row["latency_p95_ms"] is not None for row in rows),
    }
    names = ("version", "aliases", "edition", "EX", "95% CI", "p95", "digest", "created")
    columns = [name for name in names if told.get(name, True)]
    table = _table(*columns, title=f"{name}: EX on {dataset}")
    for row in rows:
        cells = {
            "version": row["version"],
            "aliases": "\n".join(row["aliases"]),
            "edition": (row["edition"] or "")[:_DIGEST],
            "EX": text.percent(row["ex"]),
            "95% CI": interval(row["ex_low"], row["ex_high"]),
            "p95": _seconds(row["latency_p95_ms"]),
            "digest": row["digest"][:_DIGEST],
            "created": row["created"].partition(" ")[0],
        }
        table.add_row(*(_plain(cells[column]) for column in columns))
    out = Console(width=_WIDE)
    out.print(table)
    for row in rows:
        if row["reason"]:
            out.print(_plain(f"{row['version']}: {row['decision']}: {_why(row)}"), soft_wrap=True)


def details(found: Mapping[str, Any]) -> None:
    """One version; `found` as `sense models show --json` gives it."""
    out = Console()
    out.print(
        _plain(f"{found['name']} version {found['version']}, {', '.join(found['aliases']) or 'no alias'}, {found['created']}")
    )
    tags = _table("tag", "value")
    for key, value in found["tags"].items():
        tags.add_row(_plain(key), _plain(value))
    out.print(tags)
    for move in found["history"]:
        before = f" (champion before: {move['before']})" if move["before"] else ""
        line = f"{move['at'][:16]} UTC, {decision(move)}{before}, by {move['by']}: {_why(move)}"
        out.print(_plain(line, longest=None), soft_wrap=True)
    out.print(_plain(found["card"], longest=None), soft_wrap=True)


def decision(move: Mapping[str, Any]) -> str:
    """What was decided: "promote of 3", "rollback to 2", "publish of 4, held back"."""
    word = "forced" if move["forced"] else "" if move["promoted"] else "held back"
    preposition = "to" if move["action"] == "rollback" else "of"
    return f"{move['action']} {preposition} {move['version']}" + (f", {word}" if word else "")


def _why(told: Mapping[str, Any]) -> str:
    """The reason of a decision, without what `decision` says of it."""
    return str(told["reason"]).removeprefix("held back: ")


def comparison(first: str, second: str, found: Sequence[Compared]) -> None:
    """Two versions on every set: EX with intervals, by hardness too, McNemar's test, and whether they may be compared."""
    out = Console(width=_WIDE)
    if not found:
        out.print(f"Neither version {first} nor version {second} was measured on any set.")
    for one in found:
        table = _table("questions", "n", f"version {first}", "95% CI", f"version {second}", "95% CI", "points", title=one.name)
        for row in _rows(one):
            table.add_row(*row)
        out.print(table)
        for line in verdict(one):
            out.print(_plain(line), soft_wrap=True)


def _rows(one: Compared) -> Iterator[tuple[str, ...]]:
    """EX as it was registered, then by hardness as the verdicts have it."""
    n = _n(*(next(iter(levels), None) for levels in (one.first_levels, one.second_levels))) or "–"
    old, new = one.first, one.second
    change = _change(None if one.problem else old.ex, new.ex)
    yield ("all", n, text.percent(old.ex), interval(old.low, old.high), text.percent(new.ex), interval(new.low, new.high), change)
    before, after = ({level.name: level for level in levels[1:]} for levels in (one.first_levels, one.second_levels))
    for name in [*before, *(name for name in after if name not in before)]:
        a, b = before.get(name), after.get(name)
        change = _change(None if a is None or one.problem else a.ex, None if b is None else b.ex)
        yield (name, _n(a, b), *_cells(a), *_cells(b), change)


def _n(a: Level | None, b: Level | None) -> str:
    """How many questions, of both versions where they differ."""
    return " / ".join(dict.fromkeys(str(level.n) for level in (a, b) if level is not None))


def _cells(level: Level | None) -> tuple[str, str]:
    return ("–", "") if level is None else (text.percent(level.ex), interval(level.low, level.high))


def verdict(one: Compared) -> list[str]:
    """Whether the two may be compared on this set and why, and what McNemar's test says."""
    new, old = one.second.version, one.first.version
    if one.problem:
        return [f"Not comparable: {one.problem}."]
    lines = [f"Comparable: both were evaluated on the edition {one.second.digest}."]
    if one.test is None:
        return [*lines, f"No McNemar test: {one.untested}."]
    sure = "more than chance explains" if one.test.p < 0.05 else "no more than chance explains"
    won = f"{one.test.wins} questions only version {new} gets right, {one.test.losses} only version {old}"
    return [*lines, f"McNemar: {won}; p = {one.test.p:.3g}, {sure}."]


def interval(low: float | None, high: float | None) -> str:
    """Both ends as per cent; nothing where they are not known."""
    return "" if low is None or high is None else f"{text.percent(low)}–{text.percent(high)}"


def when(seconds: float) -> str:
    """Unix seconds as a date and time, UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M")


def told(move: "PromotionRecord") -> str:
    """A move in a line."""
    before = f", which was version {move.before} and is previous now" if move.before else ""
    return f"version {move.version} is champion{before} ({text.shown(move.reason)})"


def _change(old: float | None, new: float | None) -> str:
    return "" if old is None or new is None else text.points(new - old)


def _seconds(milliseconds: float | None) -> str:
    return "" if milliseconds is None else f"{milliseconds / 1000:.3g} s"


def _plain(value: str, longest: int | None = 300) -> Text:
    """What others wrote, as a terminal may show it: no markup, no control characters."""
    kept = text.shown(value) if longest else "\n".join(map(text.shown, value.splitlines()))
    return Text(kept if longest is None or len(kept) <= longest else kept[:longest] + "…")


def _table(*columns: str, title: str = "") -> Table:
    table = Table(box=SIMPLE_HEAD, title=Text(title, style="bold") if title else None, title_justify="left", pad_edge=False)
    for column in columns:
        words = column in ("tag", "value", "aliases", "questions")
        table.add_column(column, justify="left" if words else "right", overflow="fold", no_wrap=column not in ("tag", "value"))
    return table
