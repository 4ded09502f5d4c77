"""The one place where transformers and PEFT load what a user names: every error of theirs becomes an InputError.

Files, tokenizer and architecture are checked before the weights are read, the weights before anything is done with them.
"""

import pickle
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import huggingface_hub
import torch
import transformers
from peft import PeftModel
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import find_adapter_config_file

from sense.errors import InputError, StorageError, says_disk_full
from sense.training import checks, model_files, tokenization

_LONGEST_REASON = 400  # characters of a library's message
_NO_MEMORY = "it does not fit into memory: take a smaller model, or a machine with more memory"
_NO_TENSORS = "its weights are no plain tensors (half a file, or code in it, which is never run): name a model in safetensors"
# What libraries raise -> what that means for the user, by a part of the message, and by the class.
_MEANING_OF_MESSAGES = {
    "trust_remote_code": "it needs code of its own (auto_map in its JSON files), which SENSE never runs: name another model",
    "does not recognize this architecture": f"transformers {transformers.__version__} does not know its model_type: name another",
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


def load_tokenizer(name: str, revision: str | None = None) -> PreTrainedTokenizerBase:
    """The tokenizer of a folder or of a hub name, prepared, padding on the left as generation in batches needs it.

    It gets a padding token if it has none. InputError if it cannot be loaded.
    """
    if Path(name).is_dir():
        model_files.check_configs(Path(name))
    with library_errors(name):
        tokenizer = AutoTokenizer.from_pretrained(name, revision=revision or "main", trust_remote_code=False)
    tokenizer.padding_side = "left"
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.unk_token or tokenizer.eos_token
    return tokenization.prepare(tokenizer)


def load_model(name: str, dtype: torch.dtype, revision: str | None = None) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """A whole model of a folder or of a hub name, with its tokenizer. InputError if it cannot be loaded or they do not fit."""
    _check_source(name, revision)
    with library_errors(name):
        model_config = AutoConfig.from_pretrained(name, revision=revision or "main", trust_remote_code=False)
    checks.check_architecture(model_config, name)
    tokenizer = load_tokenizer(name, revision)
    checks.check_tokenizer(tokenizer, model_config, name)
    with library_errors(name):
        model, loading = AutoModelForCausalLM.from_pretrained(
            name,
            revision=revision or "main",
            dtype=dtype,
            trust_remote_code=False,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # they are refused below, with their sizes
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


def _check_source(name: str, revision: str | None) -> None:
    """InputError unless `name` is a folder with the files of a whole model, or can be a name on the hub that is no adapter."""
    path = Path(name)
    if name and path.is_dir():
        model_files.check_model(path)
        return
    if path.is_file():
        raise InputError(f"{name}: a file, not a folder; name the folder that holds the model's config.json and weights")
    if not name or name[0] in "./~" or name.count("/") > 1:
        home = " (~ means nothing here: write the whole path)" if name.startswith("~") else ""
        raise InputError(f"{name or repr(name)}: no such folder{home}; name a folder that holds a model, or a name on the hub")
    with library_errors(name):
        adapter = find_adapter_config_file(name, revision=revision or "main")
    if adapter is not None:
        raise model_files.adapter_error(name)


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
