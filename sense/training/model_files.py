"""The files of a model in a folder, checked before a library opens them: what is cut off, missing or a stand-in is named.

The libraries would end with an error about bytes, long after the start, or fill weights that are missing with random numbers.
"""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sense import records
from sense.errors import InputError

ADAPTER_CONFIG = "adapter_config.json"

_LFS_POINTER = b"version https://git-lfs"
_CONFIGS = ("config.json", "generation_config.json", "tokenizer_config.json", "special_tokens_map.json", "tokenizer.json")
_SLOW_TOKENIZERS = ("tokenizer.model", "spiece.model", "vocab.json", "merges.txt", "vocab.txt")  # read without tokenizer.json
# What transformers looks for, in this order.
_WEIGHTS = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")
_ADAPTER_WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin")
_WHOLE_DTYPES = ("F64", "F32", "F16", "BF16")
_GGUF_MAGIC = b"GGUF"
_GGUF_PART = re.compile(r"-\d{5}-of-(\d{5})\.gguf$")  # as llama.cpp names the parts of a split file


def check_model(folder: Path) -> None:
    """Checks the files of a whole model and its tokenizer; InputError names the file, what is wrong with it and the fix."""
    if is_adapter(folder):
        raise adapter_error(str(folder))
    if not (folder / "config.json").exists():
        gguf = _gguf_advice(folder)
        raise InputError(
            f"{folder}: no config.json; name the folder that holds a whole model in the layout of transformers{gguf}"
        )
    check_configs(folder)
    _check_weights(folder, _WEIGHTS)


def check_gguf(folder: Path, name: str) -> None:
    """Checks a GGUF file in a folder that may hold others; InputError as `check_model` raises it."""
    file = folder / name
    if not file.exists() and not file.is_symlink():
        others = _gguf_files(folder)
        advice = f"the folder has {', '.join(others)}" if others else "no GGUF file is in that folder; download one"
        raise InputError(f"{file}: no such file (model.gguf_file): {advice}")
    _check_readable(file)
    with file.open("rb") as stream:
        start = stream.read(len(_GGUF_MAGIC))
    if start != _GGUF_MAGIC:
        raise InputError(f"{file}: no GGUF file (it does not start with {_GGUF_MAGIC.decode()}); download it again")
    part = _GGUF_PART.search(name)
    if part:
        raise InputError(
            f"{file}: one of {int(part[1])} parts, and transformers reads one file: join them with "
            f"`llama-gguf-split --merge {name} WHOLE.gguf`, then name WHOLE.gguf"
        )


def check_adapter(folder: Path) -> None:
    """Checks the files of a LoRA adapter and its tokenizer; InputError as `check_model` raises it."""
    check_configs(folder)
    read_object(folder / ADAPTER_CONFIG)
    _check_weights(folder, _ADAPTER_WEIGHTS)


def check_configs(folder: Path) -> None:
    """Checks that the JSON files of a model and its tokenizer, as far as they are there, hold JSON objects."""
    for file in _present(folder, _CONFIGS):
        read_object(file)
    if not (folder / "tokenizer.json").exists():
        for file in _present(folder, _SLOW_TOKENIZERS):
            _check_readable(file)


def is_adapter(folder: Path) -> bool:
    """Whether a folder holds a LoRA adapter instead of whole weights, or beside them (transformers would load both)."""
    return (folder / ADAPTER_CONFIG).exists()


def read_object(file: Path) -> dict[str, Any]:
    """The JSON object in a file; InputError if the file is missing, unreadable, a pointer of Git LFS or something else."""
    _check_readable(file)
    try:
        value = records.read_json(file)
    except InputError as error:
        raise InputError(f"{error}; copy or download the model again") from None
    if not isinstance(value, dict):
        raise InputError(f"{file}: holds a {type(value).__name__}, not a JSON object; copy or download the model again")
    return value


def adapter_error(name: str) -> InputError:
    """The refusal of an adapter (a folder, or a name on the hub) as a base, with the command that makes a whole model of it."""
    folder, merged = Path(name), f"{Path(name).name}-merged"
    if (folder / "sense.json").exists():  # its base may be nano, which PEFT does not know
        code = (
            "from pathlib import Path; from sense.training import model_folder; "
            f"model_folder.merge_adapter(Path({name!r}), Path({merged!r}))"
        )
    else:
        tokenizer = repr(name) if (folder / "tokenizer_config.json").exists() else "m.active_peft_config.base_model_name_or_path"
        code = (
            "from peft import AutoPeftModelForCausalLM as M; from transformers import AutoTokenizer as T; "
            f"m = M.from_pretrained({name!r}); m.merge_and_unload().save_pretrained({merged!r}); "
            f"T.from_pretrained({tokenizer}).save_pretrained({merged!r})"
        )
    return InputError(
        f"{name}: an adapter ({ADAPTER_CONFIG}), not a whole model: merge it into its base, then name the folder {merged}:\n"
        f'  python -c "{code}"'
    )


def _gguf_files(folder: Path) -> list[str]:
    """The names of the GGUF files in a folder, sorted."""
    return sorted(path.name for path in folder.glob("*.gguf"))


def _gguf_advice(folder: Path) -> str:
    """What to do about a folder that lacks the files of transformers and has GGUF files; nothing if it has none."""
    files = _gguf_files(folder)
    return f"; or train the GGUF file, with model.gguf_file: {' or '.join(files[:3])}" if files else ""


def _present(folder: Path, names: tuple[str, ...]) -> Iterator[Path]:
    """Those of the files that are there, if only as links to nothing."""
    return (folder / name for name in names if (folder / name).exists() or (folder / name).is_symlink())


def _check_readable(file: Path) -> None:
    """InputError unless the file can be opened and holds something other than a pointer of Git LFS."""
    try:
        with file.open("rb") as stream:
            start = stream.read(len(_LFS_POINTER))
    except FileNotFoundError:
        link = " (a link whose target is gone: copy models with `cp -rL`)" if file.is_symlink() else ""
        raise InputError(f"{file}: no such file{link}; copy or download the model again") from None
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror}); check its permissions and what lies there") from None
    if not start:
        raise InputError(f"{file}: empty; copy or download the model again")
    if start == _LFS_POINTER:
        raise InputError(f"{file}: a pointer of Git LFS, not the file itself; run `git lfs pull` in the model's folder")


def _check_weights(folder: Path, names: tuple[str, ...]) -> None:
    """Checks the first of `names` that is there, and all shards if it is an index."""
    file = next(_present(folder, names), None)
    if file is None:
        others = sorted(path.name for path in folder.iterdir() if path.suffix in (".safetensors", ".bin", ".pth", ".pt"))
        advice = f"; transformers does not read {', '.join(others[:3])} by themselves" if others else _gguf_advice(folder)
        raise InputError(f"{folder}: no weights (none of {', '.join(names)}){advice}; copy or download the model again")
    if not file.name.endswith(".index.json"):
        _check_tensors(file)
        return
    weight_map = read_object(file).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise InputError(f"{file}: no weight_map, which says what lies in which shard; copy or download the model again")
    shards = sorted({str(shard) for shard in weight_map.values()})
    missing = [shard for shard in shards if not (folder / shard).exists()]
    if missing:
        raise InputError(
            f"{folder}: {len(missing)} of the {len(shards)} shards that {file.name} names are missing, first {missing[0]}; "
            "copy or download them"
        )
    for shard in shards:
        tensors = _check_tensors(folder / shard)
        absent = [name for name, where in weight_map.items() if where == shard and tensors is not None and name not in tensors]
        if absent:
            raise InputError(
                f"{folder / shard}: lacks {len(absent)} of the weights that {file.name} places there, first {sorted(absent)[0]}; "
                "shards and index are not of one model: copy or download it again"
            )


def _check_tensors(file: Path) -> Mapping[str, Any] | None:
    """Checks a file of weights; the tensors that a safetensors file describes, by name, or None if it is of another format."""
    _check_readable(file)
    if file.suffix != ".safetensors":
        return None
    size = file.stat().st_size
    try:
        with file.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            header = json.loads(stream.read(length)) if 0 < length <= size - 8 else None
        tensors = {name: tensor for name, tensor in header.items() if name != "__metadata__"} if header else {}
        end = 8 + length + max((tensor["data_offsets"][1] for tensor in tensors.values()), default=0)
        quantized = [
            name for name, tensor in tensors.items() if name.endswith(".weight") and tensor["dtype"] not in _WHOLE_DTYPES
        ]
    except (ValueError, AttributeError, KeyError, TypeError, IndexError):
        tensors, end, quantized = {}, 0, []
    if not tensors:
        raise InputError(f"{file}: no file of safetensors, or cut off ({size} bytes, without a header); download it again")
    if size != end:
        raise InputError(f"{file}: cut off or damaged: {size} bytes where its header describes {end}; download it again")
    if quantized:
        name = quantized[0]
        raise InputError(
            f"{file}: {name} is quantized ({tensors[name]['dtype']}); SENSE trains whole weights: "
            "name the model in bfloat16, float16 or float32"
        )
    return tensors
