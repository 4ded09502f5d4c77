"""Ingest kept golds whose result depends on the day or on chance, in seed and dev alike, so that scores drifted.

Reports: ByteDance-Seed/DAComp #6 (golds with current_date), AlibabaResearch/DAMO-ConvAI #39 (BIRD has `END > DATE()`). Right is
what the gateway does with feedback: such golds are dropped, and counted by that reason.
"""

from pathlib import Path

import pytest

from sense import records
from sense.config import IngestConfig
from sense.stages import ingest
from tests.ingest.seed_folders import row, spider_folder, write_json

TELLING = [
    "SELECT name FROM pet WHERE date('2020-01-01', '+' || age || ' day') < DATE()",
    "SELECT name FROM pet WHERE '2020-01-01' < current_date",
    "SELECT strftime('%Y', 'now') - age FROM pet",
    "SELECT name FROM pet WHERE julianday('now') > 0",
    "SELECT name FROM pet WHERE age < (SELECT unixepoch())",
    "SELECT CURRENT_TIMESTAMP",
    "SELECT name FROM pet ORDER BY random() LIMIT 1",
]
TIMELESS = [
    "SELECT name FROM pet WHERE date('2020-01-01', '+' || age || ' day') < DATE('2021-01-01')",
    "SELECT 'now', strftime('%Y', '2020-01-01') FROM pet",
]


@pytest.mark.parametrize("with_dev", [False, True])
def test_golds_that_tell_the_time_are_dropped_and_counted(tmp_path: Path, with_dev: bool, capsys: pytest.CaptureFixture[str]):
    seeds = spider_folder(tmp_path / "spider", databases=2)
    rows = [row(f"db{number % 2}", number, sql) for sql in (*TELLING, *TIMELESS) for number in range(2)]
    write_json(seeds / "train_spider.json", [each for each in rows if each["db_id"] == "db0"] if with_dev else rows)
    if with_dev:
        write_json(seeds / "dev.json", [each for each in rows if each["db_id"] == "db1"])
    outputs = ingest.Outputs(seed=tmp_path / "seed", dev=tmp_path / "dev", metrics=tmp_path / "metrics" / "ingest.json")
    outputs.metrics.parent.mkdir()
    config = IngestConfig.model_validate({"holdout": 1, "execution": {"workers": 1}})
    metrics = ingest.run(config, ingest.Inputs(seeds=seeds), outputs)
    assert metrics["dropped"] == {"gold reads the clock or draws random numbers": 2 * len(TELLING)}
    for dataset in (outputs.seed, outputs.dev):
        assert [example.sql for example in records.read_dataset(dataset)] == TIMELESS
    assert f"dropped {2 * len(TELLING)}: gold reads the clock or draws random numbers, first: db0, " in " ".join(
        capsys.readouterr().err.split()
    )
