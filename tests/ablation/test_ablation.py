import json

import pytest

from sense import config, tracking
from sense.ablation import arms, command, table
from sense.ablation.arms import Arm
from sense.ablation.runs import ArmResult, SetResult
from sense.errors import ConfigError, UserError
from tests import pipeline

HUMAN, STRONG = arms.named(["human", "strong"])


@pytest.fixture
def params():
    return config.Params.model_validate(pipeline.sections())


def test_an_arm_changes_its_keys_and_the_seeds_of_the_stages_that_train(params):
    changed = arms.settings(params, Arm("a", "", {"dpo.beta": 0.3, "sample.model": "sft"}), 7)
    assert (changed.dpo.beta, changed.sample.model) == (0.3, "sft")
    assert {getattr(changed, section).seed for section in arms.SEEDED} == {7}
    assert changed.synthesize == params.synthesize
    assert changed.evaluate == params.evaluate


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dpo.bta": 0.3}, r"changes of the arm a: 1 error\n  dpo.bta = 0.3: unknown key; allowed here: .*, beta, "),
        ({"dpo.beta": "high"}, r"dpo.beta = \"high\""),
        ({"nothing.beta": 1}, r"the arm a sets nothing.beta, but there is no section 'nothing'"),
        ({"sft.seed.value": 1}, r"the arm a sets sft.seed.value, but there is no section 'seed'"),
    ],
)
def test_a_key_that_cannot_be_set_is_named(params, changes, message):
    with pytest.raises((ConfigError, UserError), match=message):
        arms.settings(params, Arm("a", "", changes), 0)


def test_a_custom_arm_is_a_name_and_keys():
    arm = arms.custom(["beta-0.3", "dpo.beta=0.3", "sft.lora={r: 8}"])
    assert arm == Arm("beta-0.3", "dpo.beta=0.3, sft.lora={r: 8}", {"dpo.beta": 0.3, "sft.lora": {"r": 8}})


@pytest.mark.parametrize("words", [["name"], ["dpo.beta=0.3"], ["a", "dpo.beta"], ["a b", "dpo.beta=1"]])
def test_a_custom_arm_that_is_written_otherwise_is_refused(words):
    with pytest.raises(UserError, match=r"--with .*: write .*KEY=VALUE, for instance"):
        arms.custom(words)


def test_an_unknown_arm_is_refused():
    with pytest.raises(UserError, match=r"--arms humans: no such arm; there are: human, strong, weak, on-policy, single"):
        arms.named(["humans"])


def of_set(*right, ts=None, digest="0"):
    metrics = {"ex": sum(right) / len(right), "ts": ts, "digest": digest}
    return {"dev": SetResult(metrics, {str(number): bool(r) for number, r in enumerate(right)})}


def test_the_table_has_means_of_seeds_gains_and_a_p_for_each_seed():
    nothing = of_set(0, 0, 0, 0, 0, 0)
    results = [
        ArmResult(HUMAN, 0, of_set(1, 0, 0, 0, 0, 0), nothing),
        ArmResult(HUMAN, 1, of_set(1, 1, 0, 0, 0, 0), nothing),
        ArmResult(STRONG, 0, of_set(1, 1, 1, 1, 1, 1, ts=0.5), nothing),
        ArmResult(STRONG, 1, of_set(0, 1, 1, 1, 1, 1, ts=1.0), nothing),
    ]
    base, human, strong = table.rows(results)
    assert (base["arm"], base["sets"]["dev"]["ex"], base["sets"]["dev"].get("gain")) == ("base", 0.0, None)
    assert human["sets"]["dev"]["ex"] == pytest.approx(0.25)
    assert human["sets"]["dev"]["by_seed"] == pytest.approx([1 / 6, 2 / 6])
    assert human["sets"]["dev"]["p"] == pytest.approx([1.0, 0.5])  # exact binomial of 1 : 0 and 2 : 0
    assert strong["sets"]["dev"]["gain"] == pytest.approx(11 / 12 - 0.25)
    assert strong["sets"]["dev"]["p"] == pytest.approx([2 * 0.5**5, 2 * 6 * 0.5**5])  # 5 : 0, 4 : 1
    assert strong["sets"]["dev"]["ts"] == 0.75
    assert 0.75 <= strong["sets"]["dev"]["low"] <= 11 / 12 <= strong["sets"]["dev"]["high"] <= 1
    line = table.markdown([base, human, strong], [0, 1]).splitlines()[-1]
    assert line.startswith("| strong | SFT on strong data and seeds | 91.7% | ")
    assert line.endswith(" | 100.0%, 83.3% | 75.0% | +66.7 | 0.062, 0.38 |")


def test_arms_with_other_questions_are_not_compared():
    results = [
        ArmResult(HUMAN, 0, of_set(1, 0), of_set(0, 0)),
        ArmResult(STRONG, 0, of_set(1, 0, 0, 1, digest="1"), of_set(0, 0, 0, 0, digest="1")),
        ArmResult(arms.custom(["none", "evaluate.limit=1"]), 0, {}, {}),
    ]
    rows = table.rows(results)
    assert [("gain" in row["sets"].get("dev", {}), "p" in row["sets"].get("dev", {})) for row in rows[1:]] == [
        (True, True),
        (False, False),
        (False, False),
    ]
    assert table.markdown(rows, [0]).splitlines()[-2].endswith(" | 50.0% |  |  |  |")
    assert table.markdown(rows, [0]).splitlines()[-1] == "| none | evaluate.limit=1 |  |  |  |  |  |  |"


@pytest.mark.slow
def test_arms_share_their_stages_and_a_repeated_ablation_runs_none(params, tmp_path, monkeypatch):
    monkeypatch.setenv("SENSE_WORK", str(tmp_path / "work"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.chdir(pipeline.ROOT)
    chosen = arms.named(["strong", "weak"])
    rows = command.ablate(params, chosen, [0], tmp_path / "out")
    assert [row["arm"] for row in rows] == ["base", "strong", "weak"]
    assert json.loads((tmp_path / "out" / "ablation.json").read_text()) == {"seeds": [0], "rows": rows}
    stages = sorted(folder.name.rpartition("-")[0] for folder in (tmp_path / "out" / "stages").iterdir())
    assert stages == ["dpo", "evaluate", "evaluate", "ingest", "prefer", "sample", "sft", "synthesize", "weak"]
    client = tracking.store.open_store().client
    (experiment,) = {run.info.experiment_id for run in client.search_runs(["0", "1"])}
    runs = {run.info.run_id: run for run in client.search_runs([experiment])}
    (parent,) = [run for run in runs.values() if run.info.run_name == "ablation"]
    children = [run for run in runs.values() if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
    assert sorted(run.info.run_name for run in children) == ["dpo", "sft", "sft"]
    assert parent.data.metrics["final.weak.heldout.ex"] == rows[2]["sets"]["heldout"]["ex"]
    monkeypatch.setattr("sense.ablation.runs.launch", lambda *_: pytest.fail("a stage ran again"))
    assert command.ablate(params, chosen, [0], tmp_path / "out") == rows


def test_arms_of_one_name_are_refused(tmp_path, monkeypatch):
    from sense import cli

    monkeypatch.chdir(pipeline.ROOT)
    assert cli.main(["ablate", "--arms", "human", "--with", "human", "dpo.beta=1"]) == 2
    assert cli.main(["ablate", "--arms"]) == 2
