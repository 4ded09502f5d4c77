"""Which golds can be used: SELECTs that run, return rows, and return the same tomorrow. What cannot be used is counted."""

from collections import Counter

from sense.sql.result import Outcome, Result

_REASONS = {"rejected": "gold rejected", "error": "gold fails", "timeout": "gold times out", "too_large": "gold too large"}
VARIES = "gold reads the clock or draws random numbers"
"""The reason against a gold of which `varies_between_runs` is true."""


def fault(outcome: Outcome) -> tuple[str, str] | None:
    """Why a gold with this outcome cannot be used, as a reason to count by and a detail for people; None if it can."""
    if not isinstance(outcome, Result):
        return _REASONS[outcome.verdict], outcome.detail
    return None if outcome.rows else ("gold returns nothing", "")


class DroppedQuestions:
    """The questions dropped so far: `counts` by reason, and a description of the first one of each reason."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._first: dict[str, str] = {}

    def add(self, reason: str, question: str, detail: str = "") -> None:
        """Counts a question, which `question` describes; `detail` is for people."""
        self.counts[reason] += 1
        self._first.setdefault(reason, question + (f" ({detail})" if detail else ""))

    def lines(self) -> list[str]:
        """One line for each reason."""
        return [f"dropped {count}: {reason}, first: {self._first[reason]}" for reason, count in sorted(self.counts.items())]
