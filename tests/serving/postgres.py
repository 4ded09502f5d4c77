"""A PostgreSQL server of a test's own, on a free port of 127.0.0.1; it refuses to run as root, so then it runs as nobody."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path

import pytest

_TABLES = """
CREATE TABLE customer(id integer PRIMARY KEY, "Name" varchar(50), city text);
CREATE TABLE sale(id integer PRIMARY KEY, customer_id integer REFERENCES customer(id), price numeric(10, 2), sold date,
    note text);
CREATE TABLE kinds(id integer PRIMARY KEY, at timestamp, tags text[], extra jsonb, fine boolean, key uuid, raw bytea,
    big numeric, part double precision, span interval);
INSERT INTO customer VALUES (1, 'Ann', 'Ghent'), (2, 'Bob', 'Turku'), (3, 'Cleo', 'Ghent');
INSERT INTO sale VALUES (1, 1, 9.50, '2024-01-02', '50% off'), (2, 1, 20.00, '2024-02-03', NULL), (3, 2, 5.25, NULL, 'it''s \\');
INSERT INTO kinds VALUES (1, '2024-01-02 03:04:05', '{a,b}', '{"x": 1}', true, '0a0a0a0a-0a0a-0a0a-0a0a-0a0a0a0a0a0a', '\\x00ff',
    12345678901234567890123, 'NaN', '1 day'), (2, NULL, NULL, NULL, NULL, NULL, NULL, 7, NULL, NULL);
CREATE VIEW dear AS SELECT * FROM sale WHERE price > 6;
CREATE SEQUENCE counter;
"""


def _programs() -> Path:
    """The folder of PostgreSQL's programs; Debian keeps them off the path. Skips where there is none."""
    folders = [Path(folder) for folder in os.get_exec_path()] + sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    for folder in folders:
        if (folder / "initdb").exists() and (folder / "pg_ctl").exists():
            return folder
    pytest.skip("there is no initdb: install PostgreSQL to run these tests")


class Postgres:
    """A running server with the database `shop`, as its superuser (who could write anything) and with a password."""

    def __init__(self) -> None:
        self._programs = _programs()
        self._folder = Path(tempfile.mkdtemp(prefix="sense-postgres-"))
        self._as = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"] if os.getuid() == 0 else []
        if self._as:
            shutil.chown(self._folder, "nobody")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        (self._folder / "password").write_text("se:cr/et@1")
        (self._folder / "password").chmod(0o644)
        data = str(self._folder / "data")
        password = f"--pwfile={self._folder / 'password'}"
        self._run("initdb", "-D", data, "-U", "owner", "-A", "scram-sha-256", "-N", "--locale=C.UTF-8", password)
        self.start()
        with self.connection("postgres") as connection:
            connection.execute("CREATE DATABASE shop")
        with self.connection() as connection:
            connection.execute(_TABLES)

    def url(self, password: str = "se:cr%2Fet%401", port: int | None = None) -> str:
        return f"postgresql://owner:{password}@127.0.0.1:{port or self.port}/shop"

    def connection(self, name: str = "shop"):
        import psycopg

        return psycopg.connect(
            host="127.0.0.1", port=self.port, user="owner", password="se:cr/et@1", dbname=name, autocommit=True
        )

    def start(self) -> None:
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c fsync=off"
        self._run("pg_ctl", "-D", str(self._folder / "data"), "-w", "-l", str(self._folder / "log"), "-o", options, "start")

    def stop(self) -> None:
        self._run("pg_ctl", "-D", str(self._folder / "data"), "-w", "-m", "immediate", "stop")

    def freeze(self, name: str = "STOP") -> None:
        """Every process of the server stops in its tracks, connections open (STOP), or goes on (CONT)."""
        postmaster = int((self._folder / "data" / "postmaster.pid").read_text().split()[0])
        children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
        for process in (postmaster, *map(int, children)):
            os.kill(process, getattr(signal, f"SIG{name}"))

    def close(self) -> None:
        try:
            self.stop()
        finally:
            shutil.rmtree(self._folder)

    def _run(self, program: str, *given: str) -> None:
        done = subprocess.run(
            [*self._as, str(self._programs / program), *given],
            cwd=self._folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout
