"""PostgreSQL servers that die, keep silent, lock their tables, or hold what Python has no form for."""

import socket
import threading
from contextlib import closing, contextmanager
from types import SimpleNamespace

import pytest

from sense.config import DatabasesConfig
from sense.database_servers import server
from sense.database_servers.server import SilenceWatch
from sense.serving.backend import BackendError
from sense.serving.databases import Catalog
from sense.serving.remote import open_url
from sense.sql.result import Failure, Result
from tests.serving.shops import LIMITS, SHORT_LIMITS

_LOST = "the database server cannot be reached"


@contextmanager
def locked(postgres, *tables):
    """Nobody else can read the tables meanwhile."""
    with postgres.connection() as connection, connection.transaction():
        connection.execute(f"LOCK TABLE {', '.join(tables)} IN ACCESS EXCLUSIVE MODE")
        yield


def test_what_has_run_before_the_server_went_is_kept(postgres, remote_shop, monkeypatch):
    select, executed = remote_shop._server.select, []

    def dies_after_one(text):
        if executed:
            postgres.stop()
        executed.append(text)
        return select(text)

    monkeypatch.setattr(remote_shop._server, "select", dies_after_one)
    try:
        outcomes = remote_shop.run(["SELECT 1", "SELECT 2", "SELECT 3"])
    finally:
        postgres.start()
    assert outcomes == [Result(("?column?",), [(1,)]), Failure("error", _LOST), Failure("error", _LOST)]


def test_a_database_without_an_encoding_is_read_as_utf8(postgres, monkeypatch):
    with postgres.connection("postgres") as connection:
        connection.execute("CREATE DATABASE ascii ENCODING 'SQL_ASCII' TEMPLATE template0 LOCALE 'C'")
    with postgres.connection("ascii") as connection:
        connection.execute(
            "CREATE TABLE town(name text); INSERT INTO town VALUES ('Ghent'), (convert_from('\\xc385626f', 'UTF8'))"
        )
    monkeypatch.setenv("ASCII_URL", postgres.url().replace("/shop", "/ascii"))
    with closing(Catalog(DatabasesConfig(folders=[], urls={"ascii": "ASCII_URL"}), LIMITS)) as catalog:
        assert catalog.unreachable == []
        assert catalog.get("ascii").schema(2).tables[0].columns[0].samples == ("Ghent", "Åbo")
        assert catalog.get("ascii").run(["SELECT name FROM town WHERE name <> 'Ghent'"])[0].rows == [("Åbo",)]


def test_an_error_that_nobody_expected_does_not_end_the_start(postgres, monkeypatch):
    def broken(server, samples):
        raise TypeError("expected string or bytes-like\nobject")

    monkeypatch.setattr("sense.serving.remote.read_schema", broken)
    monkeypatch.setenv("SHOP_URL", postgres.url())
    with closing(Catalog(DatabasesConfig(folders=[], urls={"shop": "SHOP_URL"}), LIMITS)) as catalog:
        assert catalog.unreachable == [
            f"shop: the database 'shop' can't be read now: {_LOST}: TypeError: expected string or bytes-like object"
        ]


def test_times_come_as_postgresql_writes_them(postgres, remote_shop, monkeypatch):
    kinds = {
        "a": ("date", "infinity", "infinity"),
        "b": ("date", "0044-03-15 BC", "0044-03-15 BC"),
        "c": ("time", "24:00", "24:00:00"),
        "d": ("timestamp", "-infinity", "-infinity"),
        "e": ("timestamptz", "2024-01-02 03:04:05.5+02", "2024-01-02 01:04:05.5+00"),
        "f": ("timetz", "01:02:03+00", "01:02:03+00"),
        "g": ("interval", "1 mon", "1 mon"),
        "h": ("interval", "1 year 2 mons -3 days 04:05:06.7", "1 year 2 mons -3 days +04:05:06.7"),
        "i": ("date[]", "{2024-01-02,infinity}", '["2024-01-02", "infinity"]'),
        "j": ("date", "2024-12-31", "2024-12-31"),
    }
    with postgres.connection() as connection:
        connection.execute("ALTER DATABASE shop SET DateStyle = 'German'")
        connection.execute("ALTER DATABASE shop SET IntervalStyle = 'iso_8601'")
        connection.execute("ALTER DATABASE shop SET TimeZone = 'UTC'")
        connection.execute(f"CREATE TABLE moment({', '.join(f'{name} {kind}' for name, (kind, _, _) in kinds.items())})")
        connection.execute(
            f"INSERT INTO moment VALUES ({', '.join(['%s'] * len(kinds))})", [value for _, value, _ in kinds.values()]
        )
    expected = tuple(text for _, _, text in kinds.values())
    try:
        (outcome,) = remote_shop.run(["SELECT * FROM moment"])
        (moment,) = [table for table in remote_shop.schema(1).tables if table.name == "moment"]
    finally:
        with postgres.connection() as connection:
            connection.execute("DROP TABLE moment")
            connection.execute("ALTER DATABASE shop RESET ALL")
    assert outcome == Result(tuple(kinds), [expected])
    assert [column.samples for column in moment.columns] == [(text,) for text in expected]


def silent_after_login():
    """A socket that lets everybody in as PostgreSQL does, and never says another word."""

    def serve():
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            connections.append(connection)
            while connection.recv(8, socket.MSG_WAITALL)[4:] in (
                b"\x04\xd2\x16\x2f",
                b"\x04\xd2\x16\x30",
            ):  # SSLRequest, GSSENCRequest
                connection.sendall(b"N")
            connection.sendall(b"R\0\0\0\x08\0\0\0\0" + b"Z\0\0\0\x05I")  # AuthenticationOk, ReadyForQuery

    server, connections = socket.create_server(("127.0.0.1", 0)), []
    threading.Thread(target=serve, daemon=True).start()
    return server, connections


def test_a_server_that_falls_silent_after_the_login_is_given_up(monkeypatch):
    server, connections = silent_after_login()
    monkeypatch.setenv("SHOP_URL", f"postgresql://me:hush@127.0.0.1:{server.getsockname()[1]}/shop")
    silent = open_url("shop", "SHOP_URL", SHORT_LIMITS)
    notes = []

    def read_schema():
        with pytest.raises(BackendError) as caught:
            silent.schema(0)
        notes.extend(caught.value.__notes__)

    reading = threading.Thread(target=read_schema, daemon=True)
    reading.start()
    reading.join(30)  # without the watch it would block for ever
    assert notes == ["it takes a connection, and then gives no answer"]
    assert len(connections) == 1  # it was not tried a second time
    silent.close()
    for opened in (server, *connections):
        opened.close()


def test_locked_tables_have_no_samples_and_take_one_time_limit(postgres, impatient_shop, monkeypatch):
    executed, select = [], impatient_shop._server.select
    monkeypatch.setattr(impatient_shop._server, "select", lambda text: executed.append(text) or select(text))
    with locked(postgres, "customer", "kinds", "sale"):
        schema = impatient_shop.schema(2)
    assert [table.name for table in schema.tables] == ["customer", "kinds", "sale"]
    assert {column.samples for table in schema.tables for column in table.columns} == {()}
    assert len(executed) == 1  # which took up the limit: the other tables were not tried


def test_while_a_schema_is_read_again_the_last_known_one_holds(postgres, remote_shop, monkeypatch):
    from sense.serving import remote

    first, read = remote_shop.schema(0), remote.read_schema
    reading, go_on = threading.Event(), threading.Event()

    def slowly(server, samples):
        reading.set()
        assert go_on.wait(60)
        return read(server, samples)

    monkeypatch.setattr(remote, "read_schema", slowly)
    monkeypatch.setattr(remote_shop, "_schemas", {0: (0.0, *remote_shop._schemas[0][1:])})  # as after its time to live
    schemas = []
    refresh = threading.Thread(target=lambda: schemas.append(remote_shop.schema(3)))
    refresh.start()
    assert reading.wait(60)
    assert remote_shop.schema(0) is first
    assert remote_shop.run(["SELECT count(*) FROM sale"])[0].rows == [(3,)]
    go_on.set()
    refresh.join()
    assert schemas[0].tables[0].columns[0].samples == ("1", "2", "3")
    assert remote_shop.schema(0) == first
    assert remote_shop.schema(0) is not first


def test_a_schema_that_could_not_be_read_again_is_known_no_more(postgres, remote_shop):
    remote_shop.schema(0)
    remote_shop._schemas[0] = (0.0, *remote_shop._schemas[0][1:])
    postgres.stop()
    try:
        with pytest.raises(BackendError):
            remote_shop.schema(0)
    finally:
        postgres.start()
    assert remote_shop._schemas == {}  # nothing old to give out while the server is asked again


def test_a_schema_of_many_statements_is_no_silence(postgres, impatient_shop, monkeypatch):
    """Each statement is given the whole patience: what is between two of them, and how many there are, does not count."""
    patience = impatient_shop._server._limits.timeout_s + server._GRACE_S
    now, renewals, renew = [0.0], [], SilenceWatch.renew
    monkeypatch.setattr("sense.database_servers.server.time", SimpleNamespace(monotonic=lambda: now[0]))

    def renewed(watch):
        renew(watch)
        renewals.append(watch._until)
        now[0] += 0.9 * patience

    monkeypatch.setattr(SilenceWatch, "renew", renewed)
    assert [table.name for table in impatient_shop.schema(0).tables] == ["customer", "kinds", "sale"]
    assert len(renewals) > 3
    assert renewals == [pytest.approx(patience * (1 + 0.9 * number)) for number in range(len(renewals))]
