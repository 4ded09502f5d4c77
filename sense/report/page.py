"""The report's page: one HTML string that loads nothing from elsewhere."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

from jinja2 import Environment
from markupsafe import Markup

from sense import templates
from sense.records import JudgedRow
from sense.report import charts, contents, results, text
from sense.report.run_data import METRICS, MODELS, SETS, TRAININGS, RunData
from sense.verdicts import ErrorClass


def render(run: RunData, seed: int, examples: int) -> str:
    """The page with at most `examples` questions that compare the models.

    The same data, seed and number of examples give the same bytes.
    """
    metrics = run.metrics
    sets = results.set_results(metrics.get("evaluate", {}))
    css = (Path(__file__).parent / "style.css").read_text(encoding="utf-8")
    method = metrics.get("dpo", {}).get("method", "dpo")
    template = _environment().get_template("page.html.j2")
    html = template.render(
        css=Markup(css),  # noqa: S704  (our own file)
        sets=sets,
        mode_columns=results.mode_columns(result for on_set in sets for result in on_set.models),
        headline=_headline_set(sets, metrics.get("publish", {}).get("gate")),
        data=_data_section(run, seed),
        verdicts=_verdicts_section(run),
        pairs=_pairs_section(run, seed),
        curves=charts.training_charts(run.curves),
        second_step=results.second_step(method),
        learns_from_pairs=method == "dpo",
        trainings=[(name, metrics[name]) for name in TRAININGS if name in metrics],
        comparisons=contents.compare_models(run, seed, examples),
        publish=metrics.get("publish"),
        missing=[name for name in METRICS if name not in metrics],
    )
    return f"{html}\n"


def _headline_set(sets: Sequence[results.SetResults], gate: str | None) -> results.SetResults | None:
    """The set that decided about the champion, else the first."""
    return next((on_set for on_set in sets if gate and on_set.name == results.set_title(gate)), sets[0] if sets else None)


def _data_section(run: RunData, seed: int) -> dict[str, Any]:
    metrics = run.metrics.get("synthesize", {})
    has_hardness = "hardness" in metrics
    return {
        "metrics": metrics,
        "ingest": run.metrics.get("ingest", {}),
        "teacher": contents.teacher(metrics),
        "repairs": contents.repairs(metrics.get("funnel", {})),
        "funnel": contents.funnel(metrics["funnel"]) if "funnel" in metrics else [],
        "teachers": contents.teacher_rows(metrics.get("teachers", {})),
        "agreement": contents.agreement_sentence(metrics.get("agreement", {})),
        "quotas": contents.quota_rows(metrics.get("quotas", {})),
        "domains": contents.domains(metrics.get("domains", {})),
        "false_right": contents.false_right_rows(metrics.get("false_right", {})),
        "hardness": contents.hardness_rows(metrics.get("asked_hardness", {}), metrics["hardness"]) if has_hardness else [],
        "complexity": contents.complexity_bands(metrics["complexity"]) if "complexity" in metrics else [],
        "examples": contents.strong_examples(run, seed),
    }


def _verdicts_section(run: RunData) -> dict[str, Any]:
    """Verdicts and classes of errors of the samples and of every model, side by side.

    Further sets are left out: perturbed copies would count the questions of their originals again.
    """
    answers: dict[str, list[tuple[str, str, JudgedRow]]] = {  # (gold, SQL, verdict) of each answer
        "samples": [(run.unseen[sample.example_id].sql, sample.sql, sample) for sample in run.samples]
    }
    for model in MODELS:
        answers[results.MODEL_NAMES[model]] = [
            (run.questions[name][key].sql, prediction.sql, prediction.verdict)
            for name in SETS
            if name in run.predictions
            for key, prediction in run.predictions[name][model].items()
        ]
    verdict_counts: list[Counter[str]] = [Counter(results.verdict_name(row) for *_, row in rows) for rows in answers.values()]
    class_counts = [contents.count_error_classes(rows) for rows in answers.values()]
    verdict_names = [name for name in results.VERDICTS if any(counts[name] for counts in verdict_counts)]
    class_names = [name for name in get_args(ErrorClass) if any(counts[name] for counts in class_counts)]
    return {
        "metrics": run.metrics.get("sample"),
        "sampled": results.sampled_model(run.metrics.get("sample", {})),
        "legend": [{"color": name, "name": text.humanize(name)} for name in verdict_names],
        "columns": list(answers),
        "shares": {name: results.verdict_shares(counts) for name, counts in zip(answers, verdict_counts, strict=True)},
        "tables": {
            "all answers": _side_by_side(verdict_names, verdict_counts),
            "wrong answers": _side_by_side(class_names, class_counts),
        },
    }


def _side_by_side(names: Sequence[str], columns: Sequence[Counter[str]]) -> list[tuple[str, list[int]]]:
    return [(text.humanize(name), [counts[name] for counts in columns]) for name in names]


def _pairs_section(run: RunData, seed: int) -> dict[str, Any]:
    metrics = run.metrics.get("prefer", {})
    return {
        "metrics": metrics,
        "errors": contents.bars(metrics.get("rejected_errors", {}), metrics.get("pairs")),
        "classes": contents.bars(metrics.get("rejected_classes", {}), metrics.get("pairs")),
        "sources": contents.bars(metrics.get("rejected_sources", {}), metrics.get("pairs")),
        "chosen": contents.bars(metrics.get("chosen_sources", {}), metrics.get("pairs")),
        "no_pair": contents.bars(metrics.get("no_pair", {}), metrics.get("questions")),
        "examples": contents.pair_differences(run, seed),
    }


def _environment() -> Environment:
    """Jinja with everything escaped, because SQL, questions and domains are text that somebody else wrote."""
    environment = templates.environment(Path(__file__).parent, autoescape=True)
    formats = (text.percent, text.percentage_points, text.number, text.p_value, text.humanize, text.printable, text.drop_counts)
    environment.filters |= {function.__name__: function for function in (*formats, results.verdict_name)}
    environment.globals |= {"MODEL_NAMES": results.MODEL_NAMES}
    return environment
