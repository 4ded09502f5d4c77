"""The geometry of the report's charts."""

import pytest

from sense.report import charts
from tests.report_runs import read_run, write_run


@pytest.mark.parametrize(
    ("low", "high", "max_steps", "ticks"),
    [
        (0, 0.73, 5, [0, 0.2, 0.4, 0.6, 0.8]),
        (0, 1.0, 5, [0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (0, 526, 4, [0, 200, 400, 600]),
        (-9.1, -2.8, 4, [-10, -8, -6, -4, -2]),
        (0.5, 0.69, 4, [0.5, 0.55, 0.6, 0.65, 0.7]),
        (3, 3, 4, [3, 4, 5, 6]),
        (0, 0, 4, [0, 0.25, 0.5, 0.75, 1]),
    ],
)
def test_ticks_are_round_numbers_that_cover_the_range(low, high, max_steps, ticks):
    assert charts.round_ticks(low, high, max_steps) == ticks
    assert ticks[0] <= low
    assert ticks[-1] >= high


def test_a_dot_is_at_its_value():
    chart = charts.interval_chart("t", [("sense", "SENSE", 0.5, 0.25, 1.0)], 1.0)
    (dot,) = chart.dots
    width = chart.right - chart.left
    assert (dot.x, dot.low, dot.high) == (chart.left + width / 2, chart.left + width / 4, chart.right)
    assert chart.description == "SENSE 50.0%, interval 25.0 to 100.0%"


def test_columns_stand_on_the_axis_and_none_has_no_column():
    chart = charts.column_chart("t", ["easy", "hard"], [("base", "base", [0.5, None]), ("sft", "SFT", [1.0, 0.0])])
    assert [(column.name, column.label) for column in chart.columns] == [
        ("base, easy", "50"),
        ("SFT, easy", "100"),
        ("SFT, hard", "0"),
    ]
    assert [column.top for column in chart.columns] == [(chart.top + chart.bottom) / 2, chart.top, chart.bottom]
    assert chart.columns[0].x + chart.columns[0].width <= chart.columns[1].x


def test_a_long_curve_is_thinned_out_but_keeps_both_ends():
    points = [(float(step), 10_000.0 - step) for step in range(10_001)]
    chart = charts.step_chart("t", "loss", [("sft", "loss", points)])
    coordinates = chart.curves[0].points.split()
    assert len(coordinates) <= 402
    assert coordinates[0] == f"{chart.left:.1f},{chart.top:.1f}"
    assert coordinates[-1] == f"{chart.right:.1f},{chart.bottom:.1f}"
    assert chart.curves[0].label == "0"


def test_curves_leave_out_values_that_are_not_finite(tmp_path):
    curves = read_run(write_run(tmp_path)).curves
    loss_sft, loss_dpo, log_probabilities = charts.training_charts(curves)
    assert (loss_sft.title, loss_dpo.title) == ("SFT, the student: loss", "DPO: loss")
    assert log_probabilities.title == "DPO: log-probability of the answers"
    assert log_probabilities.description == "chosen from -3 at step 1 to -4 at step 2; rejected from -5 at step 1 to -5 at step 1"


@pytest.mark.parametrize(
    ("row", "titles"),
    [
        ({"loss": 0.5, "mean_token_accuracy": 0.9}, ["RFT: loss"]),
        (
            {"loss": 0.0, "reward": 0.25, "kl": 0.01, "completions/learnt_from": 0.5, "completions/mean_length": 20},
            [
                *("GRPO: loss", "GRPO: reward", "GRPO: answers that are learnt from", "GRPO: KL divergence from the start"),
                "GRPO: length of the answers",
            ],
        ),
        (
            {"loss": 0.7, "mean_token_accuracy": 0.9, "logps/chosen": -3, "logps/chosen_change": -1, "rewards/margins": 0.1},
            [
                *("DPO: loss", "DPO: log-probability of the answers", "DPO: chosen answers against the start"),
                "DPO: reward margin",
            ],
        ),
    ],
)
def test_the_second_step_is_drawn_as_what_it_was(row, titles):
    assert [chart.title for chart in charts.training_charts({"dpo": [row | {"step": 1}, row | {"step": 2}]})] == titles
