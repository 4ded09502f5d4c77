"""Inputs of the stage evaluate without training data: the sets are empty, and the report says that they were compared."""

from collections.abc import Sequence
from pathlib import Path

from sense import records
from sense.decontamination.compared_sets import read_dataset, read_set
from sense.decontamination.report import make_report, write_report
from sense.stages import evaluate


def evaluate_inputs(
    root: Path, sft: Path, sense: Path, dev: Path, heldout: Path, further: Sequence[Path] = ()
) -> evaluate.Inputs:
    """The inputs, with what they need beside models and evaluation sets below `root`; `further` sets were compared too."""
    folders = {name: root / name for name in ("strong", "unseen", "seed")}
    for folder in folders.values():
        records.write_jsonl(folder / "examples.jsonl", [])
    data = [read_dataset(name, folder) for name, folder in folders.items()]
    sets = [read_dataset("dev", dev), read_dataset("heldout", heldout), *(read_set(folder) for folder in further)]
    write_report(root / "decontamination.json", make_report(data, sets, [], []))
    return evaluate.Inputs(sft, sense, dev, heldout, **folders, decontamination=root / "decontamination.json")
