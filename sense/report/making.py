"""How the data and the models were made: the funnel, domains, hardness, complexity, weak verdicts, pairs, training curves."""

import math
import random
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sense.records import HARDNESS, Example
from sense.report import figures, text
from sense.report.material import Material
from sense.sql.difference import Piece, exact_pieces
from sense.sql.hardness import BANDS

_DOMAINS = 12


@dataclass(frozen=True)
class Bar:
    """A row of a bar table: `share` is the bar's length, `of` the number in words behind it (may be empty)."""

    name: str
    n: int
    share: float
    of: str = ""
    kind: str = ""


def bars(counts: Mapping[str, int], whole: int | None) -> list[Bar]:
    """Counts as bars, the largest first; each says what share of `whole` it is."""
    rows = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    longest = max([*counts.values(), 1])
    return [Bar(text.spoken(name), n, n / longest, text.percent(n / whole) if whole else "", "data") for name, n in rows]


def funnel(found: dict[str, Any]) -> list[Bar]:
    """Asked, dropped by reason, kept: all as shares of what was asked."""
    asked = found.get("asked", 0) or 1
    reasons = sorted(found.get("dropped", {}).items(), key=lambda item: (-item[1], item[0]))
    dropped = [(text.spoken(name), n, "dropped") for name, n in reasons]
    rows = [("asked", asked, "asked"), *dropped, ("kept", found.get("kept", 0), "kept")]
    return [Bar(name, n, min(1.0, n / asked), text.percent(n / asked), kind) for name, n, kind in rows]


def domains(counts: Mapping[str, int]) -> list[Bar]:
    """The commonest domains, and the rest as one."""
    rows = bars(counts, sum(counts.values()))
    if len(rows) <= _DOMAINS:
        return rows
    rest = sum(row.n for row in rows[_DOMAINS:])
    share = text.percent(rest / sum(counts.values()))
    return [*rows[:_DOMAINS], Bar(f"{len(rows) - _DOMAINS} more", rest, min(1.0, rest / rows[0].n), share, "rest")]


def levels(asked: Mapping[str, int], kept: Mapping[str, int]) -> list[tuple[str, int, int, float, float]]:
    """(level, asked, kept, share of asked, share of kept) for each hardness."""
    all_asked, all_kept = sum(asked.values()) or 1, sum(kept.values()) or 1
    counts = [(name, asked.get(name, 0), kept.get(name, 0)) for name in HARDNESS]
    return [(name, before, after, before / all_asked, after / all_kept) for name, before, after in counts]


def bands(counts: Mapping[str, int]) -> list[Bar]:
    """How many examples each band of complexity has, the simplest first."""
    total, longest = sum(counts.values()) or 1, max([*counts.values(), 1])
    found = [(band, counts.get(band, 0)) for band in BANDS]
    return [Bar(band, n, n / longest, text.percent(n / total), "data") for band, n in found]


_CLASSES = (
    ("no such column", r"no such column|ambiguous column"),
    ("no such table", r"no such table"),
    ("syntax", r"syntax error|unrecognized token|incomplete input"),
    ("no such function", r"no such function|wrong number of arguments"),
    ("aggregate in the wrong place", r"misuse of (aggregate|window)"),
    ("set operation of unlike width", r"do not have the same number of result columns"),
)


def error_class(detail: str) -> str:
    """What kind of SQLite error a detail tells of."""
    return next((name for name, pattern in _CLASSES if re.search(pattern, detail)), "other")


def errors(details: Iterable[str]) -> Counter[str]:
    """How many errors there are of each kind."""
    return Counter(error_class(detail) for detail in details)


@dataclass(frozen=True)
class ShownPair:
    """A preference pair to look at."""

    question: str
    chosen: list[Piece]
    rejected: list[Piece]
    error: str


def pairs(material: Material, seed: int, n: int = 3) -> list[ShownPair]:
    """`n` pairs, drawn with `seed`, in their order."""
    found = []
    for pair in draw(material.pairs, f"{seed}-pairs", n):
        chosen, rejected = exact_pieces(text.shown(pair.chosen), text.shown(pair.rejected))
        found.append(ShownPair(material.unseen[pair.example_id].question, chosen, rejected, text.spoken(pair.error)))
    return found


def strong(material: Material, seed: int, n: int = 3) -> list[Example]:
    """`n` strong examples, drawn with `seed`."""
    return draw(material.strong, f"{seed}-strong", n)


def draw(rows: Sequence[Any], seed: str, n: int) -> list[Any]:
    """At most `n` of the rows, drawn with `seed`, in their order."""
    picked = sorted(random.Random(seed).sample(range(len(rows)), min(n, len(rows))))
    return [rows[index] for index in picked]


_TITLES = {"sft": "SFT, the student", "weak": "SFT, the weak model", "dpo": "DPO"}


def curves(found: Mapping[str, Sequence[Mapping[str, float]]]) -> list[figures.Chart]:
    """The loss of each training, and for DPO how probable chosen and rejected answers are."""
    charts = [
        figures.curves(f"{title}: loss", "loss (DPO)" if name == "dpo" else "loss (nats per token)", [(name, "loss", points)])
        for name, title in _TITLES.items()
        if (points := _points(found.get(name, ()), "loss"))
    ]
    sides = [
        (kind, side, points)
        for kind, side in (("match", "chosen"), ("mismatch", "rejected"))
        if (points := _points(found.get("dpo", ()), f"logps/{side}"))
    ]
    return [*charts, *([figures.curves("DPO: log-probability of the answers", "log-probability (nats)", sides)] if sides else [])]


def _points(rows: Sequence[Mapping[str, float]], key: str) -> list[tuple[float, float]]:
    return [(row["step"], row[key]) for row in rows if "step" in row and key in row and math.isfinite(row[key])]
