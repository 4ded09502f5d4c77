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
from sense.sql.hardness import BANDS, Band
from sense.sql.modes import SUITE_MODES

_ORDER = ("match", "mismatch", "sql_error", "rejected", "timeout", "too_large", "gold_error")
_MAX_IDS = 3  # ids printed of each kind of disagreement


class QueryLevels(NamedTuple):
    """How hard the question is that a prediction answers."""

    hardness: Hardness
    complexity: Band


class ModeMetric(NamedTuple):
    """What a mode measures beside EX: the metric's name, its mean over verdicts' scores, and the format it is printed in."""

    name: str
    mean: Callable[[Sequence[float]], float]
    number_format: str


# The originals take what has no score, a failed gold too, as 0.
_METRICS = {
    "bird-f1@1": ModeMetric("soft_f1", lambda scores: sum(scores) / len(scores), "{:.1%}"),
    "bird-rves@1": ModeMetric("r_ves", lambda scores: 100 * sum(map(sqrt, scores)) / len(scores), "{:.2f}"),
}
_LABELS = {
    "ts": "TS",
    "soft_f1": "soft F1",
    "r_ves": "R-VES",
    "sql_error": "error",
    "too_large": "too large",
    "gold_error": "gold error",
}


def count(
    levels: Sequence[QueryLevels], verdicts: Mapping[str, Sequence[Verdict]], seconds: Mapping[str, float]
) -> dict[str, Any]:
    """The numbers of each mode, and the disagreements of each two modes; `levels` go with the verdicts of every mode."""
    modes = {mode: _count_mode(mode, levels, of_mode, seconds[mode]) for mode, of_mode in verdicts.items()}
    pairs = [_compare_modes(a, b, verdicts[a], verdicts[b]) for a, b in combinations(verdicts, 2)]
    return {"modes": modes, "disagreements": pairs}


def _count_mode(mode: str, levels: Sequence[QueryLevels], verdicts: Sequence[Verdict], seconds: float) -> dict[str, Any]:
    usable = [verdict for verdict in verdicts if verdict.verdict != "gold_error"]
    right = sum(verdict.ex for verdict in verdicts)
    return {
        **_metrics(mode, verdicts),
        "right": right,
        "gold_errors": len(verdicts) - len(usable),
        "ex_gold_ok": right / len(usable) if usable else None,
        **({"left_out": sum(verdict.left_out > 0 for verdict in verdicts)} if mode in SUITE_MODES else {}),
        "vacuous": sum(verdict.vacuous for verdict in verdicts),
        "verdicts": _count_verdicts(verdicts),
        "hardness": _group_metrics(mode, HARDNESS, [level.hardness for level in levels], verdicts),
        "complexity": _group_metrics(mode, BANDS, [level.complexity for level in levels], verdicts),
        "seconds": seconds,
        "per_second": len(verdicts) / seconds if seconds else None,
    }


def _metrics(mode: str, verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """n, EX, and what the mode measures beside it: TS where all databases of a folder decide, of which EX counts the main one."""
    numbers: dict[str, Any] = {"n": len(verdicts), "ex": sum(verdict.ex for verdict in verdicts) / len(verdicts)}
    if mode in SUITE_MODES:
        numbers["ts"] = sum(verdict.correct for verdict in verdicts) / len(verdicts)
    if mode in _METRICS:
        name, mean, _ = _METRICS[mode]
        numbers[name] = mean([verdict.score or 0.0 for verdict in verdicts])
    return numbers


def _group_metrics(mode: str, names: Sequence[str], labels: Sequence[str], verdicts: Sequence[Verdict]) -> dict[str, Any]:
    parts = {name: [verdict for label, verdict in zip(labels, verdicts, strict=True) if label == name] for name in names}
    return {name: _metrics(mode, part) for name, part in parts.items() if part}


def _count_verdicts(verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """By verdict: n, share, and of them how many for which reason (kind of mismatch, limit).

    `error` is spelt `sql_error`, as in metrics files, for which DVC has another use for that word.
    """
    counts: dict[str, Counter[str]] = {name: Counter() for name in _ORDER}
    for verdict in verdicts:
        name = "sql_error" if verdict.verdict == "error" else verdict.verdict
        counts[name][verdict.kind or verdict.limit] += 1
    return {
        name: {
            "n": reasons.total(),
            "share": reasons.total() / len(verdicts),
            "why": {reason: n for reason, n in sorted(reasons.items()) if reason},
        }
        for name, reasons in counts.items()
        if reasons
    }


def _compare_modes(a: str, b: str, verdicts_a: Sequence[Verdict], verdicts_b: Sequence[Verdict]) -> dict[str, Any]:
    """How often only one of two modes finds a prediction right, and every such prediction with both verdicts."""
    rows = [(one, other) for one, other in zip(verdicts_a, verdicts_b, strict=True) if one.correct != other.correct]
    return {
        "a": a,
        "b": b,
        "only_a_right": sum(one.correct for one, _ in rows),
        "only_b_right": sum(other.correct for _, other in rows),
        "predictions": [{"id": one.id, "a": _verdict_label(one), "b": _verdict_label(other)} for one, other in rows],
    }


def _verdict_label(verdict: Verdict) -> str:
    reason = verdict.kind or verdict.limit
    return f"{verdict.verdict}: {reason}" if reason else verdict.verdict


def show(scores: Mapping[str, Any]) -> None:
    """Prints what `command.score_files` has returned, for a person."""
    out = Console()
    for mode, metrics in scores["modes"].items():
        for line in _headlines(mode, metrics):
            out.print(line, soft_wrap=True)
        tables = Table.grid(padding=(0, 4))
        tables.add_row(_verdict_table(metrics), _part_table(mode, metrics))
        out.print(tables)
    if scores["disagreements"]:
        _show_disagreements(out, scores)
    out.print(f"Verdicts: {scores['output']}", soft_wrap=True, highlight=False, markup=False)


def _headlines(mode: str, metrics: Mapping[str, Any]) -> list[Text]:
    lines = [Text(f"{mode}: EX {metrics['ex']:.1%} ({metrics['right']:,} of {metrics['n']:,})", style="bold")]
    for name, number_format in _columns(mode):
        lines[0].append(f", {_LABELS[name]} {number_format.format(metrics[name])}")
    speed = "" if metrics["per_second"] is None else f", {metrics['per_second']:,.0f} predictions/s"
    lines.append(Text(f"{metrics['vacuous']:,} of these vacuous (both results are empty); {metrics['seconds']:.1f} s{speed}"))
    if metrics.get("left_out"):
        lines.append(Text(f"{metrics['left_out']:,} with further databases on which the gold fails; those do not count"))
    if metrics["gold_errors"]:
        usable, ex = metrics["n"] - metrics["gold_errors"], metrics["ex_gold_ok"]
        rest = "no other is left" if ex is None else f"EX on the other {usable:,}: {ex:.1%}"
        failed = f"{metrics['gold_errors']:,} of {metrics['n']:,} predictions count as wrong because their GOLD fails"
        lines.append(Text(f"{failed}, which is no mistake of the model's; {rest}", style="bold red"))
    return lines


def _columns(mode: str) -> list[tuple[str, str]]:
    """The names of what a mode measures beside EX, with the formats in which the numbers are printed."""
    if mode in SUITE_MODES:
        return [("ts", "{:.1%}")]
    return [(_METRICS[mode].name, _METRICS[mode].number_format)] if mode in _METRICS else []


def _verdict_table(metrics: Mapping[str, Any]) -> Table:
    table = _table("verdict", "n", "share")
    for name, part in metrics["verdicts"].items():
        table.add_row(_LABELS.get(name, name), f"{part['n']:,}", f"{part['share']:.1%}")
        for reason, n in part["why"].items():
            table.add_row(f"  {reason}", f"{n:,}", f"{n / metrics['n']:.1%}", style="dim")
    return table


def _part_table(mode: str, metrics: Mapping[str, Any]) -> Table:
    columns = _columns(mode)
    table = _table("hardness", "n", "EX", *(_LABELS[name] for name, _ in columns))
    for part in ("hardness", "complexity"):
        for level, row in metrics[part].items():
            label = level if part == "hardness" else f"complexity {level}"
            table.add_row(label, f"{row['n']:,}", f"{row['ex']:.1%}", *(text.format(row[name]) for name, text in columns))
    return table


def _show_disagreements(out: Console, scores: Mapping[str, Any]) -> None:
    table = _table("right under", "wrong under", "n", "the first of them, and what they are there")
    for pair in scores["disagreements"]:
        for right, wrong in (("a", "b"), ("b", "a")):
            rows = [row for row in pair["predictions"] if row[right] == "match"]
            first = ", ".join(f"{_printable(row['id'])} ({row[wrong]})" for row in rows[:_MAX_IDS])
            if rows:
                table.add_row(pair[right], pair[wrong], f"{len(rows):,}", Text(first))
    if table.row_count:
        out.print(table)
    else:
        out.print(f"The modes agree on all {scores['predictions']:,} predictions.")


def _table(*columns: str) -> Table:
    """A table whose columns of text are left-justified: the first one, and those with a name of several words."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for index, name in enumerate(columns):
        is_text = index == 0 or " " in name.removeprefix("soft ")
        table.add_column(name, justify="left" if is_text else "right", no_wrap=index == 0 or not is_text)
    return table


def _printable(text: str) -> str:
    """An id as it is safe to print: other people's text may hold control characters."""
    return text if text.isprintable() else ascii(text)
