"""Times the generators of `sample` and `evaluate` on one model, and counts on how many greedy answers they differ.

    .vllm/bin/python benchmarks/sampling.py [--questions N] [--samples K] [--tokens T] [--base FOLDER] [--url URL] [--json]

The model has the shape of configs/nano-base-1.yaml and random weights, so that every answer has all T tokens, or is the
pretrained one in the folder of `--base`; questions and schemas are the built-in seeds'. Compared are transformers one by one
and in batches, vLLM in this process, and a vLLM server that the script starts (`--url`: one that is there, with the model as
`sft`). Without vLLM (see `.ci/vllm-up`) only transformers. Loading and starting are not counted. Each row is one run: times on
a machine with other work vary.
"""

import argparse
import importlib.util
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.tables import print_rows  # noqa: E402
from sense import config, ingest, records  # noqa: E402  (the working copy is not on the path of a script in it)
from sense.config import GeneratorConfig, ModelConfig, PromptConfig  # noqa: E402
from sense.prompts.dataset import question_prompts  # noqa: E402
from sense.training import generators, model_folder, nano  # noqa: E402

BATCH = 32
STARTING_S = 600


class Timing(NamedTuple):
    """One row of the table: seconds for the greedy answers and for the samples."""

    generator: str
    greedy_s: float
    samples_s: float


def write_model(folder: Path, texts: list[str], base: str | None) -> Path:
    """A model folder of the nano profile's shape, or of a pretrained base."""
    if base is not None:
        config_of_base = ModelConfig(name=base)
        model, tokenizer = model_folder.load_pretrained(config_of_base)
        model_folder.save(model, tokenizer, model_folder.ModelInfo(config_of_base, 0, PromptConfig()), folder)
        return folder
    profile = config.load(ROOT / "configs" / "nano-base-1.yaml").sft
    assert profile.model.nano is not None
    tokenizer = nano.train_tokenizer(texts, profile.model.nano.vocabulary)
    model = nano.create_model(profile.model.nano, tokenizer, profile.seed)
    model_folder.save(model, tokenizer, model_folder.ModelInfo(profile.model, profile.seed, profile.prompt), folder)
    return folder


def seed_prompts(folder: Path, count: int) -> list[str]:
    """Prompts of the built-in seeds, whose databases are laid into `folder`; they are repeated where there are too few."""
    source = ingest.read_seeds(ROOT / "sense" / "seeds")
    rows = [*source.seed, *(source.dev or ())]
    for name in {row.db_id for row in rows}:
        source.write_database(name, records.database_path(folder, name).parent)
    examples = [
        records.Example(id=str(number), db_id=row.db_id, question=row.question, sql=row.sql, source="seed", hardness="easy")
        for number, row in enumerate(rows)
    ]
    prompts = question_prompts(folder, examples, PromptConfig())
    return [prompts[number % len(prompts)] for number in range(count)]


@contextmanager
def vllm_server(model: Path) -> Iterator[str]:
    """The URL of a vLLM server with the model, which is ended afterwards."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(model), "--served-model-name", "sft"]
    command += ["--host", "127.0.0.1", "--port", str(port), "--dtype", "float32", "--enforce-eager"]
    command += ["--no-enable-chunked-prefill"]  # on CPUs vLLM 0.32 ends where a prompt with a seed is read in parts
    variables = {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_NO_USAGE_STATS": "1", "HF_HUB_OFFLINE": "1"}
    with (model.parent / "server.log").open("wb") as log:
        process = subprocess.Popen(
            command, env=os.environ | variables, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            await_health(f"http://127.0.0.1:{port}/health", process)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def await_health(url: str, process: subprocess.Popen[bytes]) -> None:
    """Returns once the server answers."""
    for _ in range(STARTING_S):
        if process.poll() is not None:
            break
        try:
            httpx.get(url, timeout=5, trust_env=False).raise_for_status()
        except httpx.HTTPError:
            time.sleep(1)
        else:
            return
    raise SystemExit("the vLLM server did not start")


def measure(name: str, section: dict[str, Any], batch: int, model: Path, prompts: list[str], options: Any) -> tuple[Timing, Any]:
    """The seconds, and the greedy answers."""
    generator = generators.create(GeneratorConfig(**section), model, "sft", batch, model.parent / "whole")
    at_once = 1 if batch == 1 else len(prompts)  # transformers would complete several batches at once, whatever their size

    def ask(asked: list[str], n: int, temperature: float) -> list[list[str]]:
        parts = [asked[start : start + at_once] for start in range(0, len(asked), at_once)]
        settings = {"n": n, "temperature": temperature, "max_tokens": options.tokens, "top_p": 1.0, "seed": 0}
        return [answers for part in parts for answers in generator.generate(part, **settings)]

    ask(prompts[:2], 1, 0.0)  # the first call allocates
    started = time.perf_counter()
    greedy = ask(prompts, 1, 0.0)
    between = time.perf_counter()
    ask(prompts, options.samples, 1.0)
    return Timing(name, between - started, time.perf_counter() - between), greedy


def main() -> None:
    """Prints a markdown table, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=int, default=64)
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=48)
    parser.add_argument("--base", help="the folder of a pretrained model")
    parser.add_argument("--url", help="a server that is there")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        prompts = seed_prompts(Path(folder) / "seeds", options.questions)
        model = write_model(Path(folder) / "model", prompts, options.base)
        runs: list[tuple[str, dict[str, Any], int]] = [("transformers in batches", {}, BATCH), ("transformers one by one", {}, 1)]
        installed = importlib.util.find_spec("vllm") is not None
        measured = [measure(*run, model, prompts, options) for run in runs]
        if installed:
            measured.append(measure("vllm", {"kind": "vllm"}, BATCH, model, prompts, options))
        if options.url:
            measured.append(measure("endpoint", {"kind": "endpoint", "url": options.url}, BATCH, model, prompts, options))
        elif installed:
            with vllm_server(model) as url:
                measured.append(measure("endpoint", {"kind": "endpoint", "url": url}, BATCH, model, prompts, options))
    (batched, expected), (single, _) = measured[:2]
    rows = [
        {
            "generator": timing.generator,
            "greedy_s": round(timing.greedy_s, 2),
            "samples_s": round(timing.samples_s, 2),
            "greedy to batches": round(batched.greedy_s / timing.greedy_s, 2),
            "samples to batches": round(batched.samples_s / timing.samples_s, 2),
            "greedy to one by one": round(single.greedy_s / timing.greedy_s, 2),
            "samples to one by one": round(single.samples_s / timing.samples_s, 2),
            "different": sum(one != other for one, other in zip(answers, expected, strict=True)),
        }
        for timing, answers in measured
    ]
    print_rows(rows, options.json)


if __name__ == "__main__":
    main()
