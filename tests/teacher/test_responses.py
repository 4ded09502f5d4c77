"""What responses mean, in the words of many servers: of one exchange, of the endpoint, or of what it does not support."""

import json
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sense.endpoint import CallFailure
from sense.teacher.responses import ChatCompletion, UnsupportedParameter, read_response

REQUEST = {
    "model": "m",
    "messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}],
    "temperature": 0.7,
    "max_tokens": 4096,
    "seed": 1,
    "response_format": {"type": "json_object"},
}


def read(status: int, value: Any, headers: dict[str, str] | None = None, **request: Any) -> Any:
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    return read_response(httpx.Response(status, headers=headers or {}), body, REQUEST | request)


def read_message(message: Any, finish: str | None = "stop") -> Any:
    return read(200, {"choices": [{"index": 0, "message": message, "finish_reason": finish}]})


THOUGHTS = {"type": "thinking", "thinking": [{"type": "text", "text": "Let me think."}]}


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("hello", "hello"),
        ([THOUGHTS, {"type": "text", "text": "hello"}], "hello"),
        ([{"type": "text", "text": "hel"}, {"type": "reasoning", "text": "hm"}, {"type": "output_text", "text": "lo"}], "hello"),
        ([{"text": "hello"}], "hello"),
        (["hel", "lo"], "hello"),
        ({"type": "text", "text": "hello"}, "hello"),
    ],
)
def test_content_as_a_text_or_in_parts(content, text):
    assert read_message({"role": "assistant", "content": content}) == ChatCompletion(text, truncated=False)


@pytest.mark.parametrize("finish", ["length", "max_tokens", "MAX_TOKENS"])
def test_a_truncated_completion(finish):
    assert read_message({"content": "{", "reasoning_content": "hm"}, finish) == ChatCompletion("{", truncated=True)


@pytest.mark.parametrize(
    ("message", "finish", "reason", "wording"),
    [
        ({"content": None, "reasoning_content": "{}"}, "stop", "answer in reasoning_content", "vLLM: without --reasoning-parser"),
        ({"content": "", "reasoning": "{}"}, "stop", "answer in reasoning", "raise llm.max_tokens"),
        ({"content": " \n", "reasoning_details": [{"text": "{}"}]}, None, "answer in reasoning_details", "start the server"),
        ({"content": [THOUGHTS]}, "stop", "answer in parts that are no text", "start the server"),
        ({"content": "", "reasoning_content": "hm"}, "length", "cut off", "all of the 4096 tokens were used up"),
        ({"content": None}, "length", "cut off", "raise llm.max_tokens"),
        ({"content": None, "refusal": "I cannot help with that."}, "stop", "declined", "I cannot help with that."),
        ({"content": None}, "content_filter", "content filter", "loosen the endpoint's content filter"),
        ({"content": '{"dom'}, "content_filter", "content filter", "loosen the endpoint's content filter"),
        ({"role": "assistant"}, "content_filter: PROHIBITED_CONTENT", "content filter", "loosen the endpoint's content filter"),
        ({"content": None}, "stop", "empty answer", "the server's log"),
        ({"content": []}, "stop", "empty answer", "the server's log"),
        (None, "stop", "empty answer", "the server's log"),
    ],
)
def test_a_message_without_text_is_a_failed_exchange(message, finish, reason, wording):
    failure = read_message(message, finish)
    assert (failure.reason, failure.retry) == (reason, False)
    assert wording in f"{failure.message}; {failure.fix}"


def test_no_choices_are_a_failed_exchange():
    failure = read(200, {"id": "x", "choices": []})
    assert (failure.reason, failure.retry) == ("empty answer", False)


@pytest.mark.parametrize(
    ("headers", "body"),
    [({"content-type": "text/event-stream; charset=utf-8"}, b": processing\n\n"), ({}, b'\n\ndata: {"choices": []}\n\n')],
)
def test_a_stream_is_named_at_once(headers, body):
    failure = read(200, body, headers)
    assert (failure.reason, failure.retry) == ("", False)
    assert "stream of events, though none was asked for; switch streaming off" in f"{failure.message}; {failure.fix}"


EXCHANGE = [  # (status, body, reason): a counted refusal of the draft
    (400, {"message": "The response was filtered due to the prompt triggering ...", "code": "content_filter"}, "content filter"),
    (400, {"message": "triggering Azure OpenAI's content management policy. Please modify your prompt"}, "content filter"),
    (400, {"message": "Input data may contain inappropriate content.", "code": "data_inspection_failed"}, "content filter"),
    (400, {"message": "Invalid prompt: your prompt was flagged as ...", "code": "invalid_prompt"}, "content filter"),
    (400, {"message": "rejected by our safety system", "code": "content_policy_violation"}, "content filter"),
    (403, {"message": "Your chosen model requires moderation and your input was flagged", "code": 403}, "content filter"),
    (500, {"message": "blocked: PROHIBITED_CONTENT"}, "content filter"),
    (400, {"message": "Failed to generate JSON. Please adjust your prompt.", "code": "json_validate_failed"}, "JSON mode failed"),
    (400, {"message": "max_tokens 4096: prompt is too long: 210000 tokens > 200000 maximum"}, "prompt too long"),
    (400, {"message": "maximum context length is 32,768 tokens. You requested 33000 (28904 in the messages)"}, "prompt too long"),
    (400, {"message": "the request exceeds the available context size (8192 tokens)"}, "prompt too long"),
    (400, {"message": "I do not feel like it", "code": "new_in_2030"}, "HTTP 400"),
    (422, {"message": "something about this prompt"}, "HTTP 422"),
    (413, {"message": "Payload Too Large"}, "HTTP 413"),
]


@pytest.mark.parametrize(("status", "error", "reason"), EXCHANGE)
@pytest.mark.parametrize("form", ["openai", "vllm", "google", "openrouter"])
def test_errors_of_one_exchange(status, error, reason, form):
    raw = {"message": "Provider returned error", "code": status, "metadata": {"raw": json.dumps({"error": error})}}
    body = {
        "openai": {"error": {"type": "invalid_request_error", "param": None} | error},
        "vllm": {"object": "error"} | error,
        "google": [{"error": error}],
        "openrouter": {"error": raw},
    }[form]
    failure = read(status, body)
    assert isinstance(failure, CallFailure)
    assert (failure.reason, failure.retry) == (reason, False)
    assert failure.message.startswith(f"HTTP {status}: ")


@pytest.mark.parametrize(
    ("status", "error", "wording"),
    [
        (400, {"message": "Model Not Exist"}, "set llm.model"),
        (400, {"message": "Invalid model: gpt-x", "type": "invalid_model", "code": "1500"}, "set llm.model"),
        (400, {"message": "gpt-x is not a valid model ID"}, "set llm.model"),
        (404, {"message": "The model `gpt-x` does not exist", "code": "model_not_found"}, "llm.model"),
        (400, {"message": "API key not valid. Please pass a valid API key."}, "set SENSE_API_KEY"),
        (401, {"message": "Incorrect API key provided: the content filter"}, "set SENSE_API_KEY"),
        (400, {"message": "max_tokens is too large: 16384. This model supports at most 4096"}, "change llm.max_tokens"),
        (400, {"message": "Invalid max_tokens value, the valid range of max_tokens is [1, 8192]"}, "change llm.max_tokens"),
        (400, {"message": "temperature must be less than or equal to 1"}, "change llm.temperature"),
        (400, {"message": "maximum context length is 4096 tokens and your request has 812 input tokens"}, "lower llm.max_tokens"),
        (400, {"message": "This model's maximum context length is 4097 tokens, you requested 4927"}, "llm.demonstrations"),
        (400, {"message": "The plain HTTP request was sent to HTTPS port"}, "with https://"),
        (402, {"message": "Insufficient Balance"}, "top it up"),
        (429, {"message": "You exceeded your current quota", "code": "insufficient_quota"}, "top it up"),
        (429, {"message": "no", "type": "exceeded_current_quota_error"}, "top it up"),
    ],
)
def test_errors_that_every_exchange_would_get(status, error, wording):
    failure = read(status, {"error": error})
    assert isinstance(failure, CallFailure)
    assert (failure.reason, failure.retry) == ("", False)
    assert wording in failure.fix


@pytest.mark.parametrize(
    ("error", "message"),
    [
        ({"message": "Provider returned error", "code": 502}, "HTTP 502"),
        ({"message": "busy", "code": "503"}, "HTTP 503"),
        ("no idea", "HTTP 502: no idea"),
        ({"message": "slow down", "code": "rate_limit_exceeded"}, "HTTP 429"),
    ],
)
def test_an_error_in_a_response_of_status_200_is_as_good_as_its_code(error, message):
    for body in ({"error": error}, {"choices": [{"error": error, "finish_reason": "error", "message": {"content": ""}}]}):
        failure = read(200, body)
        assert failure.retry
        assert failure.message.startswith(message)
    assert read(200, {"error": {"message": "no", "code": 400}}).reason == "HTTP 400"
    assert read(200, {"error": {"message": "no", "code": "insufficient_quota"}}).fix.startswith("the account's quota")


@pytest.mark.parametrize(
    "body",
    [
        {"error": {"message": "Unrecognized request argument supplied: seed", "param": None}},
        {"detail": [{"type": "extra_forbidden", "loc": ["body", "seed"], "msg": "Extra inputs are not permitted", "input": 1}]},
        {"object": "error", "message": {"detail": [{"type": "extra_forbidden", "loc": ["body", "seed"], "msg": "Extra inputs"}]}},
        {"error": {"message": "Unsupported parameter", "param": "seed", "code": "unsupported_parameter"}},
    ],
)
def test_an_unsupported_parameter_is_named_in_many_ways(body):
    assert read(422, body) == UnsupportedParameter("seed")


def test_only_the_server_s_own_words_name_a_parameter():
    error = {"message": "Failed to generate JSON.", "code": "json_validate_failed", "failed_generation": '{"temperature": "seed'}
    assert read(400, {"error": error}).reason == "JSON mode failed"
    echo = {"detail": [{"loc": ["body", "messages"], "msg": "too many", "input": {"seed": 1, "response_format": "unsupported"}}]}
    assert isinstance(read(400, echo), CallFailure)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["error", "message", "choices", "content", "detail", "loc", "code", "type", "text", "param", "metadata"]),
        inner, max_size=4,
    ),
    max_leaves=12,
)  # fmt: skip


@given(status=st.sampled_from([200, 204, 301, 400, 401, 403, 418, 422, 429, 500, 503]), value=JSON)
def test_whatever_a_server_sends_is_read_as_something(status, value):
    assert isinstance(read(status, value), ChatCompletion | UnsupportedParameter | CallFailure)
    if status == 200:
        assert isinstance(read(200, {"choices": value}), ChatCompletion | CallFailure | UnsupportedParameter)
        assert isinstance(read_message(value), ChatCompletion | CallFailure)


@pytest.mark.parametrize("body", [b"[" * 100_000, b'{"error":' * 900 + b"1" + b"}" * 900, b"\xff\xfe", b""])
@pytest.mark.parametrize("status", [200, 400])
def test_hostile_bodies(status, body):
    assert isinstance(read(status, body), CallFailure)
