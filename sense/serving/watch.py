"""A connection to a database server that gives no answer is cut: no driver's time limit covers all of its silences."""

import os
import socket
import threading
from contextlib import ExitStack, suppress
from typing import Any


class Watch:
    """Cuts a connection that gives no answer; `started` once there is one that is ready for statements."""

    def __init__(self, patience_s: float) -> None:
        self._patience_s = patience_s
        self._watching = ExitStack()
        self.cut = self.started = False

    def over(self, connection: Any) -> None:
        """Watches it anew from now on; drivers that know time limits on reading (PyMySQL) have no `fileno` and need no watch."""
        self.close()
        if not hasattr(connection, "fileno") or connection.closed:
            return
        line = self._watching.enter_context(socket.socket(fileno=os.dup(connection.fileno())))
        timer = threading.Timer(self._patience_s, self._cut, [line])
        timer.daemon = True
        timer.start()
        self._watching.callback(timer.join)
        self._watching.callback(timer.cancel)

    def close(self) -> None:
        """Watches no more."""
        self._watching.close()

    def _cut(self, line: socket.socket) -> None:
        self.cut = True
        with suppress(OSError):
            line.shutdown(socket.SHUT_RDWR)
