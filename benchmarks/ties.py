"""Compares `strict@2` with `strict@1` on Spider's ordered golds: verdicts that differ, why, and the time of both.

    .venv/bin/python benchmarks/ties.py [--rounds N] [--mode MODE ...]

Spider's training set must lie beside the working copy. Each gold with an outermost ORDER BY is judged against itself and against
predictions made out of it:

    ties up, ties down   the first column as one more sort key: a right answer, in which ties come in an order of their own
    other limit          LIMIT one higher, or one where there was none: wrong unless there are no more rows

The modes take turns, so that other work on the machine touches both alike.
"""

import argparse
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from sense import ingest  # noqa: E402  (the working copy is not on the path of a script in it)
from sense.config import ExecutionConfig  # noqa: E402
from sense.evaluation.score import ScoringItem, score  # noqa: E402
from sense.records import Verdict  # noqa: E402
from sense.sql.execute import Executor  # noqa: E402
from sense.sql.parse import Token, tokens  # noqa: E402
from sense.sql.tree import is_ordered, order_columns  # noqa: E402

SPIDER = ROOT.parent / "shared" / "spider"


def last_clause(code: list[Token], word: str) -> int:
    """The index of the last `word` outside parentheses, the number of tokens if there is none."""
    return max((i for i, token in enumerate(code) if token.depth == 0 and token.text.upper() == word), default=len(code))


def perturb(gold: str) -> dict[str, str]:
    """The predictions made out of a gold, by the name of the change."""
    code = [token for token in tokens(gold) if token.kind != "comment"]
    limit = last_clause(code, "LIMIT")
    keys = last_clause(code, "ORDER")
    keys += next(i for i, token in enumerate(code[keys:]) if token.text.upper() == "BY") + 1
    texts = [token.text for token in code]
    head, order, rest = "".join(texts[:keys]), "".join(texts[keys:limit]), "".join(texts[limit:])
    number = int(code[limit + 2].text) if limit < len(code) else 0
    return {
        "gold": gold,
        "ties up": f"{head}{order}, 1 {rest}",
        "ties down": f"{head}{order}, 1 DESC {rest}",
        "other limit": f"{head}{order} LIMIT {number + 1}",
    }


def why(gold: str, verdict: Verdict) -> str:
    """What the modes see differently in a gold: its keys, or more rows at its LIMIT."""
    if verdict.kind == "values":
        return "ties at the LIMIT"
    return "a sort key that is no plain column" if order_columns(gold) is None else "other"


def main() -> None:
    """Prints the verdicts of both modes on each kind of prediction, and the seconds of each round."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--mode", action="append", help="default: strict@1 and strict@2")
    options = parser.parse_args()
    modes = options.mode or ["strict@1", "strict@2"]
    source = ingest.read_seeds(SPIDER)
    rows = [row for row in source.seed if is_ordered(row.sql)]
    with tempfile.TemporaryDirectory() as folder, Executor(ExecutionConfig(workers=2)) as executor:
        for name in {row.db_id for row in rows}:
            source.write_database(name, Path(folder, name))
        items = [
            ScoringItem(f"{row.index}#{kind}", Path(folder, row.db_id, f"{row.db_id}.sqlite"), text, row.sql)
            for row in rows
            for kind, text in perturb(row.sql).items()
        ]
        verdicts: dict[str, list[Verdict]] = {}
        for number in range(options.rounds):
            for mode in modes:
                started = time.perf_counter()
                verdicts[mode] = score(executor, items, mode, mode)
                print(f"round {number}: {mode}: {time.perf_counter() - started:.2f} s for {len(items):,} predictions")
    for mode in modes:
        counts = Counter(
            (item.id.partition("#")[2], verdict.verdict) for item, verdict in zip(items, verdicts[mode], strict=True)
        )
        print(mode, *(f"  {kind}: {verdict} {count}" for (kind, verdict), count in sorted(counts.items())), sep="\n")
    if len(modes) == 2:
        one, other = (verdicts[mode] for mode in modes)
        different = Counter(
            (item.id.partition("#")[2], before.verdict, after.verdict, why(item.gold, before if after.correct else after))
            for item, before, after in zip(items, one, other, strict=True)
            if before.correct != after.correct
        )
        print("judged differently", *(f"  {' '.join(key)}: {count}" for key, count in sorted(different.items())), sep="\n")


if __name__ == "__main__":
    main()
