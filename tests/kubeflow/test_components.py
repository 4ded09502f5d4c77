"""Every component: the ports of its stage, typed, and nothing in it but a call of the library."""

import ast
import importlib
import json
from dataclasses import fields
from pathlib import Path

import pytest

from sense.stages import STAGES, module

ROOT = Path(__file__).parents[2]
TASKS = sorted(path.stem for path in (ROOT / "components").glob("[a-z]*.py"))
PARAMETERS = {"section", "code_rev", "data_rev", "gpus", "job", "shard", "shards", "promote"}
TYPES = {
    "metrics": "system.Metrics",
    "report": "system.HTML",
    "model": "system.Model",
    "sft": "system.Model",
    "sense": "system.Model",
}


def spec(name):
    return getattr(importlib.import_module(f"components.{name}"), name).component_spec


@pytest.mark.parametrize("stage", STAGES)
def test_the_ports_of_a_component_are_the_fields_of_its_stage(stage):
    component, code = spec(stage), module(stage)
    further = {"own"} if stage == "synthesize" else set()  # what its section names
    assert set(component.inputs) - PARAMETERS == {field.name for field in fields(code.Inputs)} | further
    assert set(component.outputs) - {"summary"} == {field.name for field in fields(code.Outputs)}
    assert {"section", "code_rev", "data_rev"} <= set(component.inputs)
    assert component.inputs["section"].type == "Dict"


@pytest.mark.parametrize("stage", STAGES)
def test_artifacts_have_the_type_that_the_kubeflow_page_shows(stage):
    component = spec(stage)
    for name, port in [*component.inputs.items(), *component.outputs.items()]:
        if name in TYPES and name not in PARAMETERS and not (stage == "report" and name == "metrics"):
            assert port.type == f"{TYPES[name]}@0.0.1", name
    if stage != "report":
        assert component.outputs["summary"].type == "system.Markdown@0.0.1"


@pytest.mark.parametrize("name", TASKS)
def test_nothing_in_a_component_has_the_name_of_a_port(name):
    module_tree = ast.parse((ROOT / "components" / f"{name}.py").read_text())
    (function,) = [node for node in module_tree.body if isinstance(node, ast.FunctionDef)]
    imported = {node.asname or node.name for node in ast.walk(function) if isinstance(node, ast.alias)}
    assigned = {node.id for node in ast.walk(function) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    assert {argument.arg for argument in function.args.args}.isdisjoint(imported | assigned)


@pytest.mark.parametrize("name", TASKS)
def test_a_component_is_short_and_installs_nothing(name):
    text = (ROOT / "components" / f"{name}.py").read_text()
    assert len(text.splitlines()) <= 70  # of check, which names all inputs and sections
    command = json.dumps(spec(name).implementation.container.command)
    assert "pip install" not in command
    assert "from __future__" not in text
