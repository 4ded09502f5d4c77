"""What database servers and their drivers say when something goes wrong, in words that may be shown."""

from typing import Any

from sense.sql.result import Failure

_REFUSED = "the server does not permit it to the gateway's user"
_NO_MEMORY = "needs more memory than the server gives it"


class Lost(Exception):  # noqa: N818  (a state of the server's)
    """The server can't be asked now; the text is for everybody, `operator` for those who know the server."""

    def __init__(self, operator: str = "") -> None:
        super().__init__("the database server cannot be reached")
        self.operator = operator


def explained(dialect: str, error: Any, timeout_s: float) -> Failure | None:
    """What a server said of a statement (SQLAlchemy's DBAPIError); None if the connection is lost."""
    late = Failure("timeout", f"more than {timeout_s:g} s", "clock")
    if error.connection_invalidated:
        return None
    return _postgresql(error.orig, late) if dialect == "postgresql" else _mysql(error.orig, late)


def _postgresql(error: Any, late: Failure) -> Failure | None:
    """By SQLSTATE: https://www.postgresql.org/docs/current/errcodes-appendix.html."""
    state = getattr(error, "sqlstate", None)
    if state is None:  # the driver's own error: of the connection, or of a value that Python has no form for
        return None if type(error).__name__ == "OperationalError" else Failure("error", "a value that has no form here")
    if state.startswith(("08", "57P")):
        return None
    message = str(error.diag.message_primary or "refused by the server")[:300]
    known = {
        "57014": late,
        "55P03": late,
        "25006": Failure("rejected", message),
        "42501": Failure("error", _REFUSED),
        "53200": Failure("too_large", _NO_MEMORY, "memory"),
    }
    return known.get(state, Failure("error", message))


def _mysql(error: Any, late: Failure) -> Failure | None:
    """By error number: below 2000 and from 3000 on the server's, between them the driver's, about the connection."""
    code, message = _said(error)
    if code == 0 or 2000 <= code < 3000:
        return None
    if code in (1205, 1317, 1969, 3024):  # a lock, a stopped statement, MariaDB's time limit, MySQL's
        return late
    if code == 1792:
        return Failure("rejected", message[:300])
    if code in (1044, 1045, 1142, 1143, 1227, 1370):  # their texts name the user and the host
        return Failure("error", _REFUSED)
    return Failure("error", message[:300])


def _said(error: Any) -> tuple[int, str]:
    code, message = (*getattr(error, "args", ()), 0, "")[:2]
    return (code, str(message)) if isinstance(code, int) else (0, "")


def for_operator(error: Any) -> str:
    """What the server itself said; what a driver says may hold pieces of a URL that was misread, the password among them."""
    _, fatal, said = str(error.orig).partition("FATAL:")
    if fatal:
        return said.strip().splitlines()[0]
    code, message = _said(error.orig)
    if 1000 <= code < 2000:
        return message
    return (
        "no connection to the host and port of its URL: see that they are right, that the server is up and that it can be reached"
    )
