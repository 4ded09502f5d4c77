"""The requests that the gateway sends to a vLLM server, and how it handles the responses, over real HTTP."""

import asyncio
import json
import re
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

import sense
from sense import prompts
from sense.config import GenerationConfig, PromptConfig, ServedConfig, VllmConfig
from sense.errors import UserError
from sense.serving import vllm
from sense.serving.backend import BackendError, ServedVersion, VersionGoneError
from sense.serving.vllm import LINKED_SELECT, SELECT, VllmBackend
from tests.serving.model_server import ModelServer

KEY = "sk-very-secret"
MODELS = {
    "sense-2": ServedConfig(name="sense", version="2", digest="22", prompt=PromptConfig(schema_style="ddl")),
    "sense-1": ServedConfig(name="sense", version="1", digest="11"),
}


@pytest.fixture
def server():
    with ModelServer() as running:
        yield running


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("VLLM_API_KEY", KEY)


def config(server, **more):
    return VllmConfig(url=server.url, models=MODELS, **more)


@asynccontextmanager
async def running_backend(server, timeout_s=20.0, generation=None, **more):
    backend = VllmBackend(config(server, **more), generation or GenerationConfig(), timeout_s)
    await backend.start()
    try:
        yield backend
    finally:
        await backend.close()


async def ask(backend, prompt="p", n=1, temperature=0.0):
    return await (await backend.current()).complete(prompt, n=n, temperature=temperature)


def run(server, work, **more):
    async def go():
        async with running_backend(server, **more) as backend:
            return await work(backend)

    return asyncio.run(go())


def test_requests_have_the_parameters_of_evaluate_and_sample(server):
    generation = GenerationConfig(max_new_tokens=64, top_p=0.9, seed=7)

    async def work(backend):
        await ask(backend, "a\nsql:")
        await ask(backend, "b\nsql:", n=3, temperature=0.8)

    run(server, work, generation=generation)
    always = {"model": "sense-1", "max_tokens": 64, "structured_outputs": {"regex": SELECT}, "add_special_tokens": True}
    always |= {"top_k": 0, "min_p": 0.0, "repetition_penalty": 1.0, "presence_penalty": 0.0, "frequency_penalty": 0.0}
    assert [request.body for request in server.requests] == [
        {"prompt": "a\nsql:", "n": 1, "temperature": 0.0, "top_p": 1.0} | always,
        {"prompt": "b\nsql:", "n": 3, "temperature": 0.8, "top_p": 0.9, "seed": 7} | always,
    ]
    assert {request.headers["authorization"] for request in server.requests} == {f"Bearer {KEY}"}


def test_structured_output_of_a_linked_version_begins_with_its_linking_line(server):
    linked = PromptConfig(target="linked")
    models = {name: version.model_copy(update={"prompt": linked}) for name, version in MODELS.items()}

    async def work():
        backend = VllmBackend(VllmConfig(url=server.url, models=models), GenerationConfig(), 20.0)
        await backend.start()
        try:
            await ask(backend)
        finally:
            await backend.close()

    asyncio.run(work())
    assert [request.body["structured_outputs"] for request in server.requests] == [{"regex": LINKED_SELECT}]


def test_structured_output_can_be_switched_off(server):
    run(server, ask, structured=False)
    assert "structured_outputs" not in server.requests[0].body


def test_choices_are_sorted_by_their_index(server):
    choices = [{"index": index, "text": f" SELECT {index}", "finish_reason": "length"} for index in (2, 0, 1)]

    async def work(backend):
        served = await backend.current()
        server.fail(200, json.dumps({"model": "sense-1", "choices": choices}).encode())
        return await served.complete("p", n=3, temperature=1.0)

    assert run(server, work) == [" SELECT 0", " SELECT 1", " SELECT 2"]


def test_the_first_configured_name_that_is_served_is_used(server):
    server.names = ["other", "sense-1", "sense-2"]

    async def work(backend):
        served = await backend.current()
        return served.version, served.prompt.schema_style

    assert run(server, work) == (ServedVersion("sense", "2", "22"), "ddl")


def test_a_server_with_only_unknown_versions_is_an_error(server):
    server.names = ["sense-9", "llama"]
    with pytest.raises(BackendError, match="has llama, sense-9, the gateway is configured for sense-1, sense-2"):
        run(server, lambda backend: backend.current())


def test_concurrent_callers_share_one_request_for_the_model_list(server):
    async def work(backend):
        await asyncio.gather(*(backend.current() for _ in range(20)))
        await backend.current()

    run(server, work)
    assert server.model_lists == 1


def test_a_cancelled_caller_does_not_cancel_the_shared_request(server):
    async def work(backend):
        first, second = asyncio.create_task(backend.current()), asyncio.create_task(backend.current())
        await asyncio.sleep(0)
        first.cancel()
        return (await second).version.version

    assert run(server, work) == "1"


def test_requests_to_a_removed_version_fail_and_the_next_ones_use_the_new_version(server):
    async def work(backend):
        old = await backend.current()
        server.names = ["sense-2"]
        with pytest.raises(VersionGoneError):
            await old.complete("p", n=1, temperature=0.0)
        new = await backend.current()  # the model list is fetched again at once
        return new.version.version, await new.complete("p", n=1, temperature=0.0)

    assert run(server, work) == ("2", [" SELECT 'sense-2'"])


def test_with_replicas_of_two_versions_each_request_gets_the_version_it_names(server):
    server.replicas = [["sense-1"], ["sense-2"]]

    async def work(backend):
        served = await backend.current()
        texts = [await served.complete(f"p{number}", n=2, temperature=1.0) for number in range(10)]
        return served.version.version, texts

    version, texts = run(server, work)
    assert texts == [[f" SELECT 'sense-{version}'"] * 2] * 10


def test_the_model_list_is_fetched_again_after_its_maximum_age(server, monkeypatch):
    monkeypatch.setattr(vllm, "MAX_AGE_S", 0.0)

    async def work(backend):
        before = await backend.current()
        server.names = ["sense-2"]
        return before.version.version, (await backend.current()).version.version

    assert run(server, work) == ("1", "2")


@pytest.mark.parametrize(
    ("status", "content", "message"),
    [
        (401, b'{"error":"Unauthorized"}', "the gateway's key for the model server is refused"),
        (403, b"", "the gateway's key for the model server is refused"),
        (404, b'{"detail":"Not Found"}', "no vLLM server"),
        (500, b"boom", "HTTP 500"),
        (503, b"", "HTTP 503"),
        (302, b"", "HTTP 302"),
        (400, b'{"error":{"message":"secret detail","type":"BadRequestError","param":null,"code":400}}', "HTTP 400"),
        (400, b'{"error":[1]}', "HTTP 400"),
        (200, b"", "no completion"),
        (200, b"<html>", "no completion"),
        (200, b"\xff\xfe", "no completion"),
        (200, b"[" * 100_000, "no completion"),
        (200, b"[]", "no completion"),
        (200, b'{"choices":{}}', "no completion"),
        (200, b'{"model":"sense-1","choices":[1]}', "no completion"),
        (200, b'{"model":"sense-1","choices":[]}', "holds 0 completions, 1 were asked for"),
        (200, b'{"model":"sense-1","choices":[{"index":[],"text":"x"}]}', "holds 0 completions"),
        (200, b'{"model":"sense-1","choices":[{"index":0,"text":null}]}', "holds 0 completions"),
        (200, b'{"model":"sense-1","choices":[{"index":1,"text":"x"}]}', "holds 1 completions"),
        (200, b'{"model":"sense-2","choices":[{"index":0,"text":"x"}]}', "a version that was not asked for"),
        (200, b'{"model":"sense-1","choices":[{"index":0,"text":"x","finish_reason":"abort"}]}', "broke off"),
    ],
)
def test_any_other_response_is_an_error_that_does_not_quote_the_server(server, status, content, message):
    async def work(backend):
        served = await backend.current()
        server.fail(status, content)
        await served.complete("p", n=1, temperature=0.0)

    with pytest.raises(BackendError, match=re.escape(message)) as raised:
        run(server, work)
    assert not isinstance(raised.value, VersionGoneError)
    for hidden in (KEY, server.url, str(server.port), "secret detail", "boom"):
        assert hidden not in raised.value.reason


@pytest.mark.parametrize("content", [b"", b"[]", b'{"data":1}', b'{"data":[1]}', b'{"data":[{"id":1}]}'])
def test_a_malformed_list_of_models_is_an_error(server, content):
    server.fail(200, content)
    with pytest.raises(BackendError, match="list of models is none"):
        run(server, lambda backend: backend.current())


def test_a_key_that_the_model_server_refuses(server):
    server.key = "another"
    with pytest.raises(BackendError, match="key for the model server is refused"):
        run(server, lambda backend: backend.current())


def test_a_prompt_longer_than_the_context_is_a_user_error(server):
    server.context = 5
    with pytest.raises(UserError, match="longer than the model reads: 6 tokens or more, and it reads 5 tokens;"):
        run(server, lambda backend: ask(backend, "one two three four five six"))


@pytest.mark.parametrize(
    ("param", "said", "shown"),
    [
        (
            "input_tokens",
            "your prompt contains at least 1025 input tokens, which exceeds",
            ": 1025 tokens or more, and it reads 1024 tokens",
        ),
        (
            "input_tokens",
            "you requested 256 output tokens and your prompt contains at least 769 input tokens, for a total of 1025 tokens.",
            ": 769 tokens or more, and it reads 1024 tokens",
        ),
        (  # so long that vLLM does not even count the tokens
            "input_text",
            "you requested 256 output tokens and your prompt contains 90000 characters (more than 6144 characters, which is the "
            "upper bound for 768 input tokens).",
            ": 90000 characters, and it reads 1024 tokens",
        ),
        ("input_text", "in other words", ""),
    ],
)
def test_every_form_in_which_vllm_refuses_a_long_prompt(server, param, said, shown):
    error = {"message": f"This model's maximum context length is 1024 tokens. However, {said}", "param": param, "code": 400}

    async def work(backend):
        served = await backend.current()
        server.fail(400, json.dumps({"error": error}).encode())
        await served.complete("p", n=1, temperature=0.0)

    with pytest.raises(UserError, match=re.escape(f"longer than the model reads{shown}; ask")):
        run(server, work)


def test_a_server_that_dies_and_comes_back_is_used_again(server):
    async def work(backend):
        served = await backend.current()
        await asyncio.to_thread(server.die)
        for attempt in (lambda: served.complete("p", n=1, temperature=0.0), backend.current):
            with pytest.raises(BackendError, match="cannot be reached") as raised:
                await attempt()
            assert str(server.port) not in raised.value.reason
        await asyncio.to_thread(server.live)
        return await ask(backend)

    assert run(server, work) == [" SELECT 'sense-1'"]


def test_a_request_survives_an_idle_connection_that_the_server_has_closed(server):
    async def work(backend):
        served = await backend.current()
        await asyncio.to_thread(server.die)
        await asyncio.to_thread(server.live)
        return await served.complete("p", n=1, temperature=0.0)

    assert run(server, work) == [" SELECT 'sense-1'"]


def test_a_server_that_dies_during_a_request(server):
    server.stall()

    async def work(backend):
        task = asyncio.create_task(ask(backend))
        await asyncio.to_thread(server.until, lambda: server.in_flight == 1)
        await asyncio.to_thread(server.die)
        await task

    with pytest.raises(BackendError, match="cannot be reached"):
        run(server, work)


def test_a_request_to_a_server_that_hangs_times_out_and_is_cancelled(server):
    server.stall()
    with pytest.raises(BackendError, match=r"does not answer within 0\.2 s"):
        run(server, ask, timeout_s=0.2)
    server.until(lambda: server.aborted == 1)  # the server sees that its client has gone


def test_a_cancelled_request_is_cancelled_at_the_server_and_releases_its_connection(server):
    server.stall()

    async def work(backend):
        served = await backend.current()
        for number in range(1, 6):
            task = asyncio.create_task(served.complete("p", n=1, temperature=0.0))
            await asyncio.to_thread(server.until, lambda: server.in_flight == 1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await asyncio.to_thread(server.until, lambda expected=number: server.aborted == expected and server.in_flight == 0)
        server.resume()
        return await served.complete("p", n=1, temperature=0.0)

    assert run(server, work, connections=1) == [" SELECT 'sense-1'"]


def test_the_number_of_connections_is_limited(server):
    async def work(backend):
        served = await backend.current()
        return await asyncio.gather(*(served.complete("p", n=1, temperature=0.0) for _ in range(30)))

    assert len(run(server, work, connections=3)) == 30
    assert server.most_connections <= 3


def test_connections_are_renewed_so_that_a_new_replica_gets_requests(server, monkeypatch):
    monkeypatch.setattr(vllm, "RENEW_AFTER", 10)

    async def work(backend):
        for _ in range(45):
            await ask(backend)

    run(server, work)
    assert len(server.requests) == 45
    assert 4 <= server.accepted <= 6


def test_an_endless_response_is_cut_off(server, monkeypatch):
    monkeypatch.setattr(vllm, "MAX_BODY_BYTES", 100_000)

    async def work(backend):
        served = await backend.current()
        server.fail(200, b" " * 10_000_000)
        with pytest.raises(BackendError, match="has no end"):
            await served.complete("p", n=1, temperature=0.0)
        await asyncio.to_thread(server.until, lambda: server.connections == 0)

    run(server, work)


def test_proxies_of_the_environment_are_not_used(server, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert run(server, ask) == [" SELECT 'sense-1'"]


@pytest.mark.parametrize("url", ["http://user:secretpw@host:1", "http://host:secretpw", "http:///secretpw"])
def test_an_unusable_url_is_refused_without_quoting_it(url):
    with pytest.raises(UserError, match=r"backend\.vllm\.url") as raised:
        VllmBackend(VllmConfig(url=url, models=MODELS), GenerationConfig(), 1.0)
    assert "secretpw" not in str(raised.value)


def test_a_key_that_does_not_fit_into_a_header_is_refused(server, monkeypatch):
    monkeypatch.setenv("VLLM_API_KEY", "sécret")
    with pytest.raises(UserError, match="VLLM_API_KEY") as raised:
        VllmBackend(config(server), GenerationConfig(), 1.0)
    assert "sécret" not in str(raised.value)


@pytest.mark.parametrize("end", ["", "/", "/v1", "/v1/"])
def test_the_url_may_end_in_v1(server, end):
    async def work():
        backend = VllmBackend(VllmConfig(url=server.url + end, models=MODELS), GenerationConfig(), 20.0)
        try:
            return await ask(backend)
        finally:
            await backend.close()

    assert asyncio.run(work()) == [" SELECT 'sense-1'"]


@pytest.mark.parametrize(
    "text",
    [
        " SELECT 1",
        "SELECT 1;",
        "\n\nselect*from t",
        " SELECT a\n  FROM t\n WHERE b = 'x;y' AND c = 'it''s'",
        ' SELECT "a;b" FROM `c;d` ;\n',
        " WITH a AS (SELECT 1) SELECT * FROM a -- 数据 🙂",
        " SELECT x FROM t WHERE y = 'left open",
        " SELECT",
        " Sel",
    ],
)
def test_text_that_the_constraint_allows(text):
    assert allowed(text)


@pytest.mark.parametrize(
    "text",
    [
        "DROP TABLE t",
        " Sure! SELECT 1",
        "```sql\nSELECT 1",
        "   SELECT 1",
        " SELECTED",
        " SELECT 1; DROP TABLE t",
        " SELECT 'a'; DROP TABLE t",
        ' SELECT "a"; DROP TABLE t',
        " SELECT 'it''s'; DROP TABLE t",
        " SELECT 1;;",
        " SELECT 1; and this is what it does",
    ],
)
def test_text_that_the_constraint_forbids(text):
    assert not allowed(text)


def allowed(text):
    """Whether `text`, or `text` continued by one of a few endings, is a full match of the constraint."""
    return any(re.fullmatch(SELECT, text + more) for more in ("", "ECT 1", "ect 1", " 1", "'", '"', "`"))


@pytest.mark.parametrize(("target", "select"), [("sql", SELECT), ("linked", LINKED_SELECT)])
def test_the_constraint_allows_every_gold_query_of_the_built_in_set(target, select):
    files = sorted((Path(sense.__file__).parent / "seeds").glob("*/questions.jsonl"))
    sqls = [json.loads(line)["sql"] for file in files for line in file.read_text().splitlines()]
    assert len(sqls) > 300
    assert [sql for sql in sqls if not re.fullmatch(select, prompts.completion(sql, target))] == []
