"""A stage's Inputs and Outputs, its CLI flags and its dvc.yaml command name the same ports; its section is what DVC watches."""

import re
import shlex
import subprocess
import sys
from dataclasses import fields, is_dataclass
from pathlib import Path

import pytest
import yaml

from sense import cli, config, stages
from sense.stages import command as stage_command

ROOT = Path(__file__).parent.parent
DVC = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]


def ports(stage, kind):
    return [field.name for field in fields(getattr(stages.module(stage), kind))]


def command(name):
    """(stage, {flag: value}) of a stage of dvc.yaml."""
    arguments = shlex.split(DVC[name]["cmd"])
    assert arguments[0] == "sense"
    pairs = arguments[2:]
    return arguments[1], dict(zip([flag.removeprefix("--").replace("-", "_") for flag in pairs[::2]], pairs[1::2], strict=True))


@pytest.mark.parametrize("stage", stages.STAGES)
def test_a_stage_is_config_inputs_outputs_run(stage):
    code = stages.module(stage)
    assert issubclass(code.Config, config.Section)
    assert is_dataclass(code.Inputs)
    assert is_dataclass(code.Outputs)
    assert {field.type for kind in (code.Inputs, code.Outputs) for field in fields(kind)} == {Path}
    assert callable(code.run)
    assert code.__doc__


@pytest.mark.parametrize("stage", stages.STAGES)
def test_cli_flags_are_the_ports(stage):
    help_text = subprocess.run(
        [sys.executable, "-m", "sense", stage, "--help"], capture_output=True, text=True, check=True
    ).stdout
    for name in ports(stage, "Inputs") + ports(stage, "Outputs"):
        assert f"--{name.replace('_', '-')} PATH" in help_text
    assert "example:" in help_text
    assert [name for name, entry in cli.COMMANDS.items() if entry.module == cli.STAGES_MODULE] == list(stages.STAGES)


@pytest.mark.parametrize("name", DVC)
def test_dvc_command_is_the_ports_and_its_lists_cover_them(name):
    stage, flags = command(name)
    section = flags.pop("section", stage)
    assert section == name
    assert DVC[name]["params"] == [name]
    assert section in config.Params.model_fields
    assert list(flags) == ports(stage, "Inputs") + ports(stage, "Outputs")
    outputs = [
        entry if isinstance(entry, str) else next(iter(entry))
        for kind in ("outs", "metrics", "plots")
        for entry in DVC[name].get(kind, [])
    ]
    assert sorted(outputs) == sorted(flags[port] for port in ports(stage, "Outputs"))
    assert {flags[port] for port in ports(stage, "Inputs")} <= set(DVC[name]["deps"])
    assert f"sense/stages/{stage}.py" in DVC[name]["deps"]


def test_dvc_runs_every_stage_and_its_code_dependencies_exist():
    assert {command(name)[0] for name in DVC} == set(stages.STAGES)
    for stage in DVC.values():
        for path in stage["deps"]:
            if path.startswith("sense/"):
                assert (ROOT / path).exists(), path


def test_help_shows_the_paths_that_dvc_uses():
    for name in DVC:
        stage, flags = command(name)
        if name == stage:
            help_text = {port: stage_command.pipeline_path(stage, port) for port in flags}
            values = {"${data.seeds}": "sense/seeds", "${sample.model}": "weak"}
            for key, value in values.items():
                flags = {port: path.replace(key, value) for port, path in flags.items()}
            assert help_text == flags


def test_every_profile_has_the_keys_that_dvc_fills_in():
    """DVC takes them from params.yaml, where a default of ours is not."""
    keys = set(re.findall(r"\$\{([\w.]+)\}", (ROOT / "dvc.yaml").read_text()))
    assert keys == {"data.seeds", "sample.model"}
    for path in [ROOT / "params.yaml", *(ROOT / "configs").glob("*.yaml")]:
        params = yaml.safe_load(path.read_text())
        for key in keys:
            section, name = key.split(".")
            assert name in params[section], (path, key)
