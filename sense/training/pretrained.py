"""The one place where transformers and PEFT load what a user names: every error of theirs becomes an InputError.

Files, tokenizer and architecture are checked before the weights are read, the weights before anything is done with them.
"""

import pickle
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import huggingface_hub
import torch
import transformers
import transformers.modeling_gguf_pytorch_utils as gguf_weights
from peft import PeftModel
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    GgufConfig,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.integrations import sdpa_attention
from transformers.integrations.gguf import read_gguf_metadata
from transformers.utils import cached_file, find_adapter_config_file

from sense.errors import InputError, StorageError, says_disk_full
from sense.training import checks, model_files, quantization, tokenization

gguf_weights.tqdm = lambda tensors, **_: tensors  # a progress bar that transformers' switch for them does not know

# Where several heads share keys and values and there is a mask, transformers 5.17 copies both for each of these heads, for every
# token that is generated: most of the time of a model of 135M weights on a CPU. PyTorch's attention for CPUs needs no copies.
_may_share = sdpa_attention.use_gqa_in_sdpa
sdpa_attention.use_gqa_in_sdpa = lambda mask, key, value: key.device.type == "cpu" or _may_share(mask, key, value)

_LONGEST_REASON = 400  # characters of a library's message
_NO_MEMORY = "it does not fit into memory: take a smaller model, or a machine with more memory"
_NO_TENSORS = "its weights are no plain tensors (half a file, or code in it, which is never run): name a model in safetensors"
# What libraries raise -> what that means for the user, by a part of the message, and by the class.
_MEANING_OF_MESSAGES = {
    "trust_remote_code": "it needs code of its own (auto_map in its JSON files), which SENSE never runs: name another model",
    "does not recognize this architecture": f"transformers {transformers.__version__} does not know its model_type: name another",
    **dict.fromkeys(("gguf>=", "gguf-py"), "GGUF files need the package gguf, of this or a newer version: pip install -U gguf"),
    **dict.fromkeys(
        ("not supported yet", "not yet implemented", "GGMLQuantizationType"),
        f"transformers {transformers.__version__} does not read this architecture or quantization from GGUF files: "
        "name another file, such as Q8_0 or F16, or the model in safetensors",
    ),
    "backend tokenizer": "no tokenizer that can be read (no tokenizer.json?): copy the tokenizer's files of the model there",
    **dict.fromkeys(("sentencepiece", "tiktoken"), "its tokenizer has no tokenizer.json: save one, or install sentencepiece"),
    **dict.fromkeys(("out of memory", "can't allocate memory", "not enough memory"), _NO_MEMORY),
}
_MEANING_OF_CLASSES = {
    MemoryError: _NO_MEMORY,
    ImportError: "a package is missing: install it, or name a model that does not need it",
    pickle.UnpicklingError: _NO_TENSORS,
    EOFError: _NO_TENSORS,
}


@dataclass(frozen=True)
class GgufSource:
    """A GGUF file, by its name in a folder or on the hub, and the config that transformers made of what it says of itself."""

    file: str
    model_config: PreTrainedConfig

    def name_special_tokens(self, tokenizer: PreTrainedTokenizerBase) -> None:
        """Sets BOS and EOS to the tokens that the file names.

        transformers 5.17 takes BOS for EOS in files of the architecture llama, and EOS of Qwen's bases for that of Qwen's chats.
        """
        for role in ("bos_token", "eos_token"):
            number = getattr(self.model_config, f"{role}_id", None)
            if isinstance(number, int):
                setattr(tokenizer, role, tokenizer.convert_ids_to_tokens(number))


def load_tokenizer(name: str, revision: str | None = None, gguf: GgufSource | None = None) -> PreTrainedTokenizerBase:
    """The tokenizer of a folder or of a hub name, or of a GGUF file there, prepared, padding on the left as batches need it.

    It gets a padding token if it has none. InputError if it cannot be loaded.
    """
    if Path(name).is_dir():
        model_files.check_configs(Path(name))
    options = {} if gguf is None else {"gguf_file": gguf.file}
    with library_errors(name):
        tokenizer = AutoTokenizer.from_pretrained(name, revision=revision or "main", trust_remote_code=False, **options)
    if gguf is not None:
        gguf.name_special_tokens(tokenizer)
    tokenizer.padding_side = "left"
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.unk_token or tokenizer.eos_token
    return tokenization.prepare(tokenizer)


def load_config(name: str, revision: str | None = None, gguf_file: str | None = None) -> PreTrainedConfig:
    """The config of a whole model in a folder or under a hub name, or of a GGUF file there. InputError if it cannot be loaded."""
    _check_source(name, revision, gguf_file)
    options: dict[str, Any] = {} if gguf_file is None else {"gguf_file": gguf_file}
    with library_errors(name):
        model_config: PreTrainedConfig = AutoConfig.from_pretrained(
            name, revision=revision or "main", trust_remote_code=False, **options
        )
    return model_config


def load_model(
    name: str, dtype: torch.dtype, revision: str | None = None, gguf_file: str | None = None, quantize: bool = False
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """A whole model of a folder or of a hub name, with its tokenizer. InputError if it cannot be loaded or they do not fit.

    `gguf_file` is a file there that holds both: its weights are dequantized, as only whole ones can be trained. With `quantize`
    the weights are held in 4 bits, to train an adapter on them; InputError if this machine cannot do that.
    """
    if quantize:
        quantization.check_available()
    model_config = load_config(name, revision, gguf_file)
    options: dict[str, Any] = {} if gguf_file is None else {"gguf_file": gguf_file}
    options |= quantization.loading_options() if quantize else {}
    checks.check_architecture(model_config, name)
    gguf = None if gguf_file is None else GgufSource(gguf_file, model_config)
    if gguf is not None:
        options["quantization_config"] = GgufConfig(dequantize=True)
        _check_positions(name, revision, gguf)
    tokenizer = load_tokenizer(name, revision, gguf)
    checks.check_tokenizer(tokenizer, model_config, name)
    with library_errors(name):
        model, loading = AutoModelForCausalLM.from_pretrained(
            name,
            revision=revision or "main",
            dtype=dtype,
            trust_remote_code=False,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # they are refused below, with their sizes
            **options,
        )
    _check_complete(model, loading, name)
    model.generation_config = tokenization.generation_config(tokenizer)  # else one that transformers refuses to save is kept
    return model, tokenizer


def load_adapter(base: PreTrainedModel, folder: Path, trainable: bool = False) -> PeftModel:
    """`base` with the LoRA adapter of a folder; InputError if that cannot be loaded, or was trained on another base."""
    model_files.check_adapter(folder)
    with library_errors(str(folder)), warnings.catch_warnings():
        warnings.filterwarnings("error", "Found missing adapter keys")
        return PeftModel.from_pretrained(base, str(folder), is_trainable=trainable)


@contextmanager
def library_errors(name: str) -> Iterator[None]:
    """Turns whatever a library raises while it loads `name` into an InputError that names it and the likely fix.

    Only calls of libraries belong in here. Nothing narrower than Exception would do: tokenizers raises that very class,
    transformers passes on what a malformed file leads to (KeyError, TypeError, AttributeError), torch.load what pickle raises.
    """
    try:
        yield
    except Exception as error:
        if says_disk_full(error):
            raise StorageError(f"{name}: cannot be downloaded ({error}); free space, then rerun") from None
        raise InputError(f"{name}: cannot be loaded: {_advice(error, name)}") from error


def _advice(error: Exception, name: str) -> str:
    """What an error means and the fix, followed by the library's own words."""
    text = " ".join(str(error).split())[:_LONGEST_REASON]
    reason = text if isinstance(error, OSError | ValueError | ImportError) else f"{type(error).__name__}: {text}"
    meanings = [meaning for message, meaning in _MEANING_OF_MESSAGES.items() if message in str(error)]
    meanings += [meaning for kind, meaning in _MEANING_OF_CLASSES.items() if isinstance(error, kind)]
    if meanings:
        return f"{meanings[0]} ({reason})"
    if Path(name).is_dir():
        return f"{reason}; copy or download the model again"
    if huggingface_hub.constants.HF_HUB_OFFLINE:
        return (
            f"no such folder, and the hub is not asked: HF_HUB_OFFLINE is set and {huggingface_hub.constants.HF_HUB_CACHE} "
            "does not hold it whole; check the name, download it, or unset HF_HUB_OFFLINE"
        )
    return f"no such folder, and from the hub: {reason}; check the name, model.revision, the network, and HF_TOKEN if it is gated"


def _check_source(name: str, revision: str | None, gguf_file: str | None) -> None:
    """InputError unless `name` is a folder with the files of a whole model, or can be a name on the hub that is no adapter.

    With `gguf_file` only that file matters.
    """
    path = Path(name)
    if name and path.is_dir():
        if gguf_file is None:
            model_files.check_model(path)
        else:
            model_files.check_gguf(path, gguf_file)
        return
    if path.is_file() and path.suffix == ".gguf":
        raise InputError(f"{name}: a file; give its folder as model.name, and model.gguf_file: {path.name}")
    if path.is_file():
        raise InputError(f"{name}: a file, not a folder; name the folder that holds the model's config.json and weights")
    if not name or name[0] in "./~" or name.count("/") > 1:
        home = " (~ means nothing here: write the whole path)" if name.startswith("~") else ""
        raise InputError(f"{name or repr(name)}: no such folder{home}; name a folder that holds a model, or a name on the hub")
    if gguf_file is not None:
        return
    with library_errors(name):
        adapter = find_adapter_config_file(name, revision=revision or "main")
    if adapter is not None:
        raise model_files.adapter_error(name)


def _check_positions(name: str, revision: str | None, gguf: GgufSource) -> None:
    """InputError if a GGUF file scales the rotary positions (as Llama 3.1 does) and transformers does not read that."""
    with library_errors(name):
        metadata, tensors = read_gguf_metadata(cached_file(name, gguf.file, revision=revision or "main"))
    scaling = [value for key, value in metadata.items() if key.endswith(".rope.scaling.type") and value != "none"]
    rope = getattr(gguf.model_config.get_text_config(), "rope_parameters", None) or {}
    if (scaling or "rope_freqs.weight" in tensors) and rope.get("rope_type", "default") == "default":
        raise InputError(
            f"{name}: {gguf.file} scales its rotary positions ({', '.join(scaling) or 'rope_freqs.weight'}), which "
            f"transformers {transformers.__version__} does not read from GGUF files: name the model in safetensors"
        )


def _check_complete(model: PreTrainedModel, loading: dict[str, Any], name: str) -> None:
    """InputError if the weights are not those that config.json describes: transformers fills the rest with random numbers."""
    missing = sorted(loading["missing_keys"])
    if missing:
        raise InputError(
            f"{name}: {len(missing)} of the model's weights are in no file, first {missing[0]}: they would be random; "
            "the weights are not those of this config.json, or of no causal language model: copy or download the model again"
        )
    for key, in_file, in_config in sorted(loading["mismatched_keys"]):
        raise InputError(
            f"{name}: {key} has the shape {list(in_file)} in the weights, and {list(in_config)} by config.json; "
            "the two are not of one model: copy or download it again"
        )
    names = model.state_dict().keys()
    extra = [key for key in sorted(loading["unexpected_keys"]) if re.sub(r"\.\d+\.", ".0.", key, count=1) in names]
    if extra:
        raise InputError(
            f"{name}: the weights hold more layers than config.json describes, such as {extra[0]}; the two are not of one model: "
            "copy or download it again"
        )
    for key, parameter in model.named_parameters():
        if not torch.isfinite(parameter).all():
            raise InputError(f"{name}: {key} holds NaN or infinity: the weights are broken; copy or download the model again")
