"""Real vLLM under sample and evaluate, in their own process and as a server: transformers' answers, the same in every run."""

import json
import os
import subprocess
from collections.abc import Iterator

import pytest
import yaml
from peft import LoraConfig, get_peft_model

from sense import config, records
from sense.config import GeneratorConfig
from sense.prompts.dataset import question_prompts
from sense.records import Sample
from sense.training import generators, model_folder, nano
from sense.training.generate import load_generator
from tests.bases import write_dataset
from tests.served.vllm_process import MODULE, PYTHON, ROOT, Vllm, free_port, insisted, missing

pytestmark = [pytest.mark.vllm, pytest.mark.slow]


@pytest.fixture(scope="module", autouse=True)
def installed():
    if missing():
        (pytest.fail if insisted() else pytest.skip)(missing())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A dataset, a nano model and the same with a LoRA adapter that changes its answers."""
    import torch

    root = tmp_path_factory.mktemp("vllm")
    write_dataset(root / "data")
    shape = config.NanoConfig(vocabulary=300, hidden=32, layers=2, heads=2, context=512)
    tokenizer = nano.train_tokenizer(["SELECT count(*) FROM thing WHERE size > 3"], shape.vocabulary)
    info = model_folder.ModelInfo(config.ModelConfig(nano=shape), 0, config.PromptConfig(), dtype="float32")
    model_folder.save(nano.create_model(shape, tokenizer, 0), tokenizer, info, root / "sft")
    torch.manual_seed(1)
    lora = LoraConfig(r=4, target_modules=["q_proj", "v_proj"], init_lora_weights=False)
    model_folder.save(get_peft_model(nano.create_model(shape, tokenizer, 0), lora), tokenizer, info, root / "sense")
    return root


def prompts(folder):
    return question_prompts(folder / "data", records.read_dataset(folder / "data"), config.PromptConfig())


# what a process with vLLM writes for base, sft and sense: greedy answers, samples, and samples of two of the prompts alone
SCRIPT = """
import json, sys
from pathlib import Path
from sense.config import GeneratorConfig
from sense.training import generators

def write(folder, model, prompts):
    own = folder / ("sense" if model == "sense" else "sft")
    generator = generators.create(GeneratorConfig(kind="vllm"), own, model, 8, folder / f"whole-{model}")
    settings = {"top_p": 1.0, "max_tokens": 12}
    return [
        generator.generate(prompts, n=1, temperature=0.0, seed=0, **settings),
        generator.generate(prompts, n=3, temperature=1.0, seed=3, **settings),
        generator.generate(prompts[4:6], n=3, temperature=1.0, seed=7, **settings),
    ]

def main():
    print(json.dumps({model: write(Path(sys.argv[1]), model, json.loads(sys.argv[2])) for model in ("base", "sft", "sense")}))

if __name__ == "__main__":
    main()
"""


def run_with_vllm(folder, *arguments):
    """The last line that vLLM's Python prints."""
    env = os.environ | {"PYTHONPATH": str(ROOT), "SENSE_WORK": str(folder / "unfinished"), "HF_HUB_OFFLINE": "1"}
    command = [str(PYTHON), *map(str, arguments)]
    result = subprocess.run(command, env=env, cwd=folder, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout.splitlines()[-1]


def test_base_model_and_adapter_give_the_answers_of_transformers(folder):
    (folder / "script.py").write_text(SCRIPT)
    answers = json.loads(run_with_vllm(folder, "script.py", folder, json.dumps(prompts(folder))))
    for model, (greedy, samples, alone) in answers.items():
        own = load_generator(folder / ("sense" if model == "sense" else "sft"), 8, base=model == "base")
        assert greedy == own.generate(prompts(folder), n=1, temperature=0.0, top_p=1.0, max_tokens=12, seed=0)
        assert alone == samples[4:6]
        assert len({text for texts in samples for text in texts}) > len(samples)
    assert answers["sense"][0] != answers["sft"][0] == answers["base"][0]


def test_the_stage_runs_with_vllms_python(folder, tmp_path):
    params = config.load(ROOT / "configs" / "tiny.yaml").model_dump(mode="json")
    params["sample"] |= {"k": 3, "max_new_tokens": 12, "generator": {"kind": "vllm"}, "execution": {"workers": 1}}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    ports = {"model": folder / "sense", "unseen": folder / "data", "samples": "samples.jsonl", "metrics": "metrics.json"}
    flags = [item for name, path in ports.items() for item in (f"--{name}", path)]
    metrics = json.loads(run_with_vllm(tmp_path, "-m", "sense", "sample", "--json", *flags))
    assert (metrics["questions"], metrics["samples"]) == (8, 24)
    assert len(records.read_rows(tmp_path / "samples.jsonl", Sample)) == 24
    assert [path.name for path in (tmp_path / "unfinished").iterdir()] == ["cost"]


@pytest.fixture(scope="module")
def server(folder) -> Iterator[Vllm]:
    port = free_port()
    command = [*MODULE, "--model", str(folder / "sft"), "--served-model-name", "tuned", "--host", "127.0.0.1"]
    command += ["--port", str(port), "--dtype", "float32", "--enforce-eager", "--no-enable-chunked-prefill"]
    env = {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_NO_USAGE_STATS": "1", "HF_HUB_OFFLINE": "1", "HOME": str(folder)}
    with Vllm(command, env, port, folder / "vllm.log") as running:
        yield running.ready()


def test_a_server_gives_the_answers_of_transformers_and_its_own_again(folder, server, tmp_path):
    def at_the_server(**options):
        section = {"kind": "endpoint", "url": f"{server.url}/v1", "models": {"sft": "tuned"}, **options}
        return generators.create(GeneratorConfig(**section), folder / "sft", "sft", 8, tmp_path)

    asked, settings = prompts(folder), {"top_p": 1.0, "max_tokens": 12, "seed": 3}
    expected = load_generator(folder / "sft", 8).generate(asked, n=1, temperature=0.0, **settings)
    generator = at_the_server()
    assert generator.context == 512
    greedy = generator.generate(asked, n=1, temperature=0.0, **settings)
    # vLLM keeps back the bytes at the end of a text that are not yet a character
    assert greedy == [[text.rstrip("\ufffd")] for [text] in expected]
    samples = generator.generate(asked, n=3, temperature=1.0, **settings)
    assert at_the_server(concurrency=1).generate(asked, n=3, temperature=1.0, **settings) == samples
    assert len({text for texts in samples for text in texts}) > len(asked)
