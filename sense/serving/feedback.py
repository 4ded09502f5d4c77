"""Feedback on answers, kept as weak data: a dataset folder whose questions have a gold, and samples of it with their verdicts.

    FOLDER/examples.jsonl       a question with its gold: SQL that was called right, or the correction; source "feedback"
    FOLDER/samples.jsonl        the model's SQL with the verdict of executing it against the gold, and the correction with its own
    FOLDER/databases/           copies of the databases, as they were when the feedback came
    FOLDER/unlabelled.jsonl     what has no gold yet: wrong without a correction; and what the pipeline can't execute
    FOLDER/journal.jsonl        all feedback by id (feedback_storage.py)

`sense prefer --samples FOLDER/samples.jsonl --unseen FOLDER` makes pairs of it, and `sense own --questions FOLDER` questions of
the next version of the data (sense/own/questions.py reads the journal). A database keeps its name as long as its content
is that of the first copy; other contents are called NAME-DIGEST, with 8 digits of the digest. A database that changes all the
time is copied for every feedback. Files of more than a GiB are not copied, and feedback on them goes to unlabelled.jsonl.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from sense import records
from sense.errors import StorageError, UserError
from sense.records import Example, Record, Sample
from sense.serving import messages
from sense.serving.databases import Catalog, Database
from sense.serving.feedback_storage import DatabaseCopies, Journal
from sense.serving.values import replace_surrogates
from sense.sql import modes
from sense.sql.database_file import DatabaseFile
from sense.sql.execute import Executor
from sense.sql.hardness import hardness
from sense.sql.parse import check_select, tidy, varies_between_runs
from sense.verdicts import VerdictFields


class ConflictError(UserError):
    """Other feedback is kept under this id already."""


class Unlabelled(Record):
    """Feedback without a gold, or on a database that cannot be copied into the pipeline's data."""

    id: str
    database: str
    dialect: str
    question: str
    evidence: str
    sql: str
    correct: bool
    corrected: str
    model: messages.ModelMessage | None


class FeedbackStore:
    """The feedback kept in a folder; several threads and processes may add to it at once."""

    def __init__(self, folder: Path, catalog: Catalog) -> None:
        self._folder, self._catalog = folder, catalog
        self._journal = Journal(folder)
        self._copies = DatabaseCopies(folder)

    def keep(self, feedback: messages.FeedbackRequest) -> messages.FeedbackResponse:
        """Keeps it, on disk when it returns; the same feedback is kept once, whichever process kept it.

        Raises ConflictError; UserError where a gold is no SELECT that runs; UnknownDatabaseError; BackendError if the database
        can't be read now; StorageError if the folder can't be written, and then nothing of it stays.
        """
        feedback = _normalize(feedback)
        with self._journal.locked():
            earlier_response = self._find(feedback)
        if earlier_response is not None:
            return earlier_response
        database = self._catalog.get(feedback.database)
        gold = feedback.sql if feedback.correct else feedback.corrected
        file = database.file
        if not gold or file is None or not self._copies.fits(file):
            row = Unlabelled(dialect=database.dialect, **dict(feedback))
            return self._add(feedback, _unlabelled(feedback, database), {"unlabelled.jsonl": records.dump(row)})
        db_id, verdicts = self._judge(feedback, gold, file)
        detail = _remark(feedback, verdicts[0])
        response = messages.FeedbackResponse(id=feedback.id, labelled=True, verdict=verdicts[0].verdict, detail=detail)
        return self._add(feedback, response, _lines(feedback, db_id, gold, verdicts))

    def _find(self, feedback: messages.FeedbackRequest) -> messages.FeedbackResponse | None:
        """The response that this feedback got, if it is kept; call it under the journal's lock."""
        content = self._journal.find(feedback.id)
        if content is None:
            return None
        if content["said"] != feedback.model_dump():
            raise ConflictError(
                f"feedback {feedback.id!r} is kept already and says something else; give this one an id of its own"
            )
        return messages.FeedbackResponse(**content["kept"])

    def _add(
        self, feedback: messages.FeedbackRequest, response: messages.FeedbackResponse, lines: dict[str, str]
    ) -> messages.FeedbackResponse:
        with self._journal.locked():
            earlier_response = self._find(feedback)  # another thread or process may have kept it since
            if earlier_response is not None:
                return earlier_response
            self._journal.add(feedback.id, {"said": feedback.model_dump(), "kept": response.model_dump()}, lines)
        return response

    def _judge(self, feedback: messages.FeedbackRequest, gold: str, source: Path) -> tuple[str, list[VerdictFields]]:
        """The db_id of the database's copy, and the verdicts of SQL and gold on it; only a valid gold makes a new copy stay."""
        reason = check_select(gold)
        if reason is not None:
            _check_gold(feedback, VerdictFields(False, "gold_error", f"rejected: {reason}"))
        if varies_between_runs(gold):
            _check_gold(feedback, VerdictFields(False, "mismatch", "it reads the clock or draws random numbers"))
        name, stamp, executors = feedback.database, DatabaseFile.from_path(source).stamp(), self._catalog.executors
        db_id = self._copies.find(name, stamp)
        further = [DatabaseFile.from_path(path) for path in modes.databases(modes.STRICT_TS, source)[1:]]
        if db_id is not None:
            copy = records.database_path(self._folder, db_id)
            return db_id, _judge_on_copy(executors.borrow(), copy, further, feedback, gold)
        try:
            copy = self._copies.copy(name, source)
        except OSError as error:
            raise StorageError(f"{self._folder}: the database {name!r} can't be copied there ({error.strerror})") from error
        try:
            verdicts = _judge_on_copy(executors.temporary(), copy, further, feedback, gold)
            with self._journal.locked():
                return self._copies.add(name, stamp, copy), verdicts
        finally:
            copy.unlink(missing_ok=True)


def _normalize(feedback: messages.FeedbackRequest) -> messages.FeedbackRequest:
    """The feedback with SQL as it is kept, and texts that UTF-8 can hold; UserError if it contradicts itself."""
    texts = {name: replace_surrogates(getattr(feedback, name)) for name in ("question", "evidence", "sql", "corrected")}
    for name in ("sql", "corrected"):
        texts[name] = tidy(texts[name])
    if feedback.correct and texts["corrected"]:
        raise UserError("correct is true and corrected holds other SQL; give the correction of a wrong answer alone")
    if feedback.correct and not texts["sql"]:
        raise UserError("sql is empty: an answer without SQL cannot be right; give the SQL that is")
    return feedback.model_copy(update=texts)


def _judge_on_copy(
    borrowed: AbstractContextManager[Executor],
    copy: Path,
    further: Sequence[DatabaseFile],
    feedback: messages.FeedbackRequest,
    gold: str,
) -> list[VerdictFields]:
    """The verdicts of scoring (strict-ts@1) on the SQL and, if it differs, on the gold; UserError if the gold is invalid.

    `further` are the databases of the test suite that lies beside the original.
    """
    file = DatabaseFile.from_path(copy)
    batch = modes.make_batch(modes.STRICT_TS, (file, *further), gold, tuple(dict.fromkeys([feedback.sql, gold])))
    with borrowed as executor:
        ((_, judged),) = executor.judge([batch], [1.0])
    verdicts = [one._replace(detail=one.detail.removeprefix("gold: ").replace(copy.name, feedback.database)) for one in judged]
    _check_gold(feedback, verdicts[-1])
    return verdicts


def _check_gold(feedback: messages.FeedbackRequest, verdict: VerdictFields) -> None:
    """UserError if the gold does not match itself, which it does if it is valid."""
    field = "sql" if feedback.correct else "corrected"
    if verdict.verdict == "gold_error":
        raise UserError(f"{field} does not run on {feedback.database!r}: {verdict.detail}; give a single SELECT that runs")
    if not verdict.correct:
        raise UserError(f"{field} gives another result each time ({verdict.detail}); give a SELECT whose result stays the same")


def _remark(feedback: messages.FeedbackRequest, verdict: VerdictFields) -> str:
    """What the person should know about the verdict."""
    if verdict.vacuous:
        return "the result is empty, which says little: pairs leave this one out"
    if verdict.correct and not feedback.correct:
        return "on this database the correction gives the same result"
    return verdict.detail


def _unlabelled(feedback: messages.FeedbackRequest, database: Database) -> messages.FeedbackResponse:
    if feedback.correct or feedback.corrected:
        detail = f"{database.name} cannot be copied into the pipeline's data, so it is kept for people to use"
    else:
        detail = "wrong, and nobody has said what is right: it waits for a correction"
    return messages.FeedbackResponse(id=feedback.id, labelled=False, verdict="", detail=detail)


def _lines(feedback: messages.FeedbackRequest, db_id: str, gold: str, verdicts: Sequence[VerdictFields]) -> dict[str, str]:
    """The lines for each file: the example before its samples, so that no reader meets a sample without it.

    A correction becomes a sample as well, so that there is a right one to be paired with the wrong one.
    """
    example = Example(
        id=feedback.id,
        db_id=db_id,
        question=feedback.question,
        sql=gold,
        source="feedback",
        hardness=hardness(gold),
        evidence=feedback.evidence,
    )
    model = feedback.model.model_dump() if feedback.model is not None else None
    samples = [_sample(feedback, 0, feedback.sql, verdicts[0], {"model": model})]
    if len(verdicts) > 1:
        samples.append(_sample(feedback, 1, gold, verdicts[1], {"source": "feedback"}))
    return {"examples.jsonl": records.dump(example), "samples.jsonl": "\n".join(map(records.dump, samples))}


def _sample(feedback: messages.FeedbackRequest, number: int, sql: str, verdict: VerdictFields, extra: dict[str, Any]) -> Sample:
    fields = {name: value for name, value in verdict._asdict().items() if name != "score"}
    return Sample.model_validate({"id": f"{feedback.id}#{number}", "example_id": feedback.id, "sql": sql, **fields, **extra})
