"""The stages of all arms and seeds, each distinct one run once: what two arms share is computed for both.

A stage's outputs lie in a folder that is named by its fingerprint (its code, section and inputs), so that an ablation that was
killed, or is repeated with further arms, goes on where it stopped.
"""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from sense import config, records, stages
from sense.ablation import arms
from sense.ablation.arms import Arm
from sense.records import Verdict
from sense.stages.launch import launch

_COMPLETE = "complete"


@dataclass(frozen=True)
class SetResult:
    """How a model answered one set: its metrics from the stage `evaluate` with the `digest` of the set, and for each question
    whether it is right.
    """

    metrics: Mapping[str, Any]
    right: Mapping[str, bool]


@dataclass(frozen=True)
class ArmResult:
    """An arm with one seed: its model's results by set, and, under `base`, those of the model that it was trained from."""

    arm: Arm
    seed: int
    sets: Mapping[str, SetResult]
    base: Mapping[str, SetResult]


class Runs:
    """Runs stages below the folder `root`."""

    def __init__(self, root: Path) -> None:
        self._root = root / "stages"

    def arm(self, base: config.Params, arm: Arm, seed: int) -> ArmResult:
        """Runs whatever stages of the arm have not been run, and returns its results."""
        params = arms.settings(base, arm, seed)
        seeds = self.stage("ingest", params, {"seeds": Path(params.data.seeds)})
        data = self.stage("synthesize", params, {"seed": seeds["seed"], "dev": seeds["dev"]})
        training = {"strong": data["strong"], "seed": seeds["seed"]}
        sft = self.stage("sft", params, training)["model"]
        sense = sft
        if arm.preferences:
            unseen = self._without_suites(data["unseen"]) if arm.single_database else data["unseen"]
            sampled = sft if params.sample.model == "sft" else self.stage("sft", params, training, "weak")["model"]
            samples = self.stage("sample", params, {"model": sampled, "unseen": unseen})["samples"]
            pairs = self.stage("prefer", params, {"samples": samples, "unseen": unseen})["pairs"]
            answers = {"pairs": pairs, "samples": samples, "unseen": unseen}
            sense = self.stage("dpo", params, {"sft": sft, **training, **answers})["model"]
        inputs = {
            "sft": sft,
            "sense": sense,
            "dev": seeds["dev"],
            "heldout": data["heldout"],
            **training,
            "unseen": data["unseen"],
            "decontamination": data["decontamination"],
        }
        evaluation = self.stage("evaluate", params, inputs)
        return ArmResult(arm, seed, _results(evaluation, "sense"), _results(evaluation, "base"))

    def stage(
        self, stage: str, params: config.Params, inputs: Mapping[str, Path], section_name: str | None = None
    ) -> Mapping[str, Path]:
        """The outputs of a stage by their names; it runs unless the same has run before."""
        section = getattr(params, section_name or stage)
        folder = self._root / f"{section_name or stage}-{stages.fingerprint(stage, section, inputs)[:16]}"
        outputs = {field.name: folder / _file(field.name) for field in fields(stages.module(stage).Outputs)}
        if not (folder / _COMPLETE).exists():
            folder.mkdir(parents=True, exist_ok=True)
            launch(stage, section.model_dump(), inputs, outputs)
            (folder / _COMPLETE).touch()
        return outputs

    def _without_suites(self, dataset: Path) -> Path:
        """A copy of a dataset folder in which every database stands alone."""
        copy = self._root / f"single-{records.digest(dataset)[:16]}" / dataset.name
        if not copy.exists():
            partial = copy.with_name(f".{copy.name}.partial")
            records.remove(partial)
            shutil.copytree(dataset, partial, ignore=_further_databases)
            partial.replace(copy)
        return copy


def _further_databases(folder: str, names: list[str]) -> list[str]:
    """The databases of a test suite: those that do not have the name of their folder."""
    return [name for name in names if name.endswith(".sqlite") and name != f"{Path(folder).name}.sqlite"]


def _file(output: str) -> str:
    """The file of an output, by which programs tell what it is."""
    endings = {"metrics": ".json", "decontamination": ".json", "curve": ".csv", "samples": ".jsonl", "pairs": ".jsonl"}
    return output + endings.get(output, "")


def _results(evaluation: Mapping[str, Path], model: str) -> dict[str, SetResult]:
    metrics = records.read_json(evaluation["metrics"])
    results = {}
    for name, of_set in metrics["sets"].items():
        verdicts = records.read_rows(evaluation["predictions"] / f"{name}.{model}.verdicts.jsonl", Verdict)
        results[name] = SetResult(
            {**of_set["models"][model], "digest": of_set["digest"]}, {verdict.id: verdict.ex for verdict in verdicts}
        )
    return results
