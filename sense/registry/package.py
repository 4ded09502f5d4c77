"""What a model is registered with, read from its folder and from evaluate's metrics: card, prompts, verdicts, scores."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sense import config, records
from sense.errors import InputError
from sense.prompts.dataset import question_prompts
from sense.registry import evidence

if TYPE_CHECKING:
    from sense import registry

_KEY = ("sense", "evaluation", "predictions")  # what makes a version another one


@dataclass(frozen=True)
class Origin:
    """The files behind a version: as the stage publish is given them, their digests by name, evaluate's sets."""

    model: Path
    predictions: Path
    datasets: Mapping[str, Path]
    strong: Path
    digests: Mapping[str, str]
    sets: Mapping[str, Any]


def package(name: str, origin: Origin, extra: Mapping[str, str], work: Path) -> "registry.Package":
    """All that is registered under `name`; `extra` are more tags, `work` a folder of the caller's for what is laid out.

    InputError if the predictions are not those that evaluate's sets count.
    """
    from sense import registry, tracking
    from sense.registry import card

    folder = _whole(origin.model, work / "merged")
    about = origin.model / "sense.json"
    prompt: config.PromptConfig = config.validate(config.PromptConfig, records.read_json(about).get("prompt"), str(about))
    verdicts = evidence.judged(origin.predictions, origin.sets)
    evidence.write(work / "evaluation", verdicts, origin.predictions, origin.datasets, prompt)
    digests = {f"sense.digest.{part}": digest for part, digest in origin.digests.items()}
    digests["sense.digest.model"] = origin.digests["sense"] if folder == origin.model else records.digest(folder)
    params, code = _params(folder), tracking.revision.current()
    facts = card.Facts(
        name=name,
        sets=origin.sets,
        levels={dataset: evidence.levels(rows) for dataset, rows in verdicts.items()},
        recipe=params["recipe"],
        data=origin.digests,
        code=code,
        context=params["model"].get("max_position_embeddings"),
    )
    return registry.Package(
        name=name,
        key=hashlib.sha256(" ".join(origin.digests[part] for part in _KEY).encode()).hexdigest(),
        folder=folder,
        evaluation=work / "evaluation",
        card=card.render(facts),
        example=_example(origin.strong, prompt),
        params=params,
        tags={"sense.code_rev": code, **extra, **digests, **registry.gate.tags(standings(origin.sets))},
        scores=_scores(origin.sets),
        data={part: digest for part, digest in origin.digests.items() if part not in _KEY},
    )


def standings(sets: Mapping[str, Any]) -> dict[str, "registry.gate.Standing"]:
    """set -> its edition and SENSE's EX on it: what the gate compares."""
    from sense import registry

    found = {name: (str(one["digest"]), one["models"].get("sense", {})) for name, one in sets.items()}
    return {
        name: registry.gate.Standing("", digest, *(row.get(key) for key in ("ex", "ex_low", "ex_high")))
        for name, (digest, row) in found.items()
    }


def _scores(sets: Mapping[str, Any]) -> list["registry.Score"]:
    from sense import registry

    return [
        registry.Score(f"{name}.{model}.{key}", float(measured[key]), name, str(found["digest"]))
        for name, found in sets.items()
        for model, measured in found["models"].items()
        for key in ("ex", "ex_low", "ex_high", "executable")
        if measured.get(key) is not None
    ]


def _whole(folder: Path, target: Path) -> Path:
    """`folder`, or, if it holds a LoRA adapter, `target` with that merged into its base: what vLLM and MLflow load as it is."""
    if not (folder / "adapter_config.json").is_file():
        return folder
    from sense.training import load

    return load.merged(folder, target)


def _params(folder: Path) -> dict[str, Any]:
    """The model's shape, the prompt it was trained on, and what its folder tells of how it was made."""
    shape = {key: value for key, value in records.read_json(folder / "config.json").items() if isinstance(value, int | str)}
    about = records.read_json(folder / "sense.json")
    prompt, base = about.get("prompt", {}), {key: value for key, value in about.get("base", {}).items() if value is not None}
    recipe = {"base": base, "seed": about.get("seed", 0), "prompt": prompt, **about.get("recipe", {})}
    return {"model": shape, "prompt": prompt, "recipe": recipe}


def _example(strong: Path, prompt: config.PromptConfig) -> str:
    """A prompt such as the model was trained on: the first strong example's."""
    first = next(records.read_jsonl(strong / "examples.jsonl", records.Example), None)
    if first is None:
        raise InputError(f"{strong / 'examples.jsonl'}: no examples; run `sense synthesize` again")
    return question_prompts(strong, [first], prompt)[0]
