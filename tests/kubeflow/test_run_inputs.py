"""What may be changed from run to run: the names in Kubeflow, their defaults, and params.yaml as a run has it then."""

import inspect
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from components.check import check
from sense import cli, config
from sense.errors import ConfigError, UserError
from sense.kubeflow import run_inputs
from tests.mlflow_store import fresh

CONFIGS = Path(__file__).parents[2] / "configs"
TINY = (CONFIGS / "tiny.yaml").read_text()
LARGE = (CONFIGS / "sense-7b.yaml").read_text()


def params(text):
    return config.validate(config.Params, config.parse(text, "params.yaml"), "params.yaml")


def test_the_first_task_takes_every_input_and_gives_every_section():
    names = [row.name for row in run_inputs.INPUTS]
    signature = inspect.signature(check.python_func)
    assert [name for name in signature.parameters if name in names] == names
    assert {row.name: row.kind for row in run_inputs.INPUTS} == {name: signature.parameters[name].annotation for name in names}
    assert signature.return_annotation._fields[-len(run_inputs.SECTIONS) :] == run_inputs.SECTIONS
    assert set(run_inputs.SECTIONS) == set(config.Params.model_fields) - {"data", "cluster", "resources"}


@pytest.mark.parametrize("profile", sorted(path.stem for path in CONFIGS.glob("*.yaml")))
def test_the_defaults_of_a_profile_change_nothing(profile):
    text = (CONFIGS / f"{profile}.yaml").read_text()
    values = run_inputs.defaults(params(text))
    assert {name: type(value) for name, value in values.items()} == {row.name: row.kind for row in run_inputs.INPUTS}
    assert run_inputs.merge(text, values) == text


def test_a_change_reaches_its_key_and_no_other():
    text = run_inputs.merge(LARGE, {"weak_learning_rate": 1e-5, "sample_k": 4, "teacher_model": "gpt-5", "promote": False})
    before, after = (config.parse(one, "") for one in (LARGE, text))
    before["weak"]["train"]["learning_rate"] = 1e-5
    before["sample"]["k"] = 4
    before["synthesize"]["llm"]["model"] = "gpt-5"
    before["publish"]["promote"] = False
    assert after == before
    changed, same = run_inputs.sections(params(text)), run_inputs.sections(params(LARGE))
    assert {name for name in same if same[name] != changed[name]} == {"weak", "sample", "synthesize", "publish"}


def test_the_first_task_gives_the_changed_sections_or_fails_with_the_key(tmp_path, monkeypatch):
    fresh(tmp_path, monkeypatch)
    monkeypatch.setenv("SENSE_WORK", str(tmp_path / "work"))
    summary = SimpleNamespace(path=str(tmp_path / "summary"), metadata={})
    around = {"gpus": 0, "disk_gb": 0.001, "remote": "", "weights": "", "shm": "", "claims": []}
    values = run_inputs.defaults(params(TINY)) | {"sample_k": 5}
    text, data_key, seeds, own, *sections = check.python_func(params=TINY, data_rev="d1", summary=summary, **around, **values)
    assert (data_key, seeds, own) == ("d1", "", [])
    assert params(text).sample.k == dict(zip(run_inputs.SECTIONS, sections, strict=True))["sample"]["k"] == 5
    assert "| parameters | ok | valid |" in (tmp_path / "summary").read_text()
    values |= {"sample_k": 0, "dpo_beta": -1.0}
    with pytest.raises(UserError, match=r"1 of \d+ checks failed(.|\n)*sample\.k = 0: (.|\n)*dpo\.beta = -1\.0: "):
        check.python_func(params=TINY, data_rev="d1", summary=summary, **around, **values)
    assert "| parameters | FAIL |" in (tmp_path / "summary").read_text()


def test_sections_that_share_an_alias_change_apart():
    value = yaml.safe_load(TINY)
    value["weak"]["train"] = value["sft"]["train"]  # safe_dump writes an alias
    text = yaml.safe_dump(value)
    assert "*id" in text
    merged = params(run_inputs.merge(text, {"weak_learning_rate": 1.0}))
    assert (merged.sft.train.learning_rate, merged.weak.train.learning_rate) == (0.002, 1.0)


def test_another_base_takes_the_place_of_a_nano_or_of_a_pinned_one():
    assert params(run_inputs.merge(TINY, {"sft_base": "acme/base"})).sft.model == config.ModelConfig(name="acme/base")
    pinned = LARGE.replace("{name: codellama/CodeLlama-7b-hf}", "{name: codellama/CodeLlama-7b-hf, revision: abc}")
    assert params(run_inputs.merge(pinned, {"sft_base": "acme/base"})).sft.model.revision is None


def test_a_wrong_value_is_told_with_its_key():
    with pytest.raises(
        ConfigError, match=r"params\.yaml with sample_k = 0: 1 error\n  sample\.k = 0: .*greater than or equal to 1"
    ):
        run_inputs.check(TINY, {"sample_k": 0})
    with pytest.raises(UserError, match="teacher_model = m: this profile asks no LLM"):
        run_inputs.check(TINY, {"teacher_model": "m"})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sample_k", "write NAME=VALUE"),
        ("sample.k=1", r"no input is called sample\.k; there are: .*sample_k"),
        ("sample_k=1.5", r"give a whole number \(sample\.k\)"),
        ("dpo_beta=high", "give a number"),
        ("promote=yes", "give true or false"),
    ],
)
def test_what_is_no_input_is_refused(text, message):
    with pytest.raises(UserError, match=message):
        run_inputs.parse([text])


def test_values_get_the_type_of_their_input():
    assignments = ["sample_k=4", "dpo_learning_rate=1e-6", "promote=False", "sft_base=a/b=c"]
    expected = {"sample_k": 4, "dpo_learning_rate": 1e-6, "promote": False, "sft_base": "a/b=c"}
    assert run_inputs.parse(assignments) == expected


def test_a_wrong_input_ends_the_command_before_anything_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text(TINY)
    assert cli.main(["pipeline", "run", "--input", "sample_k=0"]) == 2
    assert "sample.k = 0" in capsys.readouterr().err
    assert not (tmp_path / ".sense").exists()
