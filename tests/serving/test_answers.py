"""How a question is answered: prompt, candidates, execution, vote, abstention, deadlines and changes of version."""

import asyncio
from contextlib import closing

import pytest

from sense.config import GenerationConfig, PromptConfig
from sense.errors import UserError
from sense.prompts import question_prompt
from sense.schema import introspect
from sense.serving.answer import DeadlineError, answer
from sense.serving.backend import BackendError, VersionGoneError
from sense.serving.databases import Catalog, UnknownDatabaseError
from sense.serving.messages import AnswerResponse, AskRequest
from tests.serving.shops import LIMITS, ScriptedModel, Versions, database, serve_config
from tests.sql.hostile import build, statements

NAMES_SQL = "SELECT name FROM customer WHERE city = 'Ghent'"


@pytest.fixture
def folder(tmp_path):
    database(tmp_path / "data" / "shop" / "shop.sqlite")
    return tmp_path / "data"


@pytest.fixture
def catalog(folder):
    databases = Catalog(serve_config(folder).databases, LIMITS)
    yield databases
    databases.close()


def ask(catalog, folder, backend, limits=LIMITS, queued_ms=0.0, **fields) -> AnswerResponse:
    request = AskRequest(**{"question": "Who lives in Ghent?", "database": "shop", **fields})
    return asyncio.run(answer(request, "request-1", catalog, [backend], serve_config(folder, limits), queued_ms))


def test_one_candidate_is_generated_greedily_and_returned_with_its_rows(catalog, folder):
    backend = ScriptedModel([f" {NAMES_SQL};"])
    response = ask(catalog, folder, backend, queued_ms=12.5)
    assert (response.id, response.sql, response.abstained, response.reason) == ("request-1", NAMES_SQL, False, "")
    assert (response.columns, response.rows, response.row_count, response.truncated) == (["name"], [["Ann"], ["Cleo"]], 2, False)
    assert response.model.model_dump() == {"name": "shop-model", "version": "1", "digest": "d" * 64}
    assert (response.database, response.dialect) == ("shop", "sqlite")
    (candidate,) = response.candidates
    assert candidate.model_dump() == {
        "sql": NAMES_SQL, "outcome": "ran", "detail": "", "row_count": 2, "votes": 1, "agrees": True, "chosen": True,
    }  # fmt: skip
    assert response.explanation == (
        "The model wrote one candidate. One candidate ran read-only on shop, within 30 s, 200 rows and 100,000 bytes."
    )
    assert response.latency_ms.queue == 12.5
    assert response.latency_ms.total >= 12.5 + response.latency_ms.execution
    assert backend.calls == [
        (question_prompt(introspect(catalog.get("shop").file), "Who lives in Ghent?", "", "compact"), 1, 0.0)
    ]


def test_the_prompt_has_the_style_that_the_version_was_trained_with(catalog, folder):
    backend = ScriptedModel([NAMES_SQL], prompt=PromptConfig(schema_style="ddl", sample_values=2))
    ask(catalog, folder, backend, evidence="Ghent\nis a city")
    schema = introspect(catalog.get("shop").file, 2)
    assert backend.calls[0][0] == question_prompt(schema, "Who lives in Ghent?", "Ghent is a city", "ddl")


def test_rows_are_left_out_unless_requested(catalog, folder):
    response = ask(catalog, folder, ScriptedModel([NAMES_SQL]), rows=False)
    assert (response.columns, response.rows, response.row_count, response.truncated) == (None, None, 2, False)


def test_rows_above_the_limit_are_cut_off_and_marked_as_truncated(catalog, folder):
    many = "WITH n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 51) SELECT i FROM n"
    response = ask(catalog, folder, ScriptedModel([many]))
    assert (len(response.rows), response.row_count, response.truncated) == (50, 51, True)


def test_the_majority_of_results_wins_however_the_sql_is_written(catalog, folder):
    texts = [
        "SELECT name FROM customer",
        NAMES_SQL,
        "SELECT c.name FROM customer c WHERE c.city LIKE 'Ghent' ORDER BY 1 DESC",
        "SELECT nosuch FROM customer",
        "SELECT city FROM customer WHERE nosuch = 1",
        NAMES_SQL,
    ]
    backend = ScriptedModel(texts)
    response = ask(catalog, folder, backend, k=6)
    assert response.sql == NAMES_SQL
    assert [candidate.votes for candidate in response.candidates] == [1, 3, 3, 0, 0, 3]
    assert [candidate.chosen for candidate in response.candidates] == [False, True, False, False, False, False]
    assert [candidate.agrees for candidate in response.candidates] == [False, True, True, False, False, True]
    assert [candidate.outcome for candidate in response.candidates] == ["ran", "ran", "ran", "error", "error", "ran"]
    assert response.candidates[3].detail == "no such column: nosuch"
    assert response.explanation == (
        "The model wrote 6 candidates, 5 of them different. Failed when executed: no such column: nosuch (2 candidates). "
        "4 candidates ran read-only on shop, within 30 s, 200 rows and 100,000 bytes. 3 of 4 gave this result."
    )
    assert sorted(call[1:] for call in backend.calls) == [(1, 0.0), (5, GenerationConfig().temperature)]


def test_the_earliest_candidate_decides_a_tie(catalog, folder):
    response = ask(catalog, folder, ScriptedModel(["SELECT 1", "SELECT 2"]), k=2)
    assert response.sql == "SELECT 1"
    assert response.explanation.endswith("1 of 2 gave this result, and as many gave another; the earliest candidate decides.")


def test_an_empty_result_is_an_answer_and_the_explanation_says_so(catalog, folder):
    response = ask(catalog, folder, ScriptedModel(["SELECT name FROM customer WHERE city = 'Rome'"]))
    assert (response.rows, response.row_count, response.abstained) == ([], 0, False)
    assert "The result has no rows" in response.explanation


def test_an_abstention_names_the_most_common_failure(catalog, folder):
    texts = ["SELECT foo FROM customer", "DROP TABLE customer", "SELECT foo, name FROM customer"]
    response = ask(catalog, folder, ScriptedModel(texts), k=3)
    assert (response.sql, response.abstained, response.rows, response.row_count) == (None, True, None, None)
    assert response.reason == "no SQL ran: no such column: foo (2 candidates of 3)"
    assert [candidate.outcome for candidate in response.candidates] == ["error", "rejected", "error"]
    assert not any(candidate.chosen or candidate.votes for candidate in response.candidates)
    assert response.explanation == (
        "The model wrote 3 candidates. Refused, as only a single SELECT that reads is executed: what the model wrote holds no "
        "SELECT. Failed when executed: no such column: foo (2 candidates). None ran, so there is no answer."
    )


def test_values_that_json_cannot_hold_are_returned_as_text(catalog, folder):
    texts = [
        "SELECT x'00ff', 9007199254740993, 9007199254740992, 1e999, -1e999, NULL, 1.5, 'é' || char(0), x'' FROM customer LIMIT 1"
    ]
    response = ask(catalog, folder, ScriptedModel(texts))
    assert response.rows == [["0x00ff", "9007199254740993", 9007199254740992, "inf", "-inf", None, 1.5, "é\0", "0x"]]
    assert AnswerResponse.model_validate_json(response.model_dump_json()) == response


@pytest.mark.parametrize(
    "text", ["", "I do not know.", "\ud800", "SELECT '\ud800'", "```sql\n```", "SELECT " + "(" * 50_000, "\0" * 9]
)
def test_any_text_of_the_model_gives_a_valid_response(catalog, folder, text):
    response = ask(catalog, folder, ScriptedModel([text]), evidence="\ud800")
    assert AnswerResponse.model_validate_json(response.model_dump_json()) == response
    assert str(folder) not in response.model_dump_json()


def test_hostile_candidates_change_nothing_and_reveal_no_path(tmp_path):
    file = build(tmp_path / "data")
    before = file.read_bytes()
    attacks = [attack for attack in statements(file.parent) if attack.family in ("statements", "system")]
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
    texts = [*(attack.sql for attack in attacks), "SELECT load_extension('x')", endless, "SELECT name FROM pet WHERE id = 1"]
    candidates = []
    with closing(Catalog(serve_config(tmp_path / "data").databases, LIMITS)) as catalog:
        for start in range(0, len(texts), 8):
            part = texts[start : start + 8]
            candidates += ask(catalog, tmp_path / "data", ScriptedModel(part), database="attacked", k=len(part)).candidates
    assert not [candidate for candidate in candidates if str(file.parent) in candidate.detail.replace(candidate.sql, "")]
    assert [candidate.outcome for candidate in candidates[-3:]] == ["rejected", "timeout", "ran"]
    assert file.read_bytes() == before
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def raise_version_gone():
    raise VersionGoneError("version 1 is no longer served")


def test_a_version_that_is_removed_is_replaced_for_all_candidates(catalog, folder):
    old, new = ScriptedModel(["SELECT 1"] * 3, before=raise_version_gone), ScriptedModel([NAMES_SQL] * 3, number="2")
    response = ask(catalog, folder, Versions([old, new]), k=3)
    assert response.model.version == "2"
    assert [candidate.sql for candidate in response.candidates] == [NAMES_SQL] * 3
    assert sorted(n for _, n, _ in new.calls) == [1, 2]


def test_versions_that_keep_being_removed_are_a_backend_error(catalog, folder):
    versions = [ScriptedModel(before=raise_version_gone, number=str(number)) for number in range(9)]
    with pytest.raises(BackendError, match="changed 3 times"):
        ask(catalog, folder, Versions(versions), k=2)


def test_errors_of_the_backend_are_passed_on_unchanged(catalog, folder):
    def down():
        raise BackendError("the model server is away", 7.0)

    def too_long():
        raise UserError("the prompt has 5,000 tokens, the model takes 2,048")

    with pytest.raises(BackendError, match="away") as raised:
        ask(catalog, folder, ScriptedModel(before=down), k=3)
    assert raised.value.retry_after_s == 7.0
    with pytest.raises(UserError, match="5,000 tokens"):
        ask(catalog, folder, ScriptedModel(before=too_long))
    with pytest.raises(BackendError, match="sent 1 completions where 3"):
        ask(catalog, folder, ScriptedModel([NAMES_SQL]), k=3)
    with pytest.raises(BackendError, match="no version is ready"):
        ask(catalog, folder, Versions([]))


def test_an_unknown_or_unreadable_database(catalog, folder):
    with pytest.raises(UnknownDatabaseError):
        ask(catalog, folder, ScriptedModel([NAMES_SQL]), database="nosuch")
    catalog.get("shop").file.write_bytes(b"rubbish")
    with pytest.raises(BackendError, match="'shop' can't be read now"):
        ask(catalog, folder, ScriptedModel([NAMES_SQL]))


def test_a_database_that_vanishes_during_generation_is_no_abstention(catalog, folder):
    with pytest.raises(BackendError, match="the database 'shop' can't be read now: the file is missing"):
        ask(catalog, folder, ScriptedModel([NAMES_SQL], before=catalog.get("shop").file.unlink))


@pytest.mark.parametrize("k", [1, 4])
def test_a_model_that_exceeds_its_deadline(catalog, folder, k):
    limits = LIMITS.model_copy(update={"model_s": 0.05})
    with pytest.raises(DeadlineError, match=r"the model took more than 0.05 s"):
        ask(catalog, folder, ScriptedModel(waits=True), limits, k=k)


def test_the_deadline_of_a_request_includes_its_time_in_the_queue(catalog, folder):
    with pytest.raises(DeadlineError, match="the request took more than 60 s"):
        ask(catalog, folder, ScriptedModel(waits=True), queued_ms=59_950.0)
    with pytest.raises(DeadlineError):
        ask(catalog, folder, ScriptedModel([NAMES_SQL]), queued_ms=60_001.0)


def test_a_cancelled_request_cancels_its_calls_to_the_model(catalog, folder):
    began, ended = [], []

    class Slow(ScriptedModel):
        async def complete(self, prompt, *, n, temperature):
            began.append(n)
            try:
                await asyncio.Event().wait()
            finally:
                ended.append(n)

    async def cancel_request():
        request = AskRequest(question="?", database="shop", k=3)
        running = asyncio.create_task(answer(request, "r", catalog, [Slow()], serve_config(folder), 0.0))
        while len(began) < 2:
            await asyncio.sleep(0)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    asyncio.run(cancel_request())
    assert sorted(ended) == [1, 2]
