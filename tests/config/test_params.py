import json
import shutil
from pathlib import Path

import pytest

from sense import cli, config
from sense.config import profile as profile_command
from sense.errors import ConfigError
from tests.yaml_texts import TEXTS

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("profile", sorted((ROOT / "configs").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_profile_is_valid(profile):
    params = config.load(profile)
    assert params.publish.model == "sense"


def test_the_working_copy_starts_as_the_nano_profile():
    assert config.load(ROOT / "params.yaml").model_dump(exclude={"data"}) == config.load(ROOT / "configs/nano.yaml").model_dump(
        exclude={"data"}
    )


def test_the_paper_profiles_name_the_papers_models():
    seven, thirteen = config.load(ROOT / "configs/sense-7b.yaml"), config.load(ROOT / "configs/sense-13b.yaml")
    assert seven.sft.model.name == "codellama/CodeLlama-7b-hf"
    assert thirteen.sft.model.name == "codellama/CodeLlama-13b-hf"
    assert "deepseek-coder-1.3b" in seven.weak.model.name
    assert seven.synthesize.teacher == thirteen.synthesize.teacher == "llm"
    assert seven.prefer.strategy == "grouped-any-limit1"
    assert seven.dpo.label_smoothing > 0


def test_the_small_profile_samples_the_student_itself_on_questions_it_has_not_seen():
    smol = config.load(ROOT / "configs/smol.yaml")
    assert smol.sft.model.name == smol.weak.model.name == "HuggingFaceTB/SmolLM2-135M"
    assert smol.sft.model.revision is not None
    assert (smol.sample.model, smol.weak.train.max_steps, smol.synthesize.teacher) == ("sft", 1, "grammar")
    assert set(smol.synthesize.levels) == {"easy", "medium", "hard", "extra"}
    for_sft = smol.synthesize.count * (1 - smol.synthesize.split.unseen - smol.synthesize.split.heldout)
    assert for_sft == pytest.approx(11_880)


@pytest.mark.parametrize("profile", sorted((ROOT / "configs").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_profile_says_what_to_expect(profile):
    comment = profile.read_text().partition("\ndata:")[0]
    assert all(word in comment for word in ("Expected EX", "ime", "Memory", "ost"))


def edited(tmp_path, *changes):
    text = (ROOT / "configs/tiny.yaml").read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    path = tmp_path / "params.yaml"
    path.write_text(text)
    return path


def test_all_errors_of_a_file_are_told_at_once(tmp_path):
    path = edited(
        tmp_path,
        ("strategy: near-miss", "strategy: near"),
        ("beta: 0.1", "beta: -1"),
        ("  k: 2\n", "  k: many\n"),
        ("  gate: heldout", "  gates: heldout"),
        ("  holdout: 15", "  holdout: 0"),
    )
    with pytest.raises(ConfigError) as caught:
        config.load(path)
    lines = str(caught.value).splitlines()
    assert lines[0] == f"{path}: 5 errors"
    text = "\n".join(lines)
    assert "prefer.strategy = \"near\": must be 'grouped-any-limit1', 'hardest-negative', 'near-miss' or 'all'" in text
    assert "dpo.beta = -1: must be greater than 0" in text
    assert 'sample.k = "many": must be a whole number' in text
    assert 'publish.gates = "heldout": unknown key; allowed here: gate, model, promote; did you mean gate?' in text
    assert "ingest.holdout = 0: must be greater than or equal to 1" in text


def test_each_error_names_the_line_of_its_key(tmp_path):
    path = edited(
        tmp_path,
        ("beta: 0.1", "beta: -1"),
        ("  k: 2\n", "  kk: 2\n"),
        ("  gate: heldout", "  gate: heldout\n  promote: perhaps"),
    )
    numbers = {line.partition("#")[0].strip(): number for number, line in enumerate(path.read_text().splitlines(), 1)}
    with pytest.raises(ConfigError) as caught:
        config.load(path)
    lines = str(caught.value).splitlines()
    assert f"  line {numbers['beta: -1']}: dpo.beta = -1: must be greater than 0" in lines
    assert f'  line {numbers["promote: perhaps"]}: publish.promote = "perhaps": must be true or false' in lines
    (line,) = (line for line in lines if "sample.kk" in line)
    assert line.startswith(f"  line {numbers['kk: 2']}: sample.kk = 2: unknown key; allowed here: ")
    assert line.endswith("; did you mean k?")


def test_the_line_of_an_item_of_a_list_and_of_the_section_that_misses_a_key():
    text = "- key: a\n- key: b\n  effect: None\n"
    with pytest.raises(ConfigError, match=r"\n  line 4: tolerations\.1\.effect = "):
        config.validate(config.TaskConfig, config.parse(f"tolerations:\n{text}", "x"), "x", f"tolerations:\n{text}")
    text = "image: a\nweights:\n  path: /x\n"
    with pytest.raises(ConfigError, match=r"\n  line 2: weights\.claim: missing"):
        config.validate(config.ClusterConfig, config.parse(text, "x"), "x", text)


def test_an_error_of_several_sections_stands_without_a_key(tmp_path):
    with pytest.raises(ConfigError) as caught:
        config.load(edited(tmp_path, ("gate: heldout", "gate: spider")))
    assert str(caught.value).splitlines()[1].startswith("  publish.gate is 'spider', on which nothing is evaluated")


def test_a_missing_section_is_named(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text("data: {seeds: x}\n")
    with pytest.raises(ConfigError, match=r"dpo: missing; this key must be given"):
        config.load(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [1, 2", "not valid YAML"),
        ("a: 1\nb: [1\n", 'params.yaml", line 3, column 1'),
        ("sft: {}\nsft: {}\n", "the key 'sft' occurs twice"),
        ("- 1\n", "must be a mapping of keys to values"),
        ("", "missing"),
    ],
)
def test_a_broken_file_is_named(tmp_path, text, message):
    path = tmp_path / "params.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        config.load(path)
    assert message in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("own", [False, True])
def test_a_repeated_key_is_refused_by_both_readers(own):
    with pytest.raises(ConfigError, match=r"winery\.yaml: not valid YAML: the key 'low' occurs twice in .* line 4, column 1"):
        config.parse("low: 1\n  # twice\n\nlow: 2", "winery.yaml", own=own)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ([("{unseen: 0.25, heldout: 0.15}", "{unseen: 0.5, heldout: 0.5}")], "unseen + heldout must stay below 1"),
        ([("teacher: grammar", "teacher: llm")], "needs an llm section"),
        ([("save_steps: 4\n    log_steps: 2", "save_steps: 3\n    log_steps: 2")], "must be a multiple of log_steps"),
        (
            [("save_steps: 4\n", "save_steps: 4\n    fsdp: true\n    freeze_embeddings: unused\n")],
            "freeze_embeddings: unused needs them whole",
        ),
        (
            [("  train:\n    max_steps: 12\n", "  lora: {}\n  train:\n    fsdp: true\n    max_steps: 12\n")],
            "set it to false or lora to null",
        ),
        ([("{easy: 0.7, medium: 0.25, hard: 0.05}", "{easy: 0.0}")], "at least one hardness"),
        ([("gate: heldout", "gate: spider")], "publish.gate is 'spider', on which nothing is evaluated; sets are: dev, heldout"),
    ],
)
def test_values_that_contradict_one_another_are_refused(tmp_path, changes, message):
    with pytest.raises(ConfigError) as caught:
        config.load(edited(tmp_path, *changes))
    assert message in str(caught.value)


def test_set_edits_one_key_and_keeps_the_comments(tmp_path, capsys):
    (tmp_path / "spider").mkdir()
    (tmp_path / "sense").mkdir()
    path = tmp_path / "sense" / "params.yaml"
    shutil.copy(ROOT / "configs/nano.yaml", path)
    assert cli.main(["profile", "--params", str(path), "--set", "data.seeds=../spider", "--set", "dpo.beta=0.3"]) == 0
    assert config.load(path).data.seeds == "../spider"
    assert config.load(path).dpo.beta == 0.3
    assert "dpo: # the second step" in path.read_text()
    before = path.read_text()
    assert cli.main(["profile", "--params", str(path), "--set", "dpo.bet=0.3"]) == 2
    assert "dpo.bet = 0.3: unknown key" in capsys.readouterr().err
    assert path.read_text() == before


def test_set_says_what_it_has_changed_and_what_to_run_next(tmp_path, capsys):
    path = tmp_path / "params.yaml"
    shutil.copy(ROOT / "configs/nano.yaml", path)
    changes = ["--set", "sft.train.epochs=3", "--set", "sample.top_p=0.9", "--set", "sample.k=4", "--set", "cluster.cache=false"]
    assert cli.main(["profile", "--params", str(path), *changes]) == 0
    assert capsys.readouterr() == (
        "",
        f"{path}: sft.train.epochs: 2 -> 3\n{path}: sample.top_p: not set -> 0.9\n{path}: sample.k: 4, as before\n"
        f"{path}: cluster.cache: not set -> false\nrun: dvc repro\n",
    )
    assert cli.main(["profile", "--params", str(path), "--set", "cluster.cache=true"]) == 0
    assert capsys.readouterr().err == f"{path}: cluster.cache: false -> true\n"  # DVC does not see it


@pytest.mark.parametrize("assignment", ["data.seeds=../nospider", "data={seeds: ../nospider}", "data.seeds=params.yaml"])
def test_set_refuses_a_folder_of_seeds_that_is_not_there(tmp_path, capsys, assignment):
    """DVC would delete the seed and dev sets of the last run, and then fail."""
    path = tmp_path / "params.yaml"
    shutil.copy(ROOT / "configs/nano.yaml", path)
    before = path.read_text()
    assert cli.main(["profile", "--params", str(path), "--set", assignment]) == 2
    assert ": no such folder; data.seeds names a folder of questions in Spider's or BIRD's layout, data/own, or sense/seeds" in (
        capsys.readouterr().err
    )
    assert path.read_text() == before


def test_set_takes_the_folder_of_own_questions_before_it_is_written(tmp_path):
    path = tmp_path / "params.yaml"
    shutil.copy(ROOT / "configs/nano.yaml", path)
    assert cli.main(["profile", "--params", str(path), "--set", "data.seeds=data/own"]) == 0
    assert config.load(path).data.seeds == "data/own"


def test_set_in_a_file_that_is_no_yaml_names_its_line(tmp_path, capsys):
    path = tmp_path / "params.yaml"
    path.write_text("a: 1\nb: [1\n")
    assert cli.main(["profile", "--params", str(path), "--set", "a=2"]) == 2
    assert f'in "{path}", line 3, column 1' in capsys.readouterr().err


def test_set_adds_a_section_that_is_missing_and_no_unknown_one(tmp_path, capsys):
    path = tmp_path / "params.yaml"
    shutil.copy(ROOT / "configs/nano.yaml", path)
    assert cli.main(["profile", "--params", str(path), "--set", "sft.rename.copies=2", "--set", "dpo.rft.plans=3"]) == 0
    assert config.load(path).sft.rename.copies == 2
    assert config.load(path).dpo.rft.plans == 3
    before = path.read_text()
    assert cli.main(["profile", "--params", str(path), "--set", "sft.renam.copies=2"]) == 2
    assert "sft.renam = {" in (printed := capsys.readouterr().err)
    assert "unknown key; allowed here: data, lora" in printed
    assert path.read_text() == before


def test_the_key_comes_from_the_environment(monkeypatch):
    monkeypatch.delenv("SENSE_API_KEY", raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", "b")
    assert config.api_key() == "b"
    monkeypatch.setenv("SENSE_API_KEY", "a")
    assert config.api_key() == "a"


def test_an_empty_variable_is_one_that_is_not_set(monkeypatch):
    for name in ("MLFLOW_TRACKING_URI", "SENSE_WORK"):
        monkeypatch.setenv(name, "")
    assert config.tracking_uri() == "sqlite:///mlflow.db"
    assert config.work_root() == Path(".sense/work")


@pytest.mark.parametrize("text", [*TEXTS, "e: on"])
def test_a_text_that_is_set_is_that_text_and_texts_in_quotes_stay(tmp_path, text):
    """Without quotes `on` is true and 1:30 is 90, for whoever reads the file next."""
    file = tmp_path / "params.yaml"
    file.write_text((ROOT / "configs/tiny.yaml").read_text() + '  env: {MODE: "on"} # a comment\n')
    for value in (json.dumps(text, ensure_ascii=False), json.dumps({"A": text, "B": [text]}, ensure_ascii=False)):
        written = profile_command.edit(file, [(["cluster", "env", "X"], value)])
        assert config.parse(written, "file")["cluster"]["env"] == {"MODE": "on", "X": json.loads(value)}
        assert "# a comment" in written


@pytest.mark.parametrize("name", ["nano", "tiny", "sense-7b"])
def test_setting_what_is_there_changes_nothing(name):
    file = ROOT / f"configs/{name}.yaml"
    text = file.read_text()
    assert profile_command.edit(file, [(["data", "seeds"], config.load(file).data.seeds)] if "\ndata:" in text else []) == text


def test_a_value_that_is_no_yaml_is_named(tmp_path):
    file = tmp_path / "params.yaml"
    file.write_text("a: 1\n")
    with pytest.raises(ConfigError, match=r"--set a={b: not valid YAML"):
        profile_command.edit(file, [(["a"], "{b")])
    with pytest.raises(ConfigError, match="a holds no keys"):
        profile_command.edit(file, [(["a", "b"], "1")])
