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


def asked(name):
    """Questions of a set of the demo."""
    return list(records.read_rows(ROOT / f"data/predictions/{name}.examples.jsonl", Example))[:QUESTIONS]


def evaluated(name, model):
    """id -> what `evaluate` had the model answer."""
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
    reply = gateway.ask(example.question, example.db_id, evidence=example.evidence)
    assert reply.status_code == 200, reply.text
    answer = reply.json()
    return answer["candidates"][0]["sql"], answer["model"]["version"]


@pytest.fixture(scope="module")
def champion(up):
    return up()


@pytest.fixture(scope="module")
def student(cluster):
    """The values that promote the SFT model after the champion."""
    return cluster.promote(ROOT / "models/sft")


@pytest.mark.parametrize("structured", [True, False])
@pytest.mark.parametrize("name", ["heldout", "dev"])
def test_the_gateway_answers_as_evaluate_did(cluster, champion, name, structured):
    examples, wanted = asked(name), evaluated(name, "sense")
    with Running(settings(cluster, {}, structured)) as gateway, ThreadPoolExecutor(IN_FLIGHT) as threads:
        found = list(threads.map(lambda example: first_candidate(gateway, example), examples))
    assert len(found) == QUESTIONS
    assert dict(zip([e.id for e in examples], found, strict=True)) == {e.id: (wanted[e.id], "1") for e in examples}


def completions(champion, **body):
    reply = httpx.post(f"{champion.url}/v1/completions", json={"model": "sense-1"} | body, timeout=60, trust_env=False)
    assert reply.status_code == 200, reply.text
    return reply.json()["choices"]


def test_vllm_reads_a_prompt_as_the_same_tokens(champion):
    words = model_folder.load_tokenizer(ROOT / "models/sense")
    for prompt in question_prompts(ROOT / "data/dev", asked("dev")[:5], PromptConfig()):
        (choice,) = completions(champion, prompt=prompt, max_tokens=1, return_token_ids=True)
        assert choice["prompt_token_ids"] == words(prompt)["input_ids"]


def test_structured_output_keeps_a_model_that_writes_nonsense_to_one_statement(champion):
    # in the middle of a name, where no SELECT can follow, and so hot that a model writes nonsense
    how = {"prompt": "pet(id, na", "n": 8, "temperature": 2.0, "top_k": 0, "seed": 1, "max_tokens": 48}
    free = completions(champion, **how)
    kept = completions(champion, **how, structured_outputs={"regex": SELECT})
    assert not all(writable(choice) for choice in free)
    assert [choice["text"] for choice in kept if not writable(choice)] == []


def writable(choice):
    """Whether the constraint lets a completion through; what max_tokens cut off may lack its end."""
    if choice["finish_reason"] == "stop":
        return re.fullmatch(SELECT, choice["text"]) is not None
    return re.match(r"[ \n]{0,2}(SELECT|WITH)\b", choice["text"], re.IGNORECASE) is not None


def test_candidates_of_one_request_differ_and_come_again(cluster, champion):
    with Running(settings(cluster, {})) as gateway:
        example = asked("heldout")[1]
        first, second = (gateway.ask(example.question, example.db_id, k=5).json()["candidates"] for _ in range(2))
    assert [candidate["sql"] for candidate in first] == [candidate["sql"] for candidate in second]
    assert first[0]["sql"] == evaluated("heldout", "sense")[example.id]
    assert len({candidate["sql"] for candidate in first}) > 1


def test_vllm_killed_and_another_version_promoted_under_a_running_gateway(cluster, champion, student, up):
    examples = asked("heldout")
    wanted = {"1": evaluated("heldout", "sense"), "2": evaluated("heldout", "sft")}
    assert any(wanted["1"][e.id] != wanted["2"][e.id] for e in examples)  # else this tells the versions by nothing
    with Running(settings(cluster, student)) as gateway, Traffic(gateway, examples) as traffic:
        traffic.until(lambda request_info: ("1", 200) in request_info)
        champion.kill()
        traffic.until(lambda request_info: ("", 503) in request_info)
        up(student)
        traffic.until(lambda request_info: ("2", 200) in request_info)
        found = [first_candidate(gateway, example) for example in examples]
    assert [version for _, version in found] == ["2"] * QUESTIONS
    assert {e.id: sql for e, (sql, _) in zip(examples, found, strict=True)} == {e.id: wanted["2"][e.id] for e in examples}
    assert {status for _, status, _, _ in traffic.request_info} == {200, 503}
    assert [one for one in traffic.request_info if one[1] == 200 and one[3] != wanted[one[0]][one[2]]] == []
    versions = [version for version, status, _, _ in traffic.request_info if status == 200]
    assert versions == sorted(versions)  # the new one, once it is there


class Traffic:
    """Asks the gateway one question after the other; `seen`: version ('' if none), status, example, SQL."""

    def __init__(self, gateway, examples):
        self._gateway, self._examples = gateway, examples
        self.request_info = []
        self._changed, self._ending = threading.Condition(), threading.Event()
        self._thread = threading.Thread(target=self._ask)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._ending.set()
        self._thread.join()

    def until(self, check):
        """Waits until `check` holds of all pairs of version and status."""
        with self._changed:
            assert self._changed.wait_for(lambda: check({one[:2] for one in self.request_info}), 120), self.request_info[-5:]

    def _ask(self):
        with self._gateway.new_client() as client:
            for example in cycle(self._examples):
                if self._ending.is_set():
                    return
                body = {"question": example.question, "database": example.db_id, "evidence": example.evidence}
                reply = client.post("/v1/sql", json=body)
                answer = reply.json()
                ok = reply.status_code == 200
                version, sql = (answer["model"]["version"], answer["candidates"][0]["sql"]) if ok else ("", "")
                with self._changed:
                    self.request_info.append((version, reply.status_code, example.id, sql))
                    self._changed.notify_all()
                if not ok:
                    assert int(reply.headers["retry-after"]) >= 1
                    self._ending.wait(0.2)
