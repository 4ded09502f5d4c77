"""Checks that take seconds, before GPU hours are spent: parameters, MLflow, data remote, GPUs, disk, the teacher's key."""

import ipaddress
import shutil
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from sense import checkpoint_store, config
from sense.errors import SenseError, UserError

_CHECK_TIMEOUT_S = 60.0  # of one check, imports included
_GB = 1_000_000_000


class CheckResult(NamedTuple):
    """A check by its name, whether it passed, and for people: what it saw, or what is wrong and the fix."""

    name: str
    ok: bool
    detail: str


def run_checks(params: Mapping[str, Any], gpus: int, disk_gb: float, remote: str) -> list[CheckResult]:
    """Runs all checks, whichever fail. `params` is params.yaml, `remote` the DVC remote (empty: there is none).

    `gpus` must be visible to this process, and `disk_gb` (10^9 bytes) free in the work folder and in the temporary one.
    """
    return [
        _run_check("parameters", lambda: _parameters(params)),
        _run_check("MLflow", _mlflow),
        _run_check("data remote", lambda: _remote(remote)),
        _run_check("GPUs", lambda: _gpus(gpus)),
        _run_check("disk", lambda: _disk(disk_gb)),
        _run_check("teacher's key", lambda: _key(params)),
        *([_run_check("checkpoint store", _checkpoint_store)] if config.checkpoint_store() else []),
    ]


def require_all(results: Sequence[CheckResult]) -> None:
    """UserError that lists all checks that failed, if any did."""
    failed = [result for result in results if not result.ok]
    if failed:
        lines = [f"{result.name}: {result.detail}".replace("\n", "\n  ") for result in failed]
        raise UserError("\n".join([f"{len(failed)} of {len(results)} checks failed; nothing has been run", *lines]))


def _run_check(name: str, check: Callable[[], str]) -> CheckResult:
    """The result of one check. Its thread is abandoned after a while: a call that hangs in a driver cannot be ended."""
    detail: Future[str] = Future()

    def work() -> None:
        try:
            detail.set_result(check())
        except BaseException as error:  # raised again where the result is read
            detail.set_exception(error)

    threading.Thread(target=work, daemon=True).start()
    try:
        return CheckResult(name, True, detail.result(_CHECK_TIMEOUT_S))
    except (SenseError, OSError, ImportError) as error:
        if isinstance(error, TimeoutError) and not detail.done():
            return CheckResult(
                name, False, f"no answer within {_CHECK_TIMEOUT_S:g} s; check that its server runs and its address is right"
            )
        return CheckResult(name, False, str(error))


def _parameters(params: Mapping[str, Any]) -> str:
    config.validate(config.Params, params, "params.yaml")
    return "valid"


def _mlflow() -> str:
    from sense import tracking

    return f"{tracking.check_store()} answers"


def _remote(remote: str) -> str:
    if not remote:
        return "none given (cluster.remote): nothing to look at"
    from sense import data_versions

    parsed = data_versions.parse_remote(remote)
    data_versions.check_writable(parsed)
    return f"{parsed.url} can be read and written"


def _checkpoint_store() -> str:
    uri = config.checkpoint_store()
    checkpoint_store.check(uri)
    return f"{uri} can be written"


def _gpus(required: int) -> str:
    if required == 0:
        return "none asked for: not looked at"
    from sense.training import devices

    visible = devices.gpu_count()
    if visible < required:
        raise UserError(
            f"{visible} visible, {required} asked for; check gpus and accelerator in resources, the node's driver and device "
            "plugin, CUDA_VISIBLE_DEVICES, and that PyTorch is a build for GPUs"
        )
    return f"{visible} visible, {required} asked for"


def _disk(required_gb: float) -> str:
    folders = {"the work folder (SENSE_WORK)": config.work_root(), "the temporary folder (TMPDIR)": Path(tempfile.gettempdir())}
    free = {}
    for name, folder in folders.items():
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                free[f"{folder.absolute()}, {name}"] = shutil.disk_usage(folder).free / _GB
        except OSError as error:
            raise UserError(
                f"{folder.absolute()}, {name}: cannot be written ({error.strerror or error}); mend that or name another"
            ) from None
    short = [f"{folder}: {gigabytes:.1f} GB free" for folder, gigabytes in free.items() if gigabytes < required_gb]
    if short:
        raise UserError(f"{required_gb:g} GB must be free: {'; '.join(short)}; free space or name another folder")
    return "; ".join(f"{gigabytes:.1f} GB free in {folder}" for folder, gigabytes in free.items())


def _key(params: Mapping[str, Any]) -> str:
    synthesize = params.get("synthesize")
    synthesize = synthesize if isinstance(synthesize, Mapping) else {}
    teachers = synthesize.get("teachers")
    if isinstance(teachers, Mapping) and teachers:
        llms = {str(name): each.get("llm") for name, each in teachers.items() if isinstance(each, Mapping)}
    else:
        llms = {"": synthesize.get("llm") if synthesize.get("teacher") == "llm" else None}
    details = [_key_of(name, llm) for name, llm in llms.items() if isinstance(llm, Mapping)]
    return "; ".join(details) or "no LLM is asked: none needed"


def _key_of(teacher: str, llm: Mapping[str, Any]) -> str:
    """Whether the key of an LLM is set, where it needs one; `teacher` is its name among several, empty for the only one."""
    section = f"synthesize.teachers.{teacher}.llm" if teacher else "synthesize.llm"
    url = str(llm.get("base_url", config.LlmConfig.model_fields["base_url"].default))
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        raise UserError(f"{section}.base_url is no address; write it like https://host/v1") from None
    if config.api_key(teacher):
        return f"set, for {host}"
    if _is_local(host):
        return f"not set, and {host} is near: it may need none"
    raise UserError(f"none set for {host} ({section}.base_url); set {config.api_key_variable(teacher)}")


def _is_local(host: str) -> bool:
    """Whether a host is this machine, or of the cluster or network around it."""
    try:
        return ipaddress.ip_address(host).is_private
    except ValueError:
        return "." not in host or host.endswith((".svc", ".cluster.local", ".local", ".internal", ".localhost"))
