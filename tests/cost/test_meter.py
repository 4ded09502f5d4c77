"""What a stage has used, over tries that were killed and processes that worked together."""

import json
import os
import subprocess
import sys
import time

import pytest

from sense import records
from sense.cost import meter, record, usage
from sense.cost.record import Cost
from tests.killed import run_until_killed

MEBIBYTE = 2**20


def use_a_processor(seconds):
    started = time.process_time()
    while time.process_time() - started < seconds:
        sum(range(1000))


def cost(**changes):
    return Cost(**{"wall_s": 1.0, "cpu_s": 1.0, "gpu_s": 0.0, "peak_bytes": 1} | changes)


def test_seconds_of_the_process_and_of_those_that_it_starts_are_counted(tmp_path):
    with meter.measure(tmp_path / "cost"):
        use_a_processor(0.05)
        subprocess.run([sys.executable, "-c", "sum(range(3_000_000))"], check=True)
    measured = meter.total(tmp_path / "cost")
    assert measured.cpu_s > 0.05
    assert measured.wall_s > 0.05
    assert measured.peak_bytes > 5 * MEBIBYTE
    assert (measured.gpu_s, measured.peak_gpu_bytes, measured.money) == (0.0, None, None)
    assert (measured.tries, measured.complete, measured.tokens) == (1, True, {})


def test_tokens_and_money_are_those_of_the_stage_alone(tmp_path):
    usage.count("trained", 100)
    usage.spend(5.0)
    with meter.measure(tmp_path / "first"):
        usage.count("trained", 7)
        usage.count("teacher_prompt", 3)
        usage.spend(0.25)
        assert meter.so_far().tokens == {"trained": 7, "teacher_prompt": 3}
    with meter.measure(tmp_path / "second"):
        pass
    assert meter.so_far() is None
    first, second = (meter.total(tmp_path / name) for name in ("first", "second"))
    assert (first.tokens, first.money) == ({"trained": 7, "teacher_prompt": 3}, 0.25)
    assert (second.tokens, second.money) == ({}, None)


def test_what_is_not_counted_makes_the_cost_incomplete(tmp_path):
    with meter.measure(tmp_path / "cost"):
        usage.count("generated", 1)
        usage.count_gap()
    assert not meter.total(tmp_path / "cost").complete


def test_seconds_count_for_every_gpu_of_the_stage_and_not_for_the_next_stage(tmp_path):
    with meter.measure(tmp_path / "first"):
        usage.use_gpus(4, lambda: 123)
    with meter.measure(tmp_path / "second"):
        pass
    first, second = (meter.total(tmp_path / name) for name in ("first", "second"))
    assert (first.gpu_s, first.peak_gpu_bytes) == (4 * first.wall_s, 123)
    assert (second.gpu_s, second.peak_gpu_bytes) == (0.0, None)


def test_a_killed_try_is_in_the_sum_which_says_that_it_is_more(tmp_path, monkeypatch):
    monkeypatch.setattr(meter, "INTERVAL_S", 0.01)
    folder = tmp_path / "cost"

    def work():
        with meter.measure(folder):
            usage.count("generated", 11)
            note = folder / "0-0.json"
            while records.read_json(note)["tokens"] != {"generated": 11}:
                time.sleep(0.01)
            os.kill(os.getpid(), 9)

    assert not run_until_killed(work, None, lambda _: None)
    with meter.measure(folder):
        usage.count("generated", 2)
    measured = meter.total(folder)
    assert measured.tokens == {"generated": 13}
    assert (measured.tries, measured.complete) == (2, False)


def test_a_try_that_fails_is_counted_to_its_end(tmp_path):
    with pytest.raises(ZeroDivisionError), meter.measure(tmp_path / "cost"):
        usage.count("teacher_completion", 5)
        raise ZeroDivisionError
    with meter.measure(tmp_path / "cost"):
        pass
    measured = meter.total(tmp_path / "cost")
    assert measured.tokens == {"teacher_completion": 5}
    assert (measured.tries, measured.complete) == (2, True)


def test_processes_that_train_together_add_up_but_their_clock_is_one(tmp_path, monkeypatch):
    for rank in ("0", "1"):
        monkeypatch.setenv("RANK", rank)
        with meter.measure(tmp_path / "cost"):
            use_a_processor(0.03)
            usage.count("trained", 5)
            usage.use_gpus(1, lambda: 7)
    measured = meter.total(tmp_path / "cost")
    first, second = (json.loads((tmp_path / f"cost/{rank}-0.json").read_text()) for rank in "01")
    assert measured.wall_s == first["wall_s"]
    assert measured.cpu_s == first["cpu_s"] + second["cpu_s"] > 0.06
    assert measured.gpu_s == first["gpu_s"] + second["gpu_s"]
    assert (measured.tokens, measured.tries) == ({"trained": 10}, 1)


def test_a_process_that_ends_after_the_stage_leaves_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    with meter.measure(tmp_path / "work" / "cost"):
        records.remove(tmp_path / "work")
    assert list(tmp_path.iterdir()) == []


def test_a_cost_is_that_of_one_result(tmp_path, monkeypatch):
    monkeypatch.setenv("SENSE_WORK", str(tmp_path / "work"))
    result = tmp_path / "metrics.json"
    assert record.read("sft", result) is None
    result.write_text("1")
    expected = cost(tokens={"trained": 3}, money=1.5, peak_gpu_bytes=9, tries=2, complete=False)
    record.write("sft", result, expected)
    assert record.read("sft", result) == expected
    assert record.read("dpo", result) is None
    result.write_text("2")
    assert record.read("sft", result) is None
    result.write_text("1")
    assert record.read("sft", result) == expected


def test_a_cost_goes_through_numbers_and_back():
    for expected in (cost(), cost(tokens={"generated": 3}, money=0.0, peak_gpu_bytes=9, gpu_s=3.0, tries=2, complete=False)):
        numbers = expected.numbers() | {"loss": 3.0}
        assert all(type(value) is float for value in numbers.values())
        assert record.from_numbers(numbers) == expected
    assert record.from_numbers({"loss": 3.0}) is None
    assert record.from_numbers({"cost.wall_s": float("nan")}) is None


def test_the_cost_of_parts_is_their_sum_with_the_tries_of_one_of_them(tmp_path, monkeypatch):
    monkeypatch.setenv("SENSE_WORK", str(tmp_path / "work"))
    result = tmp_path / "metrics.json"
    result.write_text("1")
    record.write_sum("sample", result, [{"loss": 1.0}])
    assert record.numbers("sample", result) == {}
    record.write_sum("sample", result, [cost(tokens={"generated": 3}).numbers(), cost(tries=2).numbers()])
    assert record.read("sample", result) == cost(wall_s=2.0, cpu_s=2.0, tokens={"generated": 3}, tries=2)


def test_a_sum_takes_the_larger_memory_and_is_incomplete_where_something_is_missing():
    both = [cost(peak_bytes=5, money=1.0), cost(peak_bytes=3, peak_gpu_bytes=2, tokens={"trained": 2})]
    assert record.total(both) == cost(
        wall_s=2.0, cpu_s=2.0, peak_bytes=5, peak_gpu_bytes=2, tokens={"trained": 2}, money=1.0, tries=2
    )
    assert not record.total([*both, None]).complete
    assert record.total([None]) is None
