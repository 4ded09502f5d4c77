"""What an LLM's answers cost: the tokens and the money of each request that was paid for, and the budget that ends a run in time.

The ledger of a run is a JSONL file with a line for each answer that the endpoint gave, whether it could be used or not. A run
that was killed finds its file again, so that all its tries together have one budget.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import Condition
from typing import Any

from pydantic import Field

from sense.config import LlmConfig
from sense.cost import usage
from sense.errors import UserError
from sense.records import Log, Record

MILLION = 1_000_000


class BudgetError(UserError):
    """The next request might cost more than is left of the budget."""


@dataclass(frozen=True)
class Tokens:
    """What the model read and wrote for an answer; `cached` of the prompt's tokens the server had read before."""

    prompt: int
    cached: int
    completion: int


class Payment(Record):
    """A line of the ledger; tokens are None where the server does not count them, `money` is None without prices.

    `batch` names the batch and the request in it, if the answer came from one.
    """

    stage: str
    model: str
    prompt: int | None
    cached: int | None
    completion: int | None
    money: float | None
    batch: str = Field(default="", exclude_if=lambda name: not name)


def read_tokens(body: bytes) -> Tokens | None:
    """The tokens that an answer says it took; None if it does not say."""
    try:
        return tokens_of(json.loads(body))
    except (ValueError, RecursionError):
        return None


def tokens_of(answer: Any) -> Tokens | None:
    """The tokens of an answer as JSON (thoughts are among the completion's); None if it does not say."""
    try:
        counts = answer["usage"]
        prompt, completion = counts["prompt_tokens"], counts["completion_tokens"]
    except (KeyError, TypeError):
        return None
    if type(prompt) is not int or type(completion) is not int:
        return None
    details = counts.get("prompt_tokens_details")
    cached = details.get("cached_tokens") if isinstance(details, dict) else None
    return Tokens(prompt, cached if type(cached) is int and 0 <= cached <= prompt else 0, completion)


def price(config: LlmConfig, tokens: Tokens, in_batch: bool = False) -> float | None:
    """What the tokens of an answer cost, in the currency of the prices; None without prices."""
    if config.prompt_price is None or config.completion_price is None:
        return None
    cached_price = config.prompt_price if config.cached_price is None else config.cached_price
    read = (tokens.prompt - tokens.cached) * config.prompt_price + tokens.cached * cached_price
    share = config.batch_price_share if in_batch else 1.0
    return share * (read + tokens.completion * config.completion_price) / MILLION


def _highest_price(config: LlmConfig, body: Mapping[str, Any], in_batch: bool = False) -> float:
    """The most that a request with this body can cost."""
    if config.prompt_price is None:
        return 0.0
    return price(config, Tokens(len(json.dumps(body)), 0, config.max_tokens), in_batch) or 0.0  # a token has a byte or more


class Ledger:
    """The payments of one run of a stage; thread-safe. Use it in a `with` block.

    `name` is that of the run, `paid` the sum of all its tries, `answers` the number of answers paid for.
    """

    def __init__(self, config: LlmConfig, path: Path | None = None, stage: str = "synthesize") -> None:
        """Reads what earlier tries have left in `path`; without a path nothing is written."""
        self._config, self._stage = config, stage
        self._log = None if path is None else Log(path, Payment)
        rows = [] if self._log is None else self._log.rows
        self.name = "" if path is None else path.stem
        self.paid = sum(row.money or 0.0 for row in rows)
        self.answers = len(rows)
        self._batch_answers = {row.batch for row in rows if row.batch}
        self._reserved, self._on_their_way = 0.0, 0
        self._ended = False
        self._changed = Condition()

    def reserve(self, body: Mapping[str, Any]) -> float:
        """Sets aside the most that a request with this body can cost, and returns it.

        Waits while that is more than is left only because other requests are on their way; BudgetError if it is more anyway.
        """
        most = _highest_price(self._config, body)
        budget = self._config.budget
        with self._changed:
            while budget is not None and self.paid + self._reserved + most > budget:
                if self._ended or not self._on_their_way:
                    self._ended = True
                    self._changed.notify_all()
                    raise BudgetError(self._budget_message(budget, most))
                self._changed.wait()
            self._reserved += most
            self._on_their_way += 1
        return most

    def reserve_batch(self, bodies: Iterable[Mapping[str, Any]], least: int | None = None) -> list[float]:
        """Sets aside the most that the requests of a batch can cost, and returns that of each, in their order.

        With `least` it ends before the first request that the budget has no room for; BudgetError if there are fewer than that,
        and more to come. Without, all are taken: they were sent before a kill.
        """
        budget = self._config.budget
        reserved: list[float] = []
        with self._changed:
            for body in bodies:
                most = _highest_price(self._config, body, in_batch=True)
                if budget is not None and least is not None and self.paid + self._reserved + sum(reserved) + most > budget:
                    if len(reserved) < least:
                        raise BudgetError(self._budget_message(budget, most))
                    break
                reserved.append(most)
            self._reserved += sum(reserved)
            self._on_their_way += len(reserved)
        return reserved

    def settle(self, reserved: float, body: bytes | None, charged: bool = True, batch: str = "", stage: str = "") -> None:
        """Enters what a request has cost for which `reserved` was set aside, under `stage` or else that of the ledger.

        `body` is the answer's. Where the answer did not come or counts no tokens, and may be charged for nevertheless, the budget
        is held to have paid the most. `batch` names the batch of the answer and its request in it: what an earlier try of the run
        has entered of it before it was killed is not entered again.
        """
        tokens = None if body is None else read_tokens(body)
        money = reserved if tokens is None else price(self._config, tokens, bool(batch))
        with self._changed:
            self._on_their_way -= 1
            self._reserved = self._reserved - reserved if self._on_their_way else 0.0
            if charged and batch not in self._batch_answers:
                self._enter(tokens, money, batch, stage or self._stage)
            self._changed.notify_all()

    def _enter(self, tokens: Tokens | None, money: float | None, batch: str, stage: str) -> None:
        self.paid += money or 0.0
        self.answers += 1
        if tokens is None:
            usage.count_gap()
        else:
            usage.count("teacher_prompt", tokens.prompt)
            usage.count("teacher_completion", tokens.completion)
            if tokens.cached:
                usage.count("teacher_cached", tokens.cached)
            if money is not None:
                usage.spend(money)
        if self._log is not None:
            counts = {"prompt": None, "cached": None, "completion": None} if tokens is None else vars(tokens)
            has_price = self._config.prompt_price is not None
            row = Payment.model_validate(
                {
                    "stage": stage,
                    "model": self._config.model,
                    **counts,
                    "money": money if has_price else None,
                    "batch": batch,
                }
            )
            self._log.append([row])
            self._log.rows.clear()
        if batch:
            self._batch_answers.add(batch)

    def summary(self) -> str:
        """What was paid, for a person."""
        money = "" if self._config.prompt_price is None else f", {self.paid:.4g} in money"
        return f"answers of {self._config.model} paid for by this run: {self.answers}{money}"

    def _budget_message(self, budget: float, most: float) -> str:
        return (
            f"the budget of {budget:g} (--budget, synthesize.llm.budget) is used up: {self.paid:.4g} paid for {self.answers} "
            f"answers, which are kept, and one more may cost {most:.2g}. Run again with a higher budget to go on from there, or "
            "with a lower synthesize.count; sense synthesize --dry-run estimates the cost of the whole"
        )

    def __enter__(self) -> "Ledger":
        return self

    def __exit__(self, *_: object) -> None:
        if self._log is not None:
            self._log.__exit__()
