"""Pretrained bases of random weights for tests, as users hand them over, and `sense sft` run on one."""

import json
import shutil
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import gguf
import torch
import yaml
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)

from sense import cli, config, records
from sense.records import Example

LFS_POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:" + "4d7a" * 16 + "\nsize 90000\n"
ROOT = Path(__file__).parent.parent


def bpe(**special: str) -> PreTrainedTokenizerBase:
    """A byte-level tokenizer with these special tokens, such as eos_token="</s>", from id 0 on."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=list(special.values()), initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(["SELECT count(*) FROM thing WHERE size > 3"], trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special)


def llama(rows: int, **changes: Any) -> PreTrainedModel:
    """A Llama of two layers with `rows` embeddings and 512 positions."""
    torch.manual_seed(0)
    values = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    tokens = {"bos_token_id": 0, "eos_token_id": 1}
    return LlamaForCausalLM(LlamaConfig(**{"vocab_size": rows, "max_position_embeddings": 512, **values, **tokens, **changes}))


def gpt2(rows: int, positions: int) -> PreTrainedModel:
    """A GPT-2 of two layers, which has a table of positions, and Conv1D in place of linear layers."""
    torch.manual_seed(0)
    shape = {"n_positions": positions, "n_embd": 32, "n_layer": 2, "n_head": 2}
    return GPT2LMHeadModel(GPT2Config(vocab_size=rows, bos_token_id=0, eos_token_id=1, **shape))


def write(folder: Path, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, **options: Any) -> Path:
    """Writes a base into `folder`, as `save_pretrained` does with `options`; returns `folder`."""
    model.save_pretrained(folder, **options)
    tokenizer.save_pretrained(folder)
    return folder


def write_plain(folder: Path, **options: Any) -> Path:
    """A base with which nothing is wrong."""
    tokenizer = bpe(bos_token="<s>", eos_token="</s>")
    return write(folder, llama(len(tokenizer)), tokenizer, **options)


def write_gguf(
    folder: Path, name: str = "base.gguf", quantization: str = "F32", architecture: str = "llama", **metadata: Any
) -> Path:
    """The base of `write_plain` in one GGUF file, as llama.cpp's converter writes it, with further text in its metadata."""
    tokenizer = bpe(bos_token="<s>", eos_token="</s>")
    model, vocabulary = llama(len(tokenizer)), json.loads(tokenizer.backend_tokenizer.to_str())["model"]
    shape = model.config
    folder.mkdir(parents=True, exist_ok=True)
    writer = gguf.GGUFWriter(folder / name, architecture)
    writer.add_name("base")
    for key, value in metadata.items():
        writer.add_string(f"{architecture}.{key.replace('__', '.')}", value)
    writer.add_block_count(shape.num_hidden_layers)
    writer.add_context_length(shape.max_position_embeddings)
    writer.add_embedding_length(shape.hidden_size)
    writer.add_feed_forward_length(shape.intermediate_size)
    writer.add_head_count(shape.num_attention_heads)
    writer.add_head_count_kv(shape.num_key_value_heads)
    writer.add_layer_norm_rms_eps(shape.rms_norm_eps)
    writer.add_rope_freq_base(shape.rope_parameters["rope_theta"])
    writer.add_rope_dimension_count(shape.head_dim)
    writer.add_vocab_size(shape.vocab_size)
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(sorted(tokenizer.get_vocab(), key=tokenizer.get_vocab().get))
    writer.add_token_types([3, 3] + [1] * (len(tokenizer) - 2))  # control, normal
    writer.add_token_merges([" ".join(merge) for merge in vocabulary["merges"]])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(1)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, shape.num_hidden_layers)
    for parameter, values in model.state_dict().items():
        weights = values.numpy()
        if (
            "q_proj" in parameter or "k_proj" in parameter
        ):  # llama.cpp turns pairs of neighbours, transformers those of two halves
            heads = weights.reshape(shape.num_attention_heads, 2, shape.head_dim // 2, -1)
            weights = heads.swapaxes(1, 2).reshape(weights.shape)
        kind = gguf.GGMLQuantizationType[quantization if weights.ndim == 2 else "F32"]
        stored = gguf.quants.quantize(weights, kind)
        writer.add_tensor(names.get_name(parameter, try_suffixes=(".weight",)), stored, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return folder


def copy(base: Path, folder: Path) -> Path:
    """A copy of a base, to be changed."""
    shutil.copytree(base, folder)
    return folder


def edit_json(file: Path, **changes: Any) -> None:
    """Sets keys of the JSON object in a file."""
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def write_dataset(folder: Path) -> Path:
    """A dataset folder with eight short questions on one database."""
    database = records.database_path(folder, "stock")
    database.parent.mkdir(parents=True)
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("CREATE TABLE thing (id INTEGER PRIMARY KEY, size INT)")
    examples = [
        Example(
            id=f"e{size}",
            db_id="stock",
            question=f"How many things are larger than {size}?",
            sql=f"SELECT count(*) FROM thing WHERE size > {size}",
            source="test",
            hardness="easy",
        )
        for size in range(8)
    ]
    records.write_jsonl(folder / "examples.jsonl", examples)
    return folder


def run_sft(
    folder: Path, base: str | Path, max_length: int = 256, lora: dict[str, Any] | None = None, **source: str
) -> tuple[int, Path]:
    """The exit code of `sense sft` with two steps from `base`, and the model folder that it writes.

    `source` is what the section `model` has beside the name.
    """
    dataset = folder / "dataset"
    if not dataset.exists():
        write_dataset(dataset)
    train = {"max_steps": 2, "batch_size": 4, "save_steps": 2, "log_steps": 1, "max_length": max_length, "precision": "fp32"}
    params = config.load(ROOT / "configs" / "tiny.yaml").model_dump(mode="json")
    params["sft"] = {"model": {"name": str(base), **source}, "data": "seed", "lora": lora, "train": train}
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    inputs = ["--strong", dataset, "--seed", dataset]
    outputs = ["--model", folder / "model", "--curve", folder / "curve.csv", "--metrics", folder / "metrics.json"]
    return run("sft", "--params", folder / "params.yaml", *inputs, *outputs), folder / "model"


def run(*arguments: str | Path) -> int:
    """The exit code of a `sense` command that was run in this process."""
    words: Sequence[str] = [str(argument) for argument in arguments]
    return cli.main(list(words))
