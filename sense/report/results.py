"""What came out: the headline, the table of results, accuracy by hardness and complexity, verdicts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sense.records import HARDNESS
from sense.report import figures, text
from sense.report.material import MODELS, SETS
from sense.sql.hardness import BANDS

NAMES = {"base": "base", "sft": "SFT", "sense": "SENSE"}
SET_NAMES = {"dev": "dev", "heldout": "held out"}
SET_NOTES = {"dev": "human-written questions", "heldout": "synthetic questions on databases that no training saw"}


@dataclass(frozen=True)
class Row:
    """One model on one set; `change` and what follows compare it with the model before it."""

    model: str
    name: str
    n: int
    ex: float
    low: float
    high: float
    executable: float | None
    change: float | None
    wins: int | None
    losses: int | None
    p: float | None


@dataclass(frozen=True)
class SetResult:
    """Everything about one set."""

    name: str
    note: str
    n: int
    digest: str
    rows: list[Row]
    chart: figures.Chart
    by_hardness: figures.Chart | None
    hardness: "Levels"
    complexity: "Levels"
    verdict: str


def results(evaluate: dict[str, Any]) -> list[SetResult]:
    """The sets of evaluate's metrics, in order."""
    sets = evaluate.get("sets", {})
    most = max([m.get("ex_high", m["ex"]) for found in sets.values() for m in found["models"].values()], default=1.0)
    return [_set(name, sets[name], most) for name in SETS if name in sets]


def _set(name: str, found: dict[str, Any], most: float) -> SetResult:
    """One set; `most` is the highest share of all sets, so that their charts have one scale."""
    rows: list[Row] = []
    for model in (model for model in MODELS if model in found["models"]):
        m = found["models"][model]
        change = m["ex"] - rows[-1].ex if rows else None
        low, high = m.get("ex_low", m["ex"]), m.get("ex_high", m["ex"])
        paired = (m.get("wins"), m.get("losses"), m.get("mcnemar_p"))
        rows.append(Row(model, NAMES[model], m["n"], m["ex"], low, high, m.get("executable"), change, *paired))
    table, bands = (_levels(found["models"], rows, *part) for part in (("hardness", HARDNESS), ("complexity", BANDS)))
    shown = SET_NAMES[name]
    return SetResult(
        name=shown,
        note=SET_NOTES[name],
        n=found["n"],
        digest=str(found.get("digest", "")),
        rows=rows,
        chart=figures.intervals(f"EX on {shown}", [(r.model, r.name, r.ex, r.low, r.high) for r in rows], most),
        by_hardness=_columns(f"EX by hardness, {shown}", rows, table) if table else None,
        hardness=table,
        complexity=bands,
        verdict=_sentence(rows[-1], rows[-2]) if len(rows) > 1 else "",
    )


Levels = list[tuple[str, int, list[float | None]]]  # (level, questions, EX of each model)


def _levels(models: dict[str, Any], rows: list[Row], part: str, order: Sequence[str]) -> Levels:
    """The levels of `part` that occur, and EX of each row's model on each of them."""
    by_level = {level: [models[row.model].get(part, {}).get(level, {}) for row in rows] for level in order}
    return [
        (level, max(cell.get("n", 0) for cell in cells), [cell.get("ex") for cell in cells])
        for level, cells in by_level.items()
        if any(cells)
    ]


def _columns(title: str, rows: list[Row], table: Levels) -> figures.Chart:
    columns = [(row.model, row.name, [values[place] for *_, values in table]) for place, row in enumerate(rows)]
    return figures.columns(title, [level for level, *_ in table], columns)


def _sentence(last: Row, before: Row) -> str:
    """What may be said of the last step, and no more."""
    away = text.points(last.change).lstrip("+−")
    if away == "0.0":
        moved = f"{last.name} and {before.name} are level"
    else:
        moved = f"{last.name} is {away} points {'above' if (last.change or 0) > 0 else 'below'} {before.name}"
    if last.p is None:
        return f"{moved}."
    sure = "more than chance explains" if last.p < 0.05 else "no more than chance explains"
    return f"{moved}: {last.wins} questions won and {last.losses} lost (McNemar p {_p(last.p)}), {sure}."


def _p(p: float) -> str:
    shown = text.chance(p)
    return shown if shown.startswith("<") else f"= {shown}"


@dataclass(frozen=True)
class Slice:
    """A part of a whole: `share` of 0..1."""

    kind: str
    name: str
    n: int
    share: float


VERDICTS = ("match", "mismatch", "error", "rejected", "timeout", "too_large", "gold_error")


def slices(verdicts: Mapping[str, int]) -> list[Slice]:
    """Verdict counts as parts of their sum, in a fixed order; none that is zero."""
    total = sum(verdicts.values()) or 1
    return [Slice(name, text.spoken(name), verdicts[name], verdicts[name] / total) for name in VERDICTS if verdicts.get(name)]
