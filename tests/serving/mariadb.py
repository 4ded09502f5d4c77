"""A MariaDB server for tests, with an empty database `shop`."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from tests.serving.server_home import ServerHome, find_program

_USER = """
CREATE DATABASE shop CHARACTER SET utf8mb4;
CREATE USER 'owner'@'%' IDENTIFIED BY 'se:cr/et@1';
GRANT ALL ON shop.* TO 'owner'@'%';
"""

_TABLES = """
CREATE TABLE customer(id integer PRIMARY KEY, `Name` varchar(50), city text);
CREATE TABLE sale(id integer PRIMARY KEY, customer_id integer, price numeric(10, 2), sold date, note text,
    FOREIGN KEY (customer_id) REFERENCES customer(id));
INSERT INTO customer VALUES (1, 'Ann', 'Ghent'), (2, 'Bob', 'Turku'), (3, 'Cleo', 'Ghent');
INSERT INTO sale VALUES (1, 1, 9.50, '2024-01-02', '50% off'), (2, 1, 20.00, '2024-02-03', NULL),
    (3, 2, 5.25, NULL, 'it''s \\\\');
CREATE VIEW dear AS SELECT * FROM sale WHERE price > 6;
"""


class MariaDb:
    """A server that runs until it is closed."""

    def __init__(self) -> None:
        install, server = find_program("mariadb-install-db"), find_program("mariadbd", "/usr/sbin")
        self._home = ServerHome("mariadb")
        data, options = f"--datadir={self._home.folder / 'data'}", ["--no-defaults", "--skip-name-resolve"]
        self._run(self._home.command(install, *options, data, "--auth-root-authentication-method=normal", "--skip-test-db"))
        address = [f"--socket={self._home.folder / 's'}", f"--port={self._home.port}", "--bind-address=127.0.0.1"]
        init_file = f"--init-file={self._home.file('init.sql', _USER)}"
        command = self._home.command(server, *options, data, *address, init_file, "--innodb-flush-log-at-trx-commit=0")
        self._process = subprocess.Popen(command, cwd=self._home.folder, stderr=subprocess.PIPE, text=True)
        assert self._process.stderr is not None
        log = []
        for line in self._process.stderr:
            log.append(line)
            if "ready for connections" in line:
                return
        raise AssertionError("".join(log))

    def url(self) -> str:
        return f"mysql+pymysql://owner:se:cr%2Fet%401@127.0.0.1:{self._home.port}/shop"

    def close(self) -> None:
        self._process.terminate()
        self._process.communicate()
        self._home.remove()

    def _run(self, command: list[str]) -> None:
        process = subprocess.run(command, cwd=self._home.folder, capture_output=True, text=True, check=False)
        assert process.returncode == 0, process.stdout + process.stderr


@contextmanager
def mysql_shop() -> Iterator[str]:
    """The URL of a shop: in the empty database whose URL SENSE_TEST_MYSQL holds, else in a MariaDB of its own."""
    from sqlalchemy import create_engine

    url, server = os.environ.get("SENSE_TEST_MYSQL", ""), None
    if not url:
        server = MariaDb()
        url = server.url()
    engine = create_engine(url)
    with engine.begin() as connection:
        for statement in ("DROP VIEW IF EXISTS dear", "DROP TABLE IF EXISTS sale, customer", *_TABLES.split(";\n")):
            if statement.strip():
                connection.exec_driver_sql(statement.strip().replace("%", "%%"))
    engine.dispose()
    yield url
    if server is not None:
        server.close()
