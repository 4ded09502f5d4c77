"""The vote of a question's samples: which SQL's result most of them agree on."""

from collections.abc import Sequence

from sense import console, records
from sense.evaluation.evaluation_set import EvaluationSet
from sense.sql.execute import Executor
from sense.sql.parse import tidy
from sense.sql.vote import vote


def winners(executor: Executor, evaluation_set: EvaluationSet, samples: Sequence[Sequence[str]], label: str) -> list[str | None]:
    """For each question of the set the earliest of its samples whose result most of them have; None where none of them runs.

    `samples` go by questions, in the set's order. They are executed on the main database, each text once a question; of
    results that as many have, that of the earliest sample wins. As in the gateway, the order of rows and columns does not count.
    """
    sqls = [[tidy(sql) for sql in of_question] for of_question in samples]
    outcomes = executor.map(
        (records.database_path(evaluation_set.folder, example.db_id), sql)
        for example, of_question in zip(evaluation_set.examples, sqls, strict=True)
        for sql in dict.fromkeys(of_question)
    )
    chosen = []
    with console.bar(label, len(sqls)) as bar:
        for of_question in sqls:
            by_sql = {sql: next(outcomes) for sql in dict.fromkeys(of_question)}
            winner = vote([by_sql[sql] for sql in of_question]).winner
            chosen.append(None if winner is None else of_question[winner])
            bar.advance()
    return chosen
