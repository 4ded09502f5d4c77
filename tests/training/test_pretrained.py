"""Whatever is wrong with the files of a base: it is refused with the file, the problem and the fix, without a traceback."""

import json
import os
import shutil

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import (
    BartConfig,
    BartForConditionalGeneration,
    BertConfig,
    BertForMaskedLM,
    LlamaForSequenceClassification,
    T5Config,
    T5ForConditionalGeneration,
    ViTConfig,
    ViTModel,
)
from transformers.integrations import sdpa_attention

from sense import config
from sense.errors import InputError, StorageError
from sense.training import checks, generate, model_folder, nano, pretrained
from tests import bases


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return bases.write_plain(tmp_path_factory.mktemp("plain") / "base")


@pytest.fixture(scope="module")
def sharded(tmp_path_factory):
    return bases.write_plain(tmp_path_factory.mktemp("sharded") / "base", max_shard_size="20KB")


@pytest.fixture
def base(plain, tmp_path):
    """A copy of a base, to be broken."""
    return bases.copy(plain, tmp_path / "base")


@pytest.fixture
def shards(sharded, tmp_path):
    return bases.copy(sharded, tmp_path / "base")


def refusal(name):
    """The message with which a base is refused."""
    with pytest.raises(InputError) as error:
        pretrained.load_model(str(name), torch.float32)
    return str(error.value)


def change_weights(folder, change):
    file = folder / "model.safetensors"
    tensors = load_file(file)
    change(tensors)
    save_file(tensors, file, metadata={"format": "pt"})


def as_pickle(folder, value=None):
    """Stores the weights, or `value`, as torch.save does."""
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save(tensors if value is None else value, folder / "pytorch_model.bin")
    return folder / "pytorch_model.bin"


def test_a_base_with_which_nothing_is_wrong(plain, sharded):
    one, tokenizer = pretrained.load_model(str(plain), torch.float32)
    other, _ = pretrained.load_model(str(sharded), torch.float32)
    assert all(torch.equal(*pair) for pair in zip(one.state_dict().values(), other.state_dict().values(), strict=True))
    assert (tokenizer.padding_side, tokenizer.pad_token) == ("left", "</s>")


def test_keys_and_values_that_heads_share_are_not_copied(monkeypatch):
    model = bases.llama(300, num_attention_heads=4, num_key_value_heads=2).eval()
    tokens, mask = torch.arange(2, 12).reshape(2, 5), torch.tensor([[0, 0, 1, 1, 1], [1] * 5])
    eager = bases.llama(300, num_attention_heads=4, num_key_value_heads=2, attn_implementation="eager").eval()
    expected = eager(input_ids=tokens, attention_mask=mask).logits[mask.bool()]
    monkeypatch.setattr(sdpa_attention, "repeat_kv", None)
    logits = model(input_ids=tokens, attention_mask=mask).logits[mask.bool()]
    torch.testing.assert_close(logits, expected)
    logits.sum().backward()
    assert all(torch.isfinite(weight.grad).all() for weight in model.parameters())


@pytest.mark.parametrize("size", [0, 4, 8, 100, 40_000, -1])
def test_weights_that_are_cut_off(base, size):
    file = base / "model.safetensors"
    content = file.read_bytes()
    file.write_bytes(content[:size])
    message = refusal(base)
    assert message.startswith(f"{file}: ")
    assert "download" in message
    if size in (40_000, -1):
        assert f"{len(content[:size])} bytes where its header describes {len(content)}" in message


@pytest.mark.parametrize(
    "content", [b"<!DOCTYPE html>" * 20, bytes(5000), b"\x10" + bytes(7) + b"[1, 2, 3, 4, 5 ]", b"PK\x03\x04" * 99]
)
def test_weights_that_are_something_else(base, content):
    (base / "model.safetensors").write_bytes(content)
    assert refusal(base).startswith(f"{base}/model.safetensors: no file of safetensors, or cut off ({len(content)} bytes")


@pytest.mark.parametrize(
    "name", ["model.safetensors", "config.json", "tokenizer.json", "tokenizer_config.json", "generation_config.json"]
)
def test_pointers_of_git_lfs(base, name):
    (base / name).write_text(bases.LFS_POINTER)
    assert refusal(base) == f"{base}/{name}: a pointer of Git LFS, not the file itself; run `git lfs pull` in the model's folder"


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "tokenizer_config.json", "generation_config.json"])
@pytest.mark.parametrize(
    ("content", "problem"),
    [(b"", "empty"), (b"{", "not valid JSON"), (b"[]", "holds a list, not a JSON object"), (b"\xff\xfe{}", "its text is UTF-16")],
)
def test_configs_that_are_broken(base, name, content, problem):
    (base / name).write_bytes(content)
    message = refusal(base)
    assert message.startswith(f"{base}/{name}: {problem}")
    assert message.endswith("copy or download the model again")


def test_a_tokenizer_file_that_is_no_tokenizer(base):
    """The library raises a bare Exception here."""
    (base / "tokenizer.json").write_text('{"version": "1.0", "model": {"type": "none of them"}}')
    assert refusal(base).startswith(f"{base}: cannot be loaded: ")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("config.json", "no config.json; name the folder that holds a whole model"),
        ("tokenizer.json", "cannot be loaded: no tokenizer that can be read (no tokenizer.json?)"),
        ("tokenizer_config.json", "the tokenizer has no EOS token"),
        ("model.safetensors", "no weights (none of model.safetensors, model.safetensors.index.json, pytorch_model.bin"),
    ],
)
def test_files_that_are_missing(base, name, message):
    (base / name).unlink()
    assert refusal(base).startswith(f"{base}: {message}")


def test_a_tokenizer_that_only_sentencepiece_reads(base):
    (base / "tokenizer.json").unlink()
    (base / "tokenizer.model").write_text(bases.LFS_POINTER)
    assert refusal(base).startswith(f"{base}/tokenizer.model: a pointer of Git LFS")
    (base / "tokenizer.model").write_bytes(b"\x0a\x0e half of a model")
    bases.edit_json(base / "tokenizer_config.json", tokenizer_class="LlamaTokenizer")
    assert refusal(base).startswith(f"{base}: cannot be loaded: its tokenizer has no tokenizer.json")


def test_weights_in_the_format_of_another_program(base):
    (base / "model.safetensors").rename(base / "model.pth")
    assert "transformers does not read model.pth by themselves" in refusal(base)


def test_a_folder_that_has_its_weights_in_gguf_alone(base):
    (base / "model.safetensors").rename(base / "model.gguf")
    assert "or train the GGUF file, with model.gguf_file: model.gguf" in refusal(base)
    (base / "config.json").unlink()
    assert "or train the GGUF file, with model.gguf_file: model.gguf" in refusal(base)
    assert refusal(base / "model.gguf") == (
        f"{base}/model.gguf: a file; give its folder as model.name, and model.gguf_file: model.gguf"
    )


def test_links_whose_targets_are_gone(base):
    """What `cp -r` makes of a snapshot in the hub's cache."""
    for name in ("model.safetensors", "tokenizer.json"):
        file = base / name
        content = file.read_bytes()
        file.unlink()
        file.symlink_to(base / "blobs" / name)
        assert refusal(base).startswith(f"{file}: no such file (a link whose target is gone: copy models with `cp -rL`)")
        file.unlink()
        file.write_bytes(content)


def test_a_file_that_may_not_be_read(base, monkeypatch):
    def refuse(path, *_, **__):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("pathlib.Path.open", refuse)
    assert refusal(base).startswith(f"{base}/config.json: cannot be read (Permission denied)")


def test_shards_that_are_missing(shards):
    files = sorted(shards.glob("model-*"))
    files[1].unlink()
    files[2].unlink()
    assert refusal(shards).startswith(
        f"{shards}: 2 of the {len(files)} shards that model.safetensors.index.json names are missing, first {files[1].name}"
    )


def test_shards_that_are_broken(shards):
    last = sorted(shards.glob("model-*"))[-1]
    content = last.read_bytes()
    last.write_bytes(content[:-1])
    assert refusal(shards).startswith(f"{last}: cut off or damaged: {len(content) - 1} bytes")
    last.write_text(bases.LFS_POINTER)
    assert refusal(shards).startswith(f"{last}: a pointer of Git LFS")


def test_shards_of_another_model(shards):
    file = sorted(shards.glob("model-*"))[1]
    tensors = load_file(file)
    lost = sorted(tensors)[0]
    del tensors[lost]
    save_file({**tensors, "other": torch.zeros(2)}, file, metadata={"format": "pt"})
    assert refusal(shards).startswith(
        f"{file}: lacks 1 of the weights that model.safetensors.index.json places there, first {lost}"
    )


@pytest.mark.parametrize("content", ["{}", '{"weight_map": []}', '{"weight_map": {}}'])
def test_an_index_without_a_map(shards, content):
    file = shards / "model.safetensors.index.json"
    file.write_text(content)
    assert refusal(shards).startswith(f"{file}: no weight_map")


def test_shards_without_their_index(shards):
    (shards / "model.safetensors.index.json").unlink()
    assert "transformers does not read model-00001-of-" in refusal(shards)


def test_weights_that_lack_a_layer_are_not_filled_with_random_numbers(base):
    def drop(tensors):
        for name in [name for name in tensors if "layers.1" in name]:
            del tensors[name]

    change_weights(base, drop)
    assert refusal(base).startswith(
        f"{base}: 9 of the model's weights are in no file, first model.layers.1.input_layernorm.weight"
    )


def test_weights_and_config_of_different_depths(base):
    bases.edit_json(base / "config.json", num_hidden_layers=3)
    assert "9 of the model's weights are in no file, first model.layers.2." in refusal(base)
    bases.edit_json(base / "config.json", num_hidden_layers=1)
    assert "the weights hold more layers than config.json describes, such as model.layers.1." in refusal(base)


def test_weights_beside_those_of_the_model_are_left_alone(base):
    change_weights(base, lambda tensors: tensors.update({"rotary_emb.inv_freq": torch.zeros(3)}))
    pretrained.load_model(str(base), torch.float32)


def test_shapes_that_differ(base):
    change_weights(base, lambda tensors: tensors.update({"model.norm.weight": torch.zeros(31)}))
    assert refusal(base).startswith(
        f"{base}: model.norm.weight has the shape [31] in the weights, and [32] by config.json; the two are not of one model"
    )


@pytest.mark.parametrize("dtype", [torch.int8, torch.uint8, torch.float8_e4m3fn])
def test_quantized_weights(base, dtype):
    change_weights(base, lambda tensors: tensors.update({"model.norm.weight": torch.ones(32).to(dtype)}))
    assert f"{base}/model.safetensors: model.norm.weight is quantized" in refusal(base)


@pytest.mark.parametrize("method", ["gptq", "awq", "bitsandbytes", "fp8", "compressed-tensors", "mxfp4", "one of next year"])
def test_configs_of_quantized_weights(base, method):
    bases.edit_json(base / "config.json", quantization_config={"quant_method": method, "bits": 4, "load_in_4bit": True})
    assert refusal(base).startswith(f"{base}: quantized (quantization_config in config.json: {method})")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers(base, value):
    change_weights(base, lambda tensors: tensors["model.norm.weight"].fill_(value))
    assert refusal(base).startswith(f"{base}: model.norm.weight holds NaN or infinity")


def test_weights_as_a_pickle_of_tensors_are_read(plain, base):
    as_pickle(base)
    model, _ = pretrained.load_model(str(base), torch.float32)
    expected, _ = pretrained.load_model(str(plain), torch.float32)
    assert torch.equal(model.lm_head.weight, expected.lm_head.weight)


@pytest.mark.parametrize("content", [b"", bases.LFS_POINTER.encode(), None, b"\x80\x04X\x00", b"no pickle"])
def test_broken_pickles(base, content):
    file = as_pickle(base)
    file.write_bytes(file.read_bytes()[:4000] if content is None else content)
    assert refusal(base).startswith(str(base))


class Hostile:
    def __init__(self, file):
        self.file = str(file)

    def __reduce__(self):
        return (os.mkdir, (self.file,))


def test_a_pickle_that_runs_code_does_not(base, tmp_path):
    as_pickle(base, {"a": Hostile(tmp_path / "ran")})
    assert "code in it, which is never run" in refusal(base)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("file", ["config.json", "tokenizer_config.json"])
def test_code_in_the_folder_of_a_base_is_never_run(base, tmp_path, file, monkeypatch):
    monkeypatch.setattr("sys.stdin", None)  # nobody is asked
    (base / "own.py").write_text(f"import os\nos.mkdir({str(tmp_path / 'ran')!r})\nclass Own: ...\n")
    kinds = {"config.json": ("AutoConfig", "AutoModelForCausalLM"), "tokenizer_config.json": ("AutoTokenizer",)}[file]
    values = {"model_type": "own"} if file == "config.json" else {"tokenizer_class": "Own"}
    bases.edit_json(
        base / file, auto_map={kind: "own.Own" if file == "config.json" else ["own.Own", None] for kind in kinds}, **values
    )
    assert "it needs code of its own (auto_map in its JSON files), which SENSE never runs" in refusal(base)
    assert not (tmp_path / "ran").exists()


def test_a_model_that_transformers_does_not_know(base):
    bases.edit_json(base / "config.json", model_type="of_next_year")
    assert "does not know its model_type" in refusal(base)


@pytest.mark.parametrize("change", [{"num_attention_heads": 3}, {"hidden_size": "32"}, {"dtype": "float7"}, {"model_type": None}])
def test_values_in_the_config_that_make_no_sense(base, change):
    bases.edit_json(base / "config.json", **change)
    assert refusal(base).startswith(f"{base}: ")


SMALL = {"vocab_size": 300, "d_model": 32}
BART = {f"{part}_{what}": 2 for part in ("encoder", "decoder") for what in ("layers", "attention_heads", "ffn_dim")}
OTHERS = {
    "BertForMaskedLM": lambda: BertForMaskedLM(
        BertConfig(vocab_size=300, hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32)
    ),
    "T5ForConditionalGeneration": lambda: T5ForConditionalGeneration(
        T5Config(**SMALL, d_kv=8, d_ff=32, num_layers=1, num_heads=2)
    ),
    "BartForConditionalGeneration": lambda: BartForConditionalGeneration(BartConfig(**SMALL, **BART)),
    "LlamaForSequenceClassification": lambda: LlamaForSequenceClassification(bases.llama(300).config),
    "ViTModel": lambda: ViTModel(ViTConfig(hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32)),
}


@pytest.mark.parametrize("architecture", OTHERS)
def test_models_that_continue_no_text(tmp_path, architecture):
    base = bases.write(tmp_path / "base", OTHERS[architecture](), bases.bpe(eos_token="</s>"))
    assert refusal(base).startswith(f"{base}: {architecture} (architectures in config.json) continues no text")


def test_names_that_are_no_folder(base, tmp_path):
    assert refusal(base / "config.json").startswith(f"{base}/config.json: a file, not a folder")
    assert (
        refusal(tmp_path / "nowhere")
        == f"{tmp_path}/nowhere: no such folder; name a folder that holds a model, or a name on the hub"
    )
    assert "~ means nothing here" in refusal("~/models/qwen")
    for name in ("", "./models/qwen", "a/b/c"):
        assert "no such folder" in refusal(name)


def test_a_hub_name_without_the_hub(monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    message = refusal("nobody/no-such-model")
    assert "HF_HUB_OFFLINE is set" in message
    assert str(tmp_path) in message


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (OSError(28, "No space left on device"), StorageError, "free space"),
        (MemoryError(), InputError, "does not fit into memory"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB"), InputError, "does not fit into memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes"), InputError, "into memory"),
        (OSError("You are trying to access a gated repo."), InputError, "You are trying to access a gated repo.; check the name"),
        (
            ImportError("requires optimum"),
            InputError,
            "a package is missing: install it, or name a model that does not need it (requires optimum)",
        ),
    ],
)
def test_what_a_library_raises(error, kind, message, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    with pytest.raises(kind) as refused, pretrained.library_errors("some/base"):
        raise error
    assert str(refused.value).startswith("some/base: cannot be")
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("changes", "tokens"),
    [
        ({}, 512),
        ({"rope_parameters": {"rope_type": "linear", "factor": 4.0, "rope_theta": 1e4}}, 2048),
        ({"rope_parameters": {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4}}, 1024),
        (
            {"rope_parameters": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 256, "rope_theta": 1e4}},
            1024,
        ),
    ],
)
def test_the_context_of_scaled_positions(changes, tokens):
    assert checks.context_length(bases.llama(300, **changes).config) == tokens


def test_the_context_of_learned_positions():
    assert checks.context_length(bases.gpt2(300, positions=24).config) == 24


def test_more_embeddings_than_tokens_are_usual(tmp_path):
    tokenizer = bases.bpe(bos_token="<s>", eos_token="</s>")
    base = bases.write(tmp_path / "base", bases.llama(len(tokenizer) + 30), tokenizer)
    pretrained.load_model(str(base), torch.float32)


def test_special_tokens_beyond_the_embeddings_that_nothing_uses(tmp_path):
    """Gemma 3 of 1B has a token for images, and no row for it; a text that spells it is text."""
    tokenizer = bases.bpe(bos_token="<s>", eos_token="</s>")
    rows = len(tokenizer)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<image>"]})
    base = bases.write(tmp_path / "base", bases.llama(rows), tokenizer)
    _, loaded = pretrained.load_model(str(base), torch.float32)
    assert len(loaded) == rows + 1
    assert max(loaded("Where is <image> used?")["input_ids"]) < rows


@pytest.fixture
def adapter(base, tmp_path):
    """A model folder of `sense sft` with LoRA on a base in a folder."""
    source = config.ModelConfig(name=str(base))
    model, tokenizer = model_folder.load_pretrained(source)
    adapted = get_peft_model(model, LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM"))
    model_folder.save(adapted, tokenizer, model_folder.ModelInfo(source, 0, config.PromptConfig()), tmp_path / "adapter")
    return tmp_path / "adapter"


def adapter_refusal(folder):
    with pytest.raises(InputError) as error:
        model_folder.load_model(folder)
    with pytest.raises(InputError):
        model_folder.merge_adapter(folder, folder.with_name("merged"))
    assert not folder.with_name("merged").exists()
    return str(error.value)


def test_the_weights_of_an_adapter_that_are_broken(adapter):
    file = adapter / "adapter_model.safetensors"
    content = file.read_bytes()
    file.write_bytes(content[:-3])
    assert adapter_refusal(adapter).startswith(f"{file}: cut off or damaged")
    file.write_text(bases.LFS_POINTER)
    assert adapter_refusal(adapter).startswith(f"{file}: a pointer of Git LFS")
    file.unlink()
    assert adapter_refusal(adapter).startswith(f"{adapter}: no weights (none of adapter_model.safetensors, adapter_model.bin)")


@pytest.mark.parametrize("content", ["", "{", "[]", bases.LFS_POINTER])
def test_the_configuration_of_an_adapter_that_is_broken(adapter, content):
    (adapter / "adapter_config.json").write_text(content)
    assert adapter_refusal(adapter).startswith(f"{adapter}/adapter_config.json: ")


@pytest.mark.parametrize("change", [{"peft_type": "OF_NEXT_YEAR"}, {"target_modules": ["nowhere"]}, {"r": 5}])
def test_the_configuration_of_an_adapter_that_does_not_fit(adapter, change):
    bases.edit_json(adapter / "adapter_config.json", **change)
    assert adapter_refusal(adapter).startswith(f"{adapter}: cannot be loaded")


def test_an_adapter_that_lacks_weights(adapter):
    file = adapter / "adapter_model.safetensors"
    tensors = load_file(file)
    del tensors[sorted(tensors)[0]]
    save_file(tensors, file, metadata={"format": "pt"})
    assert "Found missing adapter keys" in adapter_refusal(adapter)


def test_the_base_of_an_adapter_that_is_gone_or_another(adapter, base):
    tokenizer = bases.bpe(bos_token="<s>", eos_token="</s>")
    shutil.rmtree(base)
    assert adapter_refusal(adapter) == (
        f"{adapter}: the base that sense.json names cannot be used: {base}: no such folder; name a folder that holds a model, "
        "or a name on the hub"
    )
    bases.write(base, bases.llama(len(tokenizer), intermediate_size=48), tokenizer)
    assert adapter_refusal(adapter).startswith(f"{adapter}: cannot be loaded: RuntimeError: ")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ("", "empty"),
        ("{", "not valid JSON"),
        ("[]", "holds a list"),
        ("{}", "base"),
        ({"base": {"name": "x", "of_next_year": 1}}, "of_next_year"),
        ({"prompt": {"schema_style": "of next year"}}, "schema_style"),
        ({"prompt": None}, "prompt"),
        ({"seed": "one"}, "seed"),
        ({"recipe": []}, "recipe"),
        ({"dtype": "float8"}, "dtype"),
    ],
)
def test_a_sense_json_that_is_broken_or_of_another_version(tmp_path, change, problem):
    info = {"base": {"name": "x"}, "seed": 0, "prompt": {}, "dtype": "float32", "recipe": {}}
    (tmp_path / "sense.json").write_text(change if isinstance(change, str) else json.dumps(info | change))
    with pytest.raises(Exception, match=rf"sense\.json.*[\s\S]*{problem}") as error:
        model_folder.read_info(tmp_path)
    assert error.value.exit_code == 2


def test_what_samples_and_serves_a_model_folder_checks_it_too(tmp_path):
    shape = config.NanoConfig(vocabulary=300, hidden=16, layers=1, heads=2, context=64)
    tokenizer = nano.train_tokenizer(["SELECT name FROM pet"], 300)
    info = model_folder.ModelInfo(config.ModelConfig(nano=shape), 3, config.PromptConfig())
    model_folder.save(nano.create_model(shape, tokenizer, 3), tokenizer, info, tmp_path)
    weights = (tmp_path / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(weights[:-1])
    with pytest.raises(InputError, match=r"model\.safetensors: cut off or damaged"):
        generate.load_generator(tmp_path, 4)
    (tmp_path / "model.safetensors").write_bytes(weights)
    (tmp_path / "tokenizer.json").write_text(bases.LFS_POINTER)
    for base in (False, True):
        with pytest.raises(InputError, match=r"tokenizer\.json: a pointer of Git LFS"):
            generate.load_generator(tmp_path, 4, base=base)
