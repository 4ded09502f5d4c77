"""Questions answered: one version, its own prompt, candidates executed and voted on, abstaining, deadlines."""

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
from tests.serving.shops import LIMITS, Scripted, Versions, database, serve_config
from tests.sql.hostile import build, statements

NAMES = "SELECT name FROM customer WHERE city = 'Ghent'"


@pytest.fixture
def folder(tmp_path):
    database(tmp_path / "data" / "shop" / "shop.sqlite")
    return tmp_path / "data"


@pytest.fixture
def catalog(folder):
    found = Catalog(serve_config(folder).databases, LIMITS)
    yield found
    found.close()


def asked(catalog, folder, backend, limits=LIMITS, queued_ms=0.0, **ask) -> AnswerResponse:
    question = AskRequest(**{"question": "Who lives in Ghent?", "database": "shop", **ask})
    return asyncio.run(answer(question, "request-1", catalog, backend, serve_config(folder, limits), queued_ms))


def test_one_candidate_is_written_greedily_executed_and_given_with_its_rows(catalog, folder):
    backend = Scripted([f" {NAMES};"])
    found = asked(catalog, folder, backend, queued_ms=12.5)
    assert (found.id, found.sql, found.abstained, found.reason) == ("request-1", NAMES, False, "")
    assert (found.columns, found.rows, found.row_count, found.truncated) == (["name"], [["Ann"], ["Cleo"]], 2, False)
    assert found.model.model_dump() == {"name": "shop-model", "version": "1", "digest": "d" * 64}
    assert (found.database, found.dialect) == ("shop", "sqlite")
    (candidate,) = found.candidates
    assert candidate.model_dump() == {
        "sql": NAMES, "outcome": "ran", "detail": "", "row_count": 2, "votes": 1, "agrees": True, "chosen": True,
    }  # fmt: skip
    assert found.explanation == (
        "The model wrote one candidate. One candidate ran read-only on shop, within 30 s, 200 rows and 100,000 bytes."
    )
    assert found.latency_ms.queue == 12.5
    assert found.latency_ms.total >= 12.5 + found.latency_ms.execution
    assert backend.calls == [
        (question_prompt(introspect(catalog.get("shop").file), "Who lives in Ghent?", "", "compact"), 1, 0.0)
    ]


def test_the_prompt_is_written_as_the_version_was_trained(catalog, folder):
    backend = Scripted([NAMES], prompt=PromptConfig(schema_style="ddl", sample_values=2))
    asked(catalog, folder, backend, evidence="Ghent\nis a city")
    schema = introspect(catalog.get("shop").file, 2)
    assert backend.calls[0][0] == question_prompt(schema, "Who lives in Ghent?", "Ghent is a city", "ddl")


def test_rows_are_left_out_where_nobody_asked_for_them(catalog, folder):
    found = asked(catalog, folder, Scripted([NAMES]), rows=False)
    assert (found.columns, found.rows, found.row_count, found.truncated) == (None, None, 2, False)


def test_more_rows_than_the_limit_are_cut_off_and_it_says_so(catalog, folder):
    many = "WITH n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 51) SELECT i FROM n"
    found = asked(catalog, folder, Scripted([many]))
    assert (len(found.rows), found.row_count, found.truncated) == (50, 51, True)


def test_the_majority_of_results_wins_whatever_the_sql_looks_like(catalog, folder):
    texts = [
        "SELECT name FROM customer",
        NAMES,
        "SELECT c.name FROM customer c WHERE c.city LIKE 'Ghent' ORDER BY 1 DESC",
        "SELECT nosuch FROM customer",
        "SELECT city FROM customer WHERE nosuch = 1",
        NAMES,
    ]
    backend = Scripted(texts)
    found = asked(catalog, folder, backend, k=6)
    assert found.sql == NAMES
    assert [candidate.votes for candidate in found.candidates] == [1, 3, 3, 0, 0, 3]
    assert [candidate.chosen for candidate in found.candidates] == [False, True, False, False, False, False]
    assert [candidate.agrees for candidate in found.candidates] == [False, True, True, False, False, True]
    assert [candidate.outcome for candidate in found.candidates] == ["ran", "ran", "ran", "error", "error", "ran"]
    assert found.candidates[3].detail == "no such column: nosuch"
    assert found.explanation == (
        "The model wrote 6 candidates, 5 of them different. Failed when executed: no such column: nosuch (2 candidates). "
        "4 candidates ran read-only on shop, within 30 s, 200 rows and 100,000 bytes. 3 of 4 gave this result."
    )
    assert sorted(call[1:] for call in backend.calls) == [(1, 0.0), (5, GenerationConfig().temperature)]


def test_of_equally_many_the_earliest_candidate_decides(catalog, folder):
    found = asked(catalog, folder, Scripted(["SELECT 1", "SELECT 2"]), k=2)
    assert found.sql == "SELECT 1"
    assert found.explanation.endswith("1 of 2 gave this result, and as many gave another; the earliest candidate decides.")


def test_an_empty_result_is_an_answer_and_it_says_so(catalog, folder):
    found = asked(catalog, folder, Scripted(["SELECT name FROM customer WHERE city = 'Rome'"]))
    assert (found.rows, found.row_count, found.abstained) == ([], 0, False)
    assert "The result has no rows" in found.explanation


def test_it_abstains_and_names_the_most_common_failure(catalog, folder):
    texts = ["SELECT foo FROM customer", "DROP TABLE customer", "SELECT foo, name FROM customer"]
    found = asked(catalog, folder, Scripted(texts), k=3)
    assert (found.sql, found.abstained, found.rows, found.row_count) == (None, True, None, None)
    assert found.reason == "no SQL ran: no such column: foo (2 candidates of 3)"
    assert [candidate.outcome for candidate in found.candidates] == ["error", "rejected", "error"]
    assert not any(candidate.chosen or candidate.votes for candidate in found.candidates)
    assert found.explanation == (
        "The model wrote 3 candidates. Refused, as only a single SELECT that reads is executed: what the model wrote holds no "
        "SELECT. Failed when executed: no such column: foo (2 candidates). None ran, so there is no answer."
    )


def test_values_that_json_has_no_form_for_come_as_text(catalog, folder):
    texts = [
        "SELECT x'00ff', 9007199254740993, 9007199254740992, 1e999, -1e999, NULL, 1.5, 'é' || char(0), x'' FROM customer LIMIT 1"
    ]
    found = asked(catalog, folder, Scripted(texts))
    assert found.rows == [["0x00ff", "9007199254740993", 9007199254740992, "inf", "-inf", None, 1.5, "é\0", "0x"]]
    assert AnswerResponse.model_validate_json(found.model_dump_json()) == found


@pytest.mark.parametrize(
    "text", ["", "I do not know.", "\ud800", "SELECT '\ud800'", "```sql\n```", "SELECT " + "(" * 50_000, "\0" * 9]
)
def test_whatever_the_model_writes_there_is_an_answer_in_json(catalog, folder, text):
    found = asked(catalog, folder, Scripted([text]), evidence="\ud800")
    assert AnswerResponse.model_validate_json(found.model_dump_json()) == found
    assert str(folder) not in found.model_dump_json()


def test_hostile_candidates_change_nothing_and_show_no_path(tmp_path):
    file = build(tmp_path / "data")
    before = file.read_bytes()
    attacks = [attack for attack in statements(file.parent) if attack.family in ("statements", "system")]
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
    texts = [*(attack.sql for attack in attacks), "SELECT load_extension('x')", endless, "SELECT name FROM pet WHERE id = 1"]
    candidates = []
    with closing(Catalog(serve_config(tmp_path / "data").databases, LIMITS)) as catalog:
        for start in range(0, len(texts), 8):
            part = texts[start : start + 8]
            candidates += asked(catalog, tmp_path / "data", Scripted(part), database="attacked", k=len(part)).candidates
    assert not [candidate for candidate in candidates if str(file.parent) in candidate.detail.replace(candidate.sql, "")]
    assert [candidate.outcome for candidate in candidates[-3:]] == ["rejected", "timeout", "ran"]
    assert file.read_bytes() == before
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def gone():
    raise VersionGoneError("version 1 is no longer served")


def test_a_version_that_goes_away_is_replaced_for_all_candidates(catalog, folder):
    old, new = Scripted(["SELECT 1"] * 3, before=gone), Scripted([NAMES] * 3, number="2")
    found = asked(catalog, folder, Versions([old, new]), k=3)
    assert found.model.version == "2"
    assert [candidate.sql for candidate in found.candidates] == [NAMES] * 3
    assert sorted(n for _, n, _ in new.calls) == [1, 2]


def test_versions_that_keep_going_away_end_as_a_backend_that_cannot_be_used(catalog, folder):
    versions = [Scripted(before=gone, number=str(number)) for number in range(9)]
    with pytest.raises(BackendError, match="changed 3 times"):
        asked(catalog, folder, Versions(versions), k=2)


def test_what_the_backend_raises_comes_through_as_it_is(catalog, folder):
    def down():
        raise BackendError("the model server is away", 7.0)

    def too_long():
        raise UserError("the prompt has 5,000 tokens, the model takes 2,048")

    with pytest.raises(BackendError, match="away") as caught:
        asked(catalog, folder, Scripted(before=down), k=3)
    assert caught.value.retry_after_s == 7.0
    with pytest.raises(UserError, match="5,000 tokens"):
        asked(catalog, folder, Scripted(before=too_long))
    with pytest.raises(BackendError, match="sent 1 completions where 3"):
        asked(catalog, folder, Scripted([NAMES]), k=3)
    with pytest.raises(BackendError, match="no version is ready"):
        asked(catalog, folder, Versions([]))


def test_a_database_that_is_not_there_or_broken(catalog, folder):
    with pytest.raises(UnknownDatabaseError):
        asked(catalog, folder, Scripted([NAMES]), database="nosuch")
    catalog.get("shop").file.write_bytes(b"rubbish")
    with pytest.raises(BackendError, match="'shop' can't be read now"):
        asked(catalog, folder, Scripted([NAMES]))


def test_a_database_that_vanishes_while_the_model_writes_makes_it_abstain(catalog, folder):
    found = asked(catalog, folder, Scripted([NAMES], before=catalog.get("shop").file.unlink))
    assert found.reason == "no SQL ran: shop: not a readable SQLite database (No such file or directory)"


@pytest.mark.parametrize("k", [1, 4])
def test_a_model_that_takes_too_long(catalog, folder, k):
    limits = LIMITS.model_copy(update={"model_s": 0.05})
    with pytest.raises(DeadlineError, match=r"the model took more than 0.05 s"):
        asked(catalog, folder, Scripted(waits=True), limits, k=k)


def test_a_request_that_takes_too_long_its_waiting_counted(catalog, folder):
    with pytest.raises(DeadlineError, match="the request took more than 60 s"):
        asked(catalog, folder, Scripted(waits=True), queued_ms=59_950.0)
    with pytest.raises(DeadlineError):
        asked(catalog, folder, Scripted([NAMES]), queued_ms=60_001.0)


def test_a_request_that_is_given_up_ends_the_calls_it_made(catalog, folder):
    began, ended = [], []

    class Slow(Scripted):
        async def complete(self, prompt, *, n, temperature):
            began.append(n)
            try:
                await asyncio.Event().wait()
            finally:
                ended.append(n)

    async def given_up():
        ask = AskRequest(question="?", database="shop", k=3)
        running = asyncio.create_task(answer(ask, "r", catalog, Slow(), serve_config(folder), 0.0))
        while len(began) < 2:
            await asyncio.sleep(0)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    asyncio.run(given_up())
    assert sorted(ended) == [1, 2]
