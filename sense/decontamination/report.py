"""The report of a comparison: which sets were compared, by their digests, what was dropped, and what overlaps still.

`check` is the gate of `sense evaluate`: a figure is worth nothing if the model may have been trained on the questions.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from pydantic import ValidationError

from sense import records
from sense.decontamination.compared_sets import ComparedSet, read_dataset
from sense.decontamination.comparison import Overlap
from sense.errors import InputError, UserError
from sense.records import Record


class SetSummary(Record):
    """A set that was compared, as it was then; of rows alone (`databases` 0), the schemas were not compared."""

    digest: str
    examples: int
    databases: int


class Report(Record):
    """`data` and `against`: every set, by its name. `dropped`: the rows that were taken out of the data, by set and reason.

    `overlaps` are those rows, each with the row that it overlaps with. `remaining` are rows that overlap and were not taken out.
    """

    data: dict[str, SetSummary]
    against: dict[str, SetSummary]
    dropped: dict[str, dict[str, int]]
    overlaps: list[Overlap]
    remaining: list[Overlap]


def make_report(
    data: Iterable[ComparedSet], against: Iterable[ComparedSet], dropped: Sequence[Overlap], remaining: Sequence[Overlap]
) -> Report:
    """The report on the sets `data`, as they are without what was dropped."""
    counts: dict[str, Counter[str]] = {}
    for overlap in dropped:
        counts.setdefault(overlap.data, Counter())[overlap.reason] += 1
    return Report(
        data={compared.name: _summary(compared) for compared in data},
        against={compared.name: _summary(compared) for compared in against},
        dropped={name: dict(sorted(reasons.items())) for name, reasons in sorted(counts.items())},
        overlaps=list(dropped),
        remaining=list(remaining),
    )


def write_report(path: Path, report: Report) -> None:
    """Writes the report as JSON."""
    records.write_json(path, report.model_dump())


def read_report(path: Path) -> Report:
    """The report in `path`; InputError if it is none."""
    try:
        return Report.model_validate(records.read_json(path))
    except ValidationError as error:
        raise InputError(
            f"{path}: not a report of sense decontaminate ({records.first_problem(error)}); write it again: dvc repro synthesize"
        ) from None


def check(
    path: Path, training: Mapping[str, Path], evaluation: Mapping[str, Path], named: Mapping[str, Path] | None = None
) -> None:
    """UserError unless the report says of these dataset folders, as they are now, that they have no row in common.

    `named` are evaluation sets of the user's, which `synthesize` compares only if `synthesize.decontaminate` names them.
    """
    report = read_report(path)
    evaluation = {**evaluation, **(named or {})}
    training_digests, evaluation_digests = (
        {folder: read_dataset(name, folder).digest for name, folder in folders.items()} for folders in (training, evaluation)
    )
    compared, compared_with = ({summary.digest for summary in summaries.values()} for summaries in (report.data, report.against))
    stale = [folder for folder, digest in training_digests.items() if digest not in compared]
    stale += [folder for folder, digest in evaluation_digests.items() if digest not in compared_with]
    folders = [" ".join(map(str, sides.values())) for sides in (training, evaluation)]
    naming = f"see that synthesize.decontaminate names {', '.join(map(str, named.values()))}, then " if named else ""
    fix = f"{naming}run dvc repro synthesize, or sense decontaminate --data {folders[0]} --against {folders[1]} --report {path}"
    if stale:
        names = ", ".join(map(str, stale))
        raise UserError(f"{path}: does not know {names} as it is now: it was written for other data; {fix}")
    names_now = {name for name, summary in report.against.items() if summary.digest in evaluation_digests.values()}
    left = [overlap for overlap in report.remaining if overlap.against in names_now]
    if left:
        raise UserError(
            f"{path}: {len(left)} training rows overlap with the evaluation sets, the first of them {left[0].row.id} of "
            f"{left[0].data} with {left[0].against_row.id} of {left[0].against} ({left[0].reason}); {fix}"
        )


def _summary(compared: ComparedSet) -> SetSummary:
    return SetSummary(digest=compared.digest, examples=len(compared.rows), databases=len(compared.schemas))
