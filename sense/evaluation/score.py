"""Verdicts on predictions: each is executed, its gold is executed, and the results are compared."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from sense import console
from sense.records import Verdict
from sense.sql import modes
from sense.sql.database_file import DatabaseFile
from sense.sql.execute import Executor

_BATCH_SIZE = 64  # predictions in one batch, so that the last batches can be shared out among the workers


class ScoringItem(NamedTuple):
    """A prediction to be scored: its id, the SQLite file, the predicted SQL and the gold SQL."""

    id: str
    database: Path
    predicted: str
    gold: str


def score(executor: Executor, items: Sequence[ScoringItem], label: str, mode: str = modes.STRICT) -> list[Verdict]:
    """The verdicts on `items`, in their order; `label` names the progress bar, `mode` is one of modes.MODES.

    A gold is executed once, and so is the same prediction on the same question's gold, however often it occurs. Where
    the gold does not run, the verdict is gold_error; where both results are empty, they match, but the verdict is marked
    as vacuous.
    """
    texts = {item.database: str(item.database) for item in items}  # texts are quicker to look up than paths
    keys = [(texts[item.database], item.gold, item.predicted) for item in items]
    repeats = Counter(keys)
    predictions_by_gold: dict[tuple[str, str], list[str]] = {}
    for database, gold, predicted in repeats:
        predictions_by_gold.setdefault((database, gold), []).append(predicted)
    batches, costs, keys_by_batch = [], [], []
    for (database, gold), predictions in predictions_by_gold.items():
        paths = modes.databases(mode, Path(database))
        files = tuple(map(DatabaseFile.from_path, paths))
        size = sum(path.stat().st_size for path in paths if path.is_file())
        for start in range(0, len(predictions), _BATCH_SIZE):
            part = predictions[start : start + _BATCH_SIZE]
            batches.append(modes.make_batch(mode, files, gold, part, str(Path(database).absolute())))
            costs.append(float(size * (1 + len(part))))
            keys_by_batch.append([(database, gold, predicted) for predicted in part])
    fields: dict[tuple[str, str, str], dict[str, Any]] = {}
    with console.bar(label, total=len(items)) as progress:
        for number, verdicts in executor.judge(batches, costs):
            fields |= {key: verdict._asdict() for key, verdict in zip(keys_by_batch[number], verdicts, strict=True)}
            progress.advance(sum(repeats[key] for key in keys_by_batch[number]))
    return [Verdict(id=item.id, mode=mode, **fields[key]) for item, key in zip(items, keys, strict=True)]
