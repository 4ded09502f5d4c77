"""A look before GPU hours are spent: parameters, MLflow, data remote, GPUs, disk, the teacher's key. It takes seconds."""

import ipaddress
import shutil
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from sense import config
from sense.errors import SenseError, UserError

_PATIENCE_S = 60.0  # for one look, imports included; what has not answered by then would not
_GB = 1_000_000_000


class Finding(NamedTuple):
    """What was looked at, whether it is as it must be, and for people: what was found, or what is wrong and the fix."""

    what: str
    ok: bool
    detail: str


def check(params: Mapping[str, Any], gpus: int, disk_gb: float, remote: str) -> list[Finding]:
    """Looks at everything, whatever fails. `params` is params.yaml, `remote` the DVC remote (empty: there is none).

    `gpus` must be visible to this process, and `disk_gb` (10^9 bytes) free in the work folder and in the temporary one.
    """
    return [
        _look("parameters", lambda: _parameters(params)),
        _look("MLflow", _mlflow),
        _look("data remote", lambda: _remote(remote)),
        _look("GPUs", lambda: _gpus(gpus)),
        _look("disk", lambda: _disk(disk_gb)),
        _look("teacher's key", lambda: _key(params)),
    ]


def insist(findings: Sequence[Finding]) -> None:
    """Raises a UserError that lists all findings that are not ok."""
    wrong = [found for found in findings if not found.ok]
    if wrong:
        lines = [f"{found.what}: {found.detail}".replace("\n", "\n  ") for found in wrong]
        raise UserError("\n".join([f"{len(wrong)} of {len(findings)} checks failed; nothing has been run", *lines]))


def _look(what: str, look: Callable[[], str]) -> Finding:
    """What `look` finds, or why it fails. It is waited for only so long: nothing can stop a call that hangs in a driver."""
    found: Future[str] = Future()

    def work() -> None:
        try:
            found.set_result(look())
        except BaseException as error:  # carried over to whoever waits
            found.set_exception(error)

    threading.Thread(target=work, daemon=True).start()
    try:
        return Finding(what, True, found.result(_PATIENCE_S))
    except (SenseError, OSError, ImportError) as error:
        if isinstance(error, TimeoutError) and not found.done():
            return Finding(
                what, False, f"no answer within {_PATIENCE_S:g} s; check that its server runs and its address is right"
            )
        return Finding(what, False, str(error))


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

    place = data_versions.parse_remote(remote)
    data_versions.check_writable(place)
    return f"{place.url} can be read and written"


def _gpus(wanted: int) -> str:
    if wanted == 0:
        return "none asked for: not looked at"
    from sense.training import devices

    seen = devices.gpu_count()
    if seen < wanted:
        raise UserError(
            f"{seen} visible, {wanted} asked for; check gpus and accelerator in resources, the node's driver and device plugin, "
            "CUDA_VISIBLE_DEVICES, and that PyTorch is a build for GPUs"
        )
    return f"{seen} visible, {wanted} asked for"


def _disk(wanted_gb: float) -> str:
    places = {"the work folder (SENSE_WORK)": config.work_root(), "the temporary folder (TMPDIR)": Path(tempfile.gettempdir())}
    free = {}
    for name, folder in places.items():
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                free[f"{folder.absolute()}, {name}"] = shutil.disk_usage(folder).free / _GB
        except OSError as error:
            raise UserError(
                f"{folder.absolute()}, {name}: cannot be written ({error.strerror or error}); mend that or name another"
            ) from None
    short = [f"{place}: {gigabytes:.1f} GB free" for place, gigabytes in free.items() if gigabytes < wanted_gb]
    if short:
        raise UserError(f"{wanted_gb:g} GB must be free: {'; '.join(short)}; free space or name another folder")
    return "; ".join(f"{gigabytes:.1f} GB free in {place}" for place, gigabytes in free.items())


def _key(params: Mapping[str, Any]) -> str:
    synthesize = params.get("synthesize")
    llm = synthesize.get("llm") if isinstance(synthesize, Mapping) else None
    if not isinstance(synthesize, Mapping) or synthesize.get("teacher") != "llm" or not isinstance(llm, Mapping):
        return "no LLM is asked: none needed"
    url = str(llm.get("base_url", config.LlmConfig.model_fields["base_url"].default))
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        raise UserError("synthesize.llm.base_url is no address; write it like https://host/v1") from None
    if config.api_key():
        return f"set, for {host}"
    if _is_near(host):
        return f"not set, and {host} is near: it may need none"
    raise UserError(f"none set for {host} (synthesize.llm.base_url); set SENSE_API_KEY")


def _is_near(host: str) -> bool:
    """Whether a host is this machine, or of the cluster or network around it."""
    try:
        return ipaddress.ip_address(host).is_private
    except ValueError:
        return "." not in host or host.endswith((".svc", ".cluster.local", ".local", ".internal", ".localhost"))
