"""What a stage did, as small tables in Markdown: what the Kubeflow UI shows beside a task.

Names of domains and models, reasons and digests come from elsewhere, some of them from a model: all are escaped, so that none
is taken for Markdown or HTML.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from sense.records import HARDNESS, flatten, is_number
from sense.report import making, text
from sense.report import results as tables

_LONGEST = 600  # characters of somebody else's text
_SHOWN = 12  # rows of a table of counts
_HTML = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


class Decision(Protocol):
    """What the gate said (sense.registry.gate), as far as it is shown here; that module is slow to import."""

    @property
    def version(self) -> str:
        """The version that stood at the gate."""

    @property
    def promoted(self) -> bool:
        """Whether it becomes champion."""

    @property
    def reason(self) -> str:
        """Why, or why not."""


def summary(stage: str, metrics: Mapping[str, Any]) -> str:
    """The metrics of a stage (`weak` and `merge` are sft and sample; `version`: digests by name) as Markdown."""
    shown = {
        "ingest": funnel,
        "synthesize": funnel,
        "sft": training,
        "weak": training,
        "sample": verdicts,
        "merge": verdicts,
        "prefer": funnel,
        "dpo": training,
        "evaluate": results,
        "publish": published,
    }.get(stage, everything)
    return shown(metrics)


def funnel(metrics: Mapping[str, Any]) -> str:
    """What went in, what was dropped and why, what remains: of ingest, synthesize or prefer; with it hardness and domains."""
    if "funnel" in metrics:
        return _strong(metrics)
    if "pairs" in metrics:
        return _pairs(metrics)
    return _seeds(metrics)


def verdicts(metrics: Mapping[str, Any]) -> str:
    """What became of the weak model's samples when they were executed."""
    samples = metrics["samples"]
    lead = (
        f"{samples:,} samples for {metrics['questions']:,} questions, {metrics['distinct']:,} of them distinct. "
        f"**{text.percent(metrics['right'])}** are right; {text.percent(metrics['pass_at_k'])} of the questions have a right one."
    )
    return _page(lead, _counts("verdict", "samples", metrics["verdicts"], samples))


def training(metrics: Mapping[str, Any]) -> str:
    """What was trained on what, and where the loss ended."""
    lead = f"Last loss: **{text.count(metrics['loss'])}**, at step {text.count(metrics['steps'])}."
    return _page(lead, _values(metrics))


def results(metrics: Mapping[str, Any]) -> str:
    """EX of every model on every set, with its interval, the change to the model before it, and EX by hardness."""
    parts = []
    for found in tables.results(dict(metrics)):
        rows = [
            (
                row.name,
                text.percent(row.ex),
                f"{text.percent(row.low)} to {text.percent(row.high)}",
                text.percent(row.executable),
                text.points(row.change),
                text.count(row.wins),
                text.count(row.losses),
                text.chance(row.p),
            )
            for row in found.rows
        ]
        head = ("model", "EX", "95% interval", "executable", "change (points)", "won", "lost", "McNemar p")
        levels = [(level, text.count(n), *(text.percent(ex) for ex in shares)) for level, n, shares in found.hardness]
        parts += [
            f"### {found.name}: {found.n:,} {found.note}",
            _table(head, rows),
            _table(("hardness", "questions", *(row.name for row in found.rows)), levels),
            found.verdict,
        ]
    return _page(*parts) if parts else "No model has been evaluated.\n"


def published(metrics: Mapping[str, Any]) -> str:
    """Which version the model became, and what the gate said."""
    named = f"**{escaped(metrics['model'])}** version **{escaped(metrics['version'])}** is **{escaped(metrics['alias'])}**"
    told = ("model", "version", "alias", "reason")
    rest = {name: value for name, value in metrics.items() if name not in told}
    return _page(f"{named}: {escaped(metrics['reason'])}.", _values(rest))


def decision(found: Decision) -> str:
    """What the gate says before a model is registered."""
    said = "may become champion" if found.promoted else "does not become champion"
    return _page(f"**{escaped(found.version[:1].upper() + found.version[1:])} {said}**: {escaped(found.reason)}.")


def findings(found: Iterable[tuple[str, bool, str]]) -> str:
    """The preflight checks of a pipeline run (sense.kubeflow.preflight) as a table: the check, ok or FAILED, the details."""
    return _page(_table(("what", "", "found"), [(what, "ok" if ok else "FAILED", detail) for what, ok, detail in found]))


def everything(metrics: Mapping[str, Any]) -> str:
    """Any metrics as one table."""
    return _page(_values(metrics))


def escaped(somebodys: str) -> str:
    """Text on one line, not too long, of which nothing is Markdown, HTML or a link."""
    line = " ".join(text.shown(somebodys).split())
    line = line if len(line) <= _LONGEST else f"{line[:_LONGEST]} …"
    return re.sub(r"[&<>]", lambda found: _HTML[found[0]], re.sub(r"([\\`*_\[\]|~@]|:(?=//)|=(?==))", r"\\\1", line))


def _seeds(metrics: Mapping[str, Any]) -> str:
    sides = [(name, metrics[name]) for name in ("seed", "dev")]
    rows = [(name, text.count(side["examples"]), text.count(side["databases"])) for name, side in sides]
    levels = [(level, *(text.count(side["hardness"].get(level, 0)) for _, side in sides)) for level in HARDNESS]
    dropped = metrics["dropped"]
    return _page(
        f"Human-written seeds ({escaped(metrics['source'])}), every gold executed.",
        _table(("set", "examples", "databases"), rows),
        _counts("dropped", "examples", dropped, None) if dropped else "Nothing was dropped.",
        _table(("hardness", "seed", "dev"), levels),
    )


def _strong(metrics: Mapping[str, Any]) -> str:
    bars = making.funnel(metrics["funnel"])
    levels = making.levels(metrics["asked_hardness"], metrics["hardness"])
    return _page(
        f"Teacher: {escaped(metrics['teacher'])}. Every SQL was executed on its database.",
        _table(("funnel", "examples", "of asked"), [(bar.name, text.count(bar.n), bar.of) for bar in bars]),
        _table(
            ("hardness", "asked", "share", "kept", "share"),
            [(name, text.count(n), text.percent(a), text.count(m), text.percent(b)) for name, n, m, a, b in levels],
        ),
        _counts("domain", "examples", metrics["domains"], sum(metrics["domains"].values())),
        _counts("split", "examples", metrics["splits"], sum(metrics["splits"].values())),
    )


def _pairs(metrics: Mapping[str, Any]) -> str:
    pairs, questions = metrics["pairs"], metrics["questions"]
    rows = [("questions", text.count(questions), text.percent(1.0))]
    rows += [(f"no pair: {bar.name}", text.count(bar.n), bar.of) for bar in making.bars(metrics["no_pair"], questions)]
    return _page(
        f"**{pairs:,}** pairs, strategy {escaped(metrics['strategy'])}.",
        _table(("funnel", "questions", "of all"), rows),
        _counts("what is wrong with the rejected answer", "pairs", metrics["rejected_errors"], pairs),
        _counts("samples left out", "samples", metrics["dropped"], None) if metrics.get("dropped") else "",
    )


def _counts(what: str, unit: str, counts: Mapping[str, int], whole: int | None) -> str:
    """Counts as a table, the largest first, each with its share of `whole`; what is too many is one row."""
    bars = making.bars(counts, whole)
    rest = bars[_SHOWN:]
    rows = [(bar.name, text.count(bar.n), bar.of) for bar in bars[:_SHOWN]]
    if rest:
        n = sum(bar.n for bar in rest)
        rows.append((f"{len(rest)} more", text.count(n), text.percent(n / whole) if whole else ""))
    return _table((what, unit, "share"), rows) if whole else _table((what, unit), [row[:2] for row in rows])


def _values(metrics: Mapping[str, Any]) -> str:
    rows = [
        (name, text.count(value) if is_number(value) or value is None else str(value)) for name, value in flatten(metrics).items()
    ]
    return _table(("metric", "value"), rows)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table, its first column to the left, the others to the right; every cell is escaped here."""
    lines = [head, *rows]
    shown = [f"| {' | '.join(escaped(cell) for cell in line)} |" for line in lines]
    return "\n".join([shown[0], f"|---{'|---:' * (len(head) - 1)}|", *shown[1:]])


def _page(*parts: str) -> str:
    return "\n\n".join(part for part in parts if part) + "\n"
