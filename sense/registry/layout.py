"""A model folder as MLflow stores it: weights hard-linked, never loaded, beside what MLflow needs to load them."""

import os
import platform
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import yaml
from mlflow.models import Model, ModelSignature
from mlflow.types import ColSpec, ParamSchema, ParamSpec, Schema

from sense import records

# What `mlflow models serve` and `mlflow.transformers.load_model` need, pinned to what wrote the model.
_PACKAGES = ("mlflow", "transformers", "torch", "accelerate")
_TOKENIZER = (
    "tokenizer*",
    "vocab*",
    "merges.txt",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template*",
    "spiece.model",
)


@dataclass(frozen=True)
class Score:
    """A number about a model on a data set; `digest` says which edition of the set."""

    name: str
    value: float
    dataset: str
    digest: str


@dataclass(frozen=True)
class Package:
    """A model to publish under `name`. What has the same `key` is the same package, published once.

    `folder` holds transformers' files with whole weights, `evaluation` what the model did on each set (its verdicts and the
    prompts), `card` is Markdown, `example` a prompt. `params` (nested) and `tags` go to the run, the logged model and the
    version, `scores` to the run and the logged model, `data` (name -> digest) to the run as its data sets.
    """

    name: str
    key: str
    folder: Path
    evaluation: Path
    card: str
    example: str
    params: Mapping[str, Any]
    tags: Mapping[str, str]
    scores: Sequence[Score]
    data: Mapping[str, str]


def build(package: Package, target: Path, model: Any, run_id: str) -> dict[str, int]:
    """Lays `package` out in a fresh `target` for the logged model `model`; returns every file's path and size in bytes."""
    records.remove(target)
    _link(package.folder, target / "model")
    records.write_text(target / "model" / "README.md", package.card)
    for file in tokenizer_files(package.folder):
        _link(file, target / "components" / "tokenizer" / file.name)
    _link(package.evaluation, target / "evaluation")
    _environment(target)
    records.write_json(target / "input_example.json", [package.example])
    records.write_json(target / "serving_input_example.json", {"inputs": [package.example]})
    described = Model(
        artifact_path=model.artifact_location,
        model_id=model.model_id,
        run_id=run_id,
        signature=_signature(),
        saved_input_example_info={
            "artifact_path": "input_example.json",
            "serving_input_path": "serving_input_example.json",
            "type": "json_object",
        },
        model_size_bytes=sum(sizes(target).values()),
    )
    described.add_flavor("transformers", **_flavor(package.folder))
    described.add_flavor(
        "python_function",
        loader_module="mlflow.transformers",
        python_version=platform.python_version(),
        env={"conda": "conda.yaml", "virtualenv": "python_env.yaml"},
        config={"return_full_text": False, "max_new_tokens": 256, "do_sample": False},
    )
    described.save(str(target / "MLmodel"))
    return sizes(target)


def sizes(folder: Path) -> dict[str, int]:
    """Every file under `folder`: its relative path and its size in bytes."""
    return {f.relative_to(folder).as_posix(): f.stat().st_size for f in sorted(folder.rglob("*")) if f.is_file()}


def tokenizer_files(folder: Path) -> list[Path]:
    """The files of a transformers folder that make up the tokenizer."""
    return sorted({file for pattern in _TOKENIZER for file in folder.glob(pattern)})


def _link(source: Path, target: Path) -> None:
    """Hard-links a file, or a folder's files, or copies. Symbolic links are followed: MLflow would skip them without a word."""
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
    settings = records.read_json(folder / "config.json")
    tokenizer = records.read_json(folder / "tokenizer_config.json")
    kind = settings.get("dtype") or settings.get("torch_dtype")
    return {
        "task": "text-generation",
        "instance_type": "TextGenerationPipeline",
        "pipeline_model_type": settings["architectures"][0],
        "source_model_name": settings.get("_name_or_path") or "sense",
        "model_binary": "model",
        "framework": "pt",
        "components": ["tokenizer"],
        "tokenizer_type": tokenizer.get("tokenizer_class", "PreTrainedTokenizerFast"),
        "transformers_version": metadata.version("transformers"),
        **({"torch_dtype": f"torch.{kind}"} if kind else {}),
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
    pins = [f"{name}=={metadata.version(name).partition('+')[0]}" for name in _PACKAGES]
    python = platform.python_version()
    records.write_text(target / "requirements.txt", "\n".join(pins) + "\n")
    conda = {"name": "mlflow-env", "channels": ["conda-forge"], "dependencies": [f"python={python}", "pip", {"pip": pins}]}
    records.write_text(target / "conda.yaml", yaml.safe_dump(conda, sort_keys=False))
    build = {"python": python, "build_dependencies": ["pip", "setuptools", "wheel"], "dependencies": ["-r requirements.txt"]}
    records.write_text(target / "python_env.yaml", yaml.safe_dump(build, sort_keys=False))
