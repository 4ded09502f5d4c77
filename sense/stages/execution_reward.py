"""The reward of GRPO: what an answer to a question is worth when it is executed as samples are, in the sandboxed workers."""

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from sqlglot import exp

from sense import records
from sense.evaluation.score import ScoringItem, score
from sense.prompts import answer_sql
from sense.records import Example, Verdict
from sense.schema import introspect
from sense.sql import modes
from sense.sql.execute import Executor
from sense.sql.tree import parse_query
from sense.stages.pairs import UNEXECUTED

RIGHT, RUNS, NOTHING = 1.0, 0.1, 0.0


class ExecutionReward:
    """Rewards of answers to the questions of a dataset folder.

    An answer is worth 1 if it is right on all databases of its question, and a tenth if it runs and is not. One that reads no
    table of the schema is worth nothing, whatever it returns: a constant that happens to be the result is no answer. A match of
    two empty results proves little, so that it is worth a tenth.
    """

    def __init__(self, executor: Executor, dataset: Path, examples: Mapping[str, Example]) -> None:
        self._executor, self._dataset, self._examples = executor, dataset, examples
        self._tables = cache(self._read_tables)

    def __call__(self, ids: Sequence[str], answers: Sequence[str]) -> list[float]:
        """The rewards of `answers`, as the model wrote them, to the questions of `ids`, in their order."""
        queries = [answer_sql(answer) for answer in answers]
        examples = [self._examples[name] for name in ids]
        items = [
            ScoringItem(str(number), records.database_path(self._dataset, example.db_id), query, example.sql)
            for number, (example, query) in enumerate(zip(examples, queries, strict=True))
        ]
        verdicts = score(self._executor, items, "reward", modes.STRICT_TS)
        return [
            self._reward(example.db_id, query, verdict)
            for example, query, verdict in zip(examples, queries, verdicts, strict=True)
        ]

    def _reward(self, db_id: str, query: str, verdict: Verdict) -> float:
        if verdict.verdict in (*UNEXECUTED, "gold_error") or not self._reads_a_table(db_id, query):
            return NOTHING
        return RIGHT if verdict.correct and not verdict.vacuous else RUNS

    def _reads_a_table(self, db_id: str, query: str) -> bool:
        """Whether a query names a table of the schema; one that cannot be parsed does not."""
        tree = parse_query(query)
        if tree is None:
            return False
        own = {cte.alias.lower() for cte in tree.find_all(exp.CTE)}
        names = {table.name.lower() for table in tree.find_all(exp.Table)} - own
        return not names.isdisjoint(self._tables(db_id))

    def _read_tables(self, db_id: str) -> frozenset[str]:
        schema = introspect(records.database_path(self._dataset, db_id))
        return frozenset(table.name.lower() for table in schema.tables)
