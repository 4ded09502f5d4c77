"""A model folder as it is registered: what goes with it (card, verdicts, prompts, scores), and the files that MLflow stores.

The weights are hard-linked and never loaded. `registration` sends what is laid out here.
"""

import hashlib
import os
import platform
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import yaml
from mlflow.models import Model, ModelSignature
from mlflow.types import ColSpec, ParamSchema, ParamSpec, Schema

from sense import config, records
from sense.errors import InputError
from sense.prompts.dataset import question_prompts
from sense.registry import card, comparison, gate
from sense.registry.gate import EARLY_MODE, VersionScore
from sense.report import costs
from sense.tracking import DATA_TAG, code_revision
from sense.training import model_files

# What `mlflow models serve` and `mlflow.transformers.load_model` need, pinned to what wrote the model.
_REQUIREMENTS = ("mlflow", "transformers", "torch", "accelerate")
_TOKENIZER_FILES = (
    "tokenizer*",
    "vocab*",
    "merges.txt",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template*",
    "spiece.model",
)
_KEY_SOURCES = ("sense", "evaluation", "predictions")  # inputs of publish: another content of these makes another version


@dataclass(frozen=True)
class DatasetMetric:
    """A metric of a model on a data set; `digest` says which edition of the set."""

    name: str
    value: float
    dataset: str
    digest: str


@dataclass(frozen=True)
class ModelPackage:
    """A model to register under `name`. What has the same `key` is the same package, registered once.

    `folder` holds transformers' files with whole weights, `evaluation` the verdicts and prompts of each set, `card` is Markdown,
    `example` a prompt. `params` (nested) and `tags` go to the run, the logged model and the version, `metrics` to the run and the
    logged model, `data` (name -> digest) to the run as its data sets, `costs` (nested) to the run.
    """

    name: str
    key: str
    folder: Path
    evaluation: Path
    card: str
    example: str
    params: Mapping[str, Any]
    tags: Mapping[str, str]
    metrics: Sequence[DatasetMetric]
    data: Mapping[str, str]
    costs: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ModelSources:
    """The files behind a version, which are inputs of the stage publish, each input's digest by name, and evaluate's sets.

    `revisions` are the md5s that DVC has for the data, by name. `evaluation` is the file of evaluate's metrics, by which the
    costs are found.
    """

    model: Path
    predictions: Path
    datasets: Mapping[str, Path]
    strong: Path
    digests: Mapping[str, str]
    revisions: Mapping[str, str]
    sets: Mapping[str, Any]
    evaluation: Path


def build_package(name: str, sources: ModelSources, extra_tags: Mapping[str, str], work: Path) -> ModelPackage:
    """All that is registered under `name`, read from the model's folder and from evaluate's metrics.

    `work` is a folder of the caller's: the merged weights of a LoRA adapter and the evaluation files are written there.
    InputError if a file of the model is broken, or if the predictions are not those that evaluate's sets count.
    """
    folder = _merge_adapter(sources.model, work / "merged")
    info = sources.model / "sense.json"
    model_files.check_model(folder)
    section = model_files.read_object(info).get("prompt")
    prompt: config.PromptConfig = config.validate(config.PromptConfig, section, f"{info}, prompt")
    verdicts = comparison.evaluated_verdicts(sources.predictions, sources.sets)
    comparison.write_evaluation(work / "evaluation", verdicts, sources.predictions, sources.datasets, prompt)
    digests = {f"sense.digest.{source}": digest for source, digest in sources.digests.items()}
    digests["sense.digest.model"] = sources.digests["sense"] if folder == sources.model else records.digest(folder)
    data = {f"{DATA_TAG}{name}": revision for name, revision in sources.revisions.items()}
    params, code = _params(folder), code_revision()
    cost = costs.read_until_ex(sources.evaluation)
    facts = card.CardFacts(
        name=name,
        sets=sources.sets,
        levels={dataset: comparison.scores_by_hardness(rows) for dataset, rows in verdicts.items()},
        recipe=params["recipe"],
        data=sources.digests,
        code=code,
        context=params["model"].get("max_position_embeddings"),
        cost=cost,
    )
    return ModelPackage(
        name=name,
        key=hashlib.sha256(" ".join(sources.digests[source] for source in _KEY_SOURCES).encode()).hexdigest(),
        folder=folder,
        evaluation=work / "evaluation",
        card=card.render(facts),
        example=_example_prompt(sources.strong, prompt),
        params=params,
        tags={"sense.code_rev": code, **extra_tags, **digests, **data, **gate.score_tags(scores_by_set(sources.sets))},
        metrics=_dataset_metrics(sources.sets),
        data={source: digest for source, digest in sources.digests.items() if source not in _KEY_SOURCES},
        costs={stage.section: stage.cost.numbers() for stage in cost.stages if stage.cost is not None},
    )


def scores_by_set(sets: Mapping[str, Any]) -> dict[str, VersionScore]:
    """set -> its edition and SENSE's EX on it, which the gate compares; `sets` are those of evaluate's metrics."""
    scores = {}
    for name, metrics in sets.items():
        row = metrics["models"].get("sense", {})
        ex, low, high = (row.get(key) for key in ("ex", "ex_low", "ex_high"))
        scores[name] = VersionScore("", str(metrics["digest"]), ex, low, high, metrics.get("mode", EARLY_MODE))
    return scores


def _dataset_metrics(sets: Mapping[str, Any]) -> list[DatasetMetric]:
    return [
        DatasetMetric(f"{name}.{model}.{key}", float(row[key]), name, str(metrics["digest"]))
        for name, metrics in sets.items()
        for model, row in metrics["models"].items()
        for key in ("ex", "ex_low", "ex_high", "executable")
        if row.get(key) is not None
    ]


def _merge_adapter(folder: Path, target: Path) -> Path:
    """`folder`, or, if it holds a LoRA adapter, `target` with that merged into its base, as vLLM and MLflow load it."""
    if not model_files.is_adapter(folder):
        return folder
    from sense.training import model_folder

    return model_folder.merge_adapter(folder, target)


def _params(folder: Path) -> dict[str, Any]:
    """The model's shape, the prompt it was trained with, and the recipe in its sense.json, as nested parameters."""
    shape = {key: value for key, value in records.read_json(folder / "config.json").items() if isinstance(value, int | str)}
    info = records.read_json(folder / "sense.json")
    prompt, base = info.get("prompt", {}), {key: value for key, value in info.get("base", {}).items() if value is not None}
    recipe = {"base": base, "seed": info.get("seed", 0), "prompt": prompt, **info.get("recipe", {})}
    return {"model": shape, "prompt": prompt, "recipe": recipe}


def _example_prompt(strong: Path, prompt: config.PromptConfig) -> str:
    """A prompt such as the model was trained on: the first strong example's."""
    first = next(records.read_jsonl(strong / "examples.jsonl", records.Example), None)
    if first is None:
        raise InputError(f"{strong / 'examples.jsonl'}: no examples; run `sense synthesize` again")
    return question_prompts(strong, [first], prompt)[0]


def write_files(package: ModelPackage, target: Path, model: Any, run_id: str) -> dict[str, int]:
    """Writes `package` into a fresh `target`, as MLflow lays out the logged model `model`.

    Returns each file's path in there and its size in bytes.
    """
    records.remove(target)
    _link(package.folder, target / "model")
    records.write_text(target / "model" / "README.md", package.card)
    for file in tokenizer_files(package.folder):
        _link(file, target / "components" / "tokenizer" / file.name)
    _link(package.evaluation, target / "evaluation")
    _environment(target)
    records.write_json(target / "input_example.json", [package.example])
    records.write_json(target / "serving_input_example.json", {"inputs": [package.example]})
    description = Model(
        artifact_path=model.artifact_location,
        model_id=model.model_id,
        run_id=run_id,
        signature=_signature(),
        saved_input_example_info={
            "artifact_path": "input_example.json",
            "serving_input_path": "serving_input_example.json",
            "type": "json_object",
        },
        model_size_bytes=sum(file_sizes(target).values()),
    )
    description.add_flavor("transformers", **_flavor(package.folder))
    description.add_flavor(
        "python_function",
        loader_module="mlflow.transformers",
        python_version=platform.python_version(),
        env={"conda": "conda.yaml", "virtualenv": "python_env.yaml"},
        config={"return_full_text": False, "max_new_tokens": 256, "do_sample": False},
    )
    description.save(str(target / "MLmodel"))
    return file_sizes(target)


def file_sizes(folder: Path) -> dict[str, int]:
    """Every file under `folder`: its relative path and its size in bytes."""
    return {f.relative_to(folder).as_posix(): f.stat().st_size for f in sorted(folder.rglob("*")) if f.is_file()}


def tokenizer_files(folder: Path) -> list[Path]:
    """The files of a transformers folder that make up the tokenizer."""
    return sorted({file for pattern in _TOKENIZER_FILES for file in folder.glob(pattern)})


def _link(source: Path, target: Path) -> None:
    """Hard-links a file, or a folder's files, or copies. Symbolic links are followed: MLflow would leave them out silently."""
    if source.is_dir():
        for inner in sorted(source.iterdir()):
            _link(inner, target / inner.name)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source.resolve(), target)
    except OSError:
        shutil.copyfile(source, target)


def _flavor(folder: Path) -> dict[str, Any]:
    """The transformers flavour as MLflow itself would write it after loading the model."""
    model = records.read_json(folder / "config.json")
    tokenizer = records.read_json(folder / "tokenizer_config.json")
    dtype = model.get("dtype") or model.get("torch_dtype")
    return {
        "task": "text-generation",
        "instance_type": "TextGenerationPipeline",
        "pipeline_model_type": model["architectures"][0],
        "source_model_name": model.get("_name_or_path") or "sense",
        "model_binary": "model",
        "framework": "pt",
        "components": ["tokenizer"],
        "tokenizer_type": tokenizer.get("tokenizer_class", "PreTrainedTokenizerFast"),
        "transformers_version": metadata.version("transformers"),
        **({"torch_dtype": f"torch.{dtype}"} if dtype else {}),
    }


def _signature() -> Any:
    text = Schema([ColSpec("string")])
    options = [
        ParamSpec("max_new_tokens", "integer", 256),
        ParamSpec("do_sample", "boolean", False),
        ParamSpec("return_full_text", "boolean", False),
    ]
    return ModelSignature(inputs=text, outputs=text, params=ParamSchema(options))


def _environment(target: Path) -> None:
    """requirements.txt, conda.yaml and python_env.yaml, as MLflow writes them."""
    pins = [f"{name}=={metadata.version(name).partition('+')[0]}" for name in _REQUIREMENTS]
    python = platform.python_version()
    records.write_text(target / "requirements.txt", "\n".join(pins) + "\n")
    conda = {"name": "mlflow-env", "channels": ["conda-forge"], "dependencies": [f"python={python}", "pip", {"pip": pins}]}
    records.write_text(target / "conda.yaml", yaml.safe_dump(conda, sort_keys=False))
    build = {"python": python, "build_dependencies": ["pip", "setuptools", "wheel"], "dependencies": ["-r requirements.txt"]}
    records.write_text(target / "python_env.yaml", yaml.safe_dump(build, sort_keys=False))
