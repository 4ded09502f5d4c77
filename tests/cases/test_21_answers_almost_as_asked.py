"""Endpoints and answers that are almost as they were asked to be.

AakashRathore136/FinSight-AI #1543 (prose around fenced JSON), dataease/SQLBot #725 (other shapes of JSON), huggingface/chat-ui
#1386 and vllm-project/vllm #2080 ("System role not supported"), models that take temperature 1 alone, Azure's `?api-version=`.
Right: what can be read is read, what is not supported is left out, and a message says so once.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.endpoint import Reply, answer_text, chat_reply, error_reply, good_teacher
from tests.llm_runs import run_llm

GOOD = good_teacher()


def rewritten(change: Callable[[dict[str, Any]], str]) -> Callable[[dict[str, Any]], Reply]:
    """A good teacher whose data points are written as `change` writes them."""

    def answer(request: dict[str, Any]) -> Reply:
        text = answer_text(GOOD(request)).removeprefix("```json\n").removesuffix("\n```")
        return chat_reply(change(json.loads(text)))

    return answer


@pytest.mark.parametrize(
    "change",
    [
        lambda point: f"Here is one more data point:\n\n```json\n{json.dumps(point)}\n```\n\nLet me know if you need another.",
        lambda point: f"Here it is: {json.dumps(point, indent=2)}",
        lambda point: f"<think>What about {{this}}?</think>\n\n{json.dumps(point)}",
        lambda point: json.dumps(point | {name: ";\n".join(point[name]) for name in ("schema", "rows")}),
        lambda point: json.dumps([point]),
        lambda point: json.dumps({"data_point": point}),
        lambda point: json.dumps({name.capitalize(): value for name, value in point.items()}),
    ],
)
def test_an_answer_almost_as_asked_is_read(change, tmp_path: Path):
    run = run_llm(rewritten(change), tmp_path)
    assert run.metrics["funnel"] == {"asked": 6, "kept": 6, "dropped": {}}


def refuses(condition: Callable[[dict[str, Any]], bool], message: str) -> Callable[[dict[str, Any]], Reply]:
    """A good teacher that answers 400 with `message` to requests for which `condition` holds."""
    return lambda request: error_reply(400, message) if condition(request) else GOOD(request)


@pytest.mark.parametrize(
    ("answer", "line"),
    [
        (
            refuses(lambda request: request["messages"][0]["role"] == "system", "System role not supported"),
            "has no system role: the system message is sent at the head of the user's",
        ),
        (
            refuses(
                lambda request: request.get("temperature", 1) != 1,
                "Unsupported value: 'temperature' does not support 0.7 with this model. Only the default (1) value is supported.",
            ),
            "does not take llm.temperature: requests are sent without it, the model's own holds",
        ),
        (
            refuses(lambda request: "response_format" in request, "response_format is not supported"),
            "has no JSON mode: requests are sent without response_format",
        ),
        (
            refuses(lambda request: "max_tokens" in request, "Use 'max_completion_tokens' instead of 'max_tokens'."),
            "takes llm.max_tokens as max_completion_tokens only",
        ),
    ],
)
@pytest.mark.parametrize("concurrency", [1, 4])
def test_what_an_endpoint_does_not_support_is_left_out_and_said_once(answer, line, concurrency, tmp_path: Path, capsys):
    run = run_llm(answer, tmp_path, llm={"temperature": 0.7, "concurrency": concurrency})
    assert run.metrics["funnel"] == {"asked": 6, "kept": 6, "dropped": {}}
    assert len(run.requests) <= 6 + 2 * concurrency  # a JSON schema and JSON mode are left out one after the other
    assert capsys.readouterr().err.count(f"/chat/completions {line}\n") == 1


def test_azure_s_address_has_its_query_at_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SENSE_API_KEY", "azure-key")
    run = run_llm(GOOD, tmp_path, query="/openai/deployments/gpt?api-version=2024-06-01")
    assert run.metrics["funnel"]["kept"] == 6
    assert {request.path for request in run.requests} == {"/v1/openai/deployments/gpt/chat/completions?api-version=2024-06-01"}
    assert {request.headers["api-key"] for request in run.requests} == {"azure-key"}
