"""One cheap request to an LLM before a run, against a real HTTP server."""

import pytest

from sense.config import LlmConfig
from sense.errors import UserError
from sense.kubeflow import teachers
from tests.endpoint import Endpoint

KEY = "sk-secret-of-a-test"


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("SENSE_API_KEY", KEY)


def ask(*replies):
    """What the check says of an endpoint with these replies, and the paths that it asked for."""
    with Endpoint(list(replies)) as endpoint:
        try:
            text = teachers.call(LlmConfig(model="m", base_url=endpoint.base_url))
        except UserError as error:
            text = str(error)
        assert KEY not in text
        return text, [request.path for request in endpoint.requests]


def test_a_model_that_is_listed_costs_no_token():
    text, paths = ask((200, {}, {"data": [{"id": "m"}]}))
    assert text.endswith("/models lists m")
    assert len(paths) == 1


@pytest.mark.parametrize(
    "models", [(404, {}, "no such path"), (200, {}, {"data": [{"id": "other"}]}), (200, {}, ["no list of models"])]
)
def test_a_model_that_is_not_listed_is_asked_for_one_token(models):
    text, paths = ask(models, (200, {}, {"choices": []}))
    assert text.endswith("/chat/completions: m answers")
    assert len(paths) == 2


def test_a_model_that_counts_its_tokens_otherwise_answers_too():
    refusal = {"error": {"message": "Unsupported parameter: use 'max_completion_tokens' instead.", "param": "max_tokens"}}
    assert ask((404, {}, ""), (400, {}, refusal))[0].endswith("m answers")


@pytest.mark.parametrize(
    ("status", "fix"), [(401, "check SENSE_API_KEY"), (404, "check synthesize.llm.model"), (429, "its limit is used up")]
)
def test_a_refusal_is_told_with_its_fix(status, fix):
    text, _ = ask((status, {}, ""), (status, {}, {"error": {"message": f"no, {KEY}"}}))
    assert "synthesize.llm.model = m" in text
    assert f"{status}, no, ***" in text
    assert fix in text


def test_a_server_that_is_not_there_is_named():
    with pytest.raises(UserError, match=r"127\.0\.0\.1:9.*cannot be reached.*synthesize\.llm\.base_url"):
        teachers.call(LlmConfig(model="m", base_url="http://127.0.0.1:9/v1"))
