"""A LoRA adapter as `model.name` is refused at the start, with the command that merges it into its base.

Reports: huggingface/peft #1381 (AutoModel attaches an adapter that lies in the folder), huggingface/transformers #26972
(UnboundLocalError when such a model is saved). Before, training all weights ended in a traceback, and with `lora` the pipeline
went on until publishing, hours later.
"""

import re
import shlex
import subprocess
import sys

import pytest
from peft import LoraConfig, get_peft_model

from sense import config
from sense.training import model_folder, nano, pretrained
from tests import bases


def write_adapter(folder, base, model):
    adapted = get_peft_model(model, LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM", init_lora_weights=False))
    adapted.save_pretrained(folder)
    bases.edit_json(folder / "adapter_config.json", base_model_name_or_path=str(base))
    return folder


def run_command_of(message, folder):
    """Runs the command that a message ends with, in `folder`."""
    (_, command) = message.rstrip().split("\n  ")
    program, *arguments = shlex.split(command)
    assert program == "python"
    subprocess.run(
        [sys.executable, *arguments], cwd=folder, check=True, env={"PYTHONPATH": str(bases.ROOT), "HF_HUB_OFFLINE": "1"}
    )


@pytest.mark.parametrize("lora", [None, {"r": 4}])
def test_an_adapter_as_base_is_refused_at_the_start(tmp_path, monkeypatch, capsys, lora):
    monkeypatch.setenv("SENSE_WORK", str(tmp_path / "work"))
    base = bases.write_plain(tmp_path / "base")
    adapter = write_adapter(tmp_path / "adapter", base, pretrained.load_model(str(base), bases.torch.float32)[0])
    code, model = bases.run_sft(tmp_path, adapter, lora=lora)
    message = capsys.readouterr().err
    assert code == 2, message
    assert "Traceback" not in message
    assert not model.exists()
    assert f"{adapter}: an adapter (adapter_config.json), not a whole model: merge it into its base" in message


def test_an_adapter_beside_whole_weights_is_refused_too(tmp_path):
    base = bases.write_plain(tmp_path / "base")
    write_adapter(base, base, bases.llama(300))
    with pytest.raises(Exception, match="an adapter"):
        pretrained.load_model(str(base), bases.torch.float32)


@pytest.mark.parametrize("tokenizer_beside", [True, False])
def test_the_command_of_the_message_makes_a_base_of_the_adapter(tmp_path, tokenizer_beside):
    base = bases.write_plain(tmp_path / "base")
    model, tokenizer = pretrained.load_model(str(base), bases.torch.float32)
    adapter = write_adapter(tmp_path / "adapter", base, model)
    if tokenizer_beside:
        tokenizer.save_pretrained(adapter)
    expected = pretrained.load_adapter(pretrained.load_model(str(base), bases.torch.float32)[0], adapter)
    with pytest.raises(Exception, match="an adapter") as refusal:
        pretrained.load_model(str(adapter), bases.torch.float32)
    run_command_of(str(refusal.value), tmp_path)
    merged, _ = pretrained.load_model(str(tmp_path / "adapter-merged"), bases.torch.float32)
    tokens = bases.torch.arange(10, 30)[None]
    assert bases.torch.allclose(merged(tokens).logits, expected(tokens).logits, atol=1e-5)


def test_the_command_for_a_model_folder_on_a_nano_base(tmp_path):
    """PEFT does not know where the base of such an adapter is: it is made again from its seed."""
    shape = config.NanoConfig(vocabulary=300, hidden=16, layers=1, heads=2, context=64)
    tokenizer = nano.train_tokenizer(["SELECT name FROM pet"], 300)
    model = get_peft_model(nano.create_model(shape, tokenizer, 3), LoraConfig(r=2, target_modules="all-linear"))
    folder = tmp_path / "sft"
    model_folder.save(model, tokenizer, model_folder.ModelInfo(config.ModelConfig(nano=shape), 3, config.PromptConfig()), folder)
    with pytest.raises(Exception, match="an adapter") as refusal:
        pretrained.load_model(str(folder), bases.torch.float32)
    assert re.search(r"merge_adapter", str(refusal.value))
    run_command_of(str(refusal.value), tmp_path)
    pretrained.load_model(str(tmp_path / "sft-merged"), bases.torch.float32)
