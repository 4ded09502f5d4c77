"""The chat client against a real server on the loopback interface; pauses are recorded, not slept."""

import gzip
import json
import logging
from base64 import b64decode
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from sense.config import LlmConfig
from sense.cost import meter
from sense.endpoint import MAX_BODY_BYTES
from sense.errors import EndpointError
from sense.teacher.answer_cache import AnswerCache
from sense.teacher.answers import RESPONSE_FORMAT
from sense.teacher.openai import ADAPTATIONS, PATIENCE_S, ChatClient, FailedExchange
from sense.teacher.responses import ChatCompletion
from tests.clock import PausesOnly
from tests.endpoint import HANG, Endpoint, Reply, chat_reply

KEY = "sk-secret-4711"
OK = chat_reply("{}")


def client(
    endpoint: Endpoint,
    pauses: list[float] | None = None,
    key: str = KEY,
    say: Callable[[str], None] = lambda _: None,
    **options: Any,
) -> ChatClient:
    config = LlmConfig.model_validate({"model": "m", "base_url": endpoint.base_url, "retries": 3, "timeout_s": 20} | options)
    return ChatClient(config, key, PausesOnly([] if pauses is None else pauses), say)


def chat_text(chat: ChatClient, user: str = "u", seed: int = 1) -> str:
    completion = chat.chat("s", user, seed=seed)
    assert isinstance(completion, ChatCompletion)
    return completion.text


def failure(script: list[Reply], **options: Any) -> tuple[str, int]:
    """The message of the error, and how many requests were made before it."""
    with Endpoint(script) as endpoint, pytest.raises(EndpointError) as caught:
        client(endpoint, **options).chat("s", "u", seed=1)
    return str(caught.value), len(endpoint.requests)


def failed_exchange(script: list[Reply], **options: Any) -> FailedExchange:
    """The outcome of one exchange, which fails."""
    with Endpoint(script) as endpoint:
        outcome = client(endpoint, **options).chat("s", "u", seed=1)
    assert isinstance(outcome, FailedExchange)
    assert outcome.requests == len(endpoint.requests)
    assert outcome.detail.startswith(f"{endpoint.base_url}/chat/completions: ")
    return outcome


def test_asks_in_json_mode_with_seed_and_key():
    with Endpoint([chat_reply("hello")]) as endpoint:
        assert client(endpoint).chat("be brief", "hi", seed=7) == ChatCompletion("hello", truncated=False)
    (request,) = endpoint.requests
    assert request.path == "/v1/chat/completions"
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert request.body == {
        "model": "m",
        "messages": [{"role": "system", "content": "be brief"}, {"role": "user", "content": "hi"}],
        "temperature": 1.0,
        "max_tokens": 4096,
        "seed": 7,
        "response_format": RESPONSE_FORMAT,
    }


def test_the_turns_after_the_first_question_follow_it():
    with Endpoint([OK]) as endpoint:
        client(endpoint).chat("be brief", "hi", seed=7, turns=[("hello", "again")])
    (request,) = endpoint.requests
    assert [(message["role"], message["content"]) for message in request.body["messages"]] == [
        ("system", "be brief"),
        ("user", "hi"),
        ("assistant", "hello"),
        ("user", "again"),
    ]


def test_the_next_request_starts_while_an_answer_is_still_written_to_the_disk(tmp_path: Path):
    class SlowDisk(AnswerCache):
        def write(self, request: Mapping[str, Any], body: bytes) -> bytes:
            assert request["seed"] == 2 or second.wait(30)
            return super().write(request, body)

    def answer(request: dict[str, Any]) -> Reply:
        if request["seed"] == 2:
            second.set()
        return OK

    second = Event()
    with Endpoint(answer) as endpoint, ThreadPoolExecutor(2) as pool:
        config = LlmConfig(model="m", base_url=endpoint.base_url, concurrency=1)
        chat = ChatClient(config, "", answers=SlowDisk(tmp_path))
        first = pool.submit(chat.chat, "s", "u", seed=1)
        assert chat.chat("s", "u", seed=2) == first.result() == ChatCompletion("{}", truncated=False)


def test_sends_no_key_where_there_is_none_and_strips_a_line_break():
    with Endpoint([OK, OK]) as endpoint:
        client(endpoint, key="").chat("s", "u", seed=1)
        client(endpoint, key=f"{KEY}\n").chat("s", "u", seed=1)
    assert "authorization" not in endpoint.requests[0].headers
    assert endpoint.requests[1].headers["authorization"] == f"Bearer {KEY}"


def test_a_name_and_a_password_in_the_address_are_sent():
    with Endpoint([OK]) as endpoint:
        chat_text(client(endpoint, base_url=endpoint.base_url.replace("http://", "http://me:se%40cret@")))
    scheme, _, value = endpoint.requests[0].headers["authorization"].partition(" ")
    assert (scheme, b64decode(value)) == ("Basic", b"me:se@cret")


def test_requests_go_through_the_proxy_of_the_environment(monkeypatch):
    with Endpoint([OK]) as proxy:
        monkeypatch.setenv("http_proxy", proxy.base_url.removesuffix("/v1"))
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        assert chat_text(client(proxy, base_url="http://llm.invalid/v1")) == "{}"
    assert proxy.requests[0].path == "http://llm.invalid/v1/chat/completions"
    assert proxy.requests[0].headers["authorization"] == f"Bearer {KEY}"


def test_a_compressed_answer_is_read():
    with Endpoint([(200, {"Content-Encoding": "gzip"}, gzip.compress(json.dumps(chat_reply("hello")[2]).encode()))]) as endpoint:
        assert chat_text(client(endpoint)) == "hello"


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503])
def test_retries_transient_failures_with_growing_pauses(status):
    pauses: list[float] = []
    with Endpoint([(status, {}, "busy"), (status, {}, "busy"), (status, {}, "busy"), OK]) as endpoint:
        assert chat_text(client(endpoint, pauses)) == "{}"
    assert len(endpoint.requests) == 4
    assert [0.5 * 2**n <= pause < 2**n for n, pause in enumerate(pauses)] == [True] * 3  # 1, 2, 4 s times [0.5, 1)


def test_the_jitter_depends_on_the_seed_alone():
    def pauses_of(seed: int) -> list[float]:
        pauses: list[float] = []
        with Endpoint([(500, {}, ""), (500, {}, ""), OK]) as endpoint:
            client(endpoint, pauses).chat("s", "u", seed=seed)
        return pauses

    assert pauses_of(1) == pauses_of(1) != pauses_of(2)


@pytest.mark.parametrize("status", [429, 503])
def test_waits_as_long_as_the_server_asks(status):
    pauses: list[float] = []
    with Endpoint([(status, {"Retry-After": "17"}, ""), OK]) as endpoint:
        client(endpoint, pauses).chat("s", "u", seed=1)
    assert pauses == [17.0]


def test_waits_until_the_date_that_the_server_names():
    pauses: list[float] = []
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=300), usegmt=True)
    with Endpoint([(429, {"Retry-After": date}, ""), (429, {"Retry-After": "1.5"}, ""), OK]) as endpoint:
        client(endpoint, pauses).chat("s", "u", seed=1)
    assert 200 < pauses[0] <= 300
    assert pauses[1] >= 1.5


@pytest.mark.parametrize("value", ["soon", "-3", "", "²", "Mon, 01 Jan 2001 00:00:00 GMT", "Mon, 99 Jan 2001 00:00:00 GMT"])
def test_backs_off_by_itself_where_retry_after_says_nothing(value):
    pauses: list[float] = []
    with Endpoint([(429, {"Retry-After": value}, ""), OK]) as endpoint:
        client(endpoint, pauses).chat("s", "u", seed=1)
    assert len(pauses) == 1
    assert 0.5 <= pauses[0] < 1


@pytest.mark.parametrize("value", ["86400", "Thu, 01 Jan 2099 00:00:00 GMT"])
def test_gives_up_where_the_server_asks_for_hours(value):
    message, tries = failure([(429, {"Retry-After": value}, "slow down")])
    assert tries == 1
    assert "finished drafts are kept" in message


@pytest.mark.parametrize(
    ("status", "fix"),
    [
        (401, "set SENSE_API_KEY"),
        (402, "top it up"),
        (403, "set SENSE_API_KEY"),
        (404, "check llm.base_url"),
        (405, "check llm.base_url"),
    ],
)
def test_does_not_retry_what_a_retry_cannot_mend(status, fix):
    message, tries = failure([(status, {}, f'{{"error": "wrong key {KEY}\u001b[31m,\n sorry"}}'), OK])
    assert tries == 1
    assert f"/v1/chat/completions: HTTP {status}: " in message
    assert 'wrong key *** [31m, sorry"' in message  # the key and control characters are gone
    assert fix in message


@pytest.mark.parametrize("secret", ["hunter2/x", "hunter2%2Fx", "dXNlcjpodW50ZXIyL3g=", "s/g n", "s%2Fg+n", "s%2Fg%20n"])
def test_secrets_of_the_url_are_not_shown_when_the_server_repeats_them(secret):
    with Endpoint([(404, {}, f"no <{secret}>, page 1")]) as endpoint, pytest.raises(EndpointError) as caught:
        url = endpoint.base_url.replace("//", "//user:hunter2%2Fx@") + "?sig=s%2Fg%20n&page=1&api-version=2024-06-01"
        client(endpoint, base_url=url).chat("s", "u", seed=1)
    assert "no <***>, page 1" in str(caught.value)


def test_names_where_it_is_redirected_to():
    message, tries = failure([(308, {"Location": "https://host/v2/chat/completions?key=secret"}, ""), OK])
    assert tries == 1
    assert "redirected to https://host/v2/chat/completions; set llm.base_url to that address" in message


@pytest.mark.parametrize("status", [429, 403, 400])
def test_does_not_retry_a_used_up_quota(status):
    message, tries = failure([(status, {}, {"error": {"code": "insufficient_quota"}}), OK])
    assert tries == 1
    assert "top it up" in message


def test_a_long_error_is_cut_after_the_key_has_been_taken_out():
    message, _ = failure([(404, {}, "x" * 285 + KEY + "y" * 1000)])
    assert "x" * 285 + "***yy..." in message
    assert "sk-" not in message


def test_gives_up_an_exchange_after_the_last_try():
    exchange = failed_exchange([(500, {}, "oops")] * 9)
    assert (exchange.reason, exchange.requests) == ("HTTP 500", 4)
    assert "HTTP 500: oops (4 tries); it fails by itself: run again later, finished drafts are kept" in exchange.detail


def test_a_rate_limit_that_stays_is_the_endpoint_s():
    pauses: list[float] = []
    message, tries = failure([(429, {}, "slow down")] * 20, pauses=pauses)
    assert sum(pauses) >= PATIENCE_S > sum(pauses[:-1])  # minutes may be what a quota is counted in
    assert f"HTTP 429: slow down ({tries} tries); raise the rate limit or wait, then run again" in message


def test_a_rate_limit_is_waited_for_as_long_as_others_are_answered():
    refusals = dict.fromkeys(range(8), 0)

    def answer(request: dict[str, Any]) -> Reply:
        number = int(request["messages"][1]["content"])
        refusals[number] += 1
        return OK if number > 0 or min(refusals.values()) > 0 else (429, {}, "slow down")

    with Endpoint(answer) as endpoint, ThreadPoolExecutor(4) as pool:
        chat = client(endpoint, retries=0, concurrency=4)
        assert list(pool.map(lambda number: chat_text(chat, str(number), number), range(8))) == ["{}"] * 8


@pytest.mark.parametrize(
    "body",
    [
        *("", "<html>hi</html>", "[]", "null", "{}", '{"choices": [null]}', '{"choices": [{"text": "hi"}]}'),
        *('{"choices": [{"message": {"content": 5}}]}', b"\xff\xfe", "[" * 100_000, "1" * 5000, '{"choices": {"a": 1}}'),
    ],
)
def test_nonsense_with_status_200_is_retried_then_given_up(body):
    exchange = failed_exchange([(200, {}, body)] * 2, retries=1)
    assert exchange.requests == 2
    assert "no chat completion" in exchange.detail
    assert "check that llm.base_url is that of an OpenAI-compatible API" in exchange.detail
    with Endpoint([(200, {}, body), OK]) as endpoint:
        assert chat_text(client(endpoint)) == "{}"


def test_an_endless_body_is_not_read_to_its_end():
    exchange = failed_exchange([(200, {}, b" " * (MAX_BODY_BYTES + 1_000_000))], retries=0)
    assert "no chat completion" in exchange.detail


def test_a_body_that_breaks_off_is_retried():
    with Endpoint([(200, {"Content-Length": "1000"}, "{"), OK]) as endpoint:
        assert chat_text(client(endpoint)) == "{}"
    assert failed_exchange([(200, {"Content-Length": "1000"}, "{")] * 4).reason == "connection lost"


def test_no_server():
    pauses: list[float] = []
    with Endpoint([]) as endpoint:
        pass
    with pytest.raises(EndpointError, match=r"cannot be reached \(ConnectError.*\(4 tries\); check llm.base_url") as caught:
        client(endpoint, pauses).chat("s", "u", seed=1)
    assert endpoint.base_url in str(caught.value)
    assert len(pauses) == 3


def test_a_silent_server():
    exchange = failed_exchange([HANG], timeout_s=0.05, retries=0)
    assert exchange.reason == "no answer in time"
    assert "no answer within 0.05 s (ReadTimeout); raise llm.timeout_s" in exchange.detail


def test_a_server_that_speaks_no_tls():
    with Endpoint([]) as endpoint, pytest.raises(EndpointError, match="does the server speak https") as caught:
        client(endpoint, base_url=endpoint.base_url.replace("http://", "https://")).chat("s", "u", seed=1)
    assert "tries" not in str(caught.value)


@pytest.mark.parametrize(
    ("error", "name"),
    [
        (
            "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
            "max_tokens",
        ),
        ("extra_forbidden: seed", "seed"),
        ("Unsupported value: 'temperature' does not support 0.7. Only the default (1) value is supported.", "temperature"),
        ("invalid temperature: only 1 is allowed for this model", "temperature"),
        ("temperature: this parameter is deprecated for this model", "temperature"),
    ],
)
@pytest.mark.parametrize("status", [400, 422])
def test_later_calls_leave_out_a_parameter_that_the_endpoint_does_not_support(status, error, name):
    pauses: list[float] = []
    lines: list[str] = []
    with Endpoint([(status, {}, {"error": {"message": error}}), OK, OK]) as endpoint:
        chat = client(endpoint, pauses, say=lines.append)
        chat.chat("s", "u", seed=1)
        chat.chat("s", "u", seed=2)
    first, second, third = (request.body for request in endpoint.requests)
    assert name in first
    assert set(first) - set(second) == set(first) - set(third) == {name}
    assert second.get("max_completion_tokens") == (4096 if name == "max_tokens" else None)
    assert pauses == []
    (line,) = lines
    assert line == f"{endpoint.base_url}/chat/completions {ADAPTATIONS[name]}"


@pytest.mark.parametrize(
    "error",
    [
        "response_format.type must be 'json_object' or 'text'",
        "This model does not support structured outputs",
        "JSON schema is not supported by this model",
        "Invalid schema: additionalProperties is not known",
    ],
)
def test_without_a_json_schema_the_endpoint_is_asked_for_json_mode_and_then_for_neither(error):
    lines: list[str] = []
    no_mode = "JSON mode is not supported by this model"
    with Endpoint([(400, {}, {"error": {"message": text}}) for text in (error, no_mode)] + [OK, OK]) as endpoint:
        chat = client(endpoint, say=lines.append)
        chat.chat("s", "u", seed=1)
        chat.chat("s", "u", seed=2)
    formats = [request.body.get("response_format") for request in endpoint.requests]
    assert formats == [RESPONSE_FORMAT, {"type": "json_object"}, None, None]
    assert lines == [f"{endpoint.base_url}/chat/completions {ADAPTATIONS[name]}" for name in ("json_schema", "response_format")]


NO_SYSTEM_ROLE = [
    *("System role not supported", "Conversation roles must alternate user/assistant/user/assistant/..."),
    "Only user, assistant and tool roles are supported, got system.",
    "Developer instruction is not enabled for models/gemma-3-27b-it",
    "Unsupported value: 'messages[0].role' does not support 'system' with this model.",
    "This model doesn't support the system message",
]


@pytest.mark.parametrize("status", [400, 422, 500])
@pytest.mark.parametrize("error", NO_SYSTEM_ROLE)
def test_where_there_is_no_system_role_the_user_says_it(status, error):
    lines: list[str] = []
    with Endpoint([(status, {}, {"object": "error", "message": error, "code": status}), OK, OK]) as endpoint:
        chat = client(endpoint, say=lines.append)
        chat.chat("be brief", "hi", seed=1)
        chat.chat("be brief", "ho", seed=2)
    messages = [request.body["messages"] for request in endpoint.requests]
    assert [message["role"] for message in messages[0]] == ["system", "user"]
    assert messages[1:] == [[{"role": "user", "content": f"be brief\n\n{text}"}] for text in ("hi", "ho")]
    assert len(lines) == 1


def test_an_endpoint_may_support_nothing_at_all():
    names = ["response_format", "response_format", "seed", "temperature"]
    script = [(400, {}, {"detail": [{"loc": ["body", name], "msg": "Extra inputs", "input": "seed"}]}) for name in names]
    with Endpoint([*script, (400, {}, NO_SYSTEM_ROLE[0]), (400, {}, "use max_completion_tokens instead"), OK]) as endpoint:
        assert chat_text(client(endpoint)) == "{}"
    assert sorted(endpoint.requests[-1].body) == ["max_completion_tokens", "messages", "model"]


def test_what_is_left_out_already_is_no_cause():
    script: list[Reply] = [(400, {}, "extra_forbidden: seed")] * 2
    with Endpoint(script) as endpoint:
        outcome = client(endpoint).chat("s", "u", seed=1)
    assert isinstance(outcome, FailedExchange)
    assert len(endpoint.requests) == 2


def test_the_key_is_in_no_log_and_no_repr(caplog):
    caplog.set_level(logging.DEBUG)
    with Endpoint([(500, {}, KEY), OK]) as endpoint:
        chat = client(endpoint)
        chat.chat("s", "u", seed=1)
    assert caplog.records
    assert KEY not in caplog.text + repr(chat)


@pytest.mark.parametrize("key", ["sk-ä", "sk-1\nsk-2", "sk\x00"])
def test_a_key_that_no_header_can_carry(key):
    with pytest.raises(EndpointError, match="set SENSE_API_KEY to the key alone") as caught:
        ChatClient(LlmConfig(model="m"), key)
    assert "sk" not in str(caught.value)


@pytest.mark.parametrize("url", ["localhost:8000/v1", "ftp://host/v1", "http://", "http://u:secret@host:port/v1", "/v1", ""])
def test_a_base_url_that_is_no_http_address(url):
    with pytest.raises(EndpointError, match=r"llm.base_url.*write it like https://host/v1") as caught:
        ChatClient(LlmConfig(model="m", base_url=url), "")
    assert "secret" not in str(caught.value)


def test_a_password_in_the_url_is_not_shown():
    with Endpoint([(404, {}, "")]) as endpoint, pytest.raises(EndpointError) as caught:
        client(endpoint, base_url=endpoint.base_url.replace("//", "//user:hunter2@")).chat("s", "u", seed=1)
    assert "hunter2" not in str(caught.value)


AZURE = "/openai/deployments/gpt/chat/completions?api-version=2024-06-01"


@pytest.mark.parametrize(
    ("base", "path"),
    [
        ("/openai/deployments/gpt?api-version=2024-06-01", AZURE),
        ("/openai/deployments/gpt/?api-version=2024-06-01#keys", AZURE),
        (AZURE, AZURE),  # as the portal shows it
        ("/v1/chat/completions", "/v1/chat/completions"),
        ("/v1/", "/v1/chat/completions"),
        ("/v1?key=a%2Fb&x=", "/v1/chat/completions?key=a%2Fb&x="),
        ("", "/chat/completions"),
    ],
)
def test_the_path_goes_before_the_query(base, path):
    with Endpoint([OK]) as endpoint:
        client(endpoint, base_url=endpoint.base_url.removesuffix("/v1") + base).chat("s", "u", seed=1)
    assert endpoint.requests[0].path == path


@pytest.mark.parametrize(
    ("query", "key", "header"),
    [
        ("?api-version=2024-06-01", KEY, ("api-key", KEY)),
        ("?api-version=2024-06-01", "eyJ.entra.token", ("authorization", "Bearer eyJ.entra.token")),
        ("?version=1", KEY, ("authorization", f"Bearer {KEY}")),
    ],
)
def test_azure_gets_the_key_in_a_header_of_its_own(query, key, header, caplog):
    caplog.set_level(logging.DEBUG)
    with Endpoint([OK]) as endpoint:
        client(endpoint, base_url=endpoint.base_url + query, key=key).chat("s", "u", seed=1)
    headers = endpoint.requests[0].headers
    assert [(name, headers[name]) for name in ("api-key", "authorization") if name in headers] == [header]
    assert key not in caplog.text


def test_the_query_is_not_shown():
    with Endpoint([(404, {}, "")]) as endpoint, pytest.raises(EndpointError) as caught:
        client(endpoint, base_url=endpoint.base_url + "?key=hunter2").chat("s", "u", seed=1)
    assert "hunter2" not in str(caught.value)


def test_threads_share_one_client():
    with Endpoint(lambda request: chat_reply(request["messages"][1]["content"])) as endpoint, ThreadPoolExecutor(4) as pool:
        chat = client(endpoint, concurrency=2)
        answers = list(pool.map(lambda number: chat_text(chat, f"u{number}", number), range(24)))
    assert answers == [f"u{number}" for number in range(24)]


def reply_with_usage(content: str, prompt: int, completion: int) -> Reply:
    status, headers, body = chat_reply(content)
    return status, headers, body | {"usage": {"prompt_tokens": prompt, "completion_tokens": completion}}


def test_tokens_and_money_are_counted_also_of_answers_that_are_of_no_use(tmp_path):
    script = [reply_with_usage("{}", 1000, 50), reply_with_usage("", 2000, 70)]
    with Endpoint(script) as endpoint, meter.measure(tmp_path / "cost"):
        chat = client(endpoint, prompt_price=2.0, completion_price=10.0)
        assert isinstance(chat.chat("s", "u", seed=1), ChatCompletion)
        assert isinstance(chat.chat("s", "u", seed=2), FailedExchange)
    cost = meter.total(tmp_path / "cost")
    assert cost.tokens == {"teacher_prompt": 3000, "teacher_completion": 120}
    assert cost.money == pytest.approx(0.006 + 0.0012)
    assert cost.complete


def test_an_endpoint_that_counts_no_tokens_leaves_the_cost_incomplete(tmp_path):
    with Endpoint([OK]) as endpoint, meter.measure(tmp_path / "cost"):
        client(endpoint).chat("s", "u", seed=1)
    cost = meter.total(tmp_path / "cost")
    assert (cost.tokens, cost.money, cost.complete) == ({}, None, False)


def test_one_price_needs_the_other():
    with pytest.raises(ValueError, match="prompt_price and completion_price go together"):
        LlmConfig(model="m", prompt_price=1.0)
