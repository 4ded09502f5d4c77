"""Environment variables: secrets, addresses and paths come from them. No other module reads the environment."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields
from math import ceil
from pathlib import Path

_CPU_QUOTA = Path("/sys/fs/cgroup/cpu.max")  # "<microseconds> <of how many>", or "max ..."
_MEMORY = Path("/proc/meminfo")
_CONTAINER_MEMORY = Path("/sys/fs/cgroup")  # its memory.max has bytes, or "max"


@dataclass(frozen=True)
class PipelineTask:
    """The task of a Kubeflow pipeline that this process works for; what nobody has set is empty."""

    run_id: str
    """Id of the pipeline run, as the Kubeflow page has it."""
    name: str
    """The task's, such as sft or weak."""
    workflow: str = ""
    """Name of the Argo workflow, which the names of its pods begin with."""
    version: str = ""
    """Name of the pipeline version."""
    host: str = ""
    """Address of the Kubeflow Pipelines page."""
    image: str = ""
    """Image of the task."""

    @property
    def url(self) -> str:
        """The page of the run, empty where the host is not known."""
        return f"{self.host.rstrip('/')}/#/runs/details/{self.run_id}" if self.host else ""


# The environment variable of each field of PipelineTask: the pipeline sets them in its tasks.
PIPELINE_VARIABLES = {field.name: f"SENSE_PIPELINE_{field.name.upper()}" for field in fields(PipelineTask)}


@dataclass(frozen=True)
class TrackingTarget:
    """Where MLflow's own variables say that runs belong: beneath a run, and into an experiment; empty texts leave it open."""

    parent_run: str = ""
    experiment_id: str = ""
    experiment: str = ""


def environment(name: str, default: str = "") -> str:
    """An environment variable; secrets come from here alone and are never logged."""
    return os.environ.get(name, default)


def proxy_url(scheme: str, host: str) -> str | None:
    """The proxy to `host` for URLs of this scheme, by HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY; None without one."""
    from urllib.request import getproxies, proxy_bypass  # costs 20 ms

    proxies = getproxies()
    proxy = None if proxy_bypass(host) else proxies.get(scheme) or proxies.get("all")
    return proxy if proxy is None or "://" in proxy else f"http://{proxy}"


def tracking_uri() -> str:
    """MLflow's store: MLFLOW_TRACKING_URI, else, or where that is empty, mlflow.db in the working copy."""
    return environment("MLFLOW_TRACKING_URI") or "sqlite:///mlflow.db"


def tracking_target() -> TrackingTarget:
    """MLFLOW_RUN_ID, MLFLOW_EXPERIMENT_ID and MLFLOW_EXPERIMENT_NAME, which Kubeflow Pipelines may set."""
    return TrackingTarget(*map(environment, ("MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID", "MLFLOW_EXPERIMENT_NAME")))


def tracking_variables() -> dict[str, str]:
    """What a process elsewhere needs in its environment to log into this task's run in MLflow."""
    names = (*PIPELINE_VARIABLES.values(), "MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID", "MLFLOW_EXPERIMENT_NAME")
    return {name: value for name, value in os.environ.items() if name in names}


def pipeline_task() -> PipelineTask | None:
    """The task of a pipeline run that the environment names; None outside of one, as under `dvc repro`."""
    values = {field: environment(variable) for field, variable in PIPELINE_VARIABLES.items()}
    return PipelineTask(**values) if values["run_id"] and values["name"] else None


def trusted_authorities() -> str:
    """A file or folder of certificates to trust in place of the public ones: SSL_CERT_FILE, else what requests reads."""
    names = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_DIR")
    return next(filter(None, map(environment, names)), "")


def api_key(teacher: str = "") -> str:
    """The key of a teacher's endpoint, empty without (local servers need none).

    That of the one LLM of a run is SENSE_API_KEY, else OPENAI_API_KEY. Of several, each has its own, SENSE_API_KEY_NAME with the
    name of the `teacher` in capitals and _ for -, so that no endpoint is sent another's.
    """
    key = environment(api_key_variable(teacher))
    return key if teacher else key or environment("OPENAI_API_KEY")


def api_key_variable(teacher: str = "") -> str:
    """The environment variable of a teacher's key."""
    return f"SENSE_API_KEY_{teacher.upper().replace('-', '_')}" if teacher else "SENSE_API_KEY"


def generator_key() -> str:
    """The key of the server that generator.url names: VLLM_API_KEY, else empty. The teacher's key goes to no other server."""
    return environment("VLLM_API_KEY")


def set_defaults(variables: Mapping[str, str]) -> None:
    """Sets environment variables that a library reads in this process, where the user has not set them."""
    for name, value in variables.items():
        os.environ.setdefault(name, value)


@contextmanager
def with_variables(variables: Mapping[str, str]) -> Iterator[None]:
    """Within the block this process, and those that it starts, have these environment variables."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def processes() -> int:
    """How many processes `accelerate launch` or torchrun has started for this stage."""
    return int(environment("WORLD_SIZE", "1"))


def cores() -> int:
    """How many processors this process may use: those it is bound to, or fewer, where a container has a quota of their time."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with suppress(OSError, ValueError):  # no such file, or no quota
        quota, period = _CPU_QUOTA.read_text().split()
        count = min(count, ceil(int(quota) / int(period)))
    return max(1, count)


def available_memory() -> int | None:
    """How many bytes this process can still use, of the machine or of what a container may have; None where nobody says."""
    available = None
    with suppress(OSError, ValueError, StopIteration):
        line = next(line for line in _MEMORY.read_text().splitlines() if line.startswith("MemAvailable:"))
        available = int(line.split()[1]) * 1024
    with suppress(OSError, ValueError):  # no such file, or no quota
        quota, in_use = (int((_CONTAINER_MEMORY / f"memory.{name}").read_text()) for name in ("max", "current"))
        statistics = dict(line.split() for line in (_CONTAINER_MEMORY / "memory.stat").read_text().splitlines())
        left = quota - in_use + int(statistics["inactive_file"])  # what files have in the cache is given up when it is needed
        available = left if available is None else min(available, left)
    return available


def container_variables() -> dict[str, str]:
    """What a container of a local run gets: addresses and keys of MLflow, remote, teacher and vLLM, thread counts."""
    keys = ("SENSE_API_KEY", "OPENAI_API_KEY", "VLLM_API_KEY", "HF_TOKEN")
    names = ("MLFLOW_", "AWS_", *keys, "HF_HUB_OFFLINE", "OMP_NUM_THREADS")
    return {name: value for name, value in os.environ.items() if name.startswith(names)}


def is_main_process() -> bool:
    """False in all but the first of the processes that `accelerate launch` or torchrun starts."""
    return environment("RANK", "0") == "0"


def work_root() -> Path:
    """The folder of unfinished stages, from which a rerun resumes: SENSE_WORK, else (or where that is empty) .sense/work."""
    return Path(environment("SENSE_WORK") or ".sense/work")


def checkpoint_store() -> str:
    """Where unfinished work is copied to: SENSE_CHECKPOINTS, s3://bucket/prefix, or empty for nowhere."""
    return environment("SENSE_CHECKPOINTS")


def answers_folder() -> Path:
    """The folder of LLM answers that runs share: SENSE_ANSWERS, else `answers` beside the folder of unfinished stages."""
    return Path(environment("SENSE_ANSWERS") or work_root().parent / "answers")
