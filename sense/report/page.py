"""The report's page, filled: one HTML string that needs nothing beside it."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment
from markupsafe import Markup

from sense import templates
from sense.records import HARDNESS
from sense.report import cases, making, results, text
from sense.report.material import MODELS, SECTIONS, Material


def render(material: Material, seed: int, examples: int) -> str:
    """The whole page; the same material, seed and number of examples give the same bytes."""
    metrics = material.metrics
    sets = results.results(metrics.get("evaluate", {}))
    css = (Path(__file__).parent / "style.css").read_text(encoding="utf-8")
    template = _environment().get_template("page.html.j2")
    html = template.render(
        css=Markup(css),  # noqa: S704  (our own file)
        sets=sets,
        lead=_lead(sets, metrics.get("publish", {}).get("gate")),
        data=_data(material, seed),
        weak=_weak(material),
        pairs=_pairs(material, seed),
        curves=making.curves(material.curves),
        trainings=[(name, metrics[name]) for name in ("sft", "weak", "dpo") if name in metrics],
        cases=cases.choose(material, seed, examples),
        publish=metrics.get("publish"),
        missing=[name for name in SECTIONS if name not in metrics],
    )
    return f"{html}\n"


def _lead(sets: list[results.SetResult], gate: str | None) -> results.SetResult | None:
    """The set of the headline: the one that decided about the champion, else the first."""
    return next((found for found in sets if gate and found.name == results.SET_NAMES[gate]), sets[0] if sets else None)


def _data(material: Material, seed: int) -> dict[str, Any]:
    found = material.metrics.get("synthesize", {})
    return {
        "metrics": found,
        "ingest": material.metrics.get("ingest", {}),
        "funnel": making.funnel(found["funnel"]) if "funnel" in found else [],
        "domains": making.domains(found.get("domains", {})),
        "levels": making.levels(found.get("asked_hardness", {}), found.get("hardness", {})) if "hardness" in found else [],
        "bands": making.bands(found["complexity"]) if "complexity" in found else [],
        "shown": making.strong(material, seed),
    }


def _weak(material: Material) -> dict[str, Any]:
    """Verdicts and kinds of errors of the weak samples and of every model, side by side."""
    verdicts = {"weak samples": [(row.verdict, row.detail) for row in material.samples]}
    for model in MODELS:
        answers = [answer.verdict for by_model in material.answers.values() for answer in by_model[model].values()]
        verdicts[results.NAMES[model]] = [(verdict.verdict, verdict.detail) for verdict in answers]
    counts: list[Counter[str]] = [Counter(name for name, _ in rows) for rows in verdicts.values()]
    kinds = [making.errors(detail for name, detail in rows if name == "error") for rows in verdicts.values()]
    return {
        "metrics": material.metrics.get("sample"),
        "columns": list(verdicts),
        "verdicts": {name: results.slices(found) for name, found in zip(verdicts, counts, strict=True)},
        "tables": {
            "all answers": _side_by_side([name for name in results.VERDICTS if any(found[name] for found in counts)], counts),
            "errors": _side_by_side(
                sorted({kind for found in kinds for kind in found}, key=lambda kind: (kind == "other", kind)), kinds
            ),
        },
    }


def _side_by_side(names: Sequence[str], columns: Sequence[Counter[str]]) -> list[tuple[str, list[int]]]:
    return [(text.spoken(name), [column[name] for column in columns]) for name in names]


def _pairs(material: Material, seed: int) -> dict[str, Any]:
    found = material.metrics.get("prefer", {})
    return {
        "metrics": found,
        "errors": making.bars(found.get("rejected_errors", {}), whole=found.get("pairs")),
        "without": making.bars(found.get("no_pair", {}), whole=found.get("questions")),
        "shown": making.pairs(material, seed),
    }


def _environment() -> Environment:
    """Jinja with everything escaped: SQL, questions and domains are other people's text."""
    environment = templates.environment(Path(__file__).parent, autoescape=True)
    environment.filters |= {
        "percent": text.percent,
        "points": text.points,
        "count": text.count,
        "chance": text.chance,
        "spoken": text.spoken,
        "shown": text.shown,
        "dropped": text.dropped,
    }
    environment.globals |= {"HARDNESS": HARDNESS, "NAMES": results.NAMES}
    return environment
