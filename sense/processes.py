"""Work shared out among processes, each of which has a worker of its own.

Processes are spawned, so that threads and CUDA do no harm, or forked, so that they have what is in memory. They end with their
parent, however that ends.
"""

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, ExitStack
from multiprocessing import connection
from threading import Lock, Thread
from types import TracebackType
from typing import Any, Concatenate, Generic, Literal, ParamSpec, TypeVar

from sense.errors import UserError

W = TypeVar("W")
T = TypeVar("T")
P = ParamSpec("P")


class Processes(Generic[W]):
    """Calls functions with a worker: in one of `count` processes, or, where that is one, in this process at once.

    Use it in a `with` block, from any thread. `make_worker` is a function that can be pickled; what it returns is entered
    before the first call, and left when its process ends; an error that it raises is raised by the calls. With `start` = fork it
    need not be picklable, and what is in memory, such as the weights of a model, is there without a copy; the calls must then not
    need what another thread may hold at that moment, and they are ended at once where the block ends with an error. `remedy` says
    to a user what to lower where memory runs out.
    """

    def __init__(
        self,
        make_worker: Callable[[], AbstractContextManager[W]],
        count: int,
        start: Literal["spawn", "fork"] = "spawn",
        remedy: str = "execution.workers",
    ) -> None:
        self.count = count
        self._remedy, self._is_forked = remedy, start == "fork"
        self._make_worker = make_worker
        self._stack = ExitStack()
        self._lock = Lock()
        self._worker: W | None = None
        self._pool: ProcessPoolExecutor | None = None
        if count > 1:
            context = multiprocessing.get_context(start)
            self._pool = ProcessPoolExecutor(count, context, initializer=_start_worker, initargs=(make_worker,))

    def submit(self, function: Callable[Concatenate[W, P], T], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """What `function(worker, ...)` will return or raise."""
        if self._pool is not None:
            return self._pool.submit(_call, function, *args, **kwargs)
        future: Future[T] = Future()
        with self._lock:
            if self._worker is None:
                self._worker = self._stack.enter_context(self._make_worker())
            try:
                future.set_result(function(self._worker, *args, **kwargs))
            except Exception as error:  # as a pool does: it is raised where the result is wanted
                future.set_exception(error)
        return future

    def map(self, function: Callable[..., T], arguments: Iterable[Sequence[Any]]) -> Iterator[T]:
        """What `function(worker, ...)` returns for each of `arguments`, in their order.

        This process, where the work is its own, does it when a result is asked for.
        """
        if self._pool is None:
            return (self.submit(function, *each).result() for each in arguments)
        futures = [self.submit(function, *each) for each in arguments]
        return (future.result() for future in futures)

    def __enter__(self) -> "Processes[W]":
        return self

    def __exit__(self, _kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None) -> None:
        if self._pool is not None:
            if self._is_forked and error is not None:  # a person who has pressed Ctrl-C does not want to wait for whole batches
                for process in multiprocessing.active_children():
                    process.terminate()
            self._pool.shutdown(cancel_futures=True)
            self._pool = None  # lets its semaphores go now: at the end of Python it would be too late
        self._stack.close()
        if isinstance(error, BrokenProcessPool):
            raise UserError(
                f"one of {self.count} processes was killed, perhaps for want of memory; run again, with less memory in use or a "
                f"lower {self._remedy}"
            ) from error


_stack = ExitStack()  # of a process's worker
_workers: list[Any] = []  # the one worker of this process
_start_errors: list[Exception] = []  # why it has none


def _start_worker(make_worker: Callable[[], AbstractContextManager[Any]]) -> None:
    """Readies a process for calls."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    Thread(target=_end_with_parent, daemon=True).start()
    try:
        _workers.append(_stack.enter_context(make_worker()))
    except MemoryError:
        raise  # the pool breaks, of which Processes says what to lower
    except Exception as error:
        _start_errors.append(error)  # raised here, it would only break the pool, without a word of why
    multiprocessing.util.Finalize(None, _stack.close, exitpriority=0)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
    os._exit(1)


def _call(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    if _start_errors:
        raise _start_errors[0]
    return function(_workers[0], *args, **kwargs)
