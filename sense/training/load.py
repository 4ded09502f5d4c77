"""Model folders: transformers' (or PEFT's) files, the tokenizer, and `sense.json`: which base, which prompt."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
import transformers
from peft import PeftModel
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from sense import config, records
from sense.errors import InputError, StorageError
from sense.training import nano

transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()

# Of whole weights while they are trained themselves. A bfloat16 has 8 significant bits: what a step at a learning rate of 1e-6
# adds to a weight of 0.02 is rounded away, all of it. PEFT keeps an adapter, on a base of whatever precision, in float32 itself.
MASTER = torch.float32


def dtype() -> torch.dtype:
    """bfloat16 where a GPU computes it, else float32."""
    return torch.bfloat16 if torch.cuda.is_available() and torch.cuda.is_bf16_supported() else torch.float32


@dataclass(frozen=True)
class Card:
    """What `sense.json` in a model folder holds: the base it grew from, the seed of a nano base, the prompt it was trained on.

    `recipe`: the section of each stage that trained it, by the stage's name. `dtype`: the precision of its whole weights where it
    was trained, and so of an adapter merged into its base, wherever that is done.
    """

    base: config.ModelConfig
    seed: int
    prompt: config.PromptConfig
    recipe: Mapping[str, Any] = field(default_factory=dict)
    dtype: Literal["float32", "bfloat16"] = field(default_factory=lambda: "bfloat16" if dtype() == torch.bfloat16 else "float32")

    def write(self, folder: Path) -> None:
        """Writes sense.json into `folder`."""
        value = {"base": self.base.model_dump(), "seed": self.seed, "prompt": self.prompt.model_dump()}
        records.write_json(folder / "sense.json", {**value, "dtype": self.dtype, "recipe": dict(self.recipe)})


def card(folder: Path) -> Card:
    """The card of a model folder; InputError if it is none of SENSE's."""
    if not (folder / "sense.json").is_file():
        raise InputError(f"{folder}: not a model folder of SENSE (no sense.json); `sense sft` and `sense dpo` write them")
    value = records.read_json(folder / "sense.json")
    where = str(folder / "sense.json")
    base = config.validate(config.ModelConfig, value.get("base"), where)
    prompt = config.validate(config.PromptConfig, value.get("prompt"), where)
    kind = value.get("dtype", "float32")
    if kind not in ("float32", "bfloat16"):
        raise InputError(f"{where}: dtype is {kind!r}; it is float32 or bfloat16: train the model again")
    return Card(base, int(value.get("seed", 0)), prompt, value.get("recipe", {}), kind)


def device() -> torch.device:
    """The first GPU, or the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def pretrained(base: config.ModelConfig, kind: torch.dtype | None = None) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """A base by its hub name or folder, at its pinned revision, in the precision `kind`, else the machine's; InputError if it
    cannot be had.
    """
    kind = kind or dtype()
    try:
        words = AutoTokenizer.from_pretrained(base.name, revision=base.revision or "main")
        model = AutoModelForCausalLM.from_pretrained(base.name, revision=base.revision or "main", dtype=kind)
    except (OSError, ValueError) as error:
        raise InputError(
            f"the base model {base.name!r} cannot be loaded: {error}; check model.name, revision and HF_TOKEN"
        ) from None
    return model, padded(words)


def padded(words: PreTrainedTokenizerBase) -> PreTrainedTokenizerBase:
    """The tokenizer ready for batches: padded on the left, with a padding token."""
    words.padding_side = "left"
    if words.pad_token is None:
        words.pad_token = words.unk_token or words.eos_token
    return words


def tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """The tokenizer of a model folder."""
    return padded(AutoTokenizer.from_pretrained(str(folder)))


def trained(folder: Path, trainable: bool = False, kind: torch.dtype | None = None) -> PreTrainedModel:
    """The model of a folder: whole weights in the precision `kind`, else the machine's, or the base with its LoRA adapter, which
    is to be `trainable` or not.
    """
    if not (folder / "adapter_config.json").is_file():
        return AutoModelForCausalLM.from_pretrained(str(folder), dtype=kind or dtype())
    return PeftModel.from_pretrained(base_of(folder), str(folder), is_trainable=trainable)


def base_of(folder: Path, kind: torch.dtype | None = None) -> PreTrainedModel:
    """The base that a model folder grew from: loaded again as `pretrained` does, or, if nano, made again from its seed."""
    about = card(folder)
    if about.base.nano is not None:
        return nano.model(about.base.nano, tokenizer(folder), about.seed)
    return pretrained(about.base, kind)[0]


_FULL = ("No space left", "File too large", "Disk quota", "PytorchStreamWriter failed", "unexpected pos")


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Turns the ways in which torch and safetensors report a full disk (no OSError among them) into a StorageError."""
    try:
        yield
    except (RuntimeError, SafetensorError) as error:
        if not any(sign in str(error) for sign in _FULL):
            raise
        raise StorageError(f"{folder}: cannot be written ({str(error).splitlines()[0]}); free space, then rerun") from None


def save(model: Any, words: PreTrainedTokenizerBase, about: Card, folder: Path) -> None:
    """Writes a model (in the precision of its card) or adapter, its tokenizer and its card into a fresh `folder`."""
    records.remove(folder)
    adapter = hasattr(model, "peft_config")
    only = {"selected_adapters": ["default"]} if adapter else {}  # not DPO's reference adapter
    if not adapter:
        model.to(getattr(torch, about.dtype))
    with writing(folder):
        model.save_pretrained(str(folder), **only)
    words.save_pretrained(str(folder))
    about.write(folder)


def merged(folder: Path, target: Path) -> Path:
    """A folder with whole weights: `folder` itself, or `target`, into which a LoRA adapter is merged."""
    if not (folder / "adapter_config.json").is_file():
        return folder
    about = card(folder)
    model: Any = PeftModel.from_pretrained(base_of(folder, getattr(torch, about.dtype)), str(folder))
    save(model.merge_and_unload(), tokenizer(folder), about, target)
    return target


def parameters(model: Any) -> dict[str, int]:
    """How many parameters the model has, and how many of them are trained."""
    return {
        "parameters": sum(p.numel() for p in model.parameters()),
        "trainable": sum(p.numel() for p in model.parameters() if p.requires_grad),
    }
