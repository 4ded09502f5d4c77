"""One stage in several processes: the same files as accelerate by hand, errors told, and nobody outlives the launcher."""

import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from sense import config, records, stages
from sense.cost import record
from sense.errors import ConfigError, InputError, UserError
from sense.records import Pair, Sample
from sense.stages import launch as launching
from sense.stages.launch import launch
from tests import pipeline

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="watches processes through /proc")

PARAMS = pipeline.sections()
SFT = PARAMS["sft"] | {"train": PARAMS["sft"]["train"] | {"max_steps": 12, "batch_size": 8}}  # a checkpoint after each step
OUTPUTS = {"model": "model", "curve": "curve.csv", "metrics": "metrics.json"}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """The inputs of sft, small."""
    root = tmp_path_factory.mktemp("data")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SENSE_WORK", str(root / "work"))
        for section in ("ingest", "synthesize"):
            launch(section, PARAMS[section], pipeline.inputs(section, root), pipeline.outputs(section, root), 1)
    return pipeline.inputs("sft", root)


@pytest.fixture
def environment(tmp_path, monkeypatch):
    """Where the processes to come work, and MLflow's store."""
    monkeypatch.setenv("SENSE_WORK", str(tmp_path / "work"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    return monkeypatch


def outputs(folder: Path) -> dict[str, Path]:
    return {name: folder / path for name, path in OUTPUTS.items()}


def digests(folder: Path) -> dict[str, str]:
    return {name: records.digest(path) for name, path in outputs(folder).items()}


def family(pid: int) -> list[int]:
    """A process and all that descend from it."""
    children = [int(child) for file in Path(f"/proc/{pid}/task").glob("*/children") for child in file.read_text().split()]
    return [pid, *(one for child in children for one in family(child))]


def ended(descriptor: int) -> bool:
    """Whether the process behind a pidfd ends within a minute."""
    try:
        return bool(select.select([descriptor], [], [], 60)[0])
    finally:
        os.close(descriptor)


@pytest.mark.slow
def test_killed_and_launched_again_it_ends_as_accelerate_by_hand(data, tmp_path, environment):
    program = "import json, sys; from sense.stages.launch import launch; launch('sft', *json.loads(sys.argv[1]))"
    two = SFT | {"train": SFT["train"] | {"processes": 2}}
    ports = [{name: str(path) for name, path in data_ports.items()} for data_ports in (data, outputs(tmp_path / "out"))]
    launcher = subprocess.Popen([sys.executable, "-c", program, json.dumps([two, *ports])], cwd=pipeline.ROOT)
    running = os.pidfd_open(launcher.pid)
    while not list((tmp_path / "work").glob("sft-*/checkpoints/checkpoint-*/whole")):
        assert not select.select([running], [], [], 0.02)[0], "it ended before its first checkpoint"
    os.close(running)
    pids = family(launcher.pid)
    descriptors = [os.pidfd_open(pid) for pid in pids]
    launcher.kill()
    assert [ended(descriptor) for descriptor in descriptors] == [True] * len(pids)
    assert launcher.wait() == -signal.SIGKILL
    assert len(pids) >= 4  # the launcher, accelerate, two processes
    assert not (tmp_path / "out").exists()

    metrics = launch("sft", two, data, outputs(tmp_path / "out"))
    assert metrics == records.read_json(tmp_path / "out" / "metrics.json")
    examples = len(records.read_dataset(data["strong"]))
    assert (metrics["steps"], metrics["rows"]) == (12, 2 * examples)  # each with a copy under other names
    assert [path.name for path in (tmp_path / "work").iterdir()] == ["cost"]
    cost = record.read("sft", tmp_path / "out" / "metrics.json")
    assert (cost.tries, cost.complete) == (2, False)
    assert cost.tokens["trained"] > 0

    environment.setenv("SENSE_WORK", str(tmp_path / "work-by-hand"))
    params = yaml.safe_load(pipeline.TINY.read_text()) | {"sft": two}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    flags = [word for name, path in (data | outputs(tmp_path / "hand")).items() for word in (f"--{name}", str(path))]
    command = [str(Path(sys.executable).with_name("accelerate")), "launch", "--multi_gpu", "--num_processes", "2"]
    command += ["--main_process_port", "0", "-m", "sense", "sft", *flags, "--params", str(tmp_path / "params.yaml")]
    subprocess.run(command, check=True, cwd=pipeline.ROOT)
    assert digests(tmp_path / "out") == digests(tmp_path / "hand")


@pytest.fixture(scope="module")
def second_step(data, tmp_path_factory):
    """The input ports of the second step on a tiny model, and the section with another method."""
    from sense.training import model_folder, nano

    folder = tmp_path_factory.mktemp("second-step")
    nano_config = config.NanoConfig(vocabulary=300, hidden=16, layers=1, heads=2, context=1024)
    examples = records.read_dataset(data["strong"])[:10]
    tokenizer = nano.train_tokenizer([row.sql for row in examples], nano_config.vocabulary)
    info = model_folder.ModelInfo(config.ModelConfig(nano=nano_config), 0, config.PromptConfig())
    model_folder.save(nano.create_model(nano_config, tokenizer, 0), tokenizer, info, folder / "sft")
    pairs = [
        Pair(id=row.id, example_id=row.id, chosen=row.sql, rejected="SELECT 1", strategy="all", error="mismatch")
        for row in examples
    ]
    records.write_jsonl(folder / "pairs.jsonl", pairs)
    right = [Sample(id=f"{row.id}#0", example_id=row.id, sql=row.sql, correct=True, verdict="match") for row in examples]
    records.write_jsonl(folder / "samples.jsonl", right)
    data_ports = {name: folder / name for name in ("sft", "pairs.jsonl", "samples.jsonl")}
    data_ports = {name.removesuffix(".jsonl"): path for name, path in data_ports.items()}
    data_ports |= {"unseen": data["strong"], "strong": data["strong"], "seed": data["seed"]}

    def section(method, **train):
        train = PARAMS["dpo"]["train"] | {"max_steps": 2, "max_length": 1024} | train
        # 8 answers a step: a question for each process
        return PARAMS["dpo"] | {"method": method, "train": train, "grpo": {"num_generations": 4, "max_completion_length": 8}}

    return data_ports, section


@pytest.mark.slow
def test_the_second_step_in_two_processes(second_step, tmp_path, environment):
    data_ports, section = second_step
    metrics = launch("dpo", section("dpo"), data_ports, outputs(tmp_path / "out"), 2)
    assert (metrics["steps"], metrics["pairs"]) == (2, 10)
    assert (tmp_path / "out" / "model" / "model.safetensors").is_file()
    assert [path.name for path in (tmp_path / "work").iterdir()] == ["cost"]


@pytest.fixture(scope="module")
def launched(data, second_step, tmp_path_factory):
    """Outputs of stages that ran one after the other in the same two processes, whose start takes longer than a small training.

    Those whose name begins with `fsdp` had divided weights; `fsdp-resumed` failed after its second step, and ran again.
    """
    root = tmp_path_factory.mktemp("launched")
    second_ports, second_section = second_step
    train = SFT["train"] | {"max_steps": 3, "batch_size": 4, "accumulation": 2, "freeze_embeddings": True}
    whole, divided = SFT | {"train": train}, SFT | {"train": train | {"fsdp": True}}
    averaged = second_section("dpo", fsdp=True, gradient_checkpointing=True, precision="bf16") | {"average_with_sft": 0.5}
    stages = [
        ("rft", "dpo", second_section("rft"), second_ports),
        ("grpo", "dpo", second_section("grpo"), second_ports),
        ("sft", "sft", whole, data),
        ("fsdp", "sft", divided, data),
        ("fsdp-resumed", "sft", divided, data),
        ("fsdp-resumed", "sft", divided, data),
        ("fsdp-dpo", "dpo", averaged, second_ports),
        ("fsdp-grpo", "dpo", second_section("grpo", fsdp=True), second_ports),
    ]
    orders = [
        {
            "stage": stage,
            "section": section,
            "inputs": {port: str(path) for port, path in inputs.items()},
            "outputs": {port: str(path) for port, path in outputs(root / name).items()},
            "quiet": False,
        }
        for name, stage, section, inputs in stages
    ]
    orders[4]["stop_at"] = 2
    command = launching._command(2, json.dumps(orders))
    command[command.index("sense.stages.launch")] = "tests.stages.several_launches"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SENSE_WORK", str(root / "work"))
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{root}/mlflow.db")
        patch.setenv("OMP_NUM_THREADS", "1")
        code, messages = launching._run_processes(command)
    assert code == 0, messages
    assert [message["error"] for message in messages if "error" in message] == ["FSDPLlamaForCausalLM stopped"] * 2
    assert [path.name for path in (root / "work").iterdir()] == ["cost"]
    return root


@pytest.mark.slow
def test_the_other_methods_in_two_processes(launched):
    counts = {"rft": {"examples": 10, "answers": {"sample": 10, "gold": 0}}, "grpo": {"examples": 10}}
    for method, expected in counts.items():
        metrics = records.read_json(launched / method / "metrics.json")
        assert metrics["steps"] == 2
        assert expected.items() <= metrics.items()
        assert (launched / method / "model" / "model.safetensors").is_file()


@pytest.mark.slow
def test_weights_divided_between_two_processes_learn_the_same_and_resume(launched):
    from safetensors.torch import load_file

    assert digests(launched / "fsdp-resumed") == digests(launched / "fsdp")
    whole, divided = (records.read_json(launched / name / "metrics.json") for name in ("sft", "fsdp"))
    assert divided == whole | {"loss": pytest.approx(whole["loss"], abs=1e-5)}
    assert divided["trainable"] < divided["parameters"]  # the embeddings are frozen
    expected, weights = (load_file(launched / name / "model" / "model.safetensors") for name in ("sft", "fsdp"))
    assert weights.keys() == expected.keys()
    assert max((weights[name] - expected[name]).abs().max().item() for name in weights) < 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("method", ["dpo", "grpo"])
def test_the_second_step_on_divided_weights(launched, second_step, method):
    from sense.training import model_folder

    metrics = records.read_json(launched / f"fsdp-{method}" / "metrics.json")
    assert (metrics["steps"], metrics["method"]) == (2, method)
    whole = records.read_json(launched / "grpo" / "metrics.json")
    assert (metrics["parameters"], metrics["trainable"]) == (whole["parameters"], whole["trainable"])
    start = model_folder.load_model(second_step[0]["sft"])
    assert model_folder.load_model(launched / f"fsdp-{method}" / "model").state_dict().keys() == start.state_dict().keys()


@pytest.mark.slow
def test_what_the_user_can_mend_is_told_as_by_one_process(data, tmp_path, environment):
    data_ports = data | {"strong": tmp_path / "gone"}
    with pytest.raises(InputError) as alone:
        launch("sft", SFT, data_ports, outputs(tmp_path / "out"), 1)
    with pytest.raises(UserError) as together:
        launch("sft", SFT, data_ports, outputs(tmp_path / "out"), 2)
    assert str(together.value) == str(alone.value)
    assert "gone: no such file or folder" in str(alone.value)
    assert not (tmp_path / "out").exists()


def test_a_wrong_section_starts_nothing(data, tmp_path):
    with pytest.raises(ConfigError, match=r"the section of sft: 1 error\n  model: missing"):
        launch("sft", {}, data, outputs(tmp_path), 2)


@pytest.fixture
def started(monkeypatch):
    """What would have been started: the stage's section, the processes and the threads of each, or None for this process."""
    starts = []

    def run_processes(command):
        order = json.loads(command[-1])
        processes = int(command[command.index("--num_processes") + 1])
        starts.append((order["section"]["train"], processes, os.environ["OMP_NUM_THREADS"]))
        return 0, [{"metrics": {}}]

    def execute(stage, section, inputs, outputs):
        starts.append((section["train"], None, None))
        return {}

    monkeypatch.setenv("OMP_NUM_THREADS", "6")
    monkeypatch.setattr(launching, "_run_processes", run_processes)
    monkeypatch.setattr(launching, "execute", execute)
    return starts


@pytest.mark.parametrize(
    ("gpus", "task", "processes", "started_processes", "threads", "accumulation"),
    [
        (0, None, 1, None, None, 3),
        (0, None, 2, 2, "3", 3),
        (0, None, 8, 8, "1", 3),
        (8, None, 1, None, None, 3),  # the others are for other work
        (8, None, 2, 2, "3", 3),
        (2, None, 4, 2, "3", 6),
        (1, None, 4, None, None, 12),
        (8, 8, 1, 8, "1", 3),  # a task of the pipeline uses the GPUs that it has asked for
        (8, 1, 2, None, None, 6),
    ],
)
def test_gpus_decide_how_many_processes_share_the_rows_of_a_step(
    monkeypatch, started, gpus, task, processes, started_processes, threads, accumulation
):
    monkeypatch.setattr(launching, "_gpus", lambda: gpus)
    train = SFT["train"] | {"processes": processes, "accumulation": 3}
    launch("sft", SFT | {"train": train}, {}, {}, task)
    ((train, number, of_each),) = started
    assert (number, of_each, train["accumulation"]) == (started_processes, threads, accumulation)
    assert train["processes"] == (processes if accumulation == 3 else started_processes or 1)


def test_processes_started_by_hand_start_no_others(monkeypatch, started):
    monkeypatch.setenv("WORLD_SIZE", "2")
    launch("sft", SFT | {"train": SFT["train"] | {"processes": 4}}, {}, {})
    assert started[0][1] is None


def test_gpus_that_cannot_share_the_rows_evenly_are_an_error(monkeypatch, started):
    monkeypatch.setattr(launching, "_gpus", lambda: 2)
    message = "train.processes is 3, and there are 2 GPUs, which cannot share the batches of a step evenly; set it to 2"
    with pytest.raises(UserError, match=message):
        launch("sft", SFT | {"train": SFT["train"] | {"processes": 3}}, {}, {})
    assert started == []


@pytest.mark.parametrize("stage", sorted({*stages.STAGES} - {"sft", "dpo"}))
def test_only_training_is_shared_among_processes(stage):
    with pytest.raises(UserError, match=f"{stage} cannot share its work among 2 processes, only sft and dpo can; ask for one"):
        launch(stage, {}, {}, {}, 2)


# What accelerate and its processes do, without PyTorch: one more generation, each in a session of its own.
PROCESS = "from sense.stages import launch; launch._send({'rank': 1}); print(flush=True); launch._end_with_launcher()"
STARTER = f"""
import os, signal, subprocess, sys
process = subprocess.Popen([sys.executable, "-c", {PROCESS!r}], start_new_session=True, stdout=subprocess.PIPE)
process.stdout.readline()

from sense.stages import launch
launch._send({{"pid": process.pid, "text": "x" * 100_000}})
"""


@pytest.mark.parametrize(("last", "code"), [("os.kill(os.getpid(), signal.SIGKILL)", -9), ("os._exit(7)", 7)])
def test_those_that_outlive_accelerate_end_with_the_launch(last, code):
    code_of_launcher, messages = launching._run_processes([sys.executable, "-c", STARTER + last])
    assert code_of_launcher == code
    assert messages[0] == {"rank": 1}
    assert len(messages[1]["text"]) == 100_000
    try:
        late = os.pidfd_open(messages[1]["pid"])
    except ProcessLookupError:
        return
    assert ended(late)
