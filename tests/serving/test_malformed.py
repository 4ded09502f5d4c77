"""Malformed requests, written by hand and by schemathesis: none may be a 500, write anything, or reveal internals."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sense.records import digest
from sense.serving.messages import Problem
from tests.serving.model_server import ModelServer
from tests.serving.running import Running, settings

INTERNALS = re.compile(
    rb"Traceback|File \"|line \d+|sense[./]serving|site-packages|/tmp|/work|\.sqlite|pydantic|starlette|uvicorn"
)
HOST = b"Host: localhost\r\n"
DATABASE_NAMES = r"""
'; DROP TABLE item; --
"; DROP TABLE item; --
shop' OR '1'='1
shop; ATTACH DATABASE 'x' AS y
../../etc/passwd
..\..\shop
/etc/passwd
file:shop?mode=rwc
%2e%2e%2fshop
shop.sqlite
shop/shop
SHOP
ｓｈｏｐ
$(touch x)
`touch x`
{{7*7}}
${jndi:ldap://x}
<script>alert(1)</script>
""".split("\n")[1:-1]
DATABASE_NAMES += ["shop ", " shop", "shop\n", "shop\x00.sqlite", "💣" * 50]
CORRECTED_SQL = """
DROP TABLE item
DELETE FROM item
SELECT 1; DELETE FROM item
PRAGMA writable_schema=1
ATTACH 'x' AS y
VACUUM INTO 'x'
SELECT nothing FROM nowhere
WITH x AS (SELECT 1) DELETE FROM item
no sql
SELECT load_extension('x')
\x00
""".split("\n")[1:-1]
INVALID_JSON = rb"""
null
true
1
"shop"
[]
{}
[{}]
{]
}
{,}
{'question': 1}
{"question"}
{"question":}
{"question":"?","database":"shop",}
{"question":"?","database":"shop"}{}
{"question":"?","database":"shop"} x
{"question":"?" "database":"shop"}
{"question":"\x"}
{"question":"\u12"}
{"a":1e}
{"k":01}
{"k":+1}
{"k":0x1}
{"k":NaN}
{"k":Infinity}
{"k":-Infinity}
{"k":1,"k":2}
/**/{}
question=x&database=shop
<xml/>
""".split(b"\n")[1:-1]
INVALID_JSON += [
    b"", b" ", b"\n", b"\xef\xbb\xbf{}", b"\x00", b"{\x00}", b'{"question":"\x00"}', b'{"question":"\n"}', b"//x\n{}",
]  # fmt: skip


@pytest.fixture(scope="module")
def attacked(shop: Path, tmp_path_factory) -> Iterator[tuple[Running, Path]]:
    """A gateway with all its routes, whose model answers every question with SQL that writes."""
    folder = tmp_path_factory.mktemp("attacked")
    (folder / "data").mkdir()
    with ModelServer(write=lambda body, index: " DELETE FROM item") as server:
        config = settings(server.url, shop, feedback=str(folder / "feedback"), data=str(folder / "data"))
        with Running(config) as gateway:
            before = digest(shop)
            yield gateway, folder
            assert digest(shop) == before
            assert gateway.metric('sense_requests_total{route="/v1/sql",status="500"}') == 0


def assert_client_error(status: int, content: bytes, content_type: str):
    """Checks that this is a 4xx with a Problem that reveals no internals."""
    assert 400 <= status < 500, (status, content)
    assert content_type == "application/json"
    Problem.model_validate_json(content)
    assert not INTERNALS.search(content), content


def ask(**changes):
    value = {"question": "How many?", "database": "shop"} | changes
    return json.dumps({name: item for name, item in value.items() if item is not ...}).encode()


def deep(opening: str, closing: str, depth: int) -> bytes:
    return (opening * depth + closing * depth).encode()


WRONG_VALUES = (
    None, True, False, 0, 1, -1, 1.5, "", "x", [], {}, [1], {"a": 1}, "9" * 400, 10**400, -(10**30), 1e308, {"$ne": None},
)  # fmt: skip
FIELD_TYPES: dict[str, type] = {"question": str, "database": str, "evidence": str, "k": int, "rows": bool}
UNKNOWN_FIELDS = ("", "sql", "__proto__", "__class__", "k ", "K", "question\x00", "x" * 5000, "é", "\ud800")
TEXT_FIELDS = ("question", "database", "evidence")
QUESTION_BODIES = {
    **{
        f"{name}={str(wrong)[:20]}": ask(**{name: wrong})
        for name, kind in FIELD_TYPES.items()
        for wrong in WRONG_VALUES
        if type(wrong) is not kind
    },
    **{f"no {name}": ask(**{name: ...}) for name in ("question", "database")},
    **{f"database {number}": ask(database=name) for number, name in enumerate(DATABASE_NAMES)},
    **{f"field {name!r}": ask(**{name: 1}) for name in UNKNOWN_FIELDS},
    **{f"k={k}": ask(k=k) for k in (0, -1, 9, 2**31, 2**63, 2**64, 10**100)},
    **{f"surrogate {name}": ask(**{name: "\ud800"}) for name in TEXT_FIELDS},
    **{f"no json {number}": text for number, text in enumerate(INVALID_JSON)},
    "utf-16": ask().decode().encode("utf-16"),
    "utf-32": ask().decode().encode("utf-32"),
    "latin-1": '{"question": "é", "database": "shop"}'.encode("latin-1"),
    "utf-7": b"+AHs-",
    "broken utf-8": b'{"question": "\xc3\x28", "database": "shop"}',
    "overlong utf-8": b'{"question": "\xc0\xaf", "database": "shop"}',
    "gzip": b"\x1f\x8b\x08\x00\x00\x00\x00\x00",
    "nested [": deep("[", "]", 30_000),
    "nested {": deep('{"a":', "}", 9_000),
    "nested in question": b'{"question": ' + deep("[", "]", 900) + b', "database": "shop"}',
    "open [": b"[" * 60_000,
    "open string": b'{"question": "' + b"x" * 60_000,
    "digits": b'{"k": ' + b"9" * 60_000 + b"}",
    "exponent": b'{"k": 1e999999999}',
    "many fields": json.dumps({f"f{number}": number for number in range(4_000)}).encode(),
    "repeated deep": b'{"question": {"a": 1, "a": 2}, "database": "shop"}',
    "long question": ask(question="x" * 2_001),
    "long evidence": ask(evidence="x" * 2_001),
    "long name": ask(database="x" * 201),
    "too large": ask(question="x" * 66_000),
}


@pytest.mark.parametrize("name", QUESTION_BODIES)
def test_malformed_questions_are_client_errors(attacked, name):
    gateway, _ = attacked
    response = gateway.client.post("/v1/sql", content=QUESTION_BODIES[name], headers={"Content-Type": "application/json"})
    assert_client_error(response.status_code, response.content, response.headers["content-type"])


MEDIA_TYPES = [
    "",
    "text/plain",
    "application/json; charset=latin-1",
    "application/json; charset*; charset*0=x",
    ";",
    "a/b; a*; a*0=x",
    "=\u00e9",
]


@pytest.mark.parametrize("media_type", MEDIA_TYPES)
def test_other_media_types_are_refused_however_they_are_written(attacked, media_type):
    gateway, _ = attacked
    response = gateway.client.post("/v1/sql", content=ask(), headers={"Content-Type": media_type.encode("latin-1")})
    assert (response.status_code, response.json()["error"]) == (415, "unsupported_media_type")


@pytest.mark.parametrize(
    "media_type", ["application/json", "Application/JSON; charset=UTF-8", 'application/json;charset="utf-8"; version=1']
)
def test_json_in_utf8_is_accepted_however_it_is_written(attacked, media_type):
    gateway, _ = attacked
    assert gateway.client.post("/v1/sql", content=ask(), headers={"Content-Type": media_type}).status_code == 200


def feedback_files(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in (folder / "feedback").glob("*.jsonl")}


FEEDBACK = {"id": "f1", "question": "?", "database": "shop", "sql": "SELECT 1", "correct": False}


FEEDBACK_CHANGES: list[dict[str, Any]] = [
    *({"id": name} for name in ("", "a/b", "../x", "a b", "x" * 65, "a\n", 1, None, "é", "a\x00")),
    *({"corrected": sql} for sql in CORRECTED_SQL),
    *({"database": name} for name in DATABASE_NAMES),
    *({"correct": wrong} for wrong in ("true", 1, None, [])),
    *({"model": wrong} for wrong in ({"name": 1}, [], "x")),
    {"extra": 1},
    {"question": ""},
]


@pytest.mark.parametrize("change", FEEDBACK_CHANGES, ids=str)
def test_malformed_feedback_is_a_client_error_and_stores_nothing(attacked, change):
    gateway, folder = attacked
    before = feedback_files(folder)
    response = gateway.client.post("/v1/feedback", json=FEEDBACK | change)
    assert_client_error(response.status_code, response.content, response.headers["content-type"])
    assert feedback_files(folder) == before


POST = b"POST /v1/sql HTTP/1.1\r\n" + HOST + b"Content-Type: application/json\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
RAW_REQUESTS = {
    "no http": b"hello\r\n\r\n",
    "tls": b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03" + b"\x00" * 64 + b"\r\n\r\n",
    "http/0.9": b"GET /\r\n\r\n",
    "http/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "http/9.9": b"GET /nowhere HTTP/9.9\r\n" + HOST + b"\r\n",
    "no version": b"GET / HTTP/\r\n" + HOST + b"\r\n",
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "two hosts": b"GET /v1/sql HTTP/1.1\r\nHost: localhost\r\nHost: evil\r\n\r\n",
    "no method": b" / HTTP/1.1\r\n" + HOST + b"\r\n",
    "odd method": b"BREW /v1/sql HTTP/1.1\r\n" + HOST + b"\r\n",
    "long method": b"A" * 5_000 + b" / HTTP/1.1\r\n" + HOST + b"\r\n",
    "nul in path": b"GET /\x00 HTTP/1.1\r\n" + HOST + b"\r\n",
    "nul by percent": b"GET /v1/databases/%00 HTTP/1.1\r\n" + HOST + b"\r\n",
    "bad percent": b"GET /v1/databases/%zz%f HTTP/1.1\r\n" + HOST + b"\r\n",
    "bad utf-8": b"GET /v1/databases/%ff%fe HTTP/1.1\r\n" + HOST + b"\r\n",
    "bytes in path": b"GET /v1/databases/\xff HTTP/1.1\r\n" + HOST + b"\r\n",
    "dots": b"GET /../../etc/passwd HTTP/1.1\r\n" + HOST + b"\r\n",
    "dots by percent": b"GET /v1/databases/%2e%2e%2f%2e%2e HTTP/1.1\r\n" + HOST + b"\r\n",
    "dots within": b"GET /v1/data/../sql HTTP/1.1\r\n" + HOST + b"\r\n",
    "two slashes": b"GET //v1//databases HTTP/1.1\r\n" + HOST + b"\r\n",
    "absolute": b"GET http://evil.example/v1/sql HTTP/1.1\r\n" + HOST + b"\r\n",
    "authority": b"CONNECT evil.example:443 HTTP/1.1\r\n" + HOST + b"\r\n",
    "asterisk": b"OPTIONS * HTTP/1.1\r\n" + HOST + b"\r\n",
    "trace": b"TRACE /v1/sql HTTP/1.1\r\n" + HOST + b"\r\n",
    "long path": b"GET /" + b"a" * 12_000 + b" HTTP/1.1\r\n" + HOST + b"\r\n",
    "longer path": b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n" + HOST + b"\r\n",
    "long query": b"GET /v1/sql?" + b"a=b&" * 3_000 + b" HTTP/1.1\r\n" + HOST + b"\r\n",
    "long header": b"GET / HTTP/1.1\r\n" + HOST + b"X: " + b"a" * 100_000 + b"\r\n\r\n",
    "many headers": b"GET / HTTP/1.1\r\n" + HOST + b"".join(b"X-%d: y\r\n" % number for number in range(5_000)) + b"\r\n",
    "header without colon": b"GET / HTTP/1.1\r\n" + HOST + b"nonsense\r\n\r\n",
    "header with a space": b"GET / HTTP/1.1\r\n" + HOST + b"X : y\r\n\r\n",
    "folded header": b"GET /nowhere HTTP/1.1\r\n" + HOST + b"X: y\r\n z\r\n\r\n",
    "nul in header": b"GET / HTTP/1.1\r\n" + HOST + b"X: \x00\r\n\r\n",
    "bare cr": b"GET / HTTP/1.1\r\n" + HOST + b"X: a\rb\r\n\r\n",
    "bad key": POST + b"Authorization: Bearer \xff\xfe\r\nContent-Length: 0\r\n\r\n",
    "odd host": b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
    "other host": b"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n",
    "length of words": POST + b"Content-Length: ten\r\n\r\n",
    "length below 0": POST + b"Content-Length: -1\r\n\r\n",
    "length with +": POST + b"Content-Length: +2\r\n\r\n{}",
    "length in hex": POST + b"Content-Length: 0x2\r\n\r\n{}",
    "length too long": POST + b"Content-Length: " + b"9" * 40 + b"\r\n\r\n{}",
    "lengths": POST + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{} ",
    "lengths in one": POST + b"Content-Length: 2, 3\r\n\r\n{} ",
    "length and chunks": POST + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "length a lie": POST + b"Content-Length: 1\r\n\r\n{}",
    "length 0": POST + b"Content-Length: 0\r\n\r\n",
    "other coding": POST + b"Transfer-Encoding: gzip\r\n\r\n",
    "coding twice": POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    "chunk of words": CHUNKED + b"zz\r\n{}\r\n0\r\n\r\n",
    "chunk below 0": CHUNKED + b"-2\r\n{}\r\n0\r\n\r\n",
    "chunk a lie": CHUNKED + b"1\r\n{}\r\n0\r\n\r\n",
    "chunk too long": CHUNKED + b"F" * 30 + b"\r\n{}",
    "chunk extension": CHUNKED + b"2;" + b"x" * 20_000 + b"\r\n{}\r\n0\r\n\r\n",
    "chunk of nothing": CHUNKED + b"0\r\n\r\n",
    "chunks without end": CHUNKED + b"1000\r\n" + (b"[" * 4096 + b"\r\n1000\r\n") * 20,
    "large trailer": CHUNKED + b"2\r\n{}\r\n0\r\nX: " + b"a" * 50_000 + b"\r\n\r\n",
    "nothing expected": POST + b"Expect: 100-continue\r\nContent-Length: 70000\r\n\r\n",
    "type of words": POST.replace(b"application/json", b"nonsense") + b"Content-Length: 2\r\n\r\n{}",
    "type without end": POST.replace(b"application/json", b"application/json; charset=") + b"Content-Length: 2\r\n\r\n{}",
    "type in rfc 2231": POST.replace(b"application/json", b"application/json; charset*=x'y'%zz") + b"Content-Length: 2\r\n\r\n{}",
    "form": POST.replace(b"application/json", b"multipart/form-data; boundary=x") + b"Content-Length: 5\r\n\r\n--x--",
    "upgrade": b"GET /v1/sql HTTP/1.1\r\n" + HOST + b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n\r\n",
    "upgrade to h2c": b"GET /v1/sql HTTP/1.1\r\n" + HOST + b"Connection: Upgrade\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\n\r\n",
    "rubbish": bytes(range(256)) * 100,
    "lines": b"\r\n" * 20_000,
}  # fmt: skip


@pytest.mark.parametrize("name", RAW_REQUESTS)
def test_malformed_http_is_a_client_error(attacked, name):
    gateway, _ = attacked
    response = gateway.raw(RAW_REQUESTS[name])
    if response is not None:  # None: the connection was closed, which is a proper refusal too
        status, headers, body = response
        if status != 405 or body:
            assert_client_error(status, body, headers["content-type"])
    assert gateway.client.get("/healthz").status_code == 200


def test_sql_that_writes_is_rejected(attacked):
    gateway, _ = attacked  # its fixture compares the database's bytes
    answer = gateway.ask(k=3).json()
    assert (answer["sql"], answer["abstained"]) == (None, True)
    assert [candidate["outcome"] for candidate in answer["candidates"]] == ["rejected"] * 3


def test_garbage_after_a_good_request_does_not_affect_its_response(attacked):
    gateway, _ = attacked
    status, _, body = gateway.raw(b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\n" + b"nonsense \x00\r\n\r\n")
    assert (status, json.loads(body)) == (200, {"status": "ok"})


def test_there_are_at_least_200_malformed_requests():
    assert len(QUESTION_BODIES) + len(RAW_REQUESTS) >= 200


def test_the_gateway_conforms_to_its_openapi_document(attacked, tmp_path):
    """Schemathesis sends data that fits the document and data that does not, with every check but one.

    The check left out is that all data that fits the schema is accepted: corrected SQL must also run, which no schema can state.
    """
    gateway, _ = attacked
    flags = {"--seed": "20240803", "--max-examples": "20", "--phases": "coverage,fuzzing", "--generation-database": "none"}
    checks = {"--checks": "all", "--exclude-checks": "positive_data_acceptance", "--warnings": "off"}
    program = str(Path(sys.executable).with_name("schemathesis"))
    command = [program, "run", f"{gateway.url}/openapi.json", "--continue-on-failure", "--no-color"]
    command += [argument for option in (flags | checks).items() for argument in option]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    assert int(re.search(r"(\d+) generated", done.stdout)[1]) >= 200
