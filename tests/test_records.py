import json
import os
import subprocess
import sys
from typing import get_type_hints

import pytest

from sense import records
from sense.errors import InputError
from sense.records import Example, Log, Prediction, Sample, Verdict
from sense.verdicts import VerdictFields


def row(number, sql="SELECT 1"):
    return Prediction(id=f"q{number}", sql=sql)


def test_rows_survive_the_round_trip_and_keep_unknown_fields(tmp_path):
    path = tmp_path / "p.jsonl"
    path.write_text('{"id": "a", "sql": "SELECT \'\\u00fc\'", "model": "m"}\n\n')
    rows = records.read_rows(path, Prediction)
    assert rows[0].model_dump() == {"id": "a", "sql": "SELECT 'ü'", "model": "m"}
    assert records.write_jsonl(tmp_path / "q.jsonl", rows) == 1
    assert (tmp_path / "q.jsonl").read_text(encoding="utf-8") == '{"id": "a", "sql": "SELECT \'ü\'", "model": "m"}\n'


@pytest.mark.parametrize(("kind", "own_fields"), [(Verdict, {"id", "mode"}), (Sample, {"id", "example_id", "sql"})])
def test_rows_with_a_verdict_have_the_fields_that_workers_send(kind, own_fields):
    """A sample is judged under a mode that has no score."""
    hints, defaults = get_type_hints(VerdictFields), VerdictFields._field_defaults
    names = [name for name in VerdictFields._fields if kind is Verdict or name != "score"]
    assert kind.model_fields.keys() == {*names, *own_fields}
    for name in names:
        field = kind.model_fields[name]
        assert field.annotation == hints[name]
        assert field.is_required() is (name not in defaults)
        assert field.is_required() or field.default == defaults[name]


def test_keys_of_rows_with_a_verdict_keep_their_order(tmp_path):
    """Files written by any version are the same bytes, in a row of rows too."""
    verdict = '{"id": "a", "correct": true, "verdict": "match", "detail": "", "vacuous": false, "mode": "strict@1"'
    verdict += ', "kind": "", "limit": "", "score": null, "model": "m"}'
    sample = '{"id": "a#0", "example_id": "a", "sql": "SELECT 1", "correct": false, "verdict": "mismatch", "detail": "rows"'
    sample += ', "vacuous": false, "kind": "rows", "limit": "", "model": "m"}'
    for kind, line in ((Verdict, verdict), (Sample, sample)):
        shuffled = dict(reversed(json.loads(line).items()))
        (tmp_path / "rows.jsonl").write_text(json.dumps(shuffled))
        (row,) = records.read_rows(tmp_path / "rows.jsonl", kind)
        assert records.dump(row) == line
        assert json.dumps(Rows(rows=[row]).model_dump()) == f'{{"rows": [{line}]}}'


class Rows(records.Record):
    """Rows in a row, as a chunk of samples is."""

    rows: list[Verdict] | list[Sample]


@pytest.mark.parametrize(
    ("line", "what"),
    [
        (b'{"id": "b"}', "sql: Field required"),
        (b'{"id": "b", "sql": 3}', "sql: Input should be a valid string"),
        (b'{"id": "b", "sql"', "Invalid JSON"),
        (b"[]", "Input should be"),
    ],
)
def test_a_malformed_line_is_named(tmp_path, line, what):
    path = tmp_path / "p.jsonl"
    path.write_bytes(b'{"id": "a", "sql": "x"}\n' + line + b"\n")
    with pytest.raises(InputError) as caught:
        records.read_rows(path, Prediction)
    assert f"{path}, line 2: not a Prediction" in str(caught.value)
    assert what in str(caught.value)


def test_a_missing_file_and_a_repeated_id_are_named(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        records.read_rows(tmp_path / "none.jsonl", Prediction)
    records.write_jsonl(tmp_path / "p.jsonl", [row(1), row(1)])
    with pytest.raises(InputError, match="'q1' occurs twice"):
        records.read_rows(tmp_path / "p.jsonl", Prediction)


def test_a_dataset_without_its_database_is_refused(tmp_path):
    example = Example(id="a", db_id="pets", question="?", sql="SELECT 1", source="s", hardness="easy")
    records.write_jsonl(tmp_path / "examples.jsonl", [example])
    with pytest.raises(InputError, match=r"pets\.sqlite: no such database"):
        records.read_dataset(tmp_path)


def test_a_log_drops_a_torn_last_line_and_goes_on(tmp_path):
    path = tmp_path / "log.jsonl"
    with Log(path, Prediction) as log:
        log.append([row(1), row(2)])
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"id": "q3", "s')
    with Log(path, Prediction) as log:
        assert [r.id for r in log.rows] == ["q1", "q2"]
        log.append([row(3)])
    assert path.read_bytes() == whole + b'{"id": "q3", "sql": "SELECT 1"}\n'


def test_a_write_that_fails_leaves_the_old_file_and_nothing_half(tmp_path):
    path = tmp_path / "p.jsonl"
    records.write_jsonl(path, [row(1)])
    before = path.read_bytes()

    def rows():
        yield row(2)
        raise ValueError("stop")

    with pytest.raises(ValueError, match="stop"):
        records.write_jsonl(path, rows())
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["p.jsonl"]


def test_a_full_disk_is_a_storage_error_and_loses_nothing(tmp_path):
    """The limit on a file's size stands in for a full disk: the write fails in the middle."""
    code = f"""
import resource, signal
from pathlib import Path
from sense import records
from sense.errors import StorageError
from sense.records import Log, Prediction
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
folder, big = Path({str(tmp_path)!r}), Prediction(id="b", sql="x" * 5000)
records.write_jsonl(folder / "p.jsonl", [Prediction(id="a", sql="y")])
log = Log(folder / "log.jsonl", Prediction)
log.append([Prediction(id="a", sql="y")])
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
for write in (lambda: records.write_jsonl(folder / "p.jsonl", [big]), lambda: log.append([big])):
    try:
        write()
    except StorageError as error:
        print(error)
"""
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output.count("cannot be written") == 2
    assert (tmp_path / "p.jsonl").read_text() == '{"id": "a", "sql": "y"}\n'
    with Log(tmp_path / "log.jsonl", Prediction) as log:
        assert [r.id for r in log.rows] == ["a"]
    assert not list(tmp_path.glob(".*"))


def test_digest_follows_names_and_contents_only(tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    for folder in (one, two):
        (folder / "sub").mkdir(parents=True)
        (folder / "sub" / "a").write_text("x")
    assert records.digest(one) == records.digest(two)
    (two / "sub" / "a").rename(two / "sub" / "b")
    assert records.digest(one) != records.digest(two)


def test_deliver_replaces_a_folder_whole(tmp_path):
    old, new = tmp_path / "out" / "model", tmp_path / "work" / "model"
    for folder, name in ((old, "old"), (new, "new")):
        folder.mkdir(parents=True)
        (folder / name).write_text(name)
    records.deliver(new, old)
    assert [path.name for path in old.iterdir()] == ["new"]
    assert not new.exists()


def test_draw_is_seeded_and_keeps_the_order():
    rows = [Example(id=str(i), db_id="d", question="?", sql="s", source="s", hardness="easy") for i in range(10)]
    drawn = records.draw(rows, 4, 7)
    assert drawn == records.draw(rows, 4, 7)
    assert [int(r.id) for r in drawn] == sorted(int(r.id) for r in drawn)
    assert len(drawn) == 4
    assert records.draw(rows, None, 0) == records.draw(rows, 10, 0) == rows
