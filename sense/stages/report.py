"""Report: one self-contained HTML file with everything a run made, for people."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sense import records
from sense.config import ReportConfig

Config = ReportConfig


@dataclass(frozen=True)
class Inputs:
    """The folder of metrics (with `curves/`), the data, and evaluate's predictions."""

    metrics: Path
    strong: Path
    unseen: Path
    samples: Path
    pairs: Path
    dev: Path
    heldout: Path
    predictions: Path


@dataclass(frozen=True)
class Outputs:
    """The HTML page."""

    report: Path


def run(config: ReportConfig, inputs: Inputs, outputs: Outputs) -> dict[str, Any]:
    """Writes the page and returns its size and the missing sections of metrics; InputError names any other missing file."""
    from sense.report import page, run_data

    data = run_data.read(
        metrics=inputs.metrics,
        strong=inputs.strong,
        unseen=inputs.unseen,
        samples=inputs.samples,
        pairs=inputs.pairs,
        sets={"dev": inputs.dev, "heldout": inputs.heldout},
        predictions=inputs.predictions,
    )
    html = page.render(data, config.seed, config.examples)
    records.write_text(outputs.report, html)
    missing = [name for name in run_data.METRICS if name not in data.metrics]
    return {"bytes": len(html.encode()), "sections_missing": missing}


def accompany(inputs: Inputs, outputs: Outputs) -> None:
    """Writes the page of costs beside the report: it differs from run to run, and so is no output."""
    from sense.report import costs

    records.write_text(outputs.report.with_name(costs.PAGE), costs.page(costs.read(inputs.metrics, outputs.report)))
