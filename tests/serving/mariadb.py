"""A MariaDB server for tests, with an empty database `shop`."""

import subprocess

from tests.serving.server_home import ServerHome, find_program

_USER = """
CREATE DATABASE shop CHARACTER SET utf8mb4;
CREATE USER 'owner'@'%' IDENTIFIED BY 'se:cr/et@1';
GRANT ALL ON shop.* TO 'owner'@'%';
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
