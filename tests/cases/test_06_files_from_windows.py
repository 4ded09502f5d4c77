"""A file that Windows saved was refused with a message that nobody could follow.

Reports: microsoft/promptflow #4172, wbolster/jsonlines #68, langchain-ai/langchain-community #138. Right is that a byte order
mark and CRLF are read over, and that a text in UTF-16 is called that, with the command that mends it.
"""

import json

import pytest

from sense import cli
from sense.config import IngestConfig
from sense.stages import ingest
from tests.ingest.seed_folders import builtin_folder, spider_folder, write_database

PREDICTION = '{"id": "q1", "sql": "SELECT count(*) FROM pet"}\n'


def score(folder):
    """The exit code of `sense score` on the predictions in the folder, for one question on one database."""
    write_database(folder / "databases" / "cats" / "cats.sqlite")
    (folder / "examples.jsonl").write_text('{"id": "q1", "db_id": "cats", "sql": "SELECT count(*) FROM pet"}\n')
    files = {"databases": "databases", "examples": "examples.jsonl", "predictions": "predictions.jsonl", "output": "out.jsonl"}
    flags = [word for name, file in files.items() for word in (f"--{name}", str(folder / file))]
    return cli.main(["score", *flags, "--workers", "1"])


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_predictions_with_a_mark_and_crlf_are_scored(tmp_path, encoding, newline):
    (tmp_path / "predictions.jsonl").write_text(PREDICTION, encoding=encoding, newline=newline)
    assert score(tmp_path) == 0
    assert json.loads((tmp_path / "out.jsonl").read_text())["correct"]


def test_predictions_in_utf_16_are_called_that(tmp_path, capsys):
    (tmp_path / "predictions.jsonl").write_text(PREDICTION, encoding="utf-16")
    assert score(tmp_path) == 2
    assert "predictions.jsonl: its text is UTF-16, " in capsys.readouterr().err


@pytest.mark.parametrize("make_folder", [spider_folder, builtin_folder])
def test_seeds_whose_files_all_have_a_mark_are_the_same_seeds(tmp_path, make_folder):
    seeds = make_folder(tmp_path / "seeds")
    examples = []
    for _ in range(2):
        outputs = ingest.Outputs(seed=tmp_path / "seed", dev=tmp_path / "dev", metrics=tmp_path / "metrics")
        ingest.run(IngestConfig.model_validate({"holdout": 1, "execution": {"workers": 1}}), ingest.Inputs(seeds=seeds), outputs)
        examples.append((tmp_path / "seed" / "examples.jsonl").read_text())
        for file in (file for file in seeds.rglob("*") if file.suffix in (".json", ".jsonl", ".yaml", ".sql")):
            file.write_text(file.read_text(encoding="utf-8-sig"), encoding="utf-8-sig", newline="\r\n")
    assert examples[0] == examples[1]
