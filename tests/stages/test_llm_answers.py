"""Runs of synthesize with an LLM that share answers: nothing is paid for twice, and a budget ends a run in time."""

import json
import os
import re
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from sense import cli, records
from tests.endpoint import Answerer, Endpoint, Reply, good_teacher
from tests.killed import file_changes, run_until_killed
from tests.llm_runs import digests, run_llm, seed_dataset
from tests.test_pipeline import ROOT

GOOD = good_teacher(nonsense=0.2)
PRICES = {"prompt_price": 2.0, "completion_price": 10.0}
COSTS = 0.003  # of each answer below


def counted(answer: Answerer, prompt: int = 1000, completion: int = 100) -> Answerer:
    """The same answers with a count of tokens."""

    def reply(request: dict[str, Any]) -> Reply:
        status, headers, body = answer(request)
        return status, headers, body | {"usage": {"prompt_tokens": prompt, "completion_tokens": completion}}

    return reply


@pytest.fixture(autouse=True)
def same_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """The digest of the code takes longer than a run."""
    monkeypatch.setattr("sense.stages.code_dependencies.revision", lambda _: "the same")


def seeds(run: Any) -> list[int]:
    return [request.body["seed"] for request in run.requests]


def test_another_count_another_concurrency_and_a_fresh_work_folder_ask_for_what_is_new_alone(tmp_path: Path):
    shared = {"answers": str(tmp_path / "answers")}
    first = run_llm(GOOD, tmp_path / "first", llm=shared, count=8)
    more = run_llm(GOOD, tmp_path / "more", llm=shared | {"concurrency": 4}, count=14)
    fewer = run_llm(GOOD, tmp_path / "fewer", llm=shared | {"concurrency": 2}, count=8)
    assert len(first.requests) == first.metrics["funnel"]["asked"]
    assert len(first.requests) + len(more.requests) == more.metrics["funnel"]["asked"]
    assert not set(seeds(first)) & set(seeds(more))
    assert fewer.requests == []
    assert fewer.metrics == first.metrics
    assert digests(tmp_path / "fewer") == digests(tmp_path / "first")
    alone = run_llm(GOOD, tmp_path / "alone", count=14)
    assert alone.metrics == more.metrics
    assert digests(tmp_path / "alone") == digests(tmp_path / "more")


def test_offline_takes_what_is_there_and_counts_what_is_missing(tmp_path: Path):
    shared = {"answers": str(tmp_path / "answers")}
    run = run_llm(GOOD, tmp_path / "run", llm=shared, count=8)
    offline = run_llm(GOOD, tmp_path / "offline", llm=shared | {"offline": True}, count=8)
    assert offline.requests == []
    assert offline.metrics == run.metrics
    more = run_llm(GOOD, tmp_path / "more", llm=shared | {"offline": True, "concurrency": 3}, count=12)
    assert more.requests == []
    assert (
        f"{tmp_path}/answers: 4 of the {len(run.requests) + 4} answers that 12 examples need at least are not there"
        in more.message
    )
    assert "run without --offline" in more.message


@pytest.mark.parametrize("moments", [(3, 9, 27), (60, 15, 40)])
def test_killed_several_times_a_run_pays_for_no_answer_twice(tmp_path: Path, moments: tuple[int, ...]):
    undisturbed = run_llm(GOOD, tmp_path / "undisturbed", count=8)
    work = tmp_path / "killed"
    seed_dataset(work / "seed")
    asked = tmp_path / "asked"

    def answer(request: dict[str, Any]) -> Reply:
        with asked.open("a") as stream:
            stream.write(f"{request['seed']}\n")
        return GOOD(request)

    for moment in moments:
        run_until_killed(lambda: run_llm(answer, work, count=8), moment, file_changes(work))
    assert run_llm(answer, work, count=8).metrics == undisturbed.metrics
    assert digests(work) == digests(tmp_path / "undisturbed")
    counts = Counter(asked.read_text().split())
    assert set(counts) == set(map(str, seeds(undisturbed)))
    assert sum(counts.values()) - len(counts) <= len(moments)  # that which was on its way at the kill


def test_answers_come_in_any_order_and_the_result_is_the_same(tmp_path: Path):
    slow = threading.Event()
    later: list[int] = []

    def first_one_is_last(request: dict[str, Any]) -> Reply:
        if request["seed"] == first:
            assert slow.wait(30)
        else:
            later.append(request["seed"])
            if len(later) == 8:  # more than may be in flight: the first one holds up none of them
                slow.set()
        return good_teacher()(request)

    undisturbed = run_llm(good_teacher(), tmp_path / "undisturbed", count=12)
    first = seeds(undisturbed)[0]
    run = run_llm(first_one_is_last, tmp_path / "slow", count=12, llm={"concurrency": 3})
    assert run.metrics == undisturbed.metrics
    assert digests(tmp_path / "slow") == digests(tmp_path / "undisturbed")
    assert len(run.requests) == 12


def test_a_budget_ends_the_run_before_it_is_crossed_and_a_higher_one_goes_on(tmp_path: Path):
    llm = PRICES | {"concurrency": 3, "max_tokens": 200}
    undisturbed = run_llm(counted(good_teacher()), tmp_path / "undisturbed", llm=llm, count=12)
    broken = run_llm(counted(good_teacher()), tmp_path / "run", llm=llm | {"budget": 0.025}, count=12)
    assert "the budget of 0.025" in broken.message
    assert 2 <= len(broken.requests) <= 0.025 / COSTS
    stays = run_llm(counted(good_teacher()), tmp_path / "run", llm=llm | {"budget": 0.025}, count=12)
    assert stays.message == broken.message
    assert stays.requests == []
    run = run_llm(counted(good_teacher()), tmp_path / "run", llm=llm | {"budget": 0.2}, count=12)
    assert run.metrics == undisturbed.metrics
    assert len(broken.requests) + len(run.requests) == 12
    lines = [json.loads(line) for file in (tmp_path / "run").rglob("ledger/*.jsonl") for line in file.read_text().splitlines()]
    assert sum(line["money"] for line in lines) == pytest.approx(12 * COSTS)


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Runs `sense synthesize` against a good teacher with further flags; the exit code and the number of requests."""
    seed = seed_dataset(tmp_path / "seed")
    monkeypatch.setenv("SENSE_WORK", str(tmp_path / "unfinished" / "work"))
    monkeypatch.delenv("SENSE_ANSWERS", raising=False)
    text = (ROOT / "configs" / "tiny.yaml").read_text()

    def run(*flags: str, teacher: str = "llm", **section: Any) -> tuple[int, int]:
        with Endpoint(counted(good_teacher())) as endpoint:
            from sense import config

            value = config.parse(text, "tiny.yaml")
            llm = {"model": "m", "base_url": endpoint.base_url, "concurrency": 2, "questions": 1} | PRICES
            value["synthesize"] |= {"teacher": teacher, "count": 6, "llm": llm, "split": {"heldout_domains": 1}} | section
            (tmp_path / "params.yaml").write_text(json.dumps(value))
            names = ("strong", "unseen", "heldout", "decontamination", "metrics")
            ports = [word for name in names for word in (f"--{name}", str(tmp_path / "out" / name))]
            inputs = ["--seed", str(seed), "--dev", str(seed), "--params", str(tmp_path / "params.yaml")]
            return cli.main(["synthesize", *inputs, *ports, *flags]), len(endpoint.requests)

    return run


def test_the_dry_run_shows_a_prompt_and_a_cost_and_its_answers_are_not_paid_twice(command, tmp_path: Path, capsys):
    assert command("--dry-run", "0") == (0, 0)
    text = capsys.readouterr().out
    assert "Write one more data point at the" in text
    assert "--dry-run 10 estimates what the run costs" in text
    code, requests = command("--dry-run", "4", count=600)
    assert (code, requests) == (0, 4)
    text = capsys.readouterr().out
    money = re.search(r"money +([\d.]+) \(([\d.]+) to ([\d.]+)\)", text)
    assert money
    value, low, high = map(float, money.groups())
    assert low <= value <= high
    assert low <= 600 * COSTS <= high
    assert "tokens of a draft: prompt 1,000 (0 from the server's cache), answer 100" in text
    assert not (tmp_path / "out").exists()
    assert command() == (0, 2)
    assert len(records.read_dataset(tmp_path / "out" / "strong")) > 0
    assert command("--offline") == (0, 0)
    assert len(os.listdir(tmp_path / "unfinished" / "answers")) > 1


def test_flags_end_with_the_exit_code_of_the_user(command, capsys):
    assert command("--offline") == (2, 0)
    assert "6 of the 6 answers that 6 examples need at least are not there" in capsys.readouterr().err
    code, requests = command("--budget", "0.055")  # one answer may cost 0.041
    assert code == 2
    assert 0 < requests <= 0.055 / COSTS
    assert "the budget of 0.055 (--budget" in capsys.readouterr().err
    assert command("--budget", "1", teacher="grammar") == (2, 0)
    assert "set synthesize.teacher to llm" in capsys.readouterr().err
    assert command("--budget", "1", llm={"model": "m"}) == (2, 0)
    assert "budget and cached_price need prompt_price" in capsys.readouterr().err
