"""The table of an ablation: each arm's EX and TS on each set, with an interval over questions, and its gain on the arm before."""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from sense.ablation.runs import ArmResult, SetResult
from sense.evaluation.statistics import mcnemar, mean_interval

RESAMPLES = 2000
BASE = "base"


def rows(results: Sequence[ArmResult]) -> list[dict[str, Any]]:
    """A row for the base, and one for each arm in the order of `results`, which has all seeds of every arm.

    `sets` maps each set to `ex` (mean of the seeds, in 0..1), `low` and `high` (95% bootstrap over questions), `by_seed`, `n`,
    `ts` (None without a test suite), and, but for the base, `gain` over the row before and `p`, McNemar's for each seed. An arm
    that changes the data may have other questions in a set: then there is no `gain`, and no `p`.
    """
    by_arm: dict[str, list[ArmResult]] = {}
    for result in results:
        by_arm.setdefault(result.arm.name, []).append(result)
    first = next(iter(by_arm.values()))
    table = [_row(BASE, "no training", [result.base for result in first], None)]
    before = [result.base for result in first]
    for name, of_arm in by_arm.items():
        sets = [result.sets for result in of_arm]
        table.append(_row(name, of_arm[0].arm.effect, sets, before))
        before = sets
    return table


def _row(
    name: str, effect: str, by_seed: Sequence[Mapping[str, SetResult]], before: Sequence[Mapping[str, SetResult]] | None
) -> dict[str, Any]:
    sets: dict[str, Any] = {}
    for on_set in by_seed[0]:
        results = [seed[on_set] for seed in by_seed]
        ids = sorted(results[0].right)
        low, high = mean_interval([fmean(result.right[question] for result in results) for question in ids], RESAMPLES, 0)
        suites = [result.metrics["ts"] for result in results if result.metrics.get("ts") is not None]
        values: dict[str, Any] = {
            "n": len(ids),
            "ex": fmean(result.metrics["ex"] for result in results),
            "low": low,
            "high": high,
            "by_seed": [result.metrics["ex"] for result in results],
            "ts": fmean(suites) if suites else None,
        }
        earlier = [seed[on_set] for seed in before or [] if on_set in seed]
        if earlier and {result.metrics["digest"] for result in (*earlier, *results)} == {results[0].metrics["digest"]}:
            values["gain"] = values["ex"] - fmean(result.metrics["ex"] for result in earlier)
            values["p"] = [
                mcnemar([one.right[question] for question in ids], [other.right[question] for question in ids])[2]
                for one, other in zip(earlier, results, strict=True)
            ]
        sets[on_set] = values
    return {"arm": name, "effect": effect, "sets": sets}


def markdown(table: Sequence[Mapping[str, Any]], seeds: Sequence[int]) -> str:
    """The table in Markdown, one for each set."""
    parts = []
    for on_set, first in table[0]["sets"].items():
        lines = [
            f"**{on_set}**, {first['n']:,} questions, {_seeds(seeds)}",
            "",
            "| arm | | EX | 95% interval | by seed | TS | gain | McNemar p by seed |",
            "|---|---|---|---|---|---|---|---|",
        ]
        lines += ["| " + " | ".join(cells(row, on_set)) + " |" for row in table]
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


def cells(row: Mapping[str, Any], on_set: str) -> list[str]:
    """The texts of a row for one set; empty where the arm has no such set."""
    values = row["sets"].get(on_set)
    if values is None:
        return [row["arm"], row["effect"], "", "", "", "", "", ""]
    return [
        row["arm"],
        row["effect"],
        f"{values['ex']:.1%}",
        f"{values['low']:.1%} to {values['high']:.1%}",
        ", ".join(f"{ex:.1%}" for ex in values["by_seed"]),
        "" if values["ts"] is None else f"{values['ts']:.1%}",
        f"{values['gain'] * 100:+.1f}" if "gain" in values else "",
        ", ".join(f"{p:.2g}" for p in values.get("p", ())),
    ]


def _seeds(seeds: Sequence[int]) -> str:
    return f"seed {seeds[0]}" if len(seeds) == 1 else f"mean of the seeds {', '.join(map(str, seeds))}"
