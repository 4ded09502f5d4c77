"""The local backend: it writes the same text as `evaluate`, and follows the registry without mixing versions."""

import asyncio
import logging
import os
import time
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import torch

from sense import records
from sense.config import GenerationConfig, LocalConfig, ModelConfig, NanoConfig, PromptConfig
from sense.errors import UserError
from sense.registry import aliases, registration
from sense.registry.package import ModelPackage
from sense.serving import local
from sense.serving.backend import BackendError, ServedVersion
from sense.serving.local import LocalBackend
from sense.training import model_folder, nano
from sense.training.generate import load_generator
from tests.mlflow_store import fresh

SHAPE = NanoConfig(vocabulary=400, hidden=32, layers=1, heads=1, context=128)
PROMPTS = [
    "pet(id, name, age)\n\nquestion: How old is Rex?\nsql:",
    "pet(id, name, age)\n\nquestion: Which pets are there, from the oldest to the youngest?\nsql:",
    "owner(id, name)\npet(id, name, age, owner_id)\n\nquestion: Who owns Rex?\nsql:",
]
GENERATION = GenerationConfig(max_new_tokens=12, temperature=0.9, top_p=0.9, seed=3)


def save_model(folder: Path, seed: int) -> Path:
    """Saves a small model of random weights as `sense sft` does; it answers each prompt differently, and not as another seed's.

    The first weights of a nano model would not do: with them it repeats the last token of any prompt.
    """
    tokenizer = nano.train_tokenizer(PROMPTS * 5, SHAPE.vocabulary)
    info = model_folder.ModelInfo(ModelConfig(nano=SHAPE), seed, PromptConfig(schema_style="ddl"))
    model = nano.create_model(SHAPE, tokenizer, seed)
    for weights in model.model.layers.parameters():
        torch.nn.init.normal_(weights)
    model_folder.save(model, tokenizer, info, folder)
    return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    parent = tmp_path_factory.mktemp("models")
    return [save_model(parent / f"seed{seed}", seed) for seed in (1, 2)]


@pytest.fixture
def mlflow_store(tmp_path, monkeypatch):
    monkeypatch.setenv("SENSE_WORK", str(tmp_path / "work"))
    return fresh(tmp_path, monkeypatch)


def publish(folder: Path, work: Path) -> str:
    """Registers the model in `folder`; returns its version."""
    evaluation = work / "evaluation"
    evaluation.mkdir(exist_ok=True)
    (evaluation / "dev.verdicts.jsonl").write_text('{"id": "q1", "correct": true, "verdict": "match"}\n')
    digest = records.digest(folder)
    package = ModelPackage(
        name="sense", key=digest, folder=folder, evaluation=evaluation, card="# a card", example=PROMPTS[0], params={},
        tags={"sense.digest.sense": digest}, metrics=[], data={},
    )  # fmt: skip
    return registration.register_model(package, work / "staging").version


@asynccontextmanager
async def running_backend(uri, follow_s=0.02):
    backend = LocalBackend(LocalConfig(model=str(uri), follow_s=follow_s), GENERATION)
    try:
        await backend.start()
        yield backend
    finally:
        await backend.close()


async def wait_for_version(backend, version=None):
    """The served model as soon as it is `version`, or any version if None; AssertionError after a minute."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            model = await backend.current()
        except BackendError:
            model = None
        if model is not None and version in (None, model.version.version):
            return model
        await asyncio.sleep(0.01)
    raise AssertionError(f"version {version} was never served")


def run(work):
    return asyncio.run(work())


def greedy(folder):
    answers = load_generator(folder, 64).generate(
        PROMPTS, n=1, temperature=0.0, top_p=1.0, max_tokens=GENERATION.max_new_tokens, seed=0
    )
    return [answer[0] for answer in answers]


def test_greedy_text_is_the_same_as_in_evaluate(folders):
    async def work():
        async with running_backend(folders[0]) as backend:
            model = await wait_for_version(backend)
            return await asyncio.gather(*(model.complete(prompt, n=1, temperature=0.0) for prompt in PROMPTS))

    answers = greedy(folders[0])
    assert [texts[0] for texts in run(work)] == answers
    assert len({*answers, *greedy(folders[1])}) == 2 * len(PROMPTS)


def test_name_digest_and_prompt_style_come_from_the_folder(folders):
    async def work():
        async with running_backend(folders[0]) as backend:
            model = await wait_for_version(backend)
            return model.version, model.prompt

    assert run(work) == (ServedVersion("seed1", "seed1", records.digest(folders[0])), PromptConfig(schema_style="ddl"))


def test_sampled_candidates_differ_and_are_the_same_each_time(folders):
    async def work():
        async with running_backend(folders[0]) as backend:
            model = await wait_for_version(backend)
            alone = await model.complete(PROMPTS[0], n=4, temperature=GENERATION.temperature)
            crowd = await asyncio.gather(*(model.complete(prompt, n=4, temperature=GENERATION.temperature) for prompt in PROMPTS))
            return alone, crowd[0]

    first, second = run(work)
    assert first == second
    assert len(first) == 4
    assert len(set(first)) > 1
    generator = load_generator(folders[0], 1)
    assert [first] == generator.generate(PROMPTS[:1], n=4, temperature=0.9, top_p=0.9, max_tokens=12, seed=3)


def test_a_prompt_longer_than_the_context_is_a_user_error(folders):
    async def work():
        async with running_backend(folders[0]) as backend:
            model = await wait_for_version(backend)
            await model.complete("a, " * 200, n=1, temperature=0.0)

    with pytest.raises(UserError, match=r"longer than the model reads: \d+ tokens, and it reads 128"):
        run(work)


def test_a_completion_ends_where_the_context_is_full(folders):
    async def work():
        async with running_backend(folders[0]) as backend:
            return await (await wait_for_version(backend)).complete("9" * 127, n=1, temperature=0.0)

    tokenizer = model_folder.load_tokenizer(folders[0])
    assert len(tokenizer("9" * 127)["input_ids"]) == 127
    assert run(work)[0] in tokenizer.batch_decode([[token] for token in range(len(tokenizer))], skip_special_tokens=True)


def test_the_backend_is_unavailable_until_the_model_is_loaded(folders):
    async def work():
        async with running_backend(folders[0]) as backend:
            await backend.current()

    with pytest.raises(BackendError, match="the model is loading"):
        run(work)


@pytest.mark.parametrize("uri", ["nowhere", "models:/sense@champion", "models:/sense/9", "models:/sense"])
def test_a_model_that_does_not_exist_fails_at_start(mlflow_store, uri, tmp_path):
    async def work():
        async with running_backend(uri):
            pass

    with pytest.raises(UserError):
        run(work)


@pytest.mark.parametrize("content", ["", "[]", '{"prompt": null}', '{"prompt": {"style_of_next_year": 1}}'])
def test_a_folder_with_a_broken_sense_json_fails_at_start(tmp_path, content):
    (tmp_path / "sense.json").write_text(content)
    with pytest.raises(UserError, match=r"sense\.json"):
        local.resolve(str(tmp_path))


def test_a_missing_registry_fails_at_start(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/none.db")

    async def work():
        async with running_backend("models:/sense@champion"):
            pass

    with pytest.raises(UserError, match="publish a model first"):
        run(work)


def test_promotion_and_rollback_while_serving(mlflow_store, folders, tmp_path):
    one, two = (publish(folder, tmp_path) for folder in folders)
    aliases.set_alias("sense", "champion", one)

    async def texts(model):
        return [(await model.complete(prompt, n=1, temperature=0.0))[0] for prompt in PROMPTS]

    async def work():
        async with running_backend("models:/sense@champion") as backend:
            old = await wait_for_version(backend)
            assert old.version == ServedVersion("sense", one, records.digest(folders[0]))
            assert await texts(old) == greedy(folders[0])
            aliases.set_alias("sense", "champion", two)
            new = await wait_for_version(backend, two)
            assert new.version == ServedVersion("sense", two, records.digest(folders[1]))
            assert await texts(new) == greedy(folders[1])
            assert await texts(old) == greedy(folders[0])  # a request that has begun with a version ends with it
            aliases.set_alias("sense", "champion", one)
            assert await texts(await wait_for_version(backend, one)) == greedy(folders[0])

    run(work)
    cached = sorted(folder.name for folder in (tmp_path / "work/serving").iterdir() if not folder.name.startswith("."))
    assert cached == [f"sense-{one}", f"sense-{two}"]


def test_a_version_is_downloaded_once(mlflow_store, folders, tmp_path):
    version = publish(folders[0], tmp_path)

    async def work():
        async with running_backend(f"models:/sense/{version}") as backend:
            await wait_for_version(backend)

    run(work)
    weights = tmp_path / f"work/serving/sense-{version}/model.safetensors"
    os.utime(weights, (1, 1))
    run(work)
    assert weights.stat().st_mtime == 1


def test_a_version_that_cannot_be_loaded_leaves_the_old_one_serving_and_is_logged_once(mlflow_store, folders, tmp_path, caplog):
    good = publish(folders[0], tmp_path)
    broken = tmp_path / "broken"
    model_folder.save(
        nano.create_model(SHAPE, model_folder.load_tokenizer(folders[0]), 5),
        model_folder.load_tokenizer(folders[0]),
        model_folder.read_info(folders[0]),
        broken,
    )
    (broken / "model.safetensors").write_bytes(b"no weights")
    bad = publish(broken, tmp_path)
    aliases.set_alias("sense", "champion", good)

    def failures():
        return [record for record in caplog.records if getattr(record, "event", "") == "model_not_loaded"]

    async def work():
        async with running_backend("models:/sense@champion") as backend:
            await wait_for_version(backend, good)
            aliases.set_alias("sense", "champion", bad)
            deadline = time.monotonic() + 60
            while not failures() and time.monotonic() < deadline:
                await asyncio.sleep(0.01)
            assert (await backend.current()).version.version == good
            assert len(await (await backend.current()).complete(PROMPTS[0], n=1, temperature=0.0)) == 1
            better = publish(folders[1], tmp_path)
            aliases.set_alias("sense", "champion", better)
            await wait_for_version(backend, better)

    with caplog.at_level(logging.INFO, "sense.serving"):
        run(work)
    assert len(failures()) == 1


def test_serving_continues_while_the_registry_is_unavailable(mlflow_store, folders, tmp_path, caplog):
    one, two = (publish(folder, tmp_path) for folder in folders)
    aliases.set_alias("sense", "champion", one)
    store, away = tmp_path / "mlflow.db", tmp_path / "away.db"

    async def work():
        async with running_backend("models:/sense@champion") as backend:
            await wait_for_version(backend, one)
            store.rename(away)
            deadline = time.monotonic() + 60
            while "model_not_loaded" not in caplog.text and time.monotonic() < deadline:
                await asyncio.sleep(0.01)
            assert (await backend.current()).version.version == one
            away.rename(store)
            aliases.set_alias("sense", "champion", two)
            await wait_for_version(backend, two)

    with caplog.at_level(logging.INFO, "sense.serving"):
        run(work)
    assert "model_not_loaded" in caplog.text
