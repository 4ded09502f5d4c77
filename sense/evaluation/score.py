"""Verdicts on predictions: each is executed, its gold is executed, and the results are compared."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sense import console
from sense.records import Verdict
from sense.sql import modes
from sense.sql.execute import Executor, place

Item = tuple[str, Path, str, str]  # id, database, predicted SQL, gold SQL

_AT_ONCE = 64  # predictions in one task, so that the last tasks can be shared out among the workers


def score(executor: Executor, items: Sequence[Item], label: str, mode: str = modes.STRICT) -> list[Verdict]:
    """The verdicts on `items` (id, database, predicted SQL, gold SQL), in their order; `label` names the progress bar.

    A gold is executed once, and so is the same prediction on the same question's gold, however often it occurs. Where
    the gold does not run, the verdict is gold_error; where both results are empty, they match, but the verdict is marked
    as vacuous. `mode` is one of modes.MODES.
    """
    places = {database: str(database) for _, database, _, _ in items}  # texts are quicker to look up than paths
    keys = [(places[database], gold, predicted) for _, database, predicted, gold in items]
    waiting = Counter(keys)
    groups: dict[tuple[str, str], list[str]] = {}
    for database, gold, predicted in waiting:
        groups.setdefault((database, gold), []).append(predicted)
    tasks, costs, sources = [], [], []
    for (database, gold), predictions in groups.items():
        files = modes.databases(mode, Path(database))
        size = sum(file.stat().st_size for file in files if file.is_file())
        for start in range(0, len(predictions), _AT_ONCE):
            part = predictions[start : start + _AT_ONCE]
            tasks.append(modes.task(mode, tuple(map(place, files)), gold, part))
            costs.append(float(size * (1 + len(part))))
            sources.append([(database, gold, predicted) for predicted in part])
    rulings: dict[tuple[str, str, str], dict[str, Any]] = {}
    with console.bar(label, total=len(items)) as progress:
        for number, found in executor.judge(tasks, costs):
            rulings |= {key: ruling._asdict() for key, ruling in zip(sources[number], found, strict=True)}
            progress.advance(sum(waiting[key] for key in sources[number]))
    return [Verdict(id=item[0], mode=mode, **rulings[key]) for item, key in zip(items, keys, strict=True)]
