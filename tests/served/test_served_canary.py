"""Two real vLLM servers behind the gateway: each version its share, and an answer for every question when one is killed."""

from dataclasses import replace

import pytest
from scipy import stats

from sense import config
from sense.registry.rollout import Canary, Rollout
from sense.serving import canary as canary_module
from sense.serving.canary import CanaryBackend, version_server
from sense.serving.vllm import VllmBackend
from sense.training import model_folder, nano
from tests.served.vllm_process import MODULE, Vllm, free_port, insisted, missing
from tests.serving.conftest import shop  # noqa: F401  (a fixture)
from tests.serving.running import Running, settings
from tests.serving.test_canary import Announced

pytestmark = [pytest.mark.vllm, pytest.mark.slow]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two nano models, of other random weights each."""
    if missing():
        (pytest.fail if insisted() else pytest.skip)(missing())
    root = tmp_path_factory.mktemp("versions")
    shape = config.NanoConfig(vocabulary=300, hidden=32, layers=2, heads=2, context=512)
    tokenizer = nano.train_tokenizer(["SELECT count(*) FROM thing WHERE size > 3"], shape.vocabulary)
    info = model_folder.ModelInfo(config.ModelConfig(nano=shape), 0, config.PromptConfig(), dtype="float32")
    for number in (1, 2):
        model_folder.save(nano.create_model(shape, tokenizer, number), tokenizer, info, root / f"sense-{number}")
    return root


def start(folder, name):
    port = free_port()
    command = [*MODULE, "--model", str(folder / name), "--served-model-name", name, "--host", "127.0.0.1"]
    command += ["--port", str(port), "--dtype", "float32", "--enforce-eager"]
    env = {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_NO_USAGE_STATS": "1", "HF_HUB_OFFLINE": "1", "HOME": str(folder)}
    return Vllm(command, env, port, folder / f"{name}.log")


def test_a_canary_before_two_servers(folder, shop, monkeypatch):  # noqa: F811
    monkeypatch.setattr(canary_module, "REST_S", 0.0)  # each question of a candidate that is away is a failure at once
    with start(folder, "sense-1") as champion, start(folder, "sense-2") as candidate:
        champion.ready()
        candidate.ready()
        vllm = {"url": candidate.url, "models": {"sense-2": {"name": "sense", "version": "2"}}}
        limits = {"answers": 20, "abstention_share": None, "latency_ratio": None, "vote_share": None}
        generation = {"max_new_tokens": 16}
        changes = {"canary": {"vllm": vllm, "abort": limits}, "generation": generation}
        config_ = settings(champion.url, shop, **changes)
        servers = [
            version_server(VllmBackend(part, config_.generation, config_.limits.model_s), part, "sense")
            for part in (config_.backend.vllm, config_.canary.vllm)
        ]
        source = Announced()
        with Running(config_, CanaryBackend(config_.canary.abort, *servers, source)) as gateway:

            def versions(count):
                answers = [gateway.ask(k=2) for _ in range(count)]
                assert {answer.status_code for answer in answers} == {200}
                return [answer.json()["model"]["version"] for answer in answers]

            assert stats.binomtest(versions(40).count("2"), 40, 0.5).pvalue > 1e-4
            source.rollout = Rollout("2", None, Canary("2", 50.0, "now", "ann", end="promoted"))
            assert set(versions(5)) == {"2"}
            again = Canary("2", 50.0, "later", "ann")
            source.rollout = Rollout("1", "2", again)
            assert set(versions(20)) == {"1", "2"}
            assert source.aborts == []
            candidate.kill()
            assert set(versions(100)) == {"1"}
            [(aborted, reason)] = source.aborts
            assert aborted == again
            assert "failed requests" in reason
            source.rollout = Rollout("2", None, replace(again, end="promoted"))
            assert set(versions(5)) == {"1"}
