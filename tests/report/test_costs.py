"""The costs of a run: as a table, as a page, and what EX was gained for an hour."""

import json
import re

import pytest

from sense import records
from sense.cli import main
from sense.config import ReportConfig
from sense.cost import record
from sense.cost.record import Cost
from sense.report import costs
from sense.stages import execute, report
from tests.report_runs import write_run

SECTIONS = ("ingest", "synthesize", "sft", "weak", "sample", "prefer", "dpo", "evaluate", "publish")


@pytest.fixture
def metrics(tmp_path, monkeypatch):
    """The metrics of a run on which SENSE is 75 points above the base on heldout; no cost is recorded."""
    monkeypatch.setenv("SENSE_WORK", str(tmp_path / "work"))
    return write_run(tmp_path / "run").metrics


def note(metrics, section, **changes):
    values = {"wall_s": 450.0, "cpu_s": 900.0, "gpu_s": 0.0, "peak_bytes": 2**30} | changes
    record.write("sft" if section == "weak" else section, metrics / f"{section}.json", Cost(**values))


def test_nothing_is_invented_where_nothing_is_recorded(metrics):
    cost = costs.read(metrics)
    assert cost.missing == list(SECTIONS)
    assert (cost.total, cost.gain, cost.gain_per_hour) == (None, 75.0, None)
    assert costs.markdown(cost) == "Not recorded where this was written.\n"
    assert "No stage of this run is recorded here." in costs.page(cost)


def test_ex_for_an_hour_is_the_gain_on_heldout_by_the_hours_of_the_stages_that_lead_to_it(metrics):
    for section in SECTIONS:
        note(metrics, section)
    cost = costs.read(metrics)
    assert (cost.gain, cost.hours, cost.gain_per_hour) == (75.0, 1.0, 75.0)  # eight stages: publish adds nothing to EX
    assert costs.conclusion(cost).startswith(
        "EX for an hour: +75.00 points. +75.0 points of EX on heldout (SENSE against the base)"
    )
    assert costs.rows(cost)[-1] == ["all", "4,050", "8,100", "1.00", "–"]
    assert costs.read_until_ex(metrics / "evaluate.json").gain_per_hour == 75.0


@pytest.mark.parametrize(("base", "bound"), [(0.0, "at most +75.00"), (1.0, "at least -25.00")])
def test_where_the_hours_are_a_lower_bound_the_rate_is_a_bound_too(metrics, base, bound):
    evaluation = records.read_json(metrics / "evaluate.json")
    evaluation["sets"]["heldout"]["models"]["base"]["ex"] = base
    records.write_json(metrics / "evaluate.json", evaluation)
    for section in SECTIONS:
        note(metrics, section, complete=section != "sft")
    conclusion = costs.conclusion(costs.read(metrics))
    assert conclusion.startswith(f"EX for an hour: {bound} points. ")
    assert "in at least 1.00 hours: the stages up to evaluate, one after the other." in conclusion


def test_a_stage_without_a_record_has_no_numbers_and_the_hours_are_not_known(metrics):
    note(metrics, "sft", tokens={"trained": 1234567}, tries=2, complete=False, gpu_s=900.0, peak_gpu_bytes=2**31)
    note(metrics, "synthesize", tokens={"teacher_prompt": 10, "teacher_completion": 3}, money=1.5)
    cost = costs.read(metrics)
    assert cost.gain_per_hour is None
    rows = {cells[0]: cells for cells in costs.rows(cost)}
    assert costs.columns(cost) == ["stage", "s", "CPU s", "GPU s", "GiB", "GPU GiB", "tokens", "money"]
    assert rows["dpo"] == ["dpo", "not recorded", *["–"] * 6]
    assert rows["sft (2 tries)"][1:7] == ["≥450", "≥900", "≥900", "1.00", "2.00", "≥1,234,567 trained"]
    assert rows["synthesize"][-2:] == ["10 teacher read, 3 teacher wrote", "1.50"]
    assert rows["all"][1] == "≥900"
    assert "Not recorded here, and in no sum: ingest, weak, sample, prefer, dpo, evaluate, publish." in costs.markdown(cost)


def test_the_cost_of_another_result_is_not_that_of_this_one(metrics):
    note(metrics, "sft")
    records.write_json(metrics / "sft.json", records.read_json(metrics / "sft.json") | {"loss": 0.1})
    assert "sft" in costs.read(metrics).missing


def test_kubeflow_gives_back_what_its_tasks_have_left(metrics):
    numbers = {"sft": Cost(450.0, 900.0, 0.0, 2**30, tokens={"trained": 5}).numbers() | {"loss": 1.0}, "dpo": {"loss": 1.0}}
    cost = costs.from_numbers(numbers, records.read_json(metrics / "evaluate.json"))
    assert cost.missing == ["dpo"]
    assert "| sft | 450 | 900 | 1.00 | 5 trained |" in costs.markdown(cost)


def test_the_page_of_costs_lies_beside_the_report_and_the_report_is_the_same_whatever_the_costs(metrics, tmp_path):
    inputs = write_run(tmp_path / "other")
    page = tmp_path / "report" / "index.html"
    pages = set()
    for wall_s in (1.0, 2.0):
        record.write("sft", inputs.metrics / "sft.json", Cost(wall_s, 1.0, 0.0, 2**30))
        execute("report", ReportConfig().model_dump(), vars(inputs), vars(report.Outputs(page)))
        pages.add(page.read_text(encoding="utf-8"))
    assert len(pages) == 1
    html = page.with_name("cost.html").read_text(encoding="utf-8")
    assert re.search(r'<th scope="row">sft</th><td class="num">2.0</td>', html)
    assert re.search(r'<th scope="row">report</th><td class="num">[0-9.]+</td>', html)
    assert not re.search(r"(src|href|url|@import)[=( ]", html)


def test_results_fit_into_80_columns_and_have_the_costs(metrics, monkeypatch, capsys):
    tokens = {"trained": 12_345_678, "teacher_prompt": 10**9, "teacher_completion": 10**8}
    for section in SECTIONS:
        note(metrics, section, tokens=tokens, wall_s=12345.0, gpu_s=12345.0, money=1234.5, tries=3, complete=False)
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["results", "--metrics", str(metrics), "--report", str(metrics / "none.html")]) == 0
    output = capsys.readouterr().out
    assert "…" not in output
    assert "EX for an hour: " in output
    row = next(line for line in output.splitlines() if line.split()[:1] == ["weak"])
    assert "≥12,345" in row


def test_results_without_records_say_so(metrics, capsys):
    assert main(["results", "--metrics", str(metrics), "--report", str(metrics / "none.html")]) == 0
    assert "Cost: not recorded here" in capsys.readouterr().out
    assert json.loads((metrics / "sft.json").read_text())["loss"] == 0.5
