"""Versions published for a test, `sense models` run on them, and what it leaves in the registry."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

from sense import cli, records
from sense.config import PublishConfig
from sense.records import Example, Verdict
from sense.registry import versions
from sense.stages import publish
from tests.weights import safetensors_file

SEED = Example(
    id="s1", db_id="pets", question="How many pets?", sql="SELECT count(*) FROM pet", source="grammar", hardness="easy"
)


def publish_inputs(
    folder: Path, ex: float = 0.5, digest: str = "aaa", weights: bytes = b"w1", right: str | None = None, **info
) -> publish.Inputs:
    """A model folder without weights worth the name, and what was measured of it: on dev `ex`, of 20 questions.

    `right` says of each of these, y or n, whether it was right; `info` goes into sense.json.
    """
    folder.mkdir(parents=True, exist_ok=True)
    model = folder / "model"
    records.write_json(model / "config.json", {"architectures": ["LlamaForCausalLM"], "hidden_size": 64, "tie": True, "rope": {}})
    records.write_json(model / "tokenizer_config.json", {})
    model_info = {"base": {"name": "x"}, "prompt": {"schema_style": "compact", "sample_values": 0}}
    records.write_json(model / "sense.json", model_info | info)
    (model / "model.safetensors").write_bytes(safetensors_file(weights))
    right = right or "y" * round(20 * ex) + "n" * (20 - round(20 * ex))
    row = {"n": 20, "ex": ex, "ex_low": 0.1, "ex_high": 0.9, "executable": 1.0, "mcnemar_p": None, "wins": None, "losses": None}
    held = {"n": 20, "digest": "hhh", "models": {"sense": row | {"ex": 0.25}}}
    dev = {
        "n": 20,
        "digest": digest,
        "models": {"base": row | {"ex": 0.0}, "sense": row | {"mcnemar_p": 0.5, "wins": 3, "losses": 1}},
    }
    records.write_json(folder / "evaluate.json", {"sets": {"dev": dev, "heldout": held}})
    for name, correct in (("dev", right), ("heldout", "yyyyy" + "n" * 15)):
        write_predictions(folder / "predictions", name, correct)
    for name in ("dev", "heldout", "strong"):
        write_dataset(folder / name)
    for name in ("samples", "pairs"):
        (folder / f"{name}.jsonl").write_text("{}\n")
    folders = (folder / name for name in ("predictions", "dev", "heldout", "strong", "samples.jsonl", "pairs.jsonl"))
    return publish.Inputs(model, folder / "evaluate.json", *folders)


def write_predictions(folder: Path, name: str, correct: str) -> None:
    """evaluate's examples and verdicts of a set, a question a letter of `correct`; every fourth is hard."""
    questions = [(f"q{n:02}", flag == "y", "hard" if n % 4 == 0 else "easy") for n, flag in enumerate(correct)]
    examples = [SEED.model_copy(update={"id": key, "question": f"{key}?", "hardness": level}) for key, _, level in questions]
    verdicts = [Verdict(id=key, correct=flag, verdict="match" if flag else "mismatch") for key, flag, _ in questions]
    records.write_jsonl(folder / f"{name}.examples.jsonl", examples)
    records.write_jsonl(folder / f"{name}.sense.verdicts.jsonl", verdicts)


def write_dataset(folder: Path) -> None:
    """A dataset folder of one question."""
    database = records.database_path(folder, "pets")
    database.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS pet (id INTEGER PRIMARY KEY, name TEXT)")
    records.write_jsonl(folder / "examples.jsonl", [SEED])


def run_publish(folder: Path, inputs: publish.Inputs, gate: str = "dev", promote: bool = True) -> tuple[dict, dict]:
    """(metrics, record) of one run of the stage in the work directory `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    outputs = publish.Outputs(record=folder / "record", metrics=folder / "metrics")
    metrics = publish.run(PublishConfig(gate=gate, promote=promote), inputs, outputs)
    return metrics, records.read_json(outputs.record)


def alias_versions(*aliases: str) -> dict[str, str | None]:
    """alias -> the version that it points at, None if there is no such alias."""
    registered = {alias: versions.find_by_alias("sense", alias) for alias in aliases or ("challenger", "champion", "previous")}
    return {alias: version and version.version for alias, version in registered.items()}


def publish_version(folder: Path, name: str, promote: bool = False, **options) -> str:
    """Publishes a model whose weights are its name; returns its version."""
    model = publish_inputs(folder / name, weights=name.encode(), **options)
    return run_publish(folder / f"work-{name}", model, promote=promote)[0]["version"]


def publish_two(folder: Path) -> None:
    """Version 1 is champion with 10 of 20 right; of these version 2 gets 9, and 3 others: it is better by 2."""
    publish_version(folder, "a", promote=True, right="y" * 10 + "n" * 10)
    publish_version(folder, "b", ex=0.6, right="y" * 9 + "n" + "yyy" + "n" * 7)


def run_models(*arguments: str) -> int:
    """Runs `sense models`; returns its exit code."""
    try:
        return cli.main(["models", *arguments])
    except SystemExit as stopped:  # argparse
        return int(stopped.code or 0)


def run_json(capsys, *arguments: str) -> dict:
    """What `sense models ... --json` prints."""
    capsys.readouterr()
    exit_code = run_models(*arguments, "--json")
    printed = capsys.readouterr()
    assert exit_code == 0, printed.err
    return json.loads(printed.out)


def run_refused(capsys, *arguments: str) -> str:
    """The message of a command that ends with exit code 2."""
    capsys.readouterr()
    assert run_models(*arguments) == 2
    return capsys.readouterr().err


def recorded_decisions(client, version: str) -> list[dict]:
    """The decisions that the version carries as tags, oldest first."""
    tags = client.get_model_version("sense", version).tags
    return [json.loads(tags[key]) for key in sorted(tags) if key.startswith("sense.promotion.")]
