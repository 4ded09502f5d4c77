"""`sense-nano`, a small Llama that the profiles configs/nano-base-1.yaml, -2 and -3 pretrain: a base for a laptop.

`make nano-base` runs the profiles, and this module puts what the stage `sft` has written into the package:

    python -m sense.training.nano_base build/nano-base/3

A second argument is another folder to put it into.
"""

import json
import sys
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import torch

from sense import records
from sense.errors import InputError

NAME = "sense-nano"
"""What `model.name` calls it."""
_FOLDER = "sense_nano"
_ORIGIN = "pretraining.json"


def resolve(name: str) -> str:
    """The folder of `sense-nano` for its name, InputError if it has not been pretrained here; any other name as it is."""
    if name != NAME:
        return name
    if not (folder() / "config.json").is_file():
        raise InputError(f"{NAME}: this installation does not have it; pretrain it in a checkout of SENSE: make nano-base")
    return str(folder())


def folder() -> Path:
    """Where the package keeps the base."""
    return Path(str(resources.files("sense.training") / _FOLDER))


def write(run: Path, target: Path) -> None:
    """Writes the base into the folder `target`, from the outputs of a pretraining in `run`: model, curve.csv, metrics and data.

    A pretraining may have gone on from the base of another one: pretraining.json has both, in their order. The weights are stored
    in bfloat16. Raises InputError if an output is missing.
    """
    from sense.training import pretrained, tokenization

    strong, metrics, curve = run / "strong" / "manifest.json", run / "sft.json", run / "curve.csv"
    for file in (strong, metrics, curve):
        if not file.is_file():
            raise InputError(f"{file}: no such file; pretrain the base first: make nano-base")
    recipe: Any = records.read_json(run / "model" / "sense.json")
    model, tokenizer = pretrained.load_model(str(run / "model"), torch.float32)
    model.to(torch.bfloat16)
    model.generation_config = tokenization.generation_config(tokenizer)
    staged = run / "staged"  # a base that is in place stays until this one is whole
    records.remove(staged)
    model.save_pretrained(str(staged))
    tokenizer.save_pretrained(str(staged))
    recipe.pop("databases", None)  # thousands
    training = {"recipe": recipe, "metrics": records.read_json(metrics), "data": records.read_json(strong)}
    trainings = [*_earlier_trainings(run, recipe["base"]["name"]), training]
    records.write_json(staged / _ORIGIN, trainings)
    records.write_text(staged / "curve.csv", curve.read_text(encoding="utf-8"))
    records.write_text(staged / "README.md", _card(trainings, model))
    records.deliver(staged, target)


def _earlier_trainings(run: Path, base: str | None) -> list[dict[str, Any]]:
    """What the base that a pretraining started from has seen; its folder is relative to that of the run."""
    if base is None or not (file := run / base / _ORIGIN).is_file():
        return []
    earlier: Any = records.read_json(file)
    return list(earlier)


def _card(trainings: Sequence[dict[str, Any]], model: Any) -> str:
    """The model card: what the base is, what it has seen, how it was trained, and what it cannot do."""
    config = model.config
    shape = f"hidden {config.hidden_size}, {config.num_hidden_layers} layers, {config.num_attention_heads} heads"
    return f"""---
license: apache-2.0
library_name: transformers
pipeline_tag: text-generation
tags: [text-to-sql]
---

# {NAME}

A Llama of {trainings[-1]["metrics"]["parameters"] / 1e6:.1f}M weights ({shape},
{config.vocab_size} tokens, context {config.max_position_embeddings}) to start from on a laptop. It has seen nothing but SENSE's
prompts in English, on the subjects of SENSE's grammar: it is no model to answer people's questions with. It has seen no text by
people, and none of the eight domains that the grammar keeps for heldout.

{"".join(map(_training_text, trainings))}
- **Again**: `make nano-base`, from a checkout of SENSE. The curve of the last training is in `curve.csv`; sections, seeds and
  digests are in `{_ORIGIN}`.
- **How good it is**: the row `base` of a report whose student starts from it.
"""


def _training_text(training: dict[str, Any]) -> str:
    """A training in the model card: its data and how it went."""
    metrics, data = training["metrics"], training["data"]
    levels, seed = json.dumps(data["section"]["levels"]), data["section"]["seed"]
    sft = training["recipe"]["recipe"]["sft"]
    train = {key: value for key, value in sft["train"].items() if value is not None}
    return f"""- **Training**: {data["examples"]:,} rows that SENSE's grammar wrote (levels {levels}, seed {seed}), with
  copies of them whose tables, columns and values have other names: {metrics["rows"]:,} rows. {metrics["steps"]:,} steps,
  loss on {sft["loss_on"]}; last loss {metrics["loss"]:.3f}. {json.dumps(train)}.
"""


if __name__ == "__main__":
    write(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else folder())
