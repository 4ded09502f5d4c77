"""dvc.yaml's code dependencies are those that the stages' imports give, so that DVC runs again what a change of code affects."""

from pathlib import Path

import pytest
import yaml

from sense import stages
from sense.stages import code_dependencies as derived

ROOT = Path(__file__).parents[2]
STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]


def covers(paths: list[str], file: str) -> bool:
    """Whether a file of the package is among the dependencies, itself or by its folder."""
    assert (ROOT / file).is_file(), file
    return any(file == path or file.startswith(f"{path}/") for path in paths)


@pytest.mark.parametrize("name", STAGES)
def test_dvc_yaml_lists_the_code_that_the_imports_give(name):
    listed = [path for path in STAGES[name]["deps"] if path.startswith("sense/")]
    assert listed == derived.code_dependencies(derived.stage_of(STAGES[name])), "dvc.yaml is out of date; run `make deps`"


@pytest.mark.parametrize(
    ("stage", "file"),
    [
        ("synthesize", "sense/schema.py"),
        ("synthesize", "sense/teacher/drafts.py"),
        ("synthesize", "sense/teacher/openai.py"),
        ("synthesize", "sense/teacher/grammar/domains/forestry.yaml"),
        ("synthesize", "sense/prompts/strong.j2"),
        ("synthesize", "sense/sql/worker.py"),  # started as a process; what it shares with its parent is imported
        ("sample", "sense/stages/shards.py"),
        ("sample", "sense/training/generate.py"),
        ("sample", "sense/records/storage.py"),
        ("prefer", "sense/stages/pairs.py"),
        ("sft", "sense/training/words.txt"),
        ("sft", "sense/training/sense_nano/model.safetensors"),
        ("sft", "sense/prompts/question.j2"),
        ("evaluate", "sense/evaluation/statistics.py"),
        ("report", "sense/report/page.html.j2"),
    ],
)
def test_a_stage_depends_on(stage, file):
    assert covers(derived.code_dependencies(stage), file)


@pytest.mark.parametrize(
    ("stage", "file"),
    [
        ("ingest", "sense/teacher/drafts.py"),
        ("prefer", "sense/training/sense_nano/model.safetensors"),
        ("sft", "sense/training/generate.py"),
        ("sample", "sense/evaluation/scoreboard.py"),
        ("sample", "sense/stages/sft.py"),
        ("sample", "sense/training/words.txt"),
        ("report", "sense/report/command.py"),
    ],
)
def test_a_stage_does_not_depend_on_what_it_does_not_import(stage, file):
    assert not covers(derived.code_dependencies(stage), file)


@pytest.mark.parametrize("stage", stages.STAGES)
def test_exempt_modules_exist_have_a_reason_and_are_left_out(stage):
    for module, reason in derived.EXEMPT.items():
        path = ROOT.joinpath(*module.split("."))
        assert path.is_dir() or path.with_suffix(".py").is_file(), module
        assert reason
    for path in derived.code_dependencies(stage):
        assert not path.startswith(("sense/config", "sense/registry", "sense/tracking"))
        assert path not in ("sense/__init__.py", "sense/console.py", "sense/errors.py", "sense/stages/__init__.py")


def test_writing_keeps_comments_and_data_dependencies_and_mends_what_is_missing(tmp_path):
    text = (ROOT / "dvc.yaml").read_text()
    removed = next(line for line in text.splitlines() if line.strip() == "- sense/schema.py")
    file = tmp_path / "dvc.yaml"
    file.write_text(text.replace(f"{removed}\n", ""))
    derived.write(file)
    assert file.read_text() == text
