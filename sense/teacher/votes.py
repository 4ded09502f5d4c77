"""How several answers to one question vote: which have the gold's result, and which of the others agree with one another."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from sense.sql import modes
from sense.sql.database_file import DatabaseFile
from sense.sql.execute import Executor

HARD, AMBIGUOUS = "hard", "ambiguous"


class Vote(NamedTuple):
    """The verdict on each answer against the gold, and to which group of equal results it belongs.

    Group 0 is the gold's; an answer that does not run has the group -1.
    """

    verdicts: tuple[str, ...]
    groups: tuple[int, ...]

    @property
    def reason(self) -> str | None:
        """HARD or AMBIGUOUS; None if the gold's result is confirmed. There is one answer at least."""
        votes = [self.groups.count(group) for group in range(1 + max(0, *self.groups))]
        others = max(votes[1:], default=0)
        if votes[0] >= max(1, others):
            return None
        return AMBIGUOUS if others > 1 else HARD


def vote(executor: Executor, database: Path, gold: str, answers: Sequence[str]) -> Vote:
    """How the answers do against the gold on `database` and all instances of its suite, and which have the same result."""
    files = tuple(DatabaseFile.from_path(file) for file in modes.databases(modes.STRICT_TS, database))

    def judge(right: str, others: Sequence[str]) -> list[tuple[bool, str]]:
        batch = modes.make_batch(modes.STRICT, files, right, others)
        return [(verdict.correct, verdict.verdict) for verdict in executor.judge_all([batch])[0]]

    verdicts = judge(gold, answers)
    groups = [0 if correct else -1 for correct, _ in verdicts]
    left = [number for number, (correct, verdict) in enumerate(verdicts) if not correct and verdict == "mismatch"]
    group = 0
    while left:
        group += 1
        same = judge(answers[left[0]], [answers[number] for number in left[1:]])
        members = [left[0], *(number for number, (correct, _) in zip(left[1:], same, strict=True) if correct)]
        for number in members:
            groups[number] = group
        left = [number for number in left if number not in members]
    return Vote(tuple(verdict for _, verdict in verdicts), tuple(groups))
