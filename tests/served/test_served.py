"""The demo's champion served by real vLLM, as the chart renders it, asked through the gateway. The tests run in this order."""

import re
import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle

import httpx
import pytest

from sense import config, records
from sense.config import PromptConfig, ServeConfig
from sense.prompts.dataset import question_prompts
from sense.records import Example, Prediction
from sense.serving.vllm import SELECT
from sense.training import model_folder
from tests.served.vllm_process import ROOT
from tests.serving.running import Running

pytestmark = [pytest.mark.vllm, pytest.mark.slow]

QUESTIONS = 50  # of each set
IN_FLIGHT = 4


def questions(name):
    """The first questions of a set of the demo, without those that are answered with a part of a character.

    transformers and vLLM write such a part differently.
    """
    answers = [evaluated_sql(name, model) for model in ("sft", "sense")]
    examples = records.read_rows(ROOT / f"data/predictions/{name}.examples.jsonl", Example)
    return [example for example in examples if not any("\ufffd" in sql[example.id] for sql in answers)][:QUESTIONS]


def evaluated_sql(name, model):
    """Example id -> the SQL that `evaluate` had the model write."""
    rows = records.read_rows(ROOT / f"data/predictions/{name}.{model}.predictions.jsonl", Prediction)
    return {row.id: row.sql for row in rows}


def settings(cluster, values, structured=True):
    """A gateway's configuration, with the versions that the chart gives it."""
    return ServeConfig.model_validate(
        {
            "backend": {
                "vllm": {
                    "url": f"http://127.0.0.1:{cluster.port}",
                    "models": cluster.models(values),
                    "structured": structured,
                }
            },
            "databases": {"folders": [str(ROOT / f"data/{name}/databases") for name in ("dev", "heldout")]},
            "generation": {"max_new_tokens": config.load(ROOT / "params.yaml").evaluate.max_new_tokens},
            "feedback": None,
            "data": None,
        }
    )


def first_candidate(gateway, example):
    """The greedy candidate's SQL ('' if the model wrote none), and the version that wrote it."""
    response = gateway.ask(example.question, example.db_id, evidence=example.evidence)
    assert response.status_code == 200, response.text
    answer = response.json()
    return answer["candidates"][0]["sql"], answer["model"]["version"]


@pytest.fixture(scope="module")
def champion(start_vllm):
    return start_vllm()


@pytest.fixture(scope="module")
def student(cluster):
    """The values that promote the SFT model after the champion."""
    return cluster.promote(ROOT / "models/sft")


@pytest.mark.parametrize("structured", [True, False])
@pytest.mark.parametrize("name", ["heldout", "dev"])
def test_the_gateway_gives_the_same_sql_as_evaluate(cluster, champion, name, structured):
    examples, expected = questions(name), evaluated_sql(name, "sense")
    with Running(settings(cluster, {}, structured)) as gateway, ThreadPoolExecutor(IN_FLIGHT) as threads:
        answers = list(threads.map(lambda example: first_candidate(gateway, example), examples))
    assert len(answers) == QUESTIONS
    assert dict(zip([e.id for e in examples], answers, strict=True)) == {e.id: (expected[e.id], "1") for e in examples}


def completions(champion, **body):
    response = httpx.post(f"{champion.url}/v1/completions", json={"model": "sense-1"} | body, timeout=60, trust_env=False)
    assert response.status_code == 200, response.text
    return response.json()["choices"]


def test_vllm_tokenizes_a_prompt_as_training_does(champion):
    tokenizer = model_folder.load_tokenizer(ROOT / "models/sense")
    for prompt in question_prompts(ROOT / "data/dev", questions("dev")[:5], PromptConfig()):
        (choice,) = completions(champion, prompt=prompt, max_tokens=1, return_token_ids=True)
        assert choice["prompt_token_ids"] == tokenizer(prompt)["input_ids"]


def test_structured_output_restricts_a_model_that_writes_nonsense_to_one_statement(champion):
    # in the middle of a name, where no SELECT can follow, and so hot that a model writes nonsense
    request = {"prompt": "pet(id, na", "n": 8, "temperature": 2.0, "top_k": 0, "seed": 1, "max_tokens": 48}
    free = completions(champion, **request)
    constrained = completions(champion, **request, structured_outputs={"regex": SELECT})
    assert not all(satisfies_constraint(choice) for choice in free)
    assert [choice["text"] for choice in constrained if not satisfies_constraint(choice)] == []


def satisfies_constraint(choice):
    """Whether a completion satisfies the constraint; one that max_tokens cut off may lack its end."""
    if choice["finish_reason"] == "stop":
        return re.fullmatch(SELECT, choice["text"]) is not None
    return re.match(r"[ \n]{0,2}(SELECT|WITH)\b", choice["text"], re.IGNORECASE) is not None


def test_candidates_of_one_request_differ_and_are_reproducible(cluster, champion):
    with Running(settings(cluster, {})) as gateway:
        examples = [example for example in questions("heldout") if example.hardness == "hard"][:10]
        first, second = ([candidates(gateway, example) for example in examples] for _ in range(2))
    assert first == second
    expected = evaluated_sql("heldout", "sense")
    assert [sqls[0] for sqls in first] == [expected[example.id] for example in examples]
    assert any(len(set(sqls)) > 1 for sqls in first)  # of some questions, even of hard ones, the model is sure


def candidates(gateway, example):
    return [candidate["sql"] for candidate in gateway.ask(example.question, example.db_id, k=5).json()["candidates"]]


def test_vllm_is_killed_and_another_version_promoted_while_the_gateway_runs(cluster, champion, student, start_vllm):
    examples = questions("heldout")
    expected = {"1": evaluated_sql("heldout", "sense"), "2": evaluated_sql("heldout", "sft")}
    assert any(expected["1"][e.id] != expected["2"][e.id] for e in examples)  # else the test could not tell the versions apart
    with Running(settings(cluster, student)) as gateway, Traffic(gateway, examples) as traffic:
        traffic.until(lambda outcomes: ("1", 200) in outcomes)
        champion.kill()
        traffic.until(lambda outcomes: ("", 503) in outcomes)
        start_vllm(student)
        traffic.until(lambda outcomes: ("2", 200) in outcomes)
        answers = [first_candidate(gateway, example) for example in examples]
    assert [version for _, version in answers] == ["2"] * QUESTIONS
    assert {e.id: sql for e, (sql, _) in zip(examples, answers, strict=True)} == {e.id: expected["2"][e.id] for e in examples}
    assert {status for _, status, _, _ in traffic.answers} == {200, 503}
    assert [answer for answer in traffic.answers if answer[1] == 200 and answer[3] != expected[answer[0]][answer[2]]] == []
    versions = [version for version, status, _, _ in traffic.answers if status == 200]
    assert versions == sorted(versions)  # never the old one again after the new one


class Traffic:
    """Asks the gateway one question after the other; `answers` are tuples of version ('' if none), status, example, SQL."""

    def __init__(self, gateway, examples):
        self._gateway, self._examples = gateway, examples
        self.answers = []
        self._changed, self._ending = threading.Condition(), threading.Event()
        self._thread = threading.Thread(target=self._ask)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._ending.set()
        self._thread.join()

    def until(self, check):
        """Waits until `check` holds of the set of all pairs of version and status; AssertionError after 120 s."""
        with self._changed:
            assert self._changed.wait_for(lambda: check({answer[:2] for answer in self.answers}), 120), self.answers[-5:]

    def _ask(self):
        with self._gateway.new_client() as client:
            for example in cycle(self._examples):
                if self._ending.is_set():
                    return
                body = {"question": example.question, "database": example.db_id, "evidence": example.evidence}
                response = client.post("/v1/sql", json=body)
                answer = response.json()
                ok = response.status_code == 200
                version, sql = (answer["model"]["version"], answer["candidates"][0]["sql"]) if ok else ("", "")
                with self._changed:
                    self.answers.append((version, response.status_code, example.id, sql))
                    self._changed.notify_all()
                if not ok:
                    assert int(response.headers["retry-after"]) >= 1
                    self._ending.wait(0.2)
