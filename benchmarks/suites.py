"""Measures test suites on Spider's databases: time and size, golds that are empty there, and wrong queries that are told apart.

    .venv/bin/python benchmarks/suites.py [--databases N] [--instances N] [--golds N]

Spider's training set must lie beside the working copy. Databases are drawn evenly from the sorted list; golds that return nothing
on their own database are left out, as `ingest` leaves them out. For each gold drawn, its mutants (sense.sql.mutants) are judged
under strict-ts@1: how many are right on the main database, on the first two further ones too, and so on. Some mean the same as
the gold under the schema's keys. What people would call another right answer is judged too: `superlative` has
= (SELECT MAX(...)) in the place of ORDER BY ... LIMIT 1, which differs where there are ties or NULLs.
"""

import argparse
import random
import sys
import tempfile
import time
from collections import Counter, defaultdict
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from sqlglot import exp  # noqa: E402

from sense import ingest  # noqa: E402  (the working copy is not on the path of a script in it)
from sense.config import ExecutionConfig  # noqa: E402
from sense.evaluation.score import ScoringItem, score  # noqa: E402
from sense.schema import introspect  # noqa: E402
from sense.sql.execute import Executor  # noqa: E402
from sense.sql.modes import STRICT_TS  # noqa: E402
from sense.sql.mutants import mutants  # noqa: E402
from sense.sql.result import Failure  # noqa: E402
from sense.sql.tree import parse_query  # noqa: E402
from sense.suite import SuiteCounts, write_suite  # noqa: E402

SPIDER = ROOT.parent / "shared" / "spider"
AFTER = (0, 1, 2, 3, 9)  # numbers of further databases after which survivors are counted


def superlative(gold: str) -> str:
    """The gold with the largest or smallest value looked up in place of a sort; "" for other golds."""
    tree = parse_query(gold)
    if not isinstance(tree, exp.Select) or tree.args.get("joins") or tree.args.get("where") or tree.args.get("group"):
        return ""
    order, limit = tree.args.get("order"), tree.args.get("limit")
    if order is None or limit is None or limit.expression.name != "1" or len(order.expressions) != 1:
        return ""
    key = order.expressions[0]
    if not isinstance(key.this, exp.Column):
        return ""
    table = tree.args["from_" if "from_" in tree.args else "from"].this.name
    extreme = "max" if key.args.get("desc") else "min"
    tree.set("order", None)
    tree.set("limit", None)
    return tree.where(f'{key.this.sql()} = (SELECT {extreme}("{key.this.name}") FROM "{table}")', dialect="sqlite").sql("sqlite")


def first_difference(correct: bool, instance: str) -> int:
    """The number of the first database on which a prediction is wrong: 0 for the main one; larger than all if it is right."""
    return 1_000_000 if correct else int(instance.removeprefix("suite_").removesuffix(".sqlite") or 0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--databases", type=int, default=20)
    parser.add_argument("--instances", type=int, default=9)
    parser.add_argument("--golds", type=int, default=25, help="of each database, drawn")
    options = parser.parse_args()
    source = ingest.read_seeds(SPIDER)
    queries = defaultdict(dict)
    for question in source.seed:
        queries[question.db_id][question.sql] = None
    db_ids = sorted(queries)[:: max(1, len(queries) // options.databases)][: options.databases]
    counts, seconds, sizes = SuiteCounts(), [], []
    differences: Counter[tuple[str, int]] = Counter()
    with tempfile.TemporaryDirectory() as folder, Executor(ExecutionConfig()) as executor:
        for db_id in db_ids:
            if source.write_database(db_id, Path(folder) / db_id) is not None:
                continue
            database = Path(folder) / db_id / f"{db_id}.sqlite"
            outcomes = zip(queries[db_id], executor.map((database, sql) for sql in queries[db_id]), strict=True)
            golds = [sql for sql, outcome in outcomes if not isinstance(outcome, Failure) and outcome.rows]
            start = time.monotonic()
            counts += write_suite(executor, database, golds, options.instances, f"0-{db_id}")
            seconds.append(time.monotonic() - start)
            sizes += [file.stat().st_size for file in database.parent.glob("suite_*.sqlite")]
            columns = {table.name: [column.name for column in table.columns] for table in introspect(database).tables}
            items, kinds = [], []
            for gold in random.Random(db_id).sample(golds, min(options.golds, len(golds))):
                answers = [(mutant.sql, mutant.error_class) for mutant in mutants(gold, columns)]
                answers += [(superlative(gold), "(right: superlative)")] if superlative(gold) else []
                items += [ScoringItem(str(len(items) + i), database, sql, gold) for i, (sql, _) in enumerate(answers)]
                kinds += [kind for _, kind in answers]
            for kind, verdict in zip(kinds, score(executor, items, db_id, STRICT_TS), strict=True):
                differences[kind, first_difference(verdict.correct, verdict.instance)] += 1
    print(f"{len(seconds)} databases, {options.instances} instances each, {sum(seconds) / len(seconds):.2f} s a database")
    print(f"{sum(sizes) / len(sizes) / 1024:.0f} KiB an instance; the largest {max(sizes) / 1024:.0f} KiB")
    weak = counts.refilled + counts.empty + counts.failed
    print(f"golds on instances: {counts.golds}; empty at first {weak / counts.golds:.1%}, after refilling ", end="")
    print(f"{(counts.empty + counts.failed) / counts.golds:.1%}; {counts.failed} do not run")
    print("right on the main database and the first n further ones, n =", *AFTER)
    for kind in ("all mutants", *sorted({kind for kind, _ in differences})):
        of_kind = Counter()
        for (other, place), n in differences.items():
            if other == kind or (kind == "all mutants" and not other.startswith("(")):
                of_kind[place] += n
        total = of_kind.total()
        shares = (sum(n for place, n in of_kind.items() if place > after) / total for after in AFTER)
        print(f"{kind:22}{total:6}", *(f"{share:7.1%}" for share in shares))


if __name__ == "__main__":
    main()
