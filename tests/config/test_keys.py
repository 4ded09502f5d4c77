"""`sense params`: every key of every section is described, and what is printed is what the sections say."""

import json
import re

import pytest

from sense import cli, config
from sense.config import keys


def sections(section=config.Section):
    """All sections of the configuration, inner ones too."""
    for inner in section.__subclasses__():
        if inner.__module__.startswith("sense.config."):
            yield inner
            yield from sections(inner)


@pytest.mark.parametrize("section", sorted(set(sections()), key=lambda section: section.__name__))
def test_every_section_and_every_field_has_a_description(section):
    assert section.__doc__
    for name, field in section.model_fields.items():
        assert field.description, f"{section.__name__}.{name}: write its effect and unit under the field"
        assert field.description.strip()[-1] in ".)", f"{section.__name__}.{name}: a full sentence"


def test_keys_of_a_section_with_types_bounds_and_defaults():
    described = {key.name: key for key in keys.select(["dpo", "sft.data"])}
    assert (described["dpo.label_smoothing"].type, described["dpo.label_smoothing"].default) == (
        "auto | number >= 0 < 0.5",
        "0.1",
    )
    assert described["sft.data"].type == "strong | strong+seed | seed"
    # the default of an inner section may differ from that of its class
    assert described["dpo.train.learning_rate"].default == "1e-06"
    assert keys.select(["sft.train.learning_rate"])[0].default == "2e-05"


def test_all_keys_of_params_yaml_and_of_the_gateway_are_listed_once():
    names = [key.name for key in keys.all_keys()]
    assert len(names) == len(set(names))
    assert {name.partition(".")[0] for name in names} == {*config.Params.model_fields, "serve"}
    assert {"synthesize.llm.base_url", "sample.shard.of", "cluster.weights.claim", "serve.limits.execution.max_steps"} <= set(
        names
    )
    assert "serve.backend.vllm.models.NAME.version" in names
    assert next(key for key in keys.all_keys() if key.name == "weak").type == "section, keys as in sft"


def test_the_command_prints_a_table_markdown_and_json(capsys):
    assert cli.main(["params", "prefer"]) == 0
    table = capsys.readouterr().out
    assert "prefer.drop_errors" in table
    assert "sample.k" not in table
    assert cli.main(["params", "prefer", "--markdown"]) == 0
    assert "| `prefer.chosen` | sample \\| gold \\| sample-or-gold | `sample` |" in capsys.readouterr().out
    assert cli.main(["params", "prefer.seed", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == [
        {
            "name": "prefer.seed",
            "type": "integer >= 0",
            "default": "0",
            "description": "Seed of the draw where several samples could form a pair.",
        }
    ]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("dpo.betta", r"the keys of dpo are .*seed, beta, .*; did you mean dpo\.beta\?$"),
        ("sft.trian", r"the keys of sft are .*train.*; did you mean sft\.train\?$"),
        ("sft.trian.epochs", r"the keys of sft are .*train"),
        ("sft.train.epoch", r"the keys of sft\.train are .*epochs.*; did you mean sft\.train\.epochs\?$"),
        ("weak.train", r"weak: section, keys as in sft$"),
        ("smaple", r"the sections are .*ingest, synthesize, sft.*; did you mean sample\?$"),
    ],
)
def test_a_key_that_does_not_exist_is_refused_with_those_beside_it(capsys, name, message):
    assert cli.main(["params", name]) == 2
    assert re.search(rf"{name}: no such key; {message}", capsys.readouterr().err.strip())
