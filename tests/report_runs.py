"""A small run for tests of the report, partly hostile: metrics, curves, data, samples, pairs and predictions."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from sense import records
from sense.records import Example, Pair, Prediction, Sample, Verdict
from sense.report import run_data
from sense.stages import report

HOSTILE_SQL = "SELECT '<script>alert(1)</script>' AS \"<img src=x onerror=alert(2)>\" -- </pre></style>"
# Which models (base, sft, sense) are right on each question of dev; on heldout none is right on any.
DEV_OUTCOMES = ["001", "010", "011", "111", "000", "100", "011"]
HELDOUT_OUTCOMES = ["000"] * 4


def write_run(folder: Path) -> report.Inputs:
    """Writes the run below `folder` and returns its paths."""
    sizes = {"strong": 5, "unseen": 2, "dev": len(DEV_OUTCOMES), "heldout": len(HELDOUT_OUTCOMES)}
    datasets = {name: write_dataset(folder / name, name, n) for name, n in sizes.items()}
    write_metrics(folder / "metrics")
    details = ["", "no such column: x", "ambiguous column name: id", 'near ")": syntax error']
    samples = [
        Sample(
            id=f"unseen0#{k}",
            example_id="unseen0",
            sql=HOSTILE_SQL,
            correct=not detail,
            verdict="error" if detail else "match",
            detail=detail,
        )
        for k, detail in enumerate(details)
    ]
    records.write_jsonl(folder / "samples.jsonl", samples)
    pair = Pair(id="p", example_id="unseen0", chosen="SELECT a FROM t", rejected=HOSTILE_SQL, strategy="all", error="error")
    records.write_jsonl(folder / "pairs.jsonl", [pair])
    for set_name, outcomes in (("dev", DEV_OUTCOMES), ("heldout", HELDOUT_OUTCOMES)):
        for index, model in enumerate(run_data.MODELS):
            is_right = [outcome[index] == "1" for outcome in outcomes]
            write_predictions(folder / "predictions", f"{set_name}.{model}", set_name, is_right)
        examples = records.read_dataset(datasets[set_name])
        records.write_jsonl(folder / "predictions" / f"{set_name}.examples.jsonl", examples)
    return report.Inputs(
        metrics=folder / "metrics",
        strong=datasets["strong"],
        unseen=datasets["unseen"],
        samples=folder / "samples.jsonl",
        pairs=folder / "pairs.jsonl",
        dev=datasets["dev"],
        heldout=datasets["heldout"],
        predictions=folder / "predictions",
    )


def read_run(inputs: report.Inputs) -> run_data.RunData:
    """The run without its set `heldout`."""
    paths = {name: path for name, path in vars(inputs).items() if name not in ("dev", "heldout")}
    return run_data.read(**paths, sets={"dev": inputs.dev})


def read_metrics(inputs: report.Inputs, name: str) -> dict[str, Any]:
    """The metrics in `<name>.json`."""
    return json.loads((inputs.metrics / f"{name}.json").read_text())


def write_dataset(folder: Path, name: str, n: int) -> Path:
    """`n` examples on one database."""
    examples = [
        Example(
            id=f"{name}{i}", db_id="pets", question=f"{name} question {i} <b>?", sql="SELECT 1", source="grammar", hardness="easy"
        )
        for i in range(n)
    ]
    database = records.database_path(folder, "pets")
    database.parent.mkdir(parents=True)
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("CREATE TABLE pet (id)")
    records.write_jsonl(folder / "examples.jsonl", examples)
    return folder


def write_predictions(folder: Path, stem: str, set_name: str, is_right: list[bool]) -> None:
    """The hostile SQL as the prediction for every example of a set, with a verdict that says whether it is right."""
    verdicts = [
        Verdict(
            id=f"{set_name}{i}",
            correct=right,
            verdict="match" if right else "error",
            detail="" if right else "no such table: <u>",
        )
        for i, right in enumerate(is_right)
    ]
    predictions = [Prediction(id=f"{set_name}{i}", sql=HOSTILE_SQL) for i in range(len(is_right))]
    records.write_jsonl(folder / f"{stem}.verdicts.jsonl", verdicts)
    records.write_jsonl(folder / f"{stem}.predictions.jsonl", predictions)


def model_metrics(right: int, n: int, **comparison: Any) -> dict[str, Any]:
    """The metrics of a model that is right on `right` of `n` questions; `comparison` with the model before it."""
    level = {"n": n, "ex": right / n}
    intervals = {"ex_low": 0.0, "ex_high": 0.9, "executable": 0.75, "verdicts": {}}
    levels = {"hardness": {"easy": level}, "complexity": {"2": level}}
    return {**level, **intervals, **levels, "wins": None, "losses": None, "mcnemar_p": None} | comparison


def write_metrics(folder: Path) -> None:
    """Every file of metrics, and the curves of SFT and DPO."""
    dev = {
        "base": model_metrics(2, 7),
        "sft": model_metrics(4, 7, wins=3, losses=1, mcnemar_p=0.625),
        "sense": model_metrics(4, 7, wins=1, losses=1, mcnemar_p=1.0),
    }
    heldout = {
        "base": model_metrics(0, 4),
        "sft": model_metrics(1, 4, wins=1, losses=0, mcnemar_p=1.0),
        "sense": model_metrics(3, 4, wins=2, losses=0, mcnemar_p=0.0004),
    }
    sections = {
        "ingest": {
            "source": "builtin",
            "seed": {"examples": 5, "databases": 2},
            "dev": {"examples": 7, "databases": 1},
            "dropped": {"duplicate": 3},
        },
        "synthesize": {
            "teacher": "grammar",
            "funnel": {"asked": 40, "kept": 30, "dropped": {"returns nothing": 8, "duplicate": 2}},
            "hardness": {"easy": 27, "hard": 3},
            "asked_hardness": {"easy": 30, "hard": 10},
            "complexity": {"1": 6, "2": 21, "7": 3},
            "domains": {"<i>bees</i>": 20, "clubs": 10},
            "splits": {"strong": 20, "heldout": 10},
        },
        "sft": {
            "model": "nano",
            "examples": 1234,
            "dropped": {"longer than max_length": 2},
            "parameters": 583392,
            "steps": 20,
            "loss": 0.5,
        },
        "weak": {"model": "nano", "examples": 20, "steps": 10, "loss": 1.0},
        "dpo": {
            "model": "nano",
            "pairs": 1,
            "steps": 2,
            "loss": 0.7,
            "logps": {"chosen_lowest": -1.25},
            "chosen_dropped": True,
        },
        "sample": {
            "model": "weak",
            "questions": 2,
            "samples": 4,
            "verdicts": {},
            "distinct": 3,
            "greedy_ex": 0.375,
            "pass_at_k": 0.5,
            "headroom": 1,
            "right": 0.25,
        },
        "prefer": {
            "questions": 4,
            "pairs": 1,
            "strategy": "grouped-any-limit1",
            "rejected_errors": {"sql_error": 1},
            "rejected_runs": 1.0,
            "rejected_classes": {"filter": 1},
            "rejected_sources": {"mutant": 1},
            "no_pair": {"all_wrong": 3},
        },
        "evaluate": {
            "sets": {
                "dev": {"n": 7, "digest": "d" * 64, "models": dev},
                "heldout": {"n": 4, "digest": "e" * 64, "models": heldout},
            }
        },
        "publish": {
            "model": "sense",
            "version": "3",
            "alias": "challenger",
            "reason": "not comparable: <digest>",
            "promoted": False,
        },
    }
    for name, section in sections.items():
        records.write_json(folder / f"{name}.json", section)
    records.write_text(folder / "curves" / "sft.csv", "step,learning_rate,loss\n10,0.1,2.0\n20,0.1,0.5\n")
    records.write_text(folder / "curves" / "dpo.csv", "step,logps/chosen,logps/rejected,loss\n1,-3.0,-5.0,0.69\n2,-4.0,nan,0.6\n")
