"""What a task gets that sees no working copy: the folder of metrics that the report reads, and one's own databases."""

import json
from pathlib import Path

import pytest

from sense.config import ReportConfig
from sense.errors import InputError
from sense.kubeflow.task_files import collect_metrics, fetch_own, place_own
from sense.report import run_data
from sense.stages import report
from tests.report_runs import write_run
from tests.stages.test_report import visible_text

BEFORE_PUBLISHING = [name for name in run_data.METRICS if name != "publish"]


def test_the_folder_is_laid_out_as_a_working_copys(tmp_path):
    for name in ("a", "b", "c"):
        (tmp_path / name).write_text(f'{{"of": "{name}"}}')
    (tmp_path / "curve").write_text("step,loss\n1,2.0\n")
    folder = tmp_path / "out" / "metrics"
    for _ in range(2):  # over an older one
        files = {"ingest": tmp_path / "a", "weak": tmp_path / "b"}
        collect_metrics(files, {"weak": tmp_path / "curve"}, folder)
        files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
        assert files == {"ingest.json", "weak.json", "curves/weak.csv"}
        assert json.loads((folder / "weak.json").read_text()) == {"of": "b"}
        assert (folder / "curves" / "weak.csv").read_text() == "step,loss\n1,2.0\n"
        (folder / "old.json").write_text("{}")
    assert [path.name for path in folder.parent.iterdir()] == ["metrics"]


def test_what_is_missing_is_named_and_the_folder_left(tmp_path):
    (tmp_path / "a").write_text("{}")
    folder = tmp_path / "metrics"
    collect_metrics({"ingest": tmp_path / "a"}, {}, folder)
    with pytest.raises(InputError, match="gone: no such file"):
        collect_metrics({"ingest": tmp_path / "a", "sft": tmp_path / "gone"}, {}, folder)
    with pytest.raises(InputError, match="gone: no such file; sft writes its training curve there"):
        collect_metrics({"ingest": tmp_path / "a"}, {"sft": tmp_path / "gone"}, folder)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "metrics"]
    assert [path.name for path in folder.iterdir()] == ["ingest.json"]


def test_the_report_of_what_is_not_published_yet_says_so(tmp_path):
    inputs = write_run(tmp_path)
    files = {name: inputs.metrics / f"{name}.json" for name in BEFORE_PUBLISHING}
    curves = {name: inputs.metrics / "curves" / f"{name}.csv" for name in ("sft", "dpo")}
    folder = tmp_path / "collected"
    collect_metrics(files, curves, folder)
    target = tmp_path / "report.html"
    inputs = report.Inputs(**vars(inputs) | {"metrics": folder})
    assert report.run(ReportConfig(), inputs, report.Outputs(target))["sections_missing"] == ["publish"]
    text = visible_text(target.read_text(encoding="utf-8"))
    assert "SENSE answers 57.1% of the dev questions" in text
    assert "The model of this run is not published yet" in text
    assert "Metrics that were not there: publish." in text


def test_own_databases_keep_their_names_where_two_folders_have_one(tmp_path):
    for name in ("a/own", "b/own"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "file").write_text(name)
    target = tmp_path / "artifact"
    for _ in range(2):  # a second try
        fetch_own("", [], [str(tmp_path / "a/own"), str(tmp_path / "b/own")], target)
    section = place_own({"count": 3, "own": ["a/own", "b/own"]}, target)
    assert section["count"] == 3
    assert [Path(folder).name for folder in section["own"]] == ["own", "own"]
    assert [(Path(folder) / "file").read_text() for folder in section["own"]] == ["a/own", "b/own"]


def test_a_run_without_own_databases_has_an_artifact_that_says_so(tmp_path):
    fetch_own("", [], [], tmp_path / "artifact")
    assert any((tmp_path / "artifact").iterdir())  # an empty folder does not travel
    assert place_own({"own": []}, tmp_path / "artifact") == {"own": []}


def test_an_own_database_that_is_not_here_is_named_with_the_fix(tmp_path):
    with pytest.raises(
        InputError, match=r"synthesize\.own data/own: no such folder .* cluster\.own \(the md5 in its \.dvc file\)"
    ):
        fetch_own("", [], ["data/own"], tmp_path / "artifact")
    assert not (tmp_path / "artifact").exists()
