"""A model in this process: what `evaluate` writes it writes, and it follows the registry without mixing versions."""

import asyncio
import logging
import os
import time
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from sense import records
from sense.config import GenerationConfig, LocalConfig, ModelConfig, NanoConfig, PromptConfig
from sense.errors import UserError
from sense.registry import aliases, registration
from sense.registry.package import ModelPackage
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
HOW = GenerationConfig(max_new_tokens=12, temperature=0.9, top_p=0.9, seed=3)


def model(folder: Path, seed: int) -> Path:
    """A small model of random weights, as `sense sft` saves one."""
    tokenizer = nano.train_tokenizer(PROMPTS * 5, SHAPE.vocabulary)
    info = model_folder.ModelInfo(ModelConfig(nano=SHAPE), seed, PromptConfig(schema_style="ddl"))
    model_folder.save(nano.create_model(SHAPE, tokenizer, seed), tokenizer, info, folder)
    return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    place = tmp_path_factory.mktemp("models")
    return [model(place / f"seed{seed}", seed) for seed in (1, 2)]


@pytest.fixture
def mlflow_store(tmp_path, monkeypatch):
    monkeypatch.setenv("SENSE_WORK", str(tmp_path / "work"))
    return fresh(tmp_path, monkeypatch)


def publish(folder: Path, place: Path) -> str:
    """The version that `folder` is registered as."""
    evaluation = place / "evaluation"
    evaluation.mkdir(exist_ok=True)
    (evaluation / "dev.verdicts.jsonl").write_text('{"id": "q1", "correct": true, "verdict": "match"}\n')
    digest = records.digest(folder)
    package = ModelPackage(
        name="sense", key=digest, folder=folder, evaluation=evaluation, card="# a card", example=PROMPTS[0], params={},
        tags={"sense.digest.sense": digest}, metrics=[], data={},
    )  # fmt: skip
    return registration.register_model(package, place / "staging").version


@asynccontextmanager
async def backend(uri, follow_s=0.02):
    made = LocalBackend(LocalConfig(model=str(uri), follow_s=follow_s), HOW)
    try:
        await made.start()
        yield made
    finally:
        await made.close()


async def served(made, version=None):
    """What is served once it is there: any version, or the one given."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            found = await made.current()
        except BackendError:
            found = None
        if found is not None and version in (None, found.version.version):
            return found
        await asyncio.sleep(0.01)
    raise AssertionError(f"version {version} was never served")


def run(work):
    return asyncio.run(work())


def greedy(folder):
    answers = load_generator(folder, 64).generate(PROMPTS, n=1, temperature=0.0, top_p=1.0, max_tokens=HOW.max_new_tokens, seed=0)
    return [answer[0] for answer in answers]


def test_the_same_greedy_text_as_evaluate(folders):
    async def work():
        async with backend(folders[0]) as made:
            model = await served(made)
            return await asyncio.gather(*(model.complete(prompt, n=1, temperature=0.0) for prompt in PROMPTS))

    assert [texts[0] for texts in run(work)] == greedy(folders[0])
    assert greedy(folders[0]) != greedy(folders[1])


def test_a_folder_says_what_it_is(folders):
    async def work():
        async with backend(folders[0]) as made:
            model = await served(made)
            return model.version, model.prompt

    assert run(work) == (ServedVersion("seed1", "seed1", records.digest(folders[0])), PromptConfig(schema_style="ddl"))


def test_candidates_are_several_and_the_same_each_time(folders):
    async def work():
        async with backend(folders[0]) as made:
            model = await served(made)
            alone = await model.complete(PROMPTS[0], n=4, temperature=HOW.temperature)
            crowd = await asyncio.gather(*(model.complete(prompt, n=4, temperature=HOW.temperature) for prompt in PROMPTS))
            return alone, crowd[0]

    first, second = run(work)
    assert first == second
    assert len(first) == 4
    assert len(set(first)) > 1
    generator = load_generator(folders[0], 1)
    assert [first] == generator.generate(PROMPTS[:1], n=4, temperature=0.9, top_p=0.9, max_tokens=12, seed=3)


def test_a_prompt_longer_than_the_model_reads(folders):
    async def work():
        async with backend(folders[0]) as made:
            model = await served(made)
            await model.complete("a, " * 200, n=1, temperature=0.0)

    with pytest.raises(UserError, match=r"longer than the model reads: \d+ tokens, and it reads 128"):
        run(work)


def test_no_more_is_written_than_the_model_can_read(folders):
    async def work():
        async with backend(folders[0]) as made:
            return await (await served(made)).complete("9" * 127, n=1, temperature=0.0)

    tokenizer = model_folder.load_tokenizer(folders[0])
    assert len(tokenizer("9" * 127)["input_ids"]) == 127
    assert len(tokenizer(run(work)[0])["input_ids"]) <= 1


def test_nothing_is_served_before_it_is_loaded(folders):
    async def work():
        async with backend(folders[0]) as made:
            await made.current()

    with pytest.raises(BackendError, match="the model is loading"):
        run(work)


@pytest.mark.parametrize("uri", ["nowhere", "models:/sense@champion", "models:/sense/9", "models:/sense"])
def test_what_does_not_exist_is_said_at_once(mlflow_store, uri, tmp_path):
    async def work():
        async with backend(uri):
            pass

    with pytest.raises(UserError):
        run(work)


def test_a_store_that_is_not_there_is_said_at_once(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/none.db")

    async def work():
        async with backend("models:/sense@champion"):
            pass

    with pytest.raises(UserError, match="publish a model first"):
        run(work)


def test_promotion_and_rollback_under_a_running_gateway(mlflow_store, folders, tmp_path):
    one, two = (publish(folder, tmp_path) for folder in folders)
    aliases.set_alias("sense", "champion", one)

    async def texts(model):
        return [(await model.complete(prompt, n=1, temperature=0.0))[0] for prompt in PROMPTS]

    async def work():
        async with backend("models:/sense@champion") as made:
            old = await served(made)
            assert old.version == ServedVersion("sense", one, records.digest(folders[0]))
            assert await texts(old) == greedy(folders[0])
            aliases.set_alias("sense", "champion", two)
            new = await served(made, two)
            assert new.version == ServedVersion("sense", two, records.digest(folders[1]))
            assert await texts(new) == greedy(folders[1])
            assert await texts(old) == greedy(folders[0])  # a request that has taken it uses it to its end
            aliases.set_alias("sense", "champion", one)
            assert await texts(await served(made, one)) == greedy(folders[0])

    run(work)
    cached = sorted(folder.name for folder in (tmp_path / "work/serving").iterdir() if not folder.name.startswith("."))
    assert cached == [f"sense-{one}", f"sense-{two}"]


def test_a_version_is_downloaded_once(mlflow_store, folders, tmp_path):
    version = publish(folders[0], tmp_path)

    async def work():
        async with backend(f"models:/sense/{version}") as made:
            await served(made)

    run(work)
    weights = tmp_path / f"work/serving/sense-{version}/model.safetensors"
    os.utime(weights, (1, 1))
    run(work)
    assert weights.stat().st_mtime == 1


def test_a_version_that_cannot_be_loaded_leaves_the_old_one_and_is_logged_once(mlflow_store, folders, tmp_path, caplog):
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
        return [one for one in caplog.records if getattr(one, "event", "") == "model_not_loaded"]

    async def work():
        async with backend("models:/sense@champion") as made:
            await served(made, good)
            aliases.set_alias("sense", "champion", bad)
            deadline = time.monotonic() + 60
            while not failures() and time.monotonic() < deadline:
                await asyncio.sleep(0.01)
            assert (await made.current()).version.version == good
            assert len(await (await made.current()).complete(PROMPTS[0], n=1, temperature=0.0)) == 1
            better = publish(folders[1], tmp_path)
            aliases.set_alias("sense", "champion", better)
            await served(made, better)

    with caplog.at_level(logging.INFO, "sense.serving"):
        run(work)
    assert len(failures()) == 1


def test_serving_goes_on_while_the_registry_is_away(mlflow_store, folders, tmp_path, caplog):
    one, two = (publish(folder, tmp_path) for folder in folders)
    aliases.set_alias("sense", "champion", one)
    store, away = tmp_path / "mlflow.db", tmp_path / "away.db"

    async def work():
        async with backend("models:/sense@champion") as made:
            await served(made, one)
            store.rename(away)
            deadline = time.monotonic() + 60
            while "model_not_loaded" not in caplog.text and time.monotonic() < deadline:
                await asyncio.sleep(0.01)
            assert (await made.current()).version.version == one
            away.rename(store)
            aliases.set_alias("sense", "champion", two)
            await served(made, two)

    with caplog.at_level(logging.INFO, "sense.serving"):
        run(work)
    assert "model_not_loaded" in caplog.text
