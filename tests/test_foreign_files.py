"""Files of people, saved by other programs than ours: read as what they mean, or named as what they are."""

import bz2
import gzip
import json
import lzma
import sqlite3
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sense import config, records
from sense.config import profile
from sense.errors import ConfigError, InputError
from sense.records import Prediction

ROWS = [{"id": "q1", "sql": "SELECT 'é'"}, {"id": "q2", "sql": "SELECT 'a\u2028\x85b'"}]
LINES = [json.dumps(row, ensure_ascii=False) for row in ROWS]
TEXT = "\n".join(LINES) + "\n"
BOM = "\ufeff"

READABLE = {
    "byte order mark": BOM + TEXT,
    "CRLF": TEXT.replace("\n", "\r\n"),
    "byte order mark, CRLF, Ctrl-Z": BOM + TEXT.replace("\n", "\r\n") + "\x1a",
    "no end of the last line": TEXT.rstrip("\n"),
    "empty lines": f"\n\r\n \t\r\n{LINES[0]}\n\n\r\n{LINES[1]}\n\n",
    "blanks around": f"  {LINES[0]}  \n\t{LINES[1]}\t\r\n",
    "two files joined, each with a mark": f"{BOM}{LINES[0]}\r\n{BOM}{LINES[1]}\r\n",
    "a mark alone between them": f"{LINES[0]}\n{BOM}\n{LINES[1]}\n",
    "Ctrl-Z on a line of its own": TEXT + "\x1a\r\n",
}


def refusal(path):
    with pytest.raises(InputError) as caught:
        records.read_rows(path, Prediction)
    return str(caught.value)


@pytest.mark.parametrize("name", READABLE)
def test_rows_are_read_however_lines_end(tmp_path, name):
    file = tmp_path / "rows.jsonl"
    file.write_bytes(READABLE[name].encode())
    assert [row.model_dump() for row in records.read_rows(file, Prediction)] == ROWS


@pytest.mark.parametrize(
    ("encoding", "message"),
    [
        ("utf-16", "its text is UTF-16, "),
        ("utf-16-le", "its text is UTF-16LE, "),
        ("utf-16-be", "its text is UTF-16BE, "),
        ("utf-32", "its text is UTF-32, "),
        ("utf-32-le", "its text is UTF-32LE, "),
        ("utf-32-be", "its text is UTF-32BE, "),
        ("latin-1", "line 1, byte 30: 0xe9 is not UTF-8"),
        ("cp1252", "line 1, byte 30: 0xe9 is not UTF-8"),
    ],
)
def test_another_encoding_is_named_with_the_command_that_mends_it(tmp_path, encoding, message):
    file = tmp_path / "rows.jsonl"
    file.write_bytes(LINES[0].encode(encoding))
    assert f"{file}{', ' if 'line' in message else ': '}{message}" in refusal(file)
    assert "save it as UTF-8: iconv -f " in refusal(file)
    with pytest.raises(InputError, match=message.split(", ")[0]):
        records.read_json(file)


def test_the_line_and_the_byte_of_another_encoding(tmp_path):
    file = tmp_path / "rows.jsonl"
    file.write_bytes(f"{LINES[0]}\r\n\r\n".encode() + '{"id": "ü"}'.encode("cp1252"))
    assert f"{file}, line 3, byte 9: 0xfc" in refusal(file)
    file.write_bytes('["é",\n"ab'.encode() + b'\x93"]')
    with pytest.raises(InputError, match="line 2, byte 4: 0x93"):
        records.read_json(file)


def pack(file, name):
    content = TEXT.encode()
    if name == "zip archive":
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("rows.jsonl", content)
    elif name == "SQLite database":
        with sqlite3.connect(file) as connection:
            connection.execute("CREATE TABLE a(b)")
        connection.close()
    else:
        packed = {
            "gzip": gzip.compress(content),
            "bzip2": bz2.compress(content),
            "xz": lzma.compress(content),
            "Zstandard": b"\x28\xb5\x2f\xfd\x04\x00",
            "Parquet": b"PAR1\x15\x04",
            "Git LFS": b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 90000\n",
            "web page": b"\n<!DOCTYPE html>\n<html lang=en>",
        }
        file.write_bytes(packed[name])


@pytest.mark.parametrize(
    "name", ["gzip", "bzip2", "xz", "Zstandard", "zip archive", "Parquet", "SQLite database", "Git LFS", "web page"]
)
def test_a_file_that_is_no_text_is_named(tmp_path, name):
    file = tmp_path / "rows.jsonl"
    pack(file, name)
    assert name in refusal(file)
    for read in (records.read_json, config.load):
        with pytest.raises(InputError, match=name):
            read(file)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (f"[{LINES[0]},\n{LINES[1]}]", "line 1: .*no list around them"),
        (json.dumps(ROWS[0], indent=1), "line 1: .*must end on the line"),
        (TEXT.replace("\n", "\r"), "line 1: .*CR alone"),
        (f"{LINES[0]}\n{LINES[1][:12]}\0\0\0\0", "line 2: .*NUL bytes"),
        ("\0" * 100, "line 1: .*NUL bytes"),
        (LINES[0] + "\nid,sql\n", "line 2: .*mend or delete"),
    ],
)
def test_what_is_no_row_comes_with_what_to_do(tmp_path, content, message):
    file = tmp_path / "rows.jsonl"
    file.write_bytes(content.encode())
    with pytest.raises(InputError, match=message):
        records.read_rows(file, Prediction)


def test_json_and_configuration_with_a_mark_and_crlf(tmp_path):
    file = tmp_path / "file"
    file.write_bytes(f"{BOM}{json.dumps(ROWS, indent=1, ensure_ascii=False)}\x1a".replace("\n", "\r\n").encode())
    assert records.read_json(file) == ROWS
    text = "a: 1 # é\nb: two\n"
    file.write_bytes((BOM + text).replace("\n", "\r\n").encode())
    assert records.read_text(file) == text
    assert config.parse(records.read_text(file), "file") == {"a": 1, "b": "two"}


def test_setting_a_key_in_a_file_of_windows(tmp_path):
    file = tmp_path / "params.yaml"
    content = (BOM + "a: 1 # é\n").replace("\n", "\r\n").encode()
    file.write_bytes(content)
    profile.save(file, profile.edit(file, []))
    assert file.read_bytes() == content
    profile.save(file, profile.edit(file, [(["a"], "2")]))
    assert file.read_text(encoding="utf-8") == "a: 2 # é\n"


def test_json_that_cannot_be_read(tmp_path):
    file = tmp_path / "value.json"
    for content, message in (("[" * 100_000, "not valid JSON"), ("9" * 5_000, "not valid JSON"), ("", "not valid JSON")):
        file.write_text(content)
        with pytest.raises(InputError, match=message):
            records.read_json(file)
    with pytest.raises(InputError, match="cannot be read"):
        records.read_json(tmp_path)


@pytest.mark.parametrize(
    ("value", "place"),
    [
        ([{"question": "a"}, {"question": "How \ud83d?"}], "[1].question"),
        ({"sets": {"dev": ["a", "\udc00"]}}, "sets.dev[1]"),
        ({"sets": {"\ud83d": 1}}, "sets.(a key)"),
        ("\udfff", "its text"),
    ],
)
def test_half_of_a_surrogate_pair_is_named_where_it_stands(tmp_path, value, place):
    file = tmp_path / "value.json"
    for text in (
        json.dumps(value),
        json.dumps(value).upper().replace("\\U", "\\u") if place == "its text" else json.dumps(value),
    ):
        file.write_text(text)
        with pytest.raises(InputError) as caught:
            records.read_json(file)
        assert f"{file}: {place} holds half of a surrogate pair" in str(caught.value)
    with pytest.raises(ConfigError, match="half of a surrogate pair"):
        config.parse(json.dumps({"value": value}), "params.yaml")


def test_half_of_a_surrogate_pair_in_a_row_is_named_with_line_and_field(tmp_path):
    file = tmp_path / "rows.jsonl"
    for row, field in (
        ({"id": "q2", "sql": "SELECT '\ude00'"}, "sql"),
        ({"id": "q2", "sql": "", "log": [{"a": "\ud83d"}]}, "log[0].a"),
    ):
        file.write_text(f"{LINES[0]}\n{json.dumps(row)}\n", encoding="utf-8")
        assert f"{file}, line 2: {field} holds half of a surrogate pair" in refusal(file)


def test_whole_pairs_and_backslashes_are_texts(tmp_path):
    file = tmp_path / "value.json"
    for value in ("😀", "\\ud83d", "C:\\ud83d\\", "\ufffd\uffff"):
        file.write_text(json.dumps([value]))
        assert records.read_json(file) == [value]


@settings(max_examples=150, deadline=None, database=None, derandomize=True)
@given(st.text(st.characters()), st.text(st.characters()))
def test_what_is_read_can_be_written(tmp_path_factory, key, text):
    """Any JSON that Python writes comes back as it was, or is refused with its place; UTF-8 can hold what comes back."""
    file = tmp_path_factory.mktemp("any") / "value.json"
    value = [{key: text}]
    file.write_text(json.dumps(value))
    try:
        records.write_json(file, records.read_json(file))
    except InputError as error:
        assert "[0]." in str(error)
        assert any("\ud800" <= character <= "\udfff" for character in key + text)
    else:
        assert records.read_json(file) == value
