"""Half of an emoji in a question ended the ingest with a traceback after every gold had been executed.

Reports: UKGovernmentBEIS/inspect_ai #3802, ThomasKliszowski/json_reindent #12, daaain/claude-code-log #144. Right is that the
file is refused at once (exit code 2), with the row and the field named: it is legal JSON, and no file can be written with it.
"""

import pytest

from sense.config import IngestConfig
from sense.errors import InputError
from sense.stages import ingest
from tests.ingest.seed_folders import builtin_folder, spider_folder


@pytest.mark.parametrize(
    ("make_folder", "file", "text", "place"),
    [
        (spider_folder, "train_spider.json", "Question 3", r"train_spider.json: \[3\].question holds"),
        (builtin_folder, "cats/questions.jsonl", "Which", "questions.jsonl, line 2: question holds"),
    ],
)
def test_the_row_and_the_field_are_named(tmp_path, make_folder, file, text, place):
    seeds = make_folder(tmp_path / "seeds")
    path = seeds / file
    path.write_text(path.read_text().replace(text, "How \\ud83d?"))
    outputs = ingest.Outputs(seed=tmp_path / "seed", dev=tmp_path / "dev", metrics=tmp_path / "metrics")
    with pytest.raises(InputError, match=f"{place} half of a surrogate pair"):
        ingest.run(IngestConfig(), ingest.Inputs(seeds=seeds), outputs)
    assert not outputs.seed.exists()
