"""GRPO on a model of a few thousand weights: it resumes to the same bytes, and learns what earns more than the rest."""

import pytest

from sense import config
from sense.training import fit, grpo, model_folder
from tests.training.test_fit import PAIRS, TRAIN, Killed, ignore, kill_at, trained_sft, weights

QUESTIONS = [{"example_id": str(number), "prompt": row["prompt"]} for number, row in enumerate(PAIRS)]
GRPO = {"num_generations": 4, "max_completion_length": 6}


def rewards_of_short_answers(ids, answers):
    return [1.0 if len(answer) < 8 else 0.0 for answer in answers]


def rewards_of_long_answers(ids, answers):
    return [1.0 - reward for reward in rewards_of_short_answers(ids, answers)]


def trained_grpo(start, folder, on_log=ignore, reward=rewards_of_short_answers, train=TRAIN, **changes):
    settings = config.DpoConfig(method="grpo", train=train, grpo=GRPO | changes)
    tokenizer = model_folder.load_tokenizer(start)
    model, curve = grpo.train(
        model_folder.load_model(start, trainable=True, dtype=model_folder.TRAINING_DTYPE),
        tokenizer,
        QUESTIONS,
        reward,
        settings,
        checkpoints=folder / "checkpoints",
        on_log=on_log,
    )
    model_folder.save(model, tokenizer, model_folder.read_info(start), folder / "model")
    return folder / "model", curve


@pytest.mark.parametrize("lora", [None, config.LoraConfig(r=4, dropout=0.1)])
def test_a_killed_grpo_resumes_to_the_same_weights_and_curve(tmp_path, lora):
    start, _ = trained_sft(tmp_path / "sft", lora=lora)
    whole, curve = trained_grpo(start, tmp_path / "whole")
    with pytest.raises(Killed):
        trained_grpo(start, tmp_path / "killed", kill_at(5))
    again, resumed = trained_grpo(start, tmp_path / "killed")
    assert weights(again) == weights(whole)
    assert weights(whole) != weights(start)
    assert fit.curve_csv(resumed) == fit.curve_csv(curve)
    assert [row["step"] for row in curve] == [1, 2, 3, 4, 5, 6]
    assert curve[0]["kl"] == pytest.approx(0, abs=1e-5)  # before the first step it is its own reference
    assert "step_time" not in curve[0]


def test_a_training_killed_after_its_last_step_takes_no_other(tmp_path):
    start, _ = trained_sft(tmp_path / "sft")
    _, curve = trained_grpo(start, tmp_path)
    (tmp_path / "model").rename(tmp_path / "first")
    again, resumed = trained_grpo(start, tmp_path)
    assert weights(again) == weights(tmp_path / "first")
    assert fit.curve_csv(resumed) == fit.curve_csv(curve)


def test_what_is_rewarded_is_learnt(tmp_path):
    start, _ = trained_sft(tmp_path / "sft")
    train = TRAIN.model_copy(update={"max_steps": 60, "batch_size": 16, "save_steps": 60, "schedule": "constant"})
    _, curve = trained_grpo(start, tmp_path / "grpo", reward=rewards_of_long_answers, train=train)
    first, last = ([row["reward"] for row in rows] for rows in (curve[:5], curve[-5:]))
    assert sum(last) > sum(first) + 1


def test_groups_that_all_earn_the_same_change_nothing(tmp_path):
    start, _ = trained_sft(tmp_path / "sft")
    after, curve = trained_grpo(start, tmp_path / "grpo", reward=lambda ids, answers: [0.1] * len(answers), beta=0.5)
    assert weights(after) == weights(start)
    assert {row["completions/learnt_from"] for row in curve} == {0.0}
    assert not any("kl" in row or "entropy" in row for row in curve)  # of no answers


def test_answers_that_were_cut_off_are_not_counted_as_learnt_from(tmp_path):
    start, _ = trained_sft(tmp_path / "sft")

    def reward(ids, answers):
        return [float(number % 2) for number, _ in enumerate(answers)]

    _, curve = trained_grpo(start, tmp_path / "grpo", reward=reward, max_completion_length=1, mask_truncated=True)
    assert all(row["completions/learnt_from"] <= 1 - row["completions/clipped_ratio"] for row in curve)
    assert any(row["completions/learnt_from"] == 0 for row in curve)


def test_the_reward_is_asked_for_groups_of_one_question(tmp_path):
    start, _ = trained_sft(tmp_path / "sft")
    calls = []

    def reward(ids, answers):
        calls.append(list(ids))
        return [0.0] * len(answers)

    train = TRAIN.model_copy(update={"max_steps": 4, "batch_size": 8, "save_steps": 4})
    trained_grpo(start, tmp_path / "grpo", reward=reward, train=train)
    groups = [ids[first : first + 4] for ids in calls for first in (0, 4)]
    assert [len(ids) for ids in calls] == [8] * 4
    assert all(len(set(group)) == 1 for group in groups)
    assert sorted(group[0] for group in groups) == [row["example_id"] for row in QUESTIONS]  # each once: eight of a pass


def test_epochs_are_passes_over_the_questions():
    settings = config.DpoConfig(train={"epochs": 2.5, "batch_size": 8}, grpo=GRPO)  # two questions a step
    rows = grpo._rows_in_order(QUESTIONS, settings)
    assert len(rows) == 20
    assert sorted(row["example_id"] for row in rows[:8]) == sorted(row["example_id"] for row in rows[8:16])
    assert rows[:8] != rows[8:16]
