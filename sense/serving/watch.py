"""A connection to a database server that gives no answer is cut: no driver's time limit covers all of its silences."""

import os
import socket
import threading
import time
from contextlib import ExitStack, suppress
from typing import Any


class Watch:
    """Cuts a connection that gives no answer for `patience_s`; `started` once there is one that is ready for statements."""

    def __init__(self, patience_s: float) -> None:
        self._patience_s = patience_s
        self._watching = ExitStack()
        self._until = 0.0
        self.cut = self.started = False

    def over(self, connection: Any) -> None:
        """Watches it anew from now on; drivers that know time limits on reading (PyMySQL) have no `fileno` and need no watch."""
        self.close()
        if not hasattr(connection, "fileno") or connection.closed:
            return
        self.renew()
        line = self._watching.enter_context(socket.socket(fileno=os.dup(connection.fileno())))
        ended = threading.Event()
        watching = threading.Thread(target=self._wait, args=[line, ended], name="sense-watch", daemon=True)
        watching.start()
        self._watching.callback(watching.join)
        self._watching.callback(ended.set)

    def renew(self) -> None:
        """The next silence begins now: reading a schema takes many statements, and time of our own between them."""
        self._until = time.monotonic() + self._patience_s

    def close(self) -> None:
        """Watches no more."""
        self._watching.close()

    def _wait(self, line: socket.socket, ended: threading.Event) -> None:
        while (left := self._until - time.monotonic()) > 0:
            if ended.wait(left):
                return
        self.cut = True
        with suppress(OSError):
            line.shutdown(socket.SHUT_RDWR)
