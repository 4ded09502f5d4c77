"""What people say of answers, kept as weak data: a dataset folder whose questions have a gold, samples of it with their verdicts.

    FOLDER/examples.jsonl       a question with its gold: SQL that was called right, or the correction; source "feedback"
    FOLDER/samples.jsonl        the model's SQL with the verdict of executing it against the gold, and the correction with its own
    FOLDER/databases/           copies of the databases, as they were when the feedback came
    FOLDER/unlabelled.jsonl     what has no gold yet: wrong without a correction; and what the pipeline can't execute
    FOLDER/journal.jsonl        everything that was said, by id (journal.py)

`sense prefer --samples FOLDER/samples.jsonl --unseen FOLDER` makes pairs of it. A database has the name it is asked by, as long
as its content is that of the first copy, and then NAME-DIGEST with 8 digits of the digest; one that changes all the time is
copied for every feedback. Files of more than a GiB are not copied, and what is said of them waits in unlabelled.jsonl.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from sense import records
from sense.errors import StorageError, UserError
from sense.records import Example, Record, Sample
from sense.serving import messages
from sense.serving.copies import Copies
from sense.serving.databases import Catalog, Database
from sense.serving.journal import Journal
from sense.serving.sqlite import content_state
from sense.serving.values import clean
from sense.sql import modes
from sense.sql.execute import Executor
from sense.sql.hardness import hardness
from sense.sql.parse import check_select, reads_clock
from sense.sql.sandbox import DatabaseFile
from sense.verdicts import VerdictFields


class ConflictError(UserError):
    """Feedback of this id is kept already, and it says something else."""


class Unlabelled(Record):
    """A question whose gold nobody has given, or whose database is none of the pipeline's."""

    id: str
    database: str
    dialect: str
    question: str
    evidence: str
    sql: str
    correct: bool
    corrected: str
    model: messages.Model | None


class Feedbacks:
    """Feedback kept in a folder; several threads and processes may keep some at once."""

    def __init__(self, folder: Path, catalog: Catalog) -> None:
        self._folder, self._catalog = folder, catalog
        self._journal = Journal(folder)
        self._copies = Copies(folder)

    def keep(self, feedback: messages.Feedback) -> messages.Kept:
        """Keeps it, on disk when it returns; what is kept already is not kept again, whatever process kept it.

        Raises ConflictError; UserError where a gold is no SELECT that runs; UnknownDatabaseError; BackendError if the database
        can't be read now; StorageError if the folder can't be written, and then nothing of it stays.
        """
        said = _cleaned(feedback)
        with self._journal.locked():
            known = self._found(said)
        if known is not None:
            return known
        database = self._catalog.get(said.database)
        gold = said.sql if said.correct else said.corrected
        file = database.file
        if not gold or file is None or not self._copies.fits(file):
            return self._added(said, _waiting(said, database), {"unlabelled.jsonl": _unlabelled(said, database)})
        db_id, verdicts = self._judged(said, gold, file)
        kept = messages.Kept(id=said.id, labelled=True, verdict=verdicts[0].verdict, detail=_remark(said, verdicts[0]))
        return self._added(said, kept, _lines(said, db_id, gold, verdicts))

    def _found(self, said: messages.Feedback) -> messages.Kept | None:
        """What was kept under this id, if it was the same; call it under the journal's lock."""
        content = self._journal.find(said.id)
        if content is None:
            return None
        if content["said"] != said.model_dump():
            raise ConflictError(f"feedback {said.id!r} is kept already and says something else; give this one an id of its own")
        return messages.Kept(**content["kept"])

    def _added(self, said: messages.Feedback, kept: messages.Kept, lines: dict[str, str]) -> messages.Kept:
        with self._journal.locked():
            known = self._found(said)  # somebody else may have kept it since
            if known is not None:
                return known
            self._journal.add(said.id, {"said": said.model_dump(), "kept": kept.model_dump()}, lines)
        return kept

    def _judged(self, said: messages.Feedback, gold: str, source: Path) -> tuple[str, list[VerdictFields]]:
        """The db_id of the database's copy and the verdicts of SQL and gold on it; a new copy stays only if the gold is one."""
        reason = check_select(gold)
        if reason is not None:
            _check(said, VerdictFields(False, "gold_error", f"rejected: {reason}"))
        if reads_clock(gold):
            _check(said, VerdictFields(False, "mismatch", "it asks what time it is"))
        name, state, executors = said.database, content_state(source), self._catalog.executors
        db_id = self._copies.known(name, state)
        if db_id is not None:
            return db_id, _judge_on_copy(executors.taken(), records.database_path(self._folder, db_id), said, gold)
        try:
            copy = self._copies.taken(name, source)
        except OSError as error:
            raise StorageError(f"{self._folder}: the database {name!r} can't be copied there ({error.strerror})") from error
        try:
            verdicts = _judge_on_copy(executors.alone(), copy, said, gold)
            with self._journal.locked():
                return self._copies.settled(name, state, copy), verdicts
        finally:
            copy.unlink(missing_ok=True)


def _cleaned(feedback: messages.Feedback) -> messages.Feedback:
    """With SQL as it is kept, and texts that can be written; UserError if it contradicts itself."""
    texts = {name: clean(getattr(feedback, name)) for name in ("question", "evidence", "sql", "corrected")}
    for name in ("sql", "corrected"):
        texts[name] = texts[name].strip().removesuffix(";").rstrip()
    if feedback.correct and texts["corrected"]:
        raise UserError("correct is true and corrected holds other SQL; give the correction of a wrong answer alone")
    if feedback.correct and not texts["sql"]:
        raise UserError("sql is empty: an answer without SQL cannot be right; give the SQL that is")
    return feedback.model_copy(update=texts)


def _judge_on_copy(
    taken: AbstractContextManager[Executor], copy: Path, said: messages.Feedback, gold: str
) -> list[VerdictFields]:
    """The verdicts of scoring (strict@1) on the SQL and, if it is another, on the gold; UserError if the gold is none."""
    file = DatabaseFile.from_path(copy)
    batch = modes.make_batch(modes.STRICT, (file,), gold, tuple(dict.fromkeys([said.sql, gold])))
    with taken as executor:
        ((_, found),) = executor.judge([batch], [1.0])
    verdicts = [one._replace(detail=one.detail.removeprefix("gold: ").replace(file.path, said.database)) for one in found]
    _check(said, verdicts[-1])
    return verdicts


def _check(said: messages.Feedback, own: VerdictFields) -> None:
    """UserError if the gold, judged by itself, is none."""
    field = "sql" if said.correct else "corrected"
    if own.verdict == "gold_error":
        raise UserError(f"{field} does not run on {said.database!r}: {own.detail}; give a single SELECT that runs")
    if not own.correct:
        raise UserError(f"{field} gives another result each time ({own.detail}); give a SELECT whose result stays the same")


def _remark(said: messages.Feedback, verdict: VerdictFields) -> str:
    """What the person should know of the verdict."""
    if verdict.vacuous:
        return "the result is empty, which says little: pairs leave this one out"
    if verdict.correct and not said.correct:
        return "on this database the correction gives the same result"
    return verdict.detail


def _waiting(said: messages.Feedback, database: Database) -> messages.Kept:
    if said.correct or said.corrected:
        detail = f"{database.name} cannot be copied into the pipeline's data, so it is kept for people to use"
    else:
        detail = "wrong, and nobody has said what is right: it waits for a correction"
    return messages.Kept(id=said.id, labelled=False, verdict="", detail=detail)


def _unlabelled(said: messages.Feedback, database: Database) -> str:
    return records.dump(Unlabelled(dialect=database.dialect, **dict(said)))


def _lines(said: messages.Feedback, db_id: str, gold: str, verdicts: Sequence[VerdictFields]) -> dict[str, str]:
    """The example before its samples, so that no reader meets a sample without it.

    A correction is a sample as well, a person's, so that there is a right one to be paired with the wrong one.
    """
    example = Example(
        id=said.id,
        db_id=db_id,
        question=said.question,
        sql=gold,
        source="feedback",
        hardness=hardness(gold),
        evidence=said.evidence,
    )
    model = said.model.model_dump() if said.model is not None else None
    samples = [_sample(said, 0, said.sql, verdicts[0], {"model": model})]
    if len(verdicts) > 1:
        samples.append(_sample(said, 1, gold, verdicts[1], {"source": "feedback"}))
    return {"examples.jsonl": records.dump(example), "samples.jsonl": "\n".join(map(records.dump, samples))}


def _sample(said: messages.Feedback, number: int, sql: str, verdict: VerdictFields, more: dict[str, Any]) -> Sample:
    fields = {name: value for name, value in verdict._asdict().items() if name != "score"}
    return Sample.model_validate({"id": f"{said.id}#{number}", "example_id": said.id, "sql": sql, **fields, **more})
