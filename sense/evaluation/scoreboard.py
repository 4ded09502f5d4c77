"""The verdicts of `sense score`, counted and shown: by verdict, hardness and complexity, and where scoring modes disagree."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from math import sqrt
from typing import Any, NamedTuple

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from sense.records import HARDNESS, Hardness, Verdict
from sense.sql.complexity import BANDS, Band

_ORDER = ("match", "mismatch", "sql_error", "rejected", "timeout", "too_large", "gold_error")
_SHOWN = 3  # ids shown of each kind of disagreement


class Levels(NamedTuple):
    """How hard the question is that a prediction answers."""

    hardness: Hardness
    complexity: Band


class Measure(NamedTuple):
    """What a mode measures beside EX: its name, its mean over verdicts' scores, and how that is shown."""

    name: str
    mean: Callable[[Sequence[float]], float]
    shown: str


# The originals take what has no score, a failed gold too, as 0.
_MEASURES = {
    "bird-f1@1": Measure("soft_f1", lambda scores: sum(scores) / len(scores), "{:.1%}"),
    "bird-rves@1": Measure("r_ves", lambda scores: 100 * sum(map(sqrt, scores)) / len(scores), "{:.2f}"),
}
_WORDS = {"soft_f1": "soft F1", "r_ves": "R-VES", "sql_error": "error", "too_large": "too large", "gold_error": "gold error"}


def count(levels: Sequence[Levels], verdicts: Mapping[str, Sequence[Verdict]], seconds: Mapping[str, float]) -> dict[str, Any]:
    """The numbers of each mode, and the disagreements of each two modes; `levels` go with the verdicts of every mode."""
    modes = {mode: _mode(mode, levels, found, seconds[mode]) for mode, found in verdicts.items()}
    pairs = [_disagreement(a, b, verdicts[a], verdicts[b]) for a, b in combinations(verdicts, 2)]
    return {"modes": modes, "disagreements": pairs}


def _mode(mode: str, levels: Sequence[Levels], found: Sequence[Verdict], seconds: float) -> dict[str, Any]:
    usable = [verdict for verdict in found if verdict.verdict != "gold_error"]
    right = sum(verdict.correct for verdict in found)
    return {
        **_numbers(mode, found),
        "right": right,
        "gold_errors": len(found) - len(usable),
        "ex_gold_ok": right / len(usable) if usable else None,
        "vacuous": sum(verdict.vacuous for verdict in found),
        "verdicts": _verdicts(found),
        "hardness": _parts(mode, HARDNESS, [level.hardness for level in levels], found),
        "complexity": _parts(mode, BANDS, [level.complexity for level in levels], found),
        "seconds": seconds,
        "per_second": len(found) / seconds if seconds else None,
    }


def _numbers(mode: str, found: Sequence[Verdict]) -> dict[str, Any]:
    """n, EX, and what the mode measures beside it."""
    numbers: dict[str, Any] = {"n": len(found), "ex": sum(verdict.correct for verdict in found) / len(found)}
    if mode in _MEASURES:
        name, mean, _ = _MEASURES[mode]
        numbers[name] = mean([verdict.score or 0.0 for verdict in found])
    return numbers


def _parts(mode: str, names: Sequence[str], labels: Sequence[str], found: Sequence[Verdict]) -> dict[str, Any]:
    parts = {name: [verdict for label, verdict in zip(labels, found, strict=True) if label == name] for name in names}
    return {name: _numbers(mode, part) for name, part in parts.items() if part}


def _verdicts(found: Sequence[Verdict]) -> dict[str, Any]:
    """By verdict: n, share, and of them how many for which reason (kind of mismatch, limit).

    `error` is spelt `sql_error`, as in metrics files, for which DVC has another use for that word.
    """
    counts: dict[str, Counter[str]] = {name: Counter() for name in _ORDER}
    for verdict in found:
        name = "sql_error" if verdict.verdict == "error" else verdict.verdict
        counts[name][verdict.kind or verdict.limit] += 1
    return {
        name: {
            "n": reasons.total(),
            "share": reasons.total() / len(found),
            "why": {reason: n for reason, n in sorted(reasons.items()) if reason},
        }
        for name, reasons in counts.items()
        if reasons
    }


def _disagreement(a: str, b: str, found_a: Sequence[Verdict], found_b: Sequence[Verdict]) -> dict[str, Any]:
    """How often only one of two modes finds a prediction right, and every such prediction with both verdicts."""
    rows = [(one, other) for one, other in zip(found_a, found_b, strict=True) if one.correct != other.correct]
    return {
        "a": a,
        "b": b,
        "only_a_right": sum(one.correct for one, _ in rows),
        "only_b_right": sum(other.correct for _, other in rows),
        "predictions": [{"id": one.id, "a": _named(one), "b": _named(other)} for one, other in rows],
    }


def _named(verdict: Verdict) -> str:
    reason = verdict.kind or verdict.limit
    return f"{verdict.verdict}: {reason}" if reason else verdict.verdict


def show(found: Mapping[str, Any]) -> None:
    """Prints what `scoring.run` has returned, for a person."""
    out = Console()
    for mode, numbers in found["modes"].items():
        for line in _headlines(mode, numbers):
            out.print(line, soft_wrap=True)
        tables = Table.grid(padding=(0, 4))
        tables.add_row(_verdict_table(numbers), _part_table(mode, numbers))
        out.print(tables)
    if found["disagreements"]:
        _show_disagreements(out, found)
    out.print(f"Verdicts: {found['output']}", soft_wrap=True, highlight=False, markup=False)


def _headlines(mode: str, numbers: Mapping[str, Any]) -> list[Text]:
    lines = [Text(f"{mode}: EX {numbers['ex']:.1%} ({numbers['right']:,} of {numbers['n']:,})", style="bold")]
    if mode in _MEASURES:
        name, _, shown = _MEASURES[mode]
        lines[0].append(f", {_WORDS[name]} {shown.format(numbers[name])}")
    speed = "" if numbers["per_second"] is None else f", {numbers['per_second']:,.0f} predictions/s"
    lines.append(Text(f"{numbers['vacuous']:,} of these vacuous (both results are empty); {numbers['seconds']:.1f} s{speed}"))
    if numbers["gold_errors"]:
        usable, ex = numbers["n"] - numbers["gold_errors"], numbers["ex_gold_ok"]
        rest = "no other is left" if ex is None else f"EX on the other {usable:,}: {ex:.1%}"
        what = f"{numbers['gold_errors']:,} of {numbers['n']:,} predictions count as wrong because their GOLD fails"
        lines.append(Text(f"{what}, which is no mistake of the model's; {rest}", style="bold red"))
    return lines


def _verdict_table(numbers: Mapping[str, Any]) -> Table:
    table = _table("verdict", "n", "share")
    for name, part in numbers["verdicts"].items():
        table.add_row(_WORDS.get(name, name), f"{part['n']:,}", f"{part['share']:.1%}")
        for reason, n in part["why"].items():
            table.add_row(f"  {reason}", f"{n:,}", f"{n / numbers['n']:.1%}", style="dim")
    return table


def _part_table(mode: str, numbers: Mapping[str, Any]) -> Table:
    name, _, shown = _MEASURES.get(mode, Measure("", sum, ""))
    table = _table("hardness", "n", "EX", *([_WORDS[name]] if name else []))
    for part in ("hardness", "complexity"):
        for level, row in numbers[part].items():
            label = level if part == "hardness" else f"complexity {level}"
            table.add_row(label, f"{row['n']:,}", f"{row['ex']:.1%}", *([shown.format(row[name])] if name else []))
    return table


def _show_disagreements(out: Console, found: Mapping[str, Any]) -> None:
    table = _table("right under", "wrong under", "n", "the first of them, and what they are there")
    for pair in found["disagreements"]:
        for right, wrong in (("a", "b"), ("b", "a")):
            rows = [row for row in pair["predictions"] if row[right] == "match"]
            first = ", ".join(f"{_plain(row['id'])} ({row[wrong]})" for row in rows[:_SHOWN])
            if rows:
                table.add_row(pair[right], pair[wrong], f"{len(rows):,}", Text(first))
    if table.row_count:
        out.print(table)
    else:
        out.print(f"The modes agree on all {found['predictions']:,} predictions.")


def _table(*columns: str) -> Table:
    """A table whose first column and last, if that is words, are left-justified."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for place, name in enumerate(columns):
        words = place == 0 or " " in name.removeprefix("soft ")
        table.add_column(name, justify="left" if words else "right", no_wrap=place == 0 or not words)
    return table


def _plain(text: str) -> str:
    """An id as a terminal may show it: other people's text may hold control characters."""
    return text if text.isprintable() else ascii(text)
