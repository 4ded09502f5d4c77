"""The responses of the gateway: answers, and a status and a Problem for everything else; readiness, metrics and log."""

import json
import logging
import shutil
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sense.serving import observability
from sense.serving.messages import AnswerResponse, Problem
from sense.serving.sqlite import SqliteDatabase
from tests.serving.conftest import Start
from tests.serving.model_server import ModelServer
from tests.serving.running import Running, until_closed

BODY = b'{"question": "?", "database": "shop"}'
RAW_REQUEST = (
    b"POST /v1/sql HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY
)
JSON = {"Content-Type": "application/json"}


def problem(response, status, error):
    """The Problem in the body of a response, once its status, headers and error are checked."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    body = Problem.model_validate(response.json())
    assert (body.error, body.id) == (error, response.headers["x-request-id"])
    assert body.message
    assert body.fix
    return body


def always_write(text):
    return lambda body, index: f" {text}"


def test_a_question_is_answered_with_sql_and_rows(start: Start, model: ModelServer):
    model.write = always_write("SELECT name FROM item ORDER BY price")
    gateway = start()
    answer = AnswerResponse.model_validate(gateway.ask("Which items are there?").json())
    assert (answer.sql, answer.abstained, answer.database) == ("SELECT name FROM item ORDER BY price", False, "shop")
    assert answer.rows == [["rake"], ["spade"], ["hose"]]
    assert (answer.model.name, answer.model.version) == ("sense", "1")
    assert [candidate.outcome for candidate in answer.candidates] == ["ran"]


def test_rows_can_be_left_out(start: Start):
    answer = start().ask(rows=False).json()
    assert answer["sql"] == "SELECT 'sense-1'"
    assert answer["rows"] is None


def test_sql_that_does_not_run_is_an_abstention_and_no_error(start: Start, model: ModelServer):
    model.write = always_write("SELECT nothing FROM nowhere")
    gateway = start()
    response = gateway.ask(k=3)
    assert response.status_code == 200
    assert response.json()["abstained"] is True
    assert response.json()["reason"]
    assert gateway.metric("sense_abstained_total") == 1


def test_the_request_id_of_the_client_is_used_if_it_is_well_formed(start: Start):
    client = start().client
    assert client.get("/healthz", headers={"X-Request-Id": "a.B-9_"}).headers["x-request-id"] == "a.B-9_"
    for bad in ("a b", "x" * 65, "", "a\tb", "é".encode(), '"}{'):
        request_id = client.get("/healthz", headers={"X-Request-Id": bad}).headers["x-request-id"]
        assert len(request_id) == 32
        assert request_id.isalnum()


def test_the_id_of_an_answer_is_the_request_id(start: Start):
    gateway = start()
    response = gateway.client.post("/v1/sql", json={"question": "?", "database": "shop"}, headers={"X-Request-Id": "mine-1"})
    assert response.json()["id"] == response.headers["x-request-id"] == "mine-1"


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "error"),
    [
        ("POST", "/v1/sql", {"question": "?", "database": "nowhere"}, 404, "unknown_database"),
        ("POST", "/v1/sql", {"question": "?", "database": "../shop/shop"}, 404, "unknown_database"),
        ("POST", "/v1/sql", {"question": "?"}, 422, "invalid"),
        ("POST", "/v1/sql", {"question": "", "database": "shop"}, 422, "invalid"),
        ("POST", "/v1/sql", {"question": "?", "database": "shop", "k": 0}, 422, "invalid"),
        ("POST", "/v1/sql", {"question": "?", "database": "shop", "k": 9}, 422, "invalid"),
        ("POST", "/v1/sql", {"question": "?", "database": "shop", "k": "2"}, 422, "invalid"),
        ("POST", "/v1/sql", {"question": "?" * 2001, "database": "shop"}, 422, "invalid"),
        ("POST", "/v1/sql", {"question": "?", "database": "shop", "evidence": "?" * 2001}, 422, "invalid"),
        ("POST", "/v1/sql", {"question": "?", "database": "shop", "extra": 1}, 422, "invalid"),
        ("GET", "/v1/databases/nowhere", None, 404, "unknown_database"),
        ("GET", "/v1/databases/..%2fshop", None, 404, "not_found"),
        ("GET", "/nowhere", None, 404, "not_found"),
        ("GET", "/v1/sql", None, 405, "method_not_allowed"),
        ("POST", "/healthz", None, 405, "method_not_allowed"),
        ("DELETE", "/v1/databases/shop", None, 405, "method_not_allowed"),
        ("GET", "/docs", None, 404, "not_found"),
        ("GET", "/v1/data/pairs", None, 404, "not_found"),
        ("POST", "/v1/feedback", {"id": "1"}, 404, "not_found"),
    ],
)
def test_wrong_requests(module_gateway: Running, method, path, body, status, error):
    problem(module_gateway.client.request(method, path, json=body), status, error)


def test_a_405_names_the_allowed_methods(module_gateway: Running):
    assert module_gateway.client.get("/v1/sql").headers["allow"] == "POST"


def test_a_422_names_fields_without_their_values(module_gateway: Running):
    response = module_gateway.ask(k="secret-value", database="")
    body = problem(response, 422, "invalid")
    assert [detail["field"] for detail in body.details] == ["body.database", "body.k"]
    assert "secret-value" not in response.text


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"nul", b'{"question": "?", "database": "shop", "question": "!"}', b'{"question": NaN}', b"\xff\xfe{",
        '{"question": "?"}'.encode("utf-16"), b"[" * 30_000, b'{"k": ' + b"9" * 5_000 + b"}",
    ],
)  # fmt: skip
def test_malformed_json_is_a_400(module_gateway: Running, body):
    problem(module_gateway.client.post("/v1/sql", content=body, headers=JSON), 400, "malformed_json")


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "application/json; charset=utf-16"},
        JSON | {"Content-Encoding": "gzip"},
    ],
)
def test_other_media_types_are_a_415(module_gateway: Running, headers):
    problem(module_gateway.client.post("/v1/sql", content=b"{}", headers=headers), 415, "unsupported_media_type")


def test_too_large_a_body_is_a_413_with_a_length_or_in_chunks(module_gateway: Running):
    body = json.dumps({"question": "?" * 70_000, "database": "shop"}).encode()
    problem(module_gateway.client.post("/v1/sql", content=body, headers=JSON), 413, "body_too_large")
    chunks = (body[at : at + 1000] for at in range(0, len(body), 1000))
    problem(module_gateway.client.post("/v1/sql", content=chunks, headers=JSON), 413, "body_too_large")
    problem(module_gateway.client.request("GET", "/healthz", content=body), 413, "body_too_large")
    assert module_gateway.client.get("/healthz").status_code == 200


def test_every_response_has_safe_headers(module_gateway: Running):
    for path in ("/", "/healthz", "/v1/databases", "/nowhere", "/openapi.json"):
        headers = module_gateway.client.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cache-control"] == "no-store"
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert "server" not in headers
    page = module_gateway.client.get("/")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in page.headers["content-security-policy"]


def test_databases_and_their_schema(module_gateway: Running):
    listed = module_gateway.client.get("/v1/databases").json()
    assert listed == {"databases": [{"name": "shop", "dialect": "sqlite", "tables": 2}]}
    schema = module_gateway.client.get("/v1/databases/shop").json()
    assert [table["name"] for table in schema["tables"]] == ["item", "sale"]
    assert schema["tables"][0]["columns"][0] == {"name": "id", "type": "INTEGER", "primary_key": True}
    assert schema["foreign_keys"] == [{"table": "sale", "column": "item_id", "other_table": "item", "other_column": "id"}]


def test_the_version_in_use(module_gateway: Running):
    assert module_gateway.client.get("/v1/model").json() == {"name": "sense", "version": "1", "digest": ""}


def test_the_openapi_document_states_the_limits_of_this_gateway(module_gateway: Running):
    document = module_gateway.client.get("/openapi.json").json()
    assert document["info"]["license"]["name"] == "Apache-2.0"
    properties = document["components"]["schemas"]["AskRequest"]["properties"]
    assert (properties["question"]["maxLength"], properties["k"]["maximum"]) == (2000, 8)
    answers = document["paths"]["/v1/sql"]["post"]["responses"]
    assert {"200", "400", "401", "404", "413", "422", "429", "503", "504", "500"} <= set(answers)
    for status, answer in answers.items():
        if status != "200":
            assert answer["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/Problem"}


WRONG_KEYS = (None, "", "Bearer", "Bearer first", "Basic first-key", "first-key", "Bearer first-key, second-key", b"Bearer \xff")


class TestKeys:
    @pytest.fixture
    def guarded(self, start: Start, monkeypatch):
        monkeypatch.setenv("SENSE_GATEWAY_KEYS", "first-key, second-key")
        return start()

    @pytest.mark.parametrize("key", ["first-key", "second-key"])
    def test_each_key_is_accepted(self, guarded: Running, key):
        for scheme in ("Bearer", "bearer"):
            assert guarded.client.get("/v1/databases", headers={"Authorization": f"{scheme} {key}"}).status_code == 200

    @pytest.mark.parametrize("value", WRONG_KEYS)
    def test_anything_else_is_a_401(self, guarded: Running, value):
        headers = {} if value is None else {"Authorization": value}
        for method, path in (("POST", "/v1/sql"), ("GET", "/v1/model"), ("GET", "/nowhere"), ("GET", "//v1/databases")):
            response = guarded.client.request(method, f"{guarded.url}{path}", headers=headers)
            problem(response, 401, "unauthorized")
            assert response.headers["www-authenticate"] == "Bearer"

    def test_probes_metrics_page_and_openapi_document_need_no_key(self, guarded: Running):
        for path in ("/", "/healthz", "/readyz", "/metrics", "/openapi.json"):
            assert guarded.client.get(path).status_code == 200

    def test_the_openapi_document_says_that_a_key_is_needed(self, guarded: Running):
        document = guarded.client.get("/openapi.json").json()
        assert document["paths"]["/v1/sql"]["post"]["security"] == [{"HTTPBearer": []}]

    def test_any_host_name_is_accepted_with_a_key(self, guarded: Running):
        headers = {"Host": "gateway.example.com", "Authorization": "Bearer first-key"}
        assert guarded.client.get("/v1/databases", headers=headers).status_code == 200


def test_without_keys_only_loopback_host_names_are_accepted(module_gateway: Running):
    for host in ("127.0.0.1", "127.0.0.1:80", "localhost:8080", "LOCALHOST", "[::1]:8080", "[::1]"):
        assert module_gateway.client.get("/v1/databases", headers={"Host": host}).status_code == 200
    for host in (
        "evil.example",
        "evil.example:8080",
        "127.0.0.1.evil.example",
        "localhost.evil.example:80",
        "10.0.0.1",
        "x:y:z",
        "",
    ):
        problem(module_gateway.client.get("/v1/databases", headers={"Host": host}), 403, "host")


def test_a_body_that_does_not_arrive_is_a_408(start: Start, monkeypatch):
    monkeypatch.setattr("sense.serving.middleware.BODY_S", 0.2)
    head = b"POST /v1/sql HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n"
    status, headers, body = start().raw(head, b'{"question"')
    assert (status, json.loads(body)["error"], headers["connection"]) == (408, "body_timeout", "close")


def test_headers_that_do_not_arrive_close_the_connection(start: Start, monkeypatch):
    monkeypatch.setattr("sense.serving.http_server.HEAD_S", 0.2)
    gateway = start()
    assert gateway.raw(b"POST /v1/sql HTT") is None
    assert gateway.raw() is None
    assert gateway.client.get("/healthz").status_code == 200


def test_bytes_that_are_not_http_are_a_400_with_a_problem(module_gateway: Running):
    status, headers, body = module_gateway.raw(b"\x16\x03\x01\x02\x00nonsense\r\n\r\n")
    error_body = Problem.model_validate_json(body)
    assert (status, error_body.error, headers["content-type"]) == (400, "malformed_http", "application/json")
    assert error_body.id == headers["x-request-id"]


def test_an_unreachable_model_server_is_a_503_at_once(start: Start, model: ModelServer):
    gateway = start()
    model.die()
    response = gateway.ask()
    problem(response, 503, "unavailable")
    assert int(response.headers["retry-after"]) >= 1
    assert str(model.port) not in response.text
    assert gateway.client.get("/healthz").status_code == 200
    model.live()
    assert gateway.ask().status_code == 200


def test_a_model_server_that_hangs_does_not_hang_the_gateway(start: Start, model: ModelServer):
    gateway = start(limits={"model_s": 0.5, "request_s": 2.0})
    model.stall()
    response = gateway.ask()
    assert response.status_code in (503, 504)
    model.resume()
    assert gateway.ask().status_code == 200


def test_readiness_needs_a_model(start: Start, model: ModelServer, monkeypatch):
    for part in ("gateway", "vllm"):
        monkeypatch.setattr(f"sense.serving.{part}.MAX_AGE_S", 0.0)
    gateway = start()
    assert gateway.client.get("/readyz").status_code == 200
    model.die()
    body = problem(gateway.client.get("/readyz"), 503, "not_ready")
    assert [detail["reason"].partition(":")[0] for detail in body.details] == ["model"]
    assert gateway.client.get("/healthz").status_code == 200
    model.live()
    assert gateway.client.get("/readyz").status_code == 200


def test_readiness_needs_readable_databases(start: Start, shop: Path, tmp_path, monkeypatch):
    monkeypatch.setattr("sense.serving.gateway.MAX_AGE_S", 0.0)
    file = tmp_path / "mine.sqlite"
    shutil.copy(shop / "shop" / "shop.sqlite", file)
    gateway = start(databases={"folders": [str(tmp_path)]})
    assert gateway.client.get("/readyz").status_code == 200
    content = file.read_bytes()
    file.write_bytes(b"no database")
    response = gateway.client.get("/readyz")
    assert [detail["reason"] for detail in problem(response, 503, "not_ready").details] == [
        "the database 'mine' can't be read now: the file is no readable SQLite database"
    ]
    assert problem(gateway.client.get("/v1/databases/mine"), 503, "unavailable").message
    assert str(tmp_path) not in response.text + gateway.client.get("/v1/databases/mine").text + gateway.ask(database="mine").text
    assert gateway.client.get("/healthz").status_code == 200
    file.write_bytes(content)
    assert gateway.client.get("/readyz").status_code == 200


def test_the_loss_of_one_database_among_several_is_told_and_the_others_are_asked(start: Start, shop: Path, tmp_path, monkeypatch):
    monkeypatch.setattr("sense.serving.gateway.MAX_AGE_S", 0.0)
    for name in ("shop", "mine"):
        shutil.copy(shop / "shop" / "shop.sqlite", tmp_path / f"{name}.sqlite")
    gateway = start(databases={"folders": [str(tmp_path)]})
    assert gateway.client.get("/readyz").json() == {"status": "ok", "unreadable": []}
    (tmp_path / "mine.sqlite").write_bytes(b"no database")
    message = "the database 'mine' can't be read now: the file is no readable SQLite database"
    assert gateway.client.get("/readyz").json() == {"status": "ok", "unreadable": [message]}
    assert gateway.ask().status_code == 200
    assert problem(gateway.ask(database="mine"), 503, "unavailable").message == message
    (tmp_path / "shop.sqlite").unlink()
    reasons = [detail["reason"] for detail in problem(gateway.client.get("/readyz"), 503, "not_ready").details]
    assert reasons == [message, "the database 'shop' can't be read now: the file is missing"]


def test_a_database_that_was_never_read_keeps_the_gateway_from_being_ready(start: Start, shop: Path, tmp_path, monkeypatch):
    """A server that is away when the gateway starts, as in a rollout with a wrong address."""
    monkeypatch.setattr("sense.serving.gateway.MAX_AGE_S", 0.0)
    monkeypatch.setenv("AWAY_URL", "postgresql://nobody@127.0.0.1:1/nothing")
    gateway = start(databases={"folders": [str(shop)], "urls": {"away": "AWAY_URL"}})
    reasons = [detail["reason"] for detail in problem(gateway.client.get("/readyz"), 503, "not_ready").details]
    assert len(reasons) == 1
    assert "away" in reasons[0]


def test_concurrent_probes_share_one_readiness_check(start: Start, model: ModelServer):
    gateway = start()
    before = model.model_lists
    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(lambda _: gateway.client.get("/readyz").status_code, range(40)))
    assert set(statuses) == {200}
    assert model.model_lists - before < 40


def test_metrics_count_requests_by_route_template(start: Start, model: ModelServer):
    gateway = start()
    gateway.ask(k=3)
    for path in ("/nowhere/1", "/nowhere/2", "/v1/databases/a", "/v1/databases/b"):
        gateway.client.get(path)
    assert gateway.metric('sense_requests_total{route="/v1/sql",status="200"}') == 1
    assert gateway.metric('sense_requests_total{route="other",status="404"}') == 2
    assert gateway.metric('sense_requests_total{route="/v1/databases/{name}",status="404"}') == 2
    assert gateway.metric('sense_candidates_total{outcome="ran"}') == 3
    assert gateway.metric('sense_stage_seconds_count{stage="model"}') == 1
    assert gateway.metric('sense_model_info{name="sense",version="1"}') == 1
    assert gateway.metric("sense_in_flight") == 0
    assert gateway.client.get("/metrics").headers["content-type"].startswith("text/plain")


def test_log_lines_are_json_and_hold_no_data(start: Start, model: ModelServer, caplog, monkeypatch):
    caplog.set_level(logging.DEBUG, "sense.serving")
    monkeypatch.setenv("SENSE_GATEWAY_KEYS", "key-of-mine")
    model.write = always_write("SELECT name, 'in the sql' FROM item")
    gateway = start(headers={"Authorization": "Bearer key-of-mine", "X-Request-Id": "r1"})
    gateway.ask("a question of mine", evidence="a hint of mine")
    gateway.client.get("/v1/databases/name-in-path?query-of=mine")
    gateway.client.post("/v1/sql?%22%7D%0A", json={"question": "of mine", "database": "name-of-mine"})
    gateway.client.get("/healthz")  # a line is logged after its response: once this one has come, the earlier lines are there
    lines = [
        json.loads(observability.JsonFormatter().format(record)) for record in caplog.records if record.name == "sense.serving"
    ]
    text = json.dumps(lines)
    for secret in ("mine", "spade", "in the sql", "name-in-path", "query"):
        assert secret not in text
    first = next(line for line in lines if line["event"] == "request" and line["status"] == 200)
    expected = {"level": "info", "request_id": "r1", "method": "POST", "route": "/v1/sql", "database": "shop", "k": 1}
    expected |= {"outcome": "ran", "model": "sense/1", "abstained": False}
    assert expected.items() <= first.items()
    errors = [line.get("error") for line in lines if line["event"] == "request" and line["route"] != "/healthz"]
    assert errors == [None, "unknown_database", "unknown_database"]


def test_an_unexpected_exception_is_a_500_that_reveals_nothing(start: Start, caplog, monkeypatch):
    def broken(names):
        raise RuntimeError("a secret of /some/where")

    monkeypatch.setattr("sense.serving.app._summaries", broken)
    gateway = start()
    response = gateway.client.get("/v1/databases")
    body = problem(response, 500, "internal")
    assert "secret" not in response.text
    assert gateway.client.get("/healthz").status_code == 200
    failed = next(record for record in caplog.records if getattr(record, "event", "") == "failed")
    line = json.loads(observability.JsonFormatter().format(failed))
    assert (line["error"], line["request_id"], line["route"]) == ("RuntimeError", body.id, "/v1/databases")
    assert any(frame.startswith("sense.serving.app:") for frame in line["at"])
    assert "secret" not in json.dumps(line)


def test_a_client_that_leaves_releases_its_slot(start: Start, model: ModelServer):
    gateway = start(limits={"concurrency": 1, "queue": 0})
    model.stall()
    with socket.create_connection(("127.0.0.1", gateway.port)) as connection:
        connection.sendall(RAW_REQUEST)
        model.until(lambda: model.in_flight == 1)
        problem(gateway.ask(), 429, "overloaded")
        problem(gateway.client.post("/v1/sql", content=b"no JSON"), 429, "overloaded")  # it is not even read
    model.until(lambda: model.in_flight == 0)  # its request to the model server is cancelled as well
    model.resume()
    assert gateway.ask().status_code == 200
    assert gateway.metric('sense_requests_total{route="/v1/sql",status="499"}') == 1


@pytest.mark.parametrize("late", [False, True])
def test_sql_that_still_runs_after_its_request_ended_keeps_the_slot(start: Start, model: ModelServer, monkeypatch, late):
    begun, go_on, run = threading.Event(), threading.Event(), SqliteDatabase.run

    def slow(database, sqls):
        begun.set()
        go_on.wait(30)
        return run(database, sqls)

    monkeypatch.setattr(SqliteDatabase, "run", slow)
    gateway = start(limits={"concurrency": 1, "queue": 0, "request_s": 0.5 if late else 30.0})
    if late:
        while not begun.is_set():
            problem(gateway.ask(), 504, "deadline")
    else:
        with socket.create_connection(("127.0.0.1", gateway.port)) as connection:
            connection.sendall(RAW_REQUEST)
            assert begun.wait(30)
        while gateway.metric('sense_requests_total{route="/v1/sql",status="499"}') == 0:
            pass
    problem(gateway.ask(), 429, "overloaded")
    assert gateway.metric("sense_in_flight") == 1
    go_on.set()
    while gateway.metric("sense_in_flight"):
        pass
    monkeypatch.undo()
    if not late:
        assert gateway.ask().status_code == 200


@pytest.mark.parametrize("values", ["i, 'é'", "i, CAST(x'eda080' AS TEXT)"])
def test_an_answer_with_many_rows_has_the_same_fields(start: Start, model: ModelServer, values):
    numbers = "WITH n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n LIMIT 7001)"
    model.write = always_write(f"{numbers} SELECT {values} FROM n")
    answer = start(limits={"rows": 7000}).ask().json()
    assert (answer["row_count"], answer["truncated"]) == (7001, True)
    assert [row[0] for row in answer["rows"]] == list(range(7000))
    assert len({row[1] for row in answer["rows"]}) == 1
    assert AnswerResponse.model_fields.keys() == answer.keys()
    assert answer["latency_ms"]["total"] >= answer["latency_ms"]["execution"] > 0


def test_requests_in_flight_are_finished_before_the_gateway_ends(start: Start, model: ModelServer):
    gateway = start()
    model.stall()
    answers = []
    asking = threading.Thread(target=lambda: answers.append(gateway.ask()))
    asking.start()
    model.until(lambda: model.in_flight == 1)
    gateway.stop()
    until_closed(gateway.port)
    model.resume()
    asking.join()
    assert answers[0].status_code == 200
