"""The stand-in's batch API: batches go on one request at a time, and end in each of the ways that OpenAI's do."""

import json
from typing import Any

import pytest

from sense.config import GrammarConfig
from sense.stand_in.batch_api import BatchDesk
from sense.stand_in.stand_in import Behaviour, StandIn, StandInReply

GRAMMAR = GrammarConfig(tables=5, rows=15)


def line(number: int, **more: Any) -> dict[str, Any]:
    body = {"model": "grammar", "messages": [{"role": "user", "content": "write"}], "seed": number}
    return {"custom_id": f"id-{number}", "method": "POST", "url": "/v1/chat/completions", "body": body} | more


class Batches:
    """A desk with batches of the given lines."""

    def __init__(self, rates: dict[str, float] | None = None, most: int = 100) -> None:
        self.stand_in = StandIn(Behaviour(rates=rates or {}), GRAMMAR)
        self.desk = BatchDesk(self.stand_in, most)

    def order(self, lines: list[Any], **more: Any) -> StandInReply:
        content = b"".join(json.dumps(each).encode() + b"\n" for each in lines)
        file = self.desk.upload("requests.jsonl", "batch", content).body["id"]
        order = {"input_file_id": file, "endpoint": "/v1/chat/completions", "completion_window": "24h"}
        return self.desk.order(order | more)

    def run(self, name: str) -> dict[str, Any]:
        while self.desk.step(name):
            pass
        return self.desk.read(name).body

    def lines(self, file: str | None) -> list[dict[str, Any]]:
        content = self.desk.content(file) if file else b""
        assert isinstance(content, bytes)
        return [json.loads(each) for each in content.splitlines()]


def test_a_batch_goes_from_its_file_to_answers_under_the_names_of_its_requests():
    batches = Batches()
    ordered = batches.order([line(number) for number in range(3)], metadata={"sense": "name"}).body
    assert (ordered["status"], ordered["metadata"]) == ("in_progress", {"sense": "name"})
    assert batches.desk.step(ordered["id"])
    assert batches.desk.read(ordered["id"]).body["request_counts"] == {"total": 3, "completed": 1, "failed": 0}
    ended = batches.run(ordered["id"])
    assert (ended["status"], ended["error_file_id"]) == ("completed", None)
    answers = batches.lines(ended["output_file_id"])
    assert [answer["custom_id"] for answer in answers] == ["id-0", "id-1", "id-2"]
    same = [StandIn(Behaviour(), GRAMMAR).reply(line(number)["body"]).body for number in range(3)]
    assert [answer["response"]["body"] for answer in answers] == same


def test_requests_fail_at_the_rate_of_their_faults_and_are_listed_as_errors():
    batches = Batches({"500": 0.3, "429": 0.2})
    ended = batches.run(batches.order([line(number) for number in range(40)]).body["id"])
    answers, errors = batches.lines(ended["output_file_id"]), batches.lines(ended["error_file_id"])
    assert len(answers) + len(errors) == 40
    assert {error["response"]["status_code"] for error in errors} == {429, 500}
    assert 8 <= len(errors) <= 32  # 20 and 3.8 standard deviations of 3.2
    assert batches.stand_in.counts()["answered"] == len(answers)


def test_a_batch_expires_with_half_of_its_answers():
    batches = Batches({"batch-expired": 1.0})
    ended = batches.run(batches.order([line(number) for number in range(5)]).body["id"])
    assert ended["status"] == "expired"
    assert len(batches.lines(ended["output_file_id"])) == 2
    errors = batches.lines(ended["error_file_id"])
    assert [(error["custom_id"], error["error"]["code"]) for error in errors] == [
        (f"id-{number}", "batch_expired") for number in (2, 3, 4)
    ]


def test_a_cancelled_batch_keeps_what_is_answered():
    batches = Batches()
    name = batches.order([line(number) for number in range(3)]).body["id"]
    batches.desk.step(name)
    assert batches.desk.cancel(name).body["status"] == "cancelled"
    assert not batches.desk.step(name)
    assert batches.desk.cancel(name).body["request_counts"] == {"total": 3, "completed": 1, "failed": 2}


def test_pages_have_the_latest_batch_first():
    batches = Batches()
    names = [batches.order([line(0)]).body["id"] for _ in range(5)]
    page = batches.desk.page(None, 2).body
    assert ([batch["id"] for batch in page["data"]], page["has_more"]) == (names[:2:-1], True)
    page = batches.desk.page(names[3], 3).body
    assert ([batch["id"] for batch in page["data"]], page["has_more"]) == (names[2::-1], False)


@pytest.mark.parametrize(
    ("lines", "code"),
    [
        ([], "invalid_request"),
        ([[]], "invalid_request"),
        ([line(0), line(0)], "invalid_request"),
        ([line(0, url="/v1/embeddings")], "invalid_request"),
        ([line(number) for number in range(3)], "token_limit_exceeded"),
    ],
)
def test_a_batch_that_cannot_be_fails(lines: list[Any], code: str):
    batches = Batches(most=2)
    ended = batches.run(batches.order(lines).body["id"])
    assert (ended["status"], ended["errors"]["data"][0]["code"]) == ("failed", code)


def test_what_is_not_there_is_refused():
    batches = Batches()
    assert batches.desk.read("batch_9").status == 404
    assert batches.desk.cancel("batch_9").status == 404
    assert batches.order([line(0)], input_file_id="file-9").status == 400
    assert batches.order([line(0)], endpoint="/v1/embeddings").status == 400
    assert batches.desk.upload("x", "fine-tune", b"").status == 400
    missing = batches.desk.content("file-9")
    assert isinstance(missing, StandInReply)
    assert missing.status == 404
