"""A PostgreSQL server for tests, on a free port of 127.0.0.1."""

import os
import signal
import subprocess
from pathlib import Path

from tests.serving.server_home import ServerHome, find_program

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


class Postgres:
    """A running server with the database `shop`, as its superuser (who could write anything) and with a password."""

    def __init__(self) -> None:
        self._programs = find_program("initdb", "/usr/lib/postgresql/*/bin").parent  # Debian keeps them off the path
        self._home = ServerHome("postgres")
        self._folder, self.port = self._home.folder, self._home.port
        password = f"--pwfile={self._home.file('password', 'se:cr/et@1')}"
        data = str(self._folder / "data")
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
        """Stops every process of the server with its connections open (STOP), or lets them continue (CONT)."""
        postmaster = int((self._folder / "data" / "postmaster.pid").read_text().split()[0])
        children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
        for process in (postmaster, *map(int, children)):
            os.kill(process, getattr(signal, f"SIG{name}"))

    def close(self) -> None:
        try:
            self.stop()
        finally:
            self._home.remove()

    def _run(self, name: str, *arguments: str) -> None:
        process = subprocess.run(
            self._home.command(self._programs / name, *arguments),
            cwd=self._folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert process.returncode == 0, process.stdout
