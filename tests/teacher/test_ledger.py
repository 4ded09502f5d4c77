"""The ledger: prices, the budget that is never crossed, and what a killed run leaves of it."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random
from typing import Any

import pytest

from sense.config import LlmConfig
from sense.teacher.ledger import BudgetError, Ledger, Tokens, price, read_tokens

BODY = {"messages": [{"role": "user", "content": "x" * 1000}]}


def config(**options: Any) -> LlmConfig:
    return LlmConfig.model_validate({"model": "m", "max_tokens": 1000, "prompt_price": 2, "completion_price": 10} | options)


def answer(prompt: int, completion: int, cached: Any = None) -> bytes:
    details = {} if cached is None else {"prompt_tokens_details": {"cached_tokens": cached}}
    return json.dumps({"usage": {"prompt_tokens": prompt, "completion_tokens": completion} | details}).encode()


@pytest.mark.parametrize(
    ("body", "tokens"),
    [
        (answer(10, 5), Tokens(10, 0, 5)),
        (answer(10, 5, 4), Tokens(10, 4, 5)),
        (answer(10, 5, 11), Tokens(10, 0, 5)),
        (answer(10, 5, "4"), Tokens(10, 0, 5)),
        (b'{"usage": {"prompt_tokens": 1, "completion_tokens": 2, "prompt_tokens_details": null}}', Tokens(1, 0, 2)),
        *((text, None) for text in (b"", b"[]", b"{}", b'{"usage": null}', b'{"usage": {"prompt_tokens": 1}}')),
        (b'{"usage": {"prompt_tokens": "1", "completion_tokens": 2}}', None),
    ],
)
def test_tokens_are_read_as_servers_count_them(body, tokens):
    assert read_tokens(body) == tokens


def test_cached_tokens_have_a_price_of_their_own():
    assert price(config(), Tokens(1000, 400, 100)) == pytest.approx((2 * 1000 + 10 * 100) / 1e6)
    assert price(config(cached_price=0.5), Tokens(1000, 400, 100)) == pytest.approx((2 * 600 + 0.5 * 400 + 10 * 100) / 1e6)
    assert price(LlmConfig(model="m"), Tokens(1, 0, 1)) is None


def test_an_answer_of_a_batch_costs_its_share_and_is_entered_once(tmp_path: Path):
    assert price(config(batch_price_share=0.4), Tokens(1000, 0, 100), in_batch=True) == pytest.approx(0.4 * 0.003)
    for _ in range(2):  # the second try of a run that was killed before it forgot the batch
        with Ledger(config(), tmp_path / "run.jsonl") as ledger:
            (reserved,) = ledger.reserve_batch([BODY])
            ledger.settle(reserved, answer(1000, 100), batch="batch_1/a")
        assert (ledger.answers, ledger.paid) == (1, pytest.approx(0.0015))


def test_a_batch_has_as_many_requests_as_the_budget_has_room_for():
    ledger = Ledger(config(budget=0.1))
    reserved = ledger.reserve_batch([BODY] * 30, least=5)
    assert 5 < len(reserved) < 30
    assert sum(reserved) <= 0.1 < sum(reserved) + reserved[0]
    with pytest.raises(BudgetError):
        ledger.reserve_batch([BODY] * 30, least=5)
    assert len(ledger.reserve_batch([BODY] * 30)) == 30  # they are at the endpoint already


@pytest.mark.parametrize("key", ["budget", "cached_price"])
def test_a_budget_needs_prices(key):
    with pytest.raises(ValueError, match="budget and cached_price need prompt_price and completion_price"):
        LlmConfig.model_validate({"model": "m", key: 1})


@pytest.mark.parametrize("counted", [True, False])
def test_a_budget_is_not_crossed_by_requests_at_the_same_time_and_nearly_used(tmp_path: Path, counted: bool):
    file = tmp_path / "ledger" / "run.jsonl"
    paid: list[float] = []

    def ask(number: int) -> None:
        tokens = Tokens(1000, 0, Random(number).randint(1, 1000))
        reserved = ledger.reserve(BODY)
        paid.append(price(config(), tokens) or 0.0)
        ledger.settle(reserved, answer(tokens.prompt, tokens.completion) if counted else None)

    with Ledger(config(budget=0.5), file) as ledger, ThreadPoolExecutor(8) as pool:
        futures = [pool.submit(ask, number) for number in range(200)]
    errors = [error for future in futures if (error := future.exception())]
    assert {type(error) for error in errors} == {BudgetError}
    assert len(errors) + ledger.answers == 200
    assert 0.5 - 0.013 < ledger.paid <= 0.5
    assert sum(paid) <= ledger.paid + 1e-9
    assert "the budget of 0.5" in str(errors[0])
    assert f"paid for {ledger.answers} answers, which are kept" in str(errors[0])
    with Ledger(config(budget=0.5), file) as again:  # the next try of the run has the same budget
        assert again.paid == pytest.approx(ledger.paid)
        with pytest.raises(BudgetError):
            again.reserve(BODY)
    with Ledger(config(budget=0.6), file) as higher:
        assert higher.reserve(BODY) > 0


def test_what_was_never_sent_or_refused_costs_nothing(tmp_path: Path):
    with Ledger(config(), tmp_path / "run.jsonl") as ledger:
        ledger.settle(ledger.reserve(BODY), None, charged=False)
        ledger.settle(ledger.reserve(BODY), answer(10, 5, 4))
    assert (ledger.answers, ledger.paid) == (1, pytest.approx(70 / 1e6))
    (line,) = (tmp_path / "run.jsonl").read_text().splitlines()
    expected = {"stage": "synthesize", "model": "m", "prompt": 10, "cached": 4, "completion": 5, "money": 0.00007}
    assert json.loads(line) == expected
