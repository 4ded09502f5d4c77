"""Checks that take seconds, before GPU hours are spent: what a run needs of the machines and servers around it."""

import importlib
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, NamedTuple

from sense import checkpoint_store, config
from sense.errors import SenseError, UserError
from sense.kubeflow import teachers
from sense.kubeflow.task_files import DataRevisions, resolve_data

_CHECK_TIMEOUT_S = 120.0  # of one check, without its imports: a loaded node takes longer for these than a server to answer
_GB = 1_000_000_000
_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108
_UNITS = {"": Decimal(1), "m": Decimal("0.001"), **{unit: Decimal(1000**power) for power, unit in enumerate("kMGTPE", 1)}}
_UNITS |= {f"{unit}i": Decimal(1024**power) for power, unit in enumerate("KMGTPE", 1)}


@dataclass(frozen=True)
class Surroundings:
    """What the process that checks has been given: as the pod of a pipeline's task, or nothing of that on another machine.

    `gpus` must be visible to it, and `disk_gb` (10^9 bytes) free in the work folder and in the temporary one. `remote` is the DVC
    remote (empty: there is none). `weights` and `shm` are where the claim of base models is mounted and the size of /dev/shm, and
    `claims` are the names of the claims that tasks share; empty outside of a pod.
    """

    gpus: int = 0
    disk_gb: float = 1.0
    remote: str = ""
    weights: str = ""
    shm: str = ""
    claims: tuple[str, ...] = ()


class CheckResult(NamedTuple):
    """A check by its name, how it ended, and for people: what it saw, why it was left out, or what is wrong and the fix."""

    name: str
    state: Literal["ok", "FAIL", "skipped"]
    detail: str

    @property
    def ok(self) -> bool:
        """False for a check that failed."""
        return self.state != "FAIL"


class _SkippedError(Exception):
    """Ends a check for which there is nothing to look at, with the reason."""


def run_checks(params: Mapping[str, Any], around: Surroundings) -> list[CheckResult]:
    """Runs all checks, whichever fail. `params` is params.yaml, parsed."""
    return [
        _run_check("parameters", lambda: _parameters(params)),
        _run_check("MLflow", _mlflow, "sense.tracking"),
        _run_check("data remote", lambda: _remote(around.remote), "sense.data_versions"),
        _run_check("seeds", lambda: _seeds(_valid(params), around.remote), "sense.data_versions"),
        _run_check("base models", lambda: _base_models(_valid(params)), "sense.kubeflow.base_models"),
        _run_check("weights", lambda: _weights(around.weights), "sense.kubeflow.base_models"),
        _run_check("teacher's key", lambda: _teacher_keys(params)),
        _run_check("teacher", lambda: _teachers(_valid(params))),
        _run_check("GPUs", lambda: _gpus(around.gpus), *(["sense.training.devices"] if around.gpus else [])),
        _run_check("shared memory", lambda: _shared_memory(_valid(params), around.shm)),
        _run_check("disk", lambda: _disk(around.disk_gb)),
        _run_check("claims", lambda: _claims(around.claims)),
        _run_check("checkpoint store", _checkpoint_store, "sense.checkpoint_store"),
        _run_check("Kubeflow Trainer", lambda: _trainer(_valid(params)), "sense.kubeflow.nodes"),
    ]


def require_all(results: Sequence[CheckResult]) -> None:
    """UserError that lists all checks that failed, if any did."""
    failed = [result for result in results if not result.ok]
    if failed:
        lines = [f"{result.name}: {result.detail}".replace("\n", "\n  ") for result in failed]
        raise UserError("\n".join([f"{len(failed)} of {len(results)} checks failed; nothing has been run", *lines]))


def _run_check(name: str, check: Callable[[], str], *modules: str) -> CheckResult:
    """The result of one check, which imports `modules`, for as long as that takes.

    Its thread is abandoned after a while: a call that hangs in a driver cannot be ended.
    """
    detail: Future[str] = Future()

    def work() -> None:
        try:
            detail.set_result(check())
        except BaseException as error:  # raised again where the result is read
            detail.set_exception(error)

    try:
        for module in modules:
            importlib.import_module(module)
        threading.Thread(target=work, daemon=True).start()
        return CheckResult(name, "ok", detail.result(_CHECK_TIMEOUT_S))
    except _SkippedError as reason:
        return CheckResult(name, "skipped", str(reason))
    except (SenseError, OSError, ImportError) as error:
        if isinstance(error, TimeoutError) and not detail.done():
            text = f"no answer within {_CHECK_TIMEOUT_S:g} s; check that its server runs and its address is right"
            return CheckResult(name, "FAIL", text)
        return CheckResult(name, "FAIL", str(error))


def _parameters(params: Mapping[str, Any]) -> str:
    config.validate(config.Params, params, "params.yaml")
    return "valid"


def _valid(params: Mapping[str, Any]) -> config.Params:
    """The parameters, for checks that need them whole."""
    try:
        valid: config.Params = config.validate(config.Params, params, "params.yaml")
    except UserError:
        raise _SkippedError("the parameters are wrong: mend them first") from None
    return valid


def _mlflow() -> str:
    from sense import tracking

    return f"{tracking.check_writable()} can be read and written"


def _remote(remote: str) -> str:
    if not remote:
        raise _SkippedError("none given (cluster.remote): nothing to look at")
    from sense import data_versions

    parsed = data_versions.parse_remote(remote)
    data_versions.check_writable(parsed)
    return f"{parsed.url} can be read and written"


def _trainer(params: config.Params) -> str:
    if all(params.resources.of(task).nodes == 1 for task in config.TRAININGS):
        raise _SkippedError("no training is spread over several nodes: nothing to look at")
    from sense.kubeflow import nodes

    return nodes.check_access()


def _checkpoint_store() -> str:
    uri = config.checkpoint_store()
    if not uri:
        raise _SkippedError("none named (cluster.checkpoints.uri): nothing to look at")
    checkpoint_store.check(uri)
    return f"{uri} can be written"


def _seeds(params: config.Params, remote: str) -> str:
    """Where the seeds and the databases of one's own come from; each must be there."""
    from sense import data_versions

    data = resolve_data(params, "") if remote else DataRevisions("", "", [])
    revisions = [revision for revision in (data.seeds, *data.own) if revision]
    if remote and revisions:
        missing = data_versions.missing_revisions(data_versions.parse_remote(remote), revisions)
        if missing:
            raise UserError(
                f"{remote} lacks {', '.join(missing)} (cluster.seeds, cluster.own); dvc push them from where they were made"
            )
    folders = [] if remote and params.cluster.seeds else [("data.seeds", "cluster.seeds", params.data.seeds)]
    if not (remote and params.cluster.own):
        folders += [("synthesize.own", "cluster.own", folder) for folder in params.synthesize.own]
    folders = [row for row in folders if row[2] != config.DataConfig().seeds]  # the built-in ones are part of the package
    for key, revision_key, folder in folders:
        if not os.access(folder, os.R_OK | os.X_OK):
            raise UserError(f"{key} = {folder}: no folder that can be read here; push it with DVC, and give {revision_key}")
    names = [*revisions, *(folder for _, _, folder in folders)]
    return f"{', '.join(names)} can be read" if names else "the built-in ones"


def _base_models(params: config.Params) -> str:
    from sense.kubeflow import base_models

    models = {"sft.model": params.sft.model, "weak.model": params.weak.model}
    details, problems = [], []
    for key, model in models.items():
        try:
            details.append(f"{key}: {base_models.check(model, key)}")
        except SenseError as error:
            problems.append(str(error))
    if problems:
        raise UserError("\n".join(problems))
    return "; ".join(details)


def _teacher_keys(params: Mapping[str, Any]) -> str:
    detail = teachers.check_keys(params)
    if not detail:
        raise _SkippedError("no LLM is asked: none needed")
    return detail


def _teachers(params: config.Params) -> str:
    detail = teachers.check_answers(params.synthesize)
    if not detail:
        raise _SkippedError("no LLM is asked")
    return detail


def _weights(path: str) -> str:
    if not path:
        raise _SkippedError("no claim of base models is mounted here (cluster.weights)")
    from sense.kubeflow import base_models

    return base_models.check_claim(Path(path))


def _claims(names: Sequence[str]) -> str:
    if not names:
        raise _SkippedError("no pod of the pipeline, or no claims: nothing to look at")
    from sense.kubeflow import claims

    answer = claims.read(names)
    if answer is None:
        raise _SkippedError(
            f"Kubernetes cannot be asked about {', '.join(names)} (this account may not get persistentvolumeclaims); tasks on "
            "several nodes share them, so their access mode must be ReadWriteMany"
        )
    return claims.check(names, *answer)


def _shared_memory(params: config.Params, shm: str) -> str:
    """Whether /dev/shm is as large as this pod asked for, and what the tasks ask for makes sense."""
    problems = []
    for task in config.ResourcesConfig.model_fields:
        resources = params.resources.of(task)
        if resources.shm and quantity(resources.shm) >= quantity(resources.memory):
            text = f"resources.{task}.shm = {resources.shm} counts as memory of the pod, which has {resources.memory}"
            problems.append(f"{text}; raise resources.{task}.memory")
        if resources.gpus > 1 and not resources.shm:
            text = f"resources.{task}.gpus = {resources.gpus} and no shm: NCCL fails in the 64 MiB of a container"
            problems.append(f"{text}; set resources.{task}.shm, such as 16Gi")
    if shm and _SHARED_MEMORY.is_dir():
        size = shutil.disk_usage(_SHARED_MEMORY).total
        if size < 0.99 * float(quantity(shm)):
            problems.append(
                f"{_SHARED_MEMORY} has {size / _GB:.2f} GB here, resources.check.shm asks for {shm}; check the pod's volumes"
            )
    if problems:
        raise UserError("; ".join(problems))
    sizes = {task: params.resources.of(task).shm for task in config.ResourcesConfig.model_fields if task != "defaults"}
    asked = ", ".join(f"{task} {size}" for task, size in sizes.items() if size)
    return f"asked for by {asked}: each within its memory" if asked else "no task asks for more than a container has"


def quantity(text: str) -> Decimal:
    """The number that a Kubernetes quantity such as 500m or 64Gi stands for."""
    digits = text.rstrip("mkMGTPEKi")
    return Decimal(digits) * _UNITS[text[len(digits) :]]


def _gpus(required: int) -> str:
    if required == 0:
        raise _SkippedError("none asked for: not looked at")
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
