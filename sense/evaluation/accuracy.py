"""Verdicts as numbers: EX with its interval, TS where there are test suites, by label, under further modes, and of votes."""

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

from sense import records
from sense.evaluation.statistics import interval, mcnemar, mean_interval
from sense.records import Verdict
from sense.sql.modes import SUITE_MODES

NO_DOMAIN = "(none)"
_SCORES = {"bird-f1@1": "soft_f1"}  # modes whose verdicts have a score, and what its mean is called


class Accuracy:
    """How verdicts are counted: the resamples and the seed of the bootstrap, and whether there are test suites."""

    def __init__(self, resamples: int, seed: int, suite: bool) -> None:
        self._resamples, self._seed, self._suite = resamples, seed, suite

    def of(self, verdicts: Sequence[Verdict]) -> dict[str, Any]:
        """n, EX, TS with suites, the share that ran, how many questions were too long, and the counts of verdicts."""
        executed = sum(verdict.verdict in ("match", "mismatch") for verdict in verdicts)
        return {
            **self._shares(verdicts),
            "executable": executed / len(verdicts),
            "too_long": sum(verdict.limit == "context" for verdict in verdicts),
            "verdicts": records.verdict_counts(verdict.verdict for verdict in verdicts),
        }

    def _shares(self, verdicts: Sequence[Verdict]) -> dict[str, Any]:
        numbers = {"n": len(verdicts), **self._share("ex", [verdict.ex for verdict in verdicts])}
        if self._suite:
            numbers |= self._share("ts", [verdict.correct for verdict in verdicts])
            numbers["left_out"] = sum(verdict.left_out > 0 for verdict in verdicts)
        return numbers

    def _share(self, name: str, flags: Sequence[bool]) -> dict[str, float]:
        low, high = interval(flags, self._resamples, self._seed)
        return {name: sum(flags) / len(flags), f"{name}_low": low, f"{name}_high": high}

    def by_label(self, names: Sequence[str], labels: Sequence[str], verdicts: Sequence[Verdict]) -> dict[str, Any]:
        """n and EX, with suites TS too, of the questions under each label that occurs, in the order of `names`."""
        numbers = {}
        for name, part in _parts(names, labels, verdicts).items():
            numbers[name] = {"n": len(part), "ex": sum(verdict.ex for verdict in part) / len(part)}
            if self._suite:
                numbers[name]["ts"] = sum(verdict.correct for verdict in part) / len(part)
        return numbers

    def by_domain(self, domains: Sequence[str], verdicts: Sequence[Verdict]) -> dict[str, Any]:
        """n and EX, with suites TS too, each with its interval, of every domain, those without one at the end."""
        labels = [domain or NO_DOMAIN for domain in domains]
        names = sorted(set(labels), key=lambda name: (name == NO_DOMAIN, name))
        return {name: self._shares(part) for name, part in _parts(names, labels, verdicts).items()}

    def under(self, mode: str, verdicts: Sequence[Verdict]) -> dict[str, Any]:
        """What a scoring mode measures: EX, TS and soft F1 where it has them, and the golds that fail under it."""
        numbers: dict[str, Any] = {"n": len(verdicts), **self._share("ex", [verdict.ex for verdict in verdicts])}
        if self._suite and mode in SUITE_MODES:
            numbers |= self._share("ts", [verdict.correct for verdict in verdicts])
        if mode in _SCORES:
            scores = [verdict.score or 0.0 for verdict in verdicts]  # as the original: what has none, a failed gold too, is 0
            low, high = mean_interval(scores, self._resamples, self._seed)
            name = _SCORES[mode]
            numbers |= {name: sum(scores) / len(scores), f"{name}_low": low, f"{name}_high": high}
        return {**numbers, "gold_errors": sum(verdict.verdict == "gold_error" for verdict in verdicts)}

    def of_vote(self, voted: Sequence[Verdict], greedy: Sequence[Verdict], samples: Sequence[Sequence[bool]]) -> dict[str, Any]:
        """The vote beside greedy answers, with McNemar's test, and pass@k; `samples` says of each sample whether it is right.

        All go by questions in the same order; a question that was not put to the model has no samples.
        """
        wins, losses, p = mcnemar([verdict.ex for verdict in greedy], [verdict.ex for verdict in voted])
        drawn = list(chain.from_iterable(samples))
        return {
            **self._shares(voted),
            "wins": wins,
            "losses": losses,
            "mcnemar_p": p,
            **self._share("pass_at_k", [any(flags) for flags in samples]),
            "right": sum(drawn) / max(1, len(drawn)),
        }

    def of_perturbed(self, perturbed: Sequence[Verdict], original: Sequence[Verdict]) -> dict[str, Any]:
        """EX on the questions that both have, joined by id: `ex` that on the original, `perturbed_ex` that on the perturbed ones.

        `change` is their difference with its paired interval, `wins` and `losses` count questions that are right on one side
        alone, wins those on the perturbed side. Nothing if they have no question in common.
        """
        right = {verdict.id: verdict.ex for verdict in original}
        pairs = [(right[verdict.id], verdict.ex) for verdict in perturbed if verdict.id in right]
        if not pairs:
            return {}
        before, after = [old for old, _ in pairs], [new for _, new in pairs]
        low, high = mean_interval([new - old for old, new in pairs], self._resamples, self._seed, lowest=-1.0)
        wins, losses, p = mcnemar(before, after)
        return {
            "n": len(pairs),
            **self._share("ex", before),
            **self._share("perturbed_ex", after),
            "change": (sum(after) - sum(before)) / len(pairs),
            "change_low": low,
            "change_high": high,
            "wins": wins,
            "losses": losses,
            "mcnemar_p": p,
        }


def _parts(names: Sequence[str], labels: Sequence[str], verdicts: Sequence[Verdict]) -> Mapping[str, list[Verdict]]:
    """The verdicts under each label that occurs, in the order of `names`."""
    parts = {name: [verdict for label, verdict in zip(labels, verdicts, strict=True) if label == name] for name in names}
    return {name: part for name, part in parts.items() if part}
