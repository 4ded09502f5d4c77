"""Completions from a server: the requests it gets, the order of its answers, and what becomes of its errors."""

import hashlib
import json
import threading
from itertools import count

import pytest

from sense.config import GeneratorConfig
from sense.cost import meter
from sense.errors import EndpointError
from sense.training import tokenization
from sense.training.endpoint_generator import EndpointGenerator
from tests.endpoint import Endpoint, error_reply, models_reply, text_reply
from tests.training.tokenizers_of_bases import KINDS, PROMPTS

KEY = "sk-secret-4711"


@pytest.fixture(scope="module")
def tokenizer():
    """One that puts BOS before a text."""
    return tokenization.prepare(KINDS["llama 2"][0]())


def text_of(body):
    """What the stand-in for a model writes: it depends on tokens, seed and settings."""
    return "SELECT " + hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()[:8]


def model(body):
    """A server that has `sft`."""
    return text_reply(text_of(body), len(body["prompt"])) if body else models_reply("sft")


def generator(endpoint, tokenizer, context=None, key=KEY, pauses=None, **options):
    section = {"kind": "endpoint", "url": endpoint.base_url, "retries": 2, "timeout_s": 20} | options
    pause = ([] if pauses is None else pauses).append
    return EndpointGenerator(GeneratorConfig(**section), "sft", tokenizer, context, key, pause)


def generate(generator, prompts=PROMPTS, n=1, temperature=0.0, seed=0):
    return generator.generate(prompts, n=n, temperature=temperature, top_p=0.9, max_tokens=7, seed=seed)


def failure(tokenizer, *replies, **options):
    """The message of the error, and how many completions were asked for."""
    with Endpoint([models_reply("sft"), *replies]) as endpoint, pytest.raises(EndpointError) as caught:
        generate(generator(endpoint, tokenizer, concurrency=1, **options), PROMPTS[:1])
    return str(caught.value), len(endpoint.requests) - 1


def test_progress_is_told_prompt_by_prompt(tokenizer):
    progress = []
    with Endpoint(model) as endpoint:
        generator(endpoint, tokenizer).generate(
            PROMPTS, n=3, temperature=1.0, top_p=1.0, max_tokens=7, seed=0, on_progress=progress.append
        )
    assert progress == [1] * len(PROMPTS)


def test_a_request_has_the_tokens_of_training_and_leaves_nothing_to_the_servers_defaults(tokenizer):
    with Endpoint(model) as endpoint:
        completions = generate(generator(endpoint, tokenizer, concurrency=1), seed=5)
    ids = tokenization.prompt_tokens(tokenizer, PROMPTS)
    assert [one[0] for one in ids] == [tokenizer.bos_token_id] * 2
    listing, first, second = endpoint.requests
    assert (listing.path, first.path, second.path) == ("/v1/models", "/v1/completions", "/v1/completions")
    assert {request.headers["authorization"] for request in endpoint.requests} == {f"Bearer {KEY}"}
    assert first.body == {
        "model": "sft",
        "prompt": ids[0],
        "max_tokens": 7,
        "temperature": 0.0,
        "top_p": 0.9,
        "seed": 5,
        "stop_token_ids": [tokenizer.eos_token_id],
        "top_k": 0,
        "min_p": 0.0,
        "repetition_penalty": 1.0,
        "presence_penalty": 0.0,
        "frequency_penalty": 0.0,
    }
    assert (second.body["prompt"], second.body["seed"]) == (ids[1], 6)
    assert completions == [[text_of(first.body)], [text_of(second.body)]]


def test_every_completion_has_a_seed_of_its_own_whatever_is_generated_with_it(tokenizer):
    with Endpoint(model) as endpoint:
        one_by_one = generator(endpoint, tokenizer, concurrency=1)
        together = generate(one_by_one, PROMPTS * 2, n=3, temperature=1.0, seed=2)
        assert [request.body["seed"] for request in endpoint.requests[1:]] == list(range(6, 18))
        assert generate(one_by_one, PROMPTS, n=3, temperature=1.0, seed=4) == together[2:]  # those with seeds 4 and 5
        assert generate(generator(endpoint, tokenizer, concurrency=8), PROMPTS * 2, n=3, temperature=1.0, seed=2) == together
    assert len({text for texts in together for text in texts}) == 12


def test_answers_may_come_in_any_order(tokenizer):
    others_answered, others = threading.Event(), count(1)

    def first_last(body):
        if body and body["seed"] == 0:
            assert others_answered.wait(20)
        elif body and next(others) == 2:
            others_answered.set()
        return model(body)

    with Endpoint(first_last) as endpoint:
        late = generate(generator(endpoint, tokenizer, concurrency=3), [*PROMPTS, PROMPTS[0]])
    with Endpoint(model) as endpoint:
        assert late == generate(generator(endpoint, tokenizer, concurrency=1), [*PROMPTS, PROMPTS[0]])


def test_nothing_is_asked_for_no_prompts(tokenizer):
    with Endpoint(model) as endpoint:
        assert generate(generator(endpoint, tokenizer), []) == []
    assert len(endpoint.requests) == 1


# --- what the server has


def test_the_servers_name_of_the_model_is_asked_for(tokenizer):
    with Endpoint(lambda body: model(body) if body else models_reply("org/tuned", "other")) as endpoint:
        generate(generator(endpoint, tokenizer, models={"sft": "org/tuned"}), PROMPTS[:1])
    assert endpoint.requests[1].body["model"] == "org/tuned"


def test_a_server_without_the_model_is_refused_before_anything_is_asked(tokenizer):
    with Endpoint([models_reply("b", "a")]) as endpoint, pytest.raises(EndpointError) as caught:
        generator(endpoint, tokenizer)
    assert str(caught.value) == (
        f"{endpoint.base_url}/models: serves a, b, and not sft; set generator.models.sft to its name there"
    )


@pytest.mark.parametrize(("own", "served", "context"), [(512, 256, 256), (512, 1024, 512), (None, 256, 256), (512, None, 512)])
def test_the_context_is_the_shorter_of_the_models_and_the_servers(tokenizer, own, served, context):
    with Endpoint([models_reply("sft", max_model_len=served)]) as endpoint:
        assert generator(endpoint, tokenizer, own).context == context


@pytest.mark.parametrize("reply", [(404, {}, "no such page"), (200, {}, "[]"), (200, {}, "<html>"), models_reply()])
def test_a_server_that_does_not_list_its_models_is_asked_all_the_same(tokenizer, reply):
    with Endpoint(lambda body: model(body) if body else reply) as endpoint:
        one = generator(endpoint, tokenizer, 512)
        assert one.context == 512
        assert len(generate(one)) == 2


def test_count_tokens_counts_bos(tokenizer):
    with Endpoint(model) as endpoint:
        counts = generator(endpoint, tokenizer).count_tokens(PROMPTS)
    assert counts == [len(ids) for ids in tokenization.prompt_tokens(tokenizer, PROMPTS)]


# --- errors


@pytest.mark.parametrize(
    "bad",
    [
        *[(status, {}, "busy") for status in (408, 429, 500, 503)],
        (200, {}, "<html>"),
        (200, {}, {"choices": []}),
        text_reply("SELECT", finish="abort"),
        text_reply("SELECT", finish=None),
    ],
)
def test_what_may_go_away_is_tried_again_with_growing_pauses(tokenizer, bad):
    pauses = []
    with Endpoint([models_reply("sft"), bad, bad, text_reply(" 1")]) as endpoint:
        assert generate(generator(endpoint, tokenizer, pauses=pauses), PROMPTS[:1]) == [[" 1"]]
    assert [0.5 * 2**n <= pause < 2**n for n, pause in enumerate(pauses)] == [True, True]
    assert len({json.dumps(request.body) for request in endpoint.requests[1:]}) == 1
    message, tries = failure(tokenizer, *[bad] * 9)
    assert tries == 3
    assert "(3 tries)" in message


def test_the_servers_own_pause_is_kept_but_not_for_hours(tokenizer):
    pauses = []
    with Endpoint([models_reply("sft"), (429, {"Retry-After": "17"}, ""), text_reply(" 1")]) as endpoint:
        generate(generator(endpoint, tokenizer, pauses=pauses), PROMPTS[:1])
    assert pauses == [17.0]
    message, tries = failure(tokenizer, (503, {"Retry-After": "86400"}, "down"))
    assert tries == 1
    assert "HTTP 503: down; run again when the server is well: what is finished is kept" in message


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (error_reply(401, f"wrong key {KEY}"), "HTTP 401: wrong key *** (invalid_request_error); set VLLM_API_KEY to a key"),
        (error_reply(404, "no model"), "check generator.url (it usually ends in /v1) and generator.models"),
        (error_reply(400, "prompt must be a string"), "a server that takes token ids as the prompt and adds none"),
        (text_reply("SELECT", prompt_tokens=3), "it read 3 tokens where"),
        ((307, {}, ""), "HTTP 307: redirected, without a Location; check generator.url"),
        (
            (308, {"Location": "https://me:pw@host/v1/completions?sig=s"}, "<html>"),
            "HTTP 308: redirected to https://host/v1/completions; set generator.url to that address",
        ),
    ],
)
def test_what_stays_wrong_ends_at_once_with_its_fix(tokenizer, reply, expected):
    message, tries = failure(tokenizer, reply, text_reply(" 1"))
    assert tries == 1
    assert "/v1/completions: " in message
    assert expected in message
    assert KEY not in message


def test_a_server_without_finish_reasons_is_called_so(tokenizer):
    message, _ = failure(tokenizer, *[text_reply("SELECT", finish=None)] * 3)
    assert "the server sends no finish_reason" in message
    assert message.endswith("serve the model with a server that says why a completion ended: vLLM, SGLang or llama.cpp")


def test_half_a_surrogate_pair_is_replaced(tokenizer):
    with Endpoint([models_reply("sft"), text_reply("SELECT '\ud83d \U0001f600'")]) as endpoint:
        assert generate(generator(endpoint, tokenizer), PROMPTS[:1]) == [["SELECT '? \U0001f600'"]]


def test_true_is_no_count_of_tokens(tokenizer):
    replies = [models_reply("sft", max_model_len=True), text_reply("SELECT 1", prompt_tokens=True)]
    with Endpoint(replies) as endpoint:
        one = generator(endpoint, tokenizer)
        assert one.context is None
        assert generate(one, PROMPTS[:1]) == [["SELECT 1"]]


def test_a_request_that_fails_for_good_ends_one_that_is_tried_again(tokenizer):
    """The first is to wait, and the caller for it."""

    def reply(body):
        if not body:
            return models_reply("sft")
        return (503, {"Retry-After": "5"}, "busy") if body["seed"] == 0 else error_reply(401, "no")

    with Endpoint(reply) as endpoint, pytest.raises(EndpointError, match="HTTP 401: no"):
        config = GeneratorConfig(kind="endpoint", url=endpoint.base_url, retries=1, timeout_s=20, concurrency=2)
        generate(EndpointGenerator(config, "sft", tokenizer, None, KEY))


def test_models_that_are_redirected_are_called_so(tokenizer):
    reply = (307, {"Location": "https://host/v1/models?sig=s"}, "")
    with Endpoint([reply]) as endpoint, pytest.raises(EndpointError) as caught:
        generator(endpoint, tokenizer)
    assert str(caught.value).endswith("/models: HTTP 307: redirected to https://host/v1; set generator.url to that address")


def test_a_failed_request_stops_those_that_wait(tokenizer):
    """Only those in flight are still asked: with one at a time, few after the first."""
    with Endpoint(lambda body: error_reply(401, "no") if body else models_reply("sft")) as endpoint:
        one_at_a_time = generator(endpoint, tokenizer, concurrency=1)
        with pytest.raises(EndpointError, match="HTTP 401"):
            generate(one_at_a_time, PROMPTS * 50)
    assert len(endpoint.requests) < 10


def test_a_wrong_key_and_a_server_that_is_down_are_told_at_the_start(tokenizer):
    with Endpoint([error_reply(401, "no")]) as endpoint, pytest.raises(EndpointError, match=r"/models: HTTP 401.*VLLM_API_KEY"):
        generator(endpoint, tokenizer)
    pauses = []
    with pytest.raises(EndpointError, match=r"cannot be reached .*\(3 tries\); check generator.url and that the server runs"):
        generator(endpoint, tokenizer, pauses=pauses)
    assert len(pauses) == 2


@pytest.mark.parametrize("url", ["vllm:8000/v1", "ftp://host/v1", "http://"])
def test_a_url_that_is_none_is_refused(tokenizer, url):
    with Endpoint(model) as endpoint, pytest.raises(EndpointError, match=r"generator\.url"):
        generator(endpoint, tokenizer, url=url)


def test_generated_tokens_are_the_servers_count_of_them(tokenizer, tmp_path):
    def counting(body):
        if not body:
            return models_reply("sft")
        status, headers, content = text_reply("SELECT 1", len(body["prompt"]))
        return status, headers, content | {"usage": {"prompt_tokens": len(body["prompt"]), "completion_tokens": 5}}

    for server, tokens in ((counting, {"generated": 5 * len(PROMPTS)}), (model, {})):
        folder = tmp_path / server.__name__
        with Endpoint(server) as endpoint, meter.measure(folder):
            generate(generator(endpoint, tokenizer))
        cost = meter.total(folder)
        assert (cost.tokens, cost.complete) == (tokens, bool(tokens))
