"""Weak data sampled in shards is, byte for byte, what one task samples; and what does not make a whole is refused by name."""

import json
import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace

import pytest

from sense import config, records
from sense.errors import ConfigError, InputError, UserError
from sense.prompts.dataset import database_keys
from sense.records import Sample
from sense.stages import sample, synthesize
from tests.llm_runs import seed_dataset

pytestmark = pytest.mark.slow

SECTION = {
    "seed": 3,
    "k": 2,
    "temperature": 1.0,
    "max_new_tokens": 6,
    "batch_size": 48,  # two batches in a chunk of 64
    "limit": 150,  # three chunks, the last of 22
    "execution": {"workers": 1},
}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """Some 170 questions and a nano model of random weights, whose SQL is noise that the seeds decide about."""
    from sense.training import model_folder, nano

    root = tmp_path_factory.mktemp("weak")
    folders = {name: root / name for name in ("strong", "unseen", "heldout", "decontamination", "metrics")}
    settings = config.SynthesizeConfig(
        count=230, split={"unseen": 0.7, "heldout": 0.1, "heldout_domains": 1}, execution={"workers": 1}
    )
    seed = seed_dataset(root / "seed")
    synthesize.run(settings, synthesize.Inputs(seed, seed), synthesize.Outputs(**folders))
    shape = config.NanoConfig(vocabulary=300, hidden=16, layers=1, heads=2, context=1024)
    texts = [row.sql for row in records.read_dataset(folders["unseen"])]
    tokenizer = nano.train_tokenizer(texts, shape.vocabulary)
    model = nano.create_model(shape, tokenizer, 0)
    info = model_folder.ModelInfo(config.ModelConfig(nano=shape), 0, config.PromptConfig())
    model_folder.save(model, tokenizer, info, root / "model")
    return sample.Inputs(root / "model", folders["unseen"])


def sampled(inputs, folder, **changed):
    """(metrics, file) of one run of the stage in the work directory `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    outputs = sample.Outputs(folder / "samples", folder / "metrics")
    return sample.run(config.SampleConfig(**(SECTION | changed)), inputs, outputs), outputs.samples


@pytest.fixture(scope="module")
def whole(inputs, tmp_path_factory):
    return sampled(inputs, tmp_path_factory.mktemp("whole"))


@pytest.fixture(scope="module")
def three(inputs, tmp_path_factory):
    """The files of three shards."""
    root = tmp_path_factory.mktemp("three")
    return [sampled(inputs, root / str(number), shard={"number": number, "of": 3})[1] for number in range(3)]


@pytest.mark.parametrize("of", [1, 2, 3, 100])
def test_shards_together_are_the_whole_byte_for_byte(of, inputs, whole, three, tmp_path):
    shards = [{"number": number, "of": of} for number in range(of)]
    parts = three if of == 3 else [sampled(inputs, tmp_path / str(shard["number"]), shard=shard)[1] for shard in shards]
    merged = sample.merge(SECTION, inputs.unseen, parts[::-1], tmp_path / "out" / "samples.jsonl")
    assert (tmp_path / "out" / "samples.jsonl").read_bytes() == whole[1].read_bytes()
    assert merged == whole[0]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["samples.jsonl"]


def test_a_shard_takes_whole_chunks_one_after_the_other(inputs, whole, three):
    rows = list(records.read_jsonl(whole[1], Sample))
    assert (whole[0]["questions"], whole[0]["samples"], len(rows)) == (150, 300, 300)
    held = [[row["id"] for row in json.loads(part.read_text())["samples"]] for part in three]
    assert [len(ids) for ids in held] == [128, 128, 44]  # k = 2 of 64, 64 and 22 questions
    assert [one for ids in held for one in ids] == [row.id for row in rows]


def test_a_shards_metrics_are_of_its_own_questions(inputs, tmp_path):
    metrics, _ = sampled(inputs, tmp_path / "last", shard={"number": 2, "of": 3})
    assert (metrics["questions"], metrics["samples"], sum(metrics["verdicts"].values())) == (22, 44, 44)
    metrics, part = sampled(inputs, tmp_path / "none", shard={"number": 0, "of": 4})
    assert (metrics["questions"], metrics["samples"], metrics["pass_at_k"], metrics["right"]) == (0, 0, 0.0, 0.0)
    assert json.loads(part.read_text())["samples"] == []


@pytest.mark.parametrize("changed", [{"k": 3}, {"limit": 70}, {"seed": 4}])
def test_k_limit_and_seed_hold_for_shards_too(changed, inputs, whole, tmp_path):
    metrics, alone = sampled(inputs, tmp_path / "alone", **changed)
    parts = [sampled(inputs, tmp_path / str(n), **changed, shard={"number": n, "of": 2})[1] for n in range(2)]
    target = tmp_path / "samples.jsonl"
    assert sample.merge(SECTION | changed, inputs.unseen, parts, target) == metrics
    assert target.read_bytes() == alone.read_bytes()
    assert target.read_bytes() != whole[1].read_bytes()
    k, limit = (SECTION | changed)["k"], (SECTION | changed)["limit"]
    assert (metrics["questions"], metrics["samples"]) == (limit, limit * k)


def test_a_killed_shard_goes_on_with_its_next_chunk(inputs, three, tmp_path):
    first = json.loads(three[0].read_text())["samples"]
    second = json.loads(three[1].read_text())["samples"]
    chunks = [{"samples": samples, "greedy": [False] * (len(samples) // 2)} for samples in (first, second)]
    (tmp_path / "chunks.jsonl").write_text(json.dumps(chunks[0]) + "\n" + json.dumps(chunks[1])[:-9])
    _, part = sampled(inputs, tmp_path, shard={"number": 0, "of": 1})
    assert [row["id"] for row in json.loads(part.read_text())["samples"]] == [
        row["id"] for file in three for row in json.loads(file.read_text())["samples"]
    ]


class ScriptedGenerator:
    """Answers every prompt with the gold, or with another SQL: the k-th sample as `right[k]` says, the greedy one as the last."""

    context = None

    def __init__(self, golds, right):
        self._golds, self._right = golds, right

    def count_tokens(self, prompts):
        return [1] * len(prompts)

    def generate(self, prompts, *, n, temperature, top_p, max_tokens, seed):
        right = self._right[:n] if temperature > 0 else self._right[-1:]
        assert len(right) == n
        return [[f" {gold if is_right else 'SELECT 1 WHERE 0'}" for is_right in right] for gold in self._golds[: len(prompts)]]


@pytest.mark.parametrize(
    ("right", "expected"),
    [
        ([True, False, True], {"greedy_ex": 1.0, "pass_at_k": 1.0, "headroom": 3, "right": 0.5}),
        ([True, True, False], {"greedy_ex": 0.0, "pass_at_k": 1.0, "headroom": 0, "right": 1.0}),
        ([False, False, True], {"greedy_ex": 1.0, "pass_at_k": 0.0, "headroom": 0, "right": 0.0}),
    ],
)
def test_greedy_ex_pass_at_k_and_headroom(right, expected, inputs, tmp_path, monkeypatch):
    from sense.training import generators

    golds = [example.sql for example in sample._questions(config.SampleConfig(**SECTION | {"limit": 3}), inputs.unseen)]
    monkeypatch.setattr(generators, "create", lambda *_: ScriptedGenerator(golds, right))
    metrics, file = sampled(inputs, tmp_path / "with", limit=3)
    assert {key: metrics[key] for key in expected} == expected
    assert metrics["model"] == "weak"
    assert metrics["samples"] == len(records.read_rows(file, Sample)) == 6
    without, _ = sampled(inputs, tmp_path / "without", limit=3, greedy=False)
    assert without == {key: value for key, value in metrics.items() if key != "greedy_ex"}


# --- what does not make a whole


def copied(part, folder, **changed):
    """A copy of a shard's file with other keys."""
    folder.mkdir(exist_ok=True)
    copy = folder / f"{part.parent.name}.jsonl"
    copy.write_text(json.dumps(json.loads(part.read_text()) | changed) + "\n")
    return copy


def test_a_missing_shard_is_named(inputs, three, tmp_path):
    for parts, missing in ((three[:1] + three[2:], "shard 1 of 3"), (three[:1], "shard 1, 2 of 3"), ([], "shard 0 of 1")):
        with pytest.raises(InputError, match=rf"{missing} \(counted from 0\) is missing"):
            sample.merge(SECTION, inputs.unseen, parts, tmp_path / "samples.jsonl")
    assert list(tmp_path.iterdir()) == []


def test_a_shard_given_twice_is_named(inputs, three, tmp_path):
    again = copied(three[1], tmp_path / "again")
    for parts in ([*three, again], [*three, three[1]], [three[0], three[1], again]):
        with pytest.raises(InputError, match=r"shard 1 of 3 \(counted from 0\) is there twice, in .*1/samples too"):
            sample.merge(SECTION, inputs.unseen, parts, tmp_path / "samples.jsonl")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"model": "f" * 64}, r"2\.jsonl: shard 2 of 3 .*is of another run: it comes from another model than .*0/samples"),
        ({"unseen": "f" * 64}, r"2\.jsonl: shard 2 of 3 .*it answers other questions than those of .*unseen"),
        ({"shard": {"number": 2, "of": 4}}, r"2\.jsonl: shard 2 of 4 .*it cannot go with .*0/samples, which is shard 0 of 3"),
        ({"shard": {"number": 3, "of": 3}}, r"2\.jsonl, line 1: not a Shard \(shard: .*there are shards 0 to 2"),
        ({"samples": []}, r"2\.jsonl: shard 2 of 3 does not hold 2 samples of each of its questions; sample it again"),
        ({"greedy": [False]}, r"2\.jsonl: shard 2 of 3 does not hold 2 samples of each of its questions; sample it again"),
    ],
)
def test_a_shard_of_another_run_is_named(changed, message, inputs, three, tmp_path):
    with pytest.raises(InputError, match=message):
        sample.merge(SECTION, inputs.unseen, [*three[:2], copied(three[2], tmp_path, **changed)], tmp_path / "samples.jsonl")
    assert not (tmp_path / "samples.jsonl").exists()


def test_shards_of_other_settings_are_refused(inputs, three, tmp_path):
    with pytest.raises(
        InputError, match=r"0/samples: shard 0 of 3 .*it was sampled with k = 2, where the section of sample has 5"
    ):
        sample.merge(SECTION | {"k": 5}, inputs.unseen, three, tmp_path / "samples.jsonl")


def test_what_is_no_shard_is_refused(inputs, whole, three, tmp_path):
    with pytest.raises(InputError, match=r"samples, line 1: not a Shard \(shard: Field required\)"):
        sample.merge(SECTION, inputs.unseen, [whole[1]], tmp_path / "samples.jsonl")
    (tmp_path / "two").write_text(three[0].read_text() + three[1].read_text())
    with pytest.raises(InputError, match="two: 2 lines, where a shard of samples is one"):
        sample.merge(SECTION, inputs.unseen, [tmp_path / "two"], tmp_path / "samples.jsonl")
    with pytest.raises(ConfigError, match=r"the section of sample: 1 error\n  k = 0"):
        sample.merge({"k": 0}, inputs.unseen, three, tmp_path / "samples.jsonl")


def test_a_shard_is_not_taken_for_the_whole(three):
    with pytest.raises(InputError, match="line 1: not a Sample"):
        records.read_rows(three[0], Sample)


def test_questions_on_databases_that_the_model_was_trained_on_are_refused(inputs, tmp_path):
    from sense.training import model_folder

    examples = records.read_dataset(inputs.unseen)
    keys = database_keys(inputs.unseen, examples)
    first = examples[0].db_id
    shutil.copytree(inputs.model, tmp_path / "model")
    info = model_folder.read_info(inputs.model)
    replace(info, databases=frozenset([keys[first], "elsewhere:0"])).write(tmp_path / "model")
    settings = config.SampleConfig(**SECTION | {"limit": None})
    with pytest.raises(UserError, match=rf"was trained on 1 of its {len(keys)} databases \({first}\); sample questions on other"):
        sample.run(settings, replace(inputs, model=tmp_path / "model"), sample.Outputs(tmp_path / "s", tmp_path / "m"))


def test_a_database_is_known_by_its_id_and_its_schema(inputs, tmp_path):
    examples = records.read_dataset(inputs.unseen)[:1]
    db_id = examples[0].db_id
    file = records.database_path(tmp_path, db_id)
    file.parent.mkdir(parents=True)
    shutil.copyfile(records.database_path(inputs.unseen, db_id), file)
    before = database_keys(tmp_path, examples)
    assert before == database_keys(inputs.unseen, examples)
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("CREATE TABLE further (id INTEGER)")
    assert database_keys(tmp_path, examples) != before
