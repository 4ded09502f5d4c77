"""Model folders: the files of transformers (or of a PEFT adapter), the tokenizer, and `sense.json`, which is a `ModelInfo`."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
import transformers
from safetensors import SafetensorError
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from sense import config, records
from sense.errors import InputError, StorageError, says_disk_full
from sense.training import checks, devices, model_files, nano, nano_base, pretrained, tokenization

transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()

# The precision of whole weights while they are trained. A bfloat16 has 8 significant bits: a step at a learning rate of 1e-6
# changes a weight of 0.02 by less than its last bit, so that nothing would be learnt. PEFT itself keeps an adapter in float32.
TRAINING_DTYPE = torch.float32
_INFO_FILE = "sense.json"
_TORCH_DISK_FULL = ("PytorchStreamWriter failed", "unexpected pos")  # what torch says when a disk is full


@dataclass(frozen=True)
class ModelInfo:
    """What `sense.json` in a model folder holds: the base it was trained from, the seed of a nano base, its prompt.

    `recipe` maps the name of each stage that trained it to that stage's section. `dtype` is the precision of whole weights where
    the model was trained, and of the base when an adapter is merged into it, wherever that is done. `databases` are those whose
    questions it was trained on, as `prompts.dataset.database_keys` names them; None if nobody recorded them.
    """

    base: config.ModelConfig
    seed: int
    prompt: config.PromptConfig
    recipe: Mapping[str, Any] = field(default_factory=dict)
    dtype: Literal["float32", "bfloat16"] = field(
        default_factory=lambda: "bfloat16" if devices.compute_dtype() == torch.bfloat16 else "float32"
    )
    databases: frozenset[str] | None = None

    def write(self, folder: Path) -> None:
        """Writes sense.json into `folder`."""
        value = {"base": self.base.model_dump(), "seed": self.seed, "prompt": self.prompt.model_dump(), "dtype": self.dtype}
        databases = None if self.databases is None else sorted(self.databases)
        records.write_json(folder / _INFO_FILE, {**value, "recipe": dict(self.recipe), "databases": databases})


def read_info(folder: Path) -> ModelInfo:
    """The `sense.json` of a model folder; InputError if there is none or a value in it is wrong."""
    file = folder / _INFO_FILE
    if not file.is_file():
        raise InputError(f"{folder}: not a model folder of SENSE (no sense.json); `sense sft` and `sense dpo` write them")
    value = model_files.read_object(file)
    base = config.validate(config.ModelConfig, value.get("base"), f"{file}, base")
    prompt = config.validate(config.PromptConfig, value.get("prompt"), f"{file}, prompt")
    seed, recipe, dtype = value.get("seed", 0), value.get("recipe", {}), value.get("dtype", "float32")
    if dtype not in ("float32", "bfloat16"):
        raise InputError(f"{file}: dtype is {dtype!r}; it is float32 or bfloat16: train the model again")
    if not isinstance(seed, int) or not isinstance(recipe, dict):
        raise InputError(f"{file}: seed ({seed!r}) is no integer, or recipe ({recipe!r}) no object: train the model again")
    databases = value.get("databases")
    if databases is not None and not (isinstance(databases, list) and all(isinstance(name, str) for name in databases)):
        raise InputError(f"{file}: databases ({str(databases)[:80]}) is no list of texts: train the model again")
    return ModelInfo(base, seed, prompt, recipe, dtype, None if databases is None else frozenset(databases))


def load_pretrained(
    base: config.ModelConfig, dtype: torch.dtype | None = None, quantize: bool = False
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """A base by its hub name, its folder or as `sense-nano`, at its pinned revision, in `dtype` (None: that of the machine).

    With `quantize` its weights are held in 4 bits, to train an adapter on them. InputError if it cannot be loaded.
    """
    name = nano_base.resolve(str(base.name))
    return pretrained.load_model(name, dtype or devices.compute_dtype(), base.revision, base.gguf_file, quantize)


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """The tokenizer of a model folder, padding on the left."""
    return pretrained.load_tokenizer(str(folder))


def load_model(folder: Path, trainable: bool = False, dtype: torch.dtype | None = None) -> PreTrainedModel:
    """The model of a folder: whole weights in `dtype` (None: what the machine computes in), or the base with its LoRA adapter.

    `trainable` says whether the adapter is to be trained further, on a base in 4 bits if it was trained so.
    """
    if not model_files.is_adapter(folder):
        return pretrained.load_model(str(folder), dtype or devices.compute_dtype())[0]
    return pretrained.load_adapter(load_base(folder, quantize=trainable and _is_quantized(folder)), folder, trainable)


def _is_quantized(folder: Path) -> bool:
    """Whether the base was held in 4 bits while the adapter of a folder was trained (QLoRA)."""
    lora = read_info(folder).recipe.get("sft", {}).get("lora")
    return bool(lora and lora.get("quantize"))


def load_base(folder: Path, dtype: torch.dtype | None = None, quantize: bool = False) -> PreTrainedModel:
    """The base that a model folder was trained from: loaded as `load_pretrained` does, or created from its seed if it is nano."""
    info = read_info(folder)
    if info.base.nano is not None:
        return nano.create_model(info.base.nano, load_tokenizer(folder), info.seed)
    try:
        return load_pretrained(info.base, dtype, quantize)[0]
    except InputError as error:
        raise InputError(f"{folder}: the base that {_INFO_FILE} names cannot be used: {error}") from None


@contextmanager
def full_disk_is_a_storage_error(folder: Path) -> Iterator[None]:
    """Turns the errors by which torch and safetensors report a full disk into a StorageError that names `folder`."""
    try:
        yield
    except (RuntimeError, SafetensorError) as error:
        if not (says_disk_full(error) or any(message in str(error) for message in _TORCH_DISK_FULL)):
            raise
        raise StorageError(f"{folder}: cannot be written ({str(error).splitlines()[0]}); free space, then rerun") from None


def save(model: Any, tokenizer: PreTrainedTokenizerBase, info: ModelInfo, folder: Path) -> None:
    """Writes a model (in the precision that `info` names) or an adapter, its tokenizer and `info` into a fresh `folder`."""
    records.remove(folder)
    adapter = hasattr(model, "peft_config")
    # without DPO's reference adapter; embeddings never change, and PEFT would ask the hub about a base without config.json
    options: dict[str, Any] = {"selected_adapters": ["default"], "save_embedding_layers": False} if adapter else {}
    if not adapter:
        model.to(getattr(torch, info.dtype))
        model.generation_config = tokenization.generation_config(tokenizer)
    with full_disk_is_a_storage_error(folder):
        model.save_pretrained(str(folder), **options)
    tokenizer.save_pretrained(str(folder))
    info.write(folder)


def merge_adapter(folder: Path, target: Path) -> Path:
    """A folder with whole weights: `folder` itself if it has them, else `target`, where the adapter is merged into its base."""
    if not model_files.is_adapter(folder):
        return folder
    info = read_info(folder)
    model: Any = pretrained.load_adapter(load_base(folder, getattr(torch, info.dtype)), folder)
    save(model.merge_and_unload(), load_tokenizer(folder), info, target)
    return target


def write_base(folder: Path, target: Path) -> tuple[str, str | None]:
    """Name and revision of the base that a model folder was trained from.

    A nano base, and one in a GGUF file, is written to `target`, which then is its name.
    """
    info = read_info(folder)
    if info.base.nano is None and info.base.gguf_file is None:
        return str(info.base.name), info.base.revision
    save(load_base(folder), load_tokenizer(folder), info, target)
    return str(target), None


def context_length(folder: Path) -> int | None:
    """The most tokens that the model of a folder reads, as `checks.context_length` says; its weights are not loaded."""
    if not model_files.is_adapter(folder):
        return checks.context_length(pretrained.load_config(str(folder)))
    base = read_info(folder).base
    if base.nano is not None:
        return base.nano.context
    return checks.context_length(pretrained.load_config(str(base.name), base.revision, base.gguf_file))


def count_parameters(model: Any) -> dict[str, int]:
    """The number of parameters of a model, and of those that are trained. bitsandbytes has two of 4 bits in each element.

    The copy of an adapter that DPO and GRPO keep as their reference, TRL's adapter `ref`, does not count.
    """
    reference = ".ref." if "ref" in getattr(model, "peft_config", {}) else None
    own = [p for name, p in model.named_parameters() if reference is None or reference not in name]
    return {
        "parameters": sum(p.numel() * (2 if hasattr(p, "quant_state") else 1) for p in own),
        "trainable": sum(p.numel() for p in own if p.requires_grad),
    }
