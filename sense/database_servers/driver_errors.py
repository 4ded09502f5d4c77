"""Errors of database servers and their drivers, as outcomes and messages that may be shown to whoever asks."""

from typing import Any

from sense.sql.result import Failure

_NOT_PERMITTED = "the server does not permit it to this user"
_NO_MEMORY = "needs more memory than the server gives it"


class ServerLostError(Exception):
    """The server can't be reached now. The message is for everybody; `operator` names the cause for those who run the server."""

    def __init__(self, operator: str = "") -> None:
        super().__init__("the database server cannot be reached")
        self.operator = operator


def statement_failure(dialect: str, error: Any, timeout_s: float) -> Failure | None:
    """The outcome of a statement that raised SQLAlchemy's DBAPIError; None if the connection is lost."""
    timeout = Failure("timeout", f"more than {timeout_s:g} s", "clock")
    if error.connection_invalidated:
        return None
    return _postgresql(error.orig, timeout) if dialect == "postgresql" else _mysql(error.orig, timeout)


def _postgresql(error: Any, timeout: Failure) -> Failure | None:
    """By SQLSTATE: https://www.postgresql.org/docs/current/errcodes-appendix.html."""
    state = getattr(error, "sqlstate", None)
    if state is None:  # the driver's own error, about the connection or about a value that Python cannot hold
        return None if type(error).__name__ == "OperationalError" else Failure("error", "a value that has no form here")
    if state.startswith(("08", "57P")):
        return None
    message = str(error.diag.message_primary or "refused by the server")[:300]
    outcomes = {
        "57014": timeout,
        "55P03": timeout,
        "25006": Failure("rejected", message),
        "42501": Failure("error", _NOT_PERMITTED),
        "53200": Failure("too_large", _NO_MEMORY, "memory"),
    }
    return outcomes.get(state, Failure("error", message))


def _mysql(error: Any, timeout: Failure) -> Failure | None:
    """By error number: below 2000 and from 3000 on the server's, between them the driver's, about the connection."""
    code, message = _code_and_message(error)
    if code == 0 or 2000 <= code < 3000:
        return None
    if code in (1205, 1317, 1969, 3024):  # a lock, a stopped statement, MariaDB's time limit, MySQL's
        return timeout
    if code == 1792:
        return Failure("rejected", message[:300])
    if code in (1044, 1045, 1142, 1143, 1227, 1370):  # their messages name the user and the host
        return Failure("error", _NOT_PERMITTED)
    return Failure("error", message[:300])


def _code_and_message(error: Any) -> tuple[int, str]:
    code, message = (*getattr(error, "args", ()), 0, "")[:2]
    return (code, str(message)) if isinstance(code, int) else (0, "")


def operator_message(error: Any) -> str:
    """The server's own message. A driver's may hold parts of a URL that was misread, even the password, and is not shown."""
    _, fatal, message = str(error.orig).partition("FATAL:")
    if fatal:
        return message.strip().splitlines()[0]
    code, message = _code_and_message(error.orig)
    if 1000 <= code < 2000:
        return message
    return (
        "no connection to the host and port of its URL: see that they are right, that the server is up and that it can be reached"
    )
