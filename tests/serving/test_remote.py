"""Databases on servers: a real PostgreSQL, and a real MariaDB, or the empty database whose URL SENSE_TEST_MYSQL holds."""

import asyncio
import socket
from contextlib import closing

import pytest

from sense.config import DatabasesConfig, ServeConfig
from sense.errors import UserError
from sense.schema import ForeignKey
from sense.serving.answer import answer
from sense.serving.backend import BackendError
from sense.serving.databases import Catalog
from sense.serving.messages import AskRequest
from sense.serving.remote import RemoteDatabase, open_url
from sense.sql.result import Failure, Result
from tests.serving.mariadb import mysql_shop
from tests.serving.postgres import Postgres
from tests.serving.shops import LIMITS, SHORT_LIMITS, WIDE, ScriptedModel, database

ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)"


@pytest.fixture(scope="module")
def mysql():
    with mysql_shop() as url:
        yield url


@pytest.fixture(params=["postgres", "mysql"])
def any_shop(request, monkeypatch):
    server = request.getfixturevalue(request.param)
    monkeypatch.setenv("SHOP_URL", server.url() if isinstance(server, Postgres) else server)
    shop_database = open_url("shop", "SHOP_URL", LIMITS)
    yield shop_database
    shop_database.close()


def test_the_schema_is_the_tables_with_their_keys_and_values(any_shop):
    schema = any_shop.schema(2)
    tables = {table.name: table for table in schema.tables if table.name != "kinds"}
    assert list(tables) == ["customer", "sale"]
    assert [(column.name, column.primary_key, column.samples) for column in tables["customer"].columns] == [
        ("id", True, ("1", "2")),
        ("Name", False, ("Ann", "Bob")),
        ("city", False, ("Ghent", "Turku")),
    ]
    assert [column.samples for column in tables["sale"].columns][2:] == [
        ("9.5", "20.0"),
        ("2024-01-02", "2024-02-03"),
        ("50% off", "it's \\"),
    ]
    assert tables["sale"].columns[2].type.startswith(("NUMERIC(10, 2)", "DECIMAL(10, 2)"))
    assert schema.foreign_keys == (ForeignKey("sale", "customer_id", "customer", "id"),)
    assert [column.samples for column in any_shop.schema(0).tables[0].columns] == [()] * 3
    assert any_shop.schema(0) is any_shop.schema(0)
    assert any_shop._names().integers == {"id", "customer_id"}
    assert any_shop.file is None


@pytest.mark.parametrize(
    ("sql", "rows"),
    [
        ("SELECT name FROM CUSTOMER WHERE City = 'Ghent' ORDER BY NAME DESC", [("Cleo",), ("Ann",)]),
        ("SELECT T1.name, sum(T2.price) FROM customer AS T1 JOIN sale t2 ON T1.id = T2.Customer_ID GROUP BY T1.name ORDER BY 1",
         [("Ann", 29.5), ("Bob", 5.25)]),
        ("SELECT count(*) AS Total FROM sale GROUP BY customer_id ORDER BY total DESC LIMIT 1", [(2,)]),
        ("SELECT note FROM sale WHERE note LIKE '50%' AND note NOT LIKE '%x'", [("50% off",)]),
        ("SELECT note FROM sale WHERE note LIKE 'IT%'", [("it's \\",)]),
        ("SELECT '\\', 'it''s', '%s' || '%', 'a:b'", [("\\", "it's", "%s%", "a:b")]),
        ("SELECT sold FROM sale ORDER BY sold", [(None,), ("2024-01-02",), ("2024-02-03",)]),
        ("SELECT strftime('%Y', sold) FROM sale WHERE id = 1", [("2024",)]),
        ("SELECT group_concat(city, '-') FROM customer WHERE city = 'Ghent'", [("Ghent-Ghent",)]),
        ("SELECT group_concat(DISTINCT id) FROM customer WHERE id = 1", [("1",)]),
        ("SELECT name FROM customer WHERE name = 'ann' COLLATE NOCASE", [("Ann",)]),
        ("SELECT id FROM customer ORDER BY city COLLATE NOCASE DESC, name COLLATE BINARY", [(2,), (1,), (3,)]),
        ("SELECT id FROM dear ORDER BY id", [(1,), (2,)]),
        ("SELECT id, id FROM customer WHERE 1 = 0", []),
        ("WITH n(i) AS (SELECT 1 UNION SELECT 2) SELECT count(*) FROM n", [(2,)]),
        ("SELECT id FROM sale EXCEPT SELECT 1 ORDER BY id", [(2,), (3,)]),
        ("SELECT 1 / 0", [(None,)]),
        ("SELECT 7 / 2, id / 2 FROM sale WHERE id = 3", [(3, 1)]),
        ('SELECT "Name" FROM customer WHERE city = "Turku"', [("Bob",)]),
        ("SELECT name FROM customer -- a comment; DROP TABLE sale\n ORDER BY id LIMIT 1;", [("Ann",)]),
    ],
)  # fmt: skip
def test_sqlites_sql_is_translated_and_executed(any_shop, sql, rows):
    (outcome,) = any_shop.run([sql])
    assert isinstance(outcome, Result), outcome
    assert outcome.rows == rows


@pytest.mark.parametrize(
    ("sql", "verdict", "detail"),
    [
        ("DROP TABLE sale", "rejected", "not a SELECT"),
        ("SELECT 1; DROP TABLE sale", "rejected", "several statements"),
        ("WITH x AS (DELETE FROM sale RETURNING id) SELECT * FROM x", "rejected", "DELETE"),
        ("SELECT * INTO stolen FROM sale", "rejected", "INTO"),
        ("SELECT * FROM sale FOR UPDATE", "rejected", "LOCK"),
        ("SELECT * FROM sale INTO OUTFILE '/tmp/stolen'", "error", "not understood"),
        ("SELECT pg_read_file('/etc/passwd')", "rejected", "pg_read_file"),
        ("SELECT load_file('/etc/passwd')", "rejected", "load_file"),
        ("SELECT lo_import('/etc/passwd')", "rejected", "lo_import"),
        ("SELECT pg_catalog.pg_sleep(100)", "rejected", "pg_sleep"),
        ("SELECT sleep(100)", "rejected", "sleep"),
        ("SELECT * FROM dblink('host=evil', 'SELECT 1')", "rejected", "dblink"),
        ("SELECT nextval('counter')", "rejected", "nextval"),
        ("SELECT set_config('transaction_read_only', 'off', true)", "rejected", "set_config"),
        ("SELECT query_to_xml('DROP TABLE sale', true, true, '')", "rejected", "query_to_xml"),
        ("SELECT current_user", "rejected", "CURRENT_USER"),
        ("SELECT version()", "rejected", "version"),
        ("SELECT repeat('x', 1000000000)", "rejected", "REPEAT"),
        ("SELECT @@version", "rejected", "PARAMETER"),
        ("SELECT * FROM pg_shadow", "error", "no such table: pg_shadow"),
        ("SELECT * FROM pg_catalog.pg_authid", "error", "no such table"),
        ("SELECT * FROM mysql.user", "error", "no such table"),
        ("SELECT * FROM information_schema.tables", "error", "no such table"),
        ("WITH pg_shadow AS (SELECT * FROM pg_shadow) SELECT * FROM pg_shadow", "rejected", "pg_"),
        ("SELECT (WITH pg_user AS (SELECT 1) SELECT 1), usename FROM pg_user", "rejected", "pg_"),
        ("SELECT nosuch FROM sale", "error", "nosuch"),
        ("SELECT FROM WHERE", "error", "not understood"),
        ("SELECT name FROM customer GROUP BY name COLLATE NOCASE", "error", "no translation"),
        ("", "rejected", "empty"),
        (
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500) SELECT i FROM n",
            "too_large",
            "more than 200 rows",
        ),
        (
            f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 150) {WIDE} FROM n",
            "too_large",
            "more than 100,000 bytes",
        ),
        (f"SELECT replace('{'x' * 400}', 'x', '{'y' * 400}')", "too_large", "more than 100,000 bytes"),
        (f"SELECT '{'x' * 8_000}'", "rejected", "8,009 characters long"),
    ],
)
def test_statements_that_are_forbidden_or_too_large_have_an_outcome(any_shop, sql, verdict, detail):
    (failure,) = any_shop.run([sql])
    assert isinstance(failure, Failure), failure
    assert (failure.verdict, detail in failure.detail) == (verdict, True), failure


def test_an_endless_statement_is_stopped_by_the_servers_time_limit(any_shop, monkeypatch):
    with closing(open_url("shop", "SHOP_URL", SHORT_LIMITS)) as impatient:
        monkeypatch.setattr(impatient, "_schemas", any_shop._schemas)  # which takes a busy machine longer than the limit
        (failure,) = impatient.run([f"{ENDLESS} SELECT count(*) FROM n"])
    assert (failure.verdict, failure.detail) == ("timeout", "more than 1.5 s")


def test_optimizer_hints_and_executable_comments_are_not_passed_on(any_shop):
    hints = "SELECT /*+ MAX_EXECUTION_TIME(0) */ /*!50000 nosuch, */ id FROM customer WHERE id = 1 /*! OR 1 = 1 */"
    assert any_shop.run([hints]) == [Result(("id",), [(1,)])]


@pytest.mark.parametrize(
    ("sql", "verdict"),
    [
        ("SELECT nextval('counter')", "rejected"),
        ("SELECT setval('counter', 10)", "rejected"),
        ("SELECT set_config('transaction_read_only', 'off', true)", "error"),
        ("SELECT set_config('default_transaction_read_only', 'off', false), set_config('statement_timeout', '0', false)", "ran"),
        ("SELECT lo_create(4242)", "ran"),  # from PostgreSQL 16 on rejected; rolled back anyway
        ("SELECT 1) AS q; COMMIT; DROP TABLE sale; SELECT * FROM (SELECT 1", "error"),
        ("DELETE FROM sale RETURNING id", "error"),
        ("WITH gone AS (DELETE FROM sale RETURNING id) SELECT id FROM gone", "error"),
        ("SELECT * FROM sale FOR UPDATE", "rejected"),
        ("SELECT * INTO stolen FROM sale", "error"),
        ("SELECT repeat('x', 5000000)", "too_large"),
        ("SELECT query_to_xml('INSERT INTO sale VALUES (9)', true, true, '')", "error"),
    ],
)
def test_postgresql_itself_refuses_to_write(remote_shop, postgres, sql, verdict):
    outcome = remote_shop._server.select(sql)
    assert getattr(outcome, "verdict", "ran") == verdict, outcome
    with postgres.connection() as connection:
        assert connection.execute("SELECT count(*) FROM sale").fetchone() == (3,)
        assert connection.execute("SELECT count(*) FROM pg_largeobject_metadata").fetchone() == (0,)
        assert connection.execute("SELECT is_called FROM counter").fetchone() == (False,)
        assert connection.execute("SELECT to_regclass('stolen') IS NULL").fetchone() == (True,)
    outcome = remote_shop._server.read(lambda connection: connection.exec_driver_sql("DELETE FROM sale"))
    assert outcome == Failure("rejected", "cannot execute DELETE in a read-only transaction")


def test_a_statement_that_waits_is_stopped_by_the_servers_time_limit(impatient_shop):
    assert impatient_shop._server.select("SELECT pg_sleep(100)").verdict == "timeout"


def test_mysql_itself_refuses_to_write(mysql, monkeypatch):
    monkeypatch.setenv("SHOP_URL", mysql)
    remote_shop = open_url("shop", "SHOP_URL", LIMITS)
    for sql, verdict in [
        ("DELETE FROM sale", "rejected"),
        ("SELECT 1; DELETE FROM sale", "error"),
        ("DO 1", "rejected"),
    ]:
        outcome = remote_shop._server.select(sql)
        assert getattr(outcome, "verdict", "ran") == verdict, (sql, outcome)
    with closing(open_url("shop", "SHOP_URL", SHORT_LIMITS)) as impatient:
        assert impatient._server.select("SELECT sleep(100)").verdict == "timeout"
    assert remote_shop.run(["SELECT count(*) FROM sale"])[0].rows == [(3,)]
    remote_shop.close()


def test_values_are_what_sqlite_would_give(remote_shop):
    (outcome,) = remote_shop.run(["SELECT * FROM kinds ORDER BY id"])
    assert outcome.rows[0] == (
        1,
        "2024-01-02 03:04:05",
        '["a", "b"]',
        '{"x": 1}',
        1,
        "0a0a0a0a-0a0a-0a0a-0a0a-0a0a0a0a0a0a",
        b"\x00\xff",
        1.2345678901234568e22,
        "NaN",
        "1 day",
    )
    assert outcome.rows[1] == (2, None, None, None, None, None, None, 7, None, None)


def test_an_answer_has_the_sql_that_the_server_executed(monkeypatch, postgres):
    monkeypatch.setenv("SHOP_URL", postgres.url())
    config = ServeConfig(databases=DatabasesConfig(folders=[], urls={"shop": "SHOP_URL"}), limits=LIMITS)
    with closing(Catalog(config.databases, LIMITS)) as catalog:
        model = ScriptedModel(["SELECT NAME FROM customer WHERE name LIKE 'a%'", "SELECT pg_sleep(9)", "SELECT 'Ann'"])
        ask = AskRequest(question="Whose name begins with A?", database="shop", k=3)
        response = asyncio.run(answer(ask, "request-1", catalog, [model], config, 0.0))
    assert (response.dialect, response.rows) == ("postgresql", [["Ann"]])
    assert response.sql == 'SELECT "Name" FROM "customer" WHERE "Name" ILIKE \'a%\''
    assert [(candidate.outcome, candidate.votes) for candidate in response.candidates] == [
        ("ran", 2),
        ("rejected", 0),
        ("ran", 2),
    ]
    assert "2 candidates ran read-only on shop, translated for postgresql, within 30 s" in response.explanation


def test_native_is_the_sql_that_the_server_executes(remote_shop):
    assert remote_shop.native("SELECT Name FROM Customer LIMIT 1") == 'SELECT "Name" FROM "customer" LIMIT 1'


def test_outcomes_are_in_order(any_shop):
    outcomes = any_shop.run(["SELECT 1", "DROP TABLE sale", "SELECT nosuch FROM sale", "SELECT 2"])
    assert [outcome.rows if isinstance(outcome, Result) else outcome.verdict for outcome in outcomes] == [
        [(1,)],
        "rejected",
        "error",
        [(2,)],
    ]


def test_a_server_that_restarts_is_connected_to_again(postgres, remote_shop):
    assert remote_shop.run(["SELECT 1"])[0].rows == [(1,)]
    postgres.stop()
    with pytest.raises(BackendError, match="'shop' can't be read now: the database server cannot be reached") as caught:
        remote_shop.run(["SELECT 1", "SELECT 2"])
    assert caught.value.retry_after_s == 2
    postgres.start()
    assert remote_shop.run(["SELECT 1"])[0].rows == [(1,)]


def test_a_server_that_hangs_is_cut_off(postgres, remote_shop, impatient_shop, monkeypatch):
    remote_shop.schema(0)
    monkeypatch.setattr(impatient_shop, "_schemas", remote_shop._schemas)
    postgres.freeze()
    try:
        with pytest.raises(BackendError, match="cannot be reached"):
            impatient_shop.run(["SELECT 1", "SELECT 2", "SELECT 3"])
    finally:
        postgres.freeze("CONT")
    assert remote_shop.run(["SELECT 1"])[0].rows == [(1,)]


def test_a_dead_server_is_listed_and_its_address_is_not_shown(monkeypatch, postgres, tmp_path):
    database(tmp_path / "file.sqlite")
    monkeypatch.setenv("SHOP_URL", postgres.url())
    catalog = Catalog(DatabasesConfig(folders=[str(tmp_path)], urls={"shop": "SHOP_URL"}), LIMITS)
    assert (catalog.names(), catalog.check()) == (["file", "shop"], {})
    postgres.stop()
    remote_shop = catalog.get("shop")
    remote_shop._schemas.clear()  # as after its time to live
    assert list(catalog.check()) == ["shop"]
    with pytest.raises(BackendError) as caught:
        remote_shop.schema(0)
    assert caught.value.reason == "the database 'shop' can't be read now: the database server cannot be reached"
    assert catalog.get("file").run(["SELECT 1"])[0].rows == [(1,)]
    postgres.start()
    remote_shop._lost = None  # as after the pause
    assert catalog.check() == {}
    catalog.close()


def silent_server():
    """A socket that accepts and never says a word."""
    server = socket.socket()
    server.bind(("127.0.0.1", 0))
    server.listen()
    return server


@pytest.mark.parametrize("scheme", ["postgresql", "mysql"])
def test_a_server_that_never_answers_is_given_up(monkeypatch, scheme):
    with silent_server() as server:
        monkeypatch.setenv("SHOP_URL", f"{scheme}://me:hush@127.0.0.1:{server.getsockname()[1]}/shop")
        with (
            closing(open_url("shop", "SHOP_URL", SHORT_LIMITS)) as silent,
            pytest.raises(BackendError, match="cannot be reached"),
        ):
            silent.run(["SELECT 1"])


def test_a_server_that_is_unreachable_at_the_start_is_listed_with_a_reason_and_no_secret(monkeypatch, postgres):
    for url, reason in [
        (postgres.url(password="hush"), "password authentication failed"),
        (postgres.url(port=1), "no connection to the host and port"),
        (postgres.url().replace("/shop", "/nosuch"), 'database "nosuch" does not exist'),
        ("postgresql://owner:hu@sh@127.0.0.1/shop", "no connection to the host and port"),
    ]:
        monkeypatch.setenv("SHOP_URL", url)
        with closing(Catalog(DatabasesConfig(folders=[], urls={"shop": "SHOP_URL"}), LIMITS)) as catalog:
            (message,) = catalog.unreachable
            assert list(catalog.check()) == ["shop"]
        assert reason in message
        assert message.startswith("shop: ")
        assert not any(secret in message for secret in ("hush", "sh@", "se:cr", "se:cr%2Fet"))


def test_a_server_that_is_unreachable_at_the_start_is_tried_again(monkeypatch, postgres):
    monkeypatch.setenv("SHOP_URL", postgres.url())
    postgres.stop()
    try:
        catalog = Catalog(DatabasesConfig(folders=[], urls={"shop": "SHOP_URL"}), LIMITS)
    finally:
        postgres.start()
    assert len(catalog.unreachable) == 1
    catalog.get("shop")._lost = None  # as after the pause
    assert catalog.check() == {}
    assert catalog.get("shop").run(["SELECT 1"])[0].rows == [(1,)]
    catalog.close()


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("", "SHOP_URL is not set"),
        ("hush", "does not hold a SQLAlchemy URL"),
        ("postgres://me:hush@host/shop", "'postgres', which cannot be held to reading"),
        ("oracle://me:hush@host/shop", "'oracle', which cannot be held to reading"),
        ("postgresql+asyncpg://me:hush@host/shop", "write postgresql[+]psycopg://"),
        ("mysql://me:hush@host/shop?read_timeout=hush", "an option whose value is of another kind"),
        ("sqlite://", "names no SQLite file"),
        ("sqlite:///:memory:", "names no SQLite file"),
    ],
)
def test_a_url_that_cannot_be_used_is_refused_without_showing_it(monkeypatch, url, message):
    monkeypatch.setenv("SHOP_URL", url)
    with pytest.raises(UserError, match=message) as caught:
        open_url("shop", "SHOP_URL", LIMITS)
    assert "hush" not in str(caught.value)
    assert "databases.urls.shop" in str(caught.value)


def test_a_driver_that_is_missing_is_named(monkeypatch):
    monkeypatch.setenv("SHOP_URL", "postgresql://me:hush@host/shop")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'psycopg\[binary\]'"):
        open_url("shop", "SHOP_URL", LIMITS)


def test_a_sqlite_url_is_the_file(monkeypatch, tmp_path):
    monkeypatch.setenv("SHOP_URL", f"sqlite:///{database(tmp_path / 'any.db')}")
    catalog = Catalog(DatabasesConfig(folders=[], urls={"shop": "SHOP_URL"}), LIMITS)
    assert catalog.get("shop").run(["SELECT count(*) FROM sale"])[0].rows == [(3,)]
    assert (catalog.get("shop").dialect, catalog.get("shop").file) == ("sqlite", tmp_path / "any.db")
    catalog.close()


def test_a_url_may_not_take_a_files_name(monkeypatch, tmp_path, postgres):
    database(tmp_path / "shop.sqlite")
    monkeypatch.setenv("SHOP_URL", postgres.url())
    with pytest.raises(UserError, match=r"two databases are called 'shop': .*shop.sqlite and databases.urls.shop"):
        Catalog(DatabasesConfig(folders=[str(tmp_path)], urls={"shop": "SHOP_URL"}), LIMITS)


def test_a_database_on_a_server_is_a_remote_database(remote_shop):
    assert isinstance(remote_shop, RemoteDatabase)
    assert remote_shop.dialect == "postgresql"
