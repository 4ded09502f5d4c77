"""Work in a process of its own that is killed, as by kill -9, at its nth call of MLflow's client or its nth change of a file."""

import os
import signal
import sys
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from types import FrameType

Count = Callable[[], None]  # to be called at each event


def run_until_killed(work: Callable[[], object], dies_at: int | None, start_counting: Callable[[Count], None]) -> bool:
    """Runs `work` in a child process that kills itself at the nth event counted (None: never); True if it came to its end.

    `start_counting` is called in the child with the function to call at each event.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # fork and threads: the child uses none of the parent's
        child = os.fork()
    if child == 0:
        events = 0

        def count() -> None:
            nonlocal events
            events += 1
            if events == dies_at:
                os.kill(os.getpid(), signal.SIGKILL)

        try:
            if dies_at is not None:
                start_counting(count)
            work()
            os._exit(0)
        finally:  # never back into the parent's pytest
            traceback.print_exc()
            os._exit(1)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return False
    assert os.waitstatus_to_exitcode(status) == 0
    return True


def store_calls(count: Count, prefixes: tuple[str, ...] = ("",)) -> None:
    """Counts each call of MLflow's client whose name starts with one of the prefixes, before it and after it."""

    def profile(frame: FrameType, event: str, _: object) -> None:
        code = frame.f_code
        of_client = code.co_filename.endswith("mlflow/tracking/client.py") and code.co_name != "__init__"
        if event in ("call", "return") and of_client and code.co_name.startswith(prefixes):
            count()

    sys.setprofile(profile)


def store_changes(count: Count) -> None:
    """Counts what sets or deletes an alias or a tag, before it and after it."""
    store_calls(count, ("set_", "delete_"))


def file_changes(folder: Path) -> Callable[[Count], None]:
    """Counts what opens, makes, moves or deletes a file in `folder`."""

    def start(count: Count) -> None:
        def audit(event: str, arguments: tuple[object, ...]) -> None:
            if event in ("open", "os.rename", "os.mkdir", "os.remove", "os.rmdir") and str(folder) in str(arguments[0]):
                count()

        sys.addaudithook(audit)

    return start
