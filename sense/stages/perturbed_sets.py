"""Evaluation sets that are perturbed copies of another set of the same run.

`sense perturb` keeps the ids of questions and drops those that a kind cannot perturb. EX on a copy therefore stands beside EX on
the same questions of its original, not beside that on all of them.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from sense import console, manifest
from sense.manifest import Manifest
from sense.records import Example


class Origin(NamedTuple):
    """What a perturbed set was made from: the kind of the perturbation, and the name of the set that it is a copy of."""

    kind: str
    set_name: str


def find_origins(folders: Mapping[str, Path]) -> dict[str, Origin]:
    """The sets, by name, that are perturbed copies of another one of these folders as it is now.

    A copy of anything else is said on the console. InputError if a manifest cannot be read.
    """
    copies = {name: read for name, folder in folders.items() if (read := _perturbation(folder)) is not None}
    if not copies:
        return {}
    digests = {name: manifest.dataset_digests(folder).model_dump() for name, folder in folders.items()}
    origins: dict[str, Origin] = {}
    for name, copy in copies.items():
        kind, made_from = copy.section.get("kind"), copy.section.get("data")
        original = next((other for other, digest in digests.items() if digest == made_from and other != name), None)
        if original is None:
            console.say(
                f"{folders[name]}: a perturbed copy of a dataset folder that is no evaluation set, or has changed since; it is "
                "not compared with that one. Name the folder under evaluate.sets, or run `sense perturb` again"
            )
        else:
            origins[name] = Origin(str(kind), original)
    return origins


def same_questions(examples: list[Example], original: list[Example]) -> list[Example]:
    """Those of a copy's examples whose original is among `original`."""
    ids = {example.id for example in original}
    return [example for example in examples if example.id in ids]


def _perturbation(folder: Path) -> Manifest | None:
    """The manifest of a folder that `sense perturb` wrote; None of any other folder."""
    if not (folder / manifest.FILE).is_file():
        return None
    read = manifest.read_manifest(folder)
    return read if read.stage == "perturb" else None
