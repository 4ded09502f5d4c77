"""Sections for the cluster: what a task of the pipeline asks of Kubernetes. They change no result, and DVC does not see them."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from sense.config.section import Count, Positive, Section

Name = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$", max_length=253)]  # of a Kubernetes object
Variable = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
Quantity = Annotated[str, Field(pattern=r"^[0-9]+(\.[0-9]+)?([EPTGMK]i?|m|k)?$")]
Path = Annotated[str, Field(pattern=r"^/[^\s]+$")]


class TolerationConfig(Section):
    """Lets a task's pod onto nodes with a taint, as in a pod's spec."""

    key: str | None = None
    operator: Literal["Equal", "Exists"] = "Equal"
    value: str | None = None
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None


class TaskConfig(Section):
    """What one task asks for. `shm` is the size of /dev/shm in memory, which NCCL and data loaders of several GPUs need.

    `retries` are a failed task's further tries, the first after `backoff_s`, each later one `backoff_factor` times as late.
    """

    cpu: Quantity = "1"
    memory: Quantity = "4Gi"
    gpus: Annotated[int, Field(ge=0)] = 0
    accelerator: str = "nvidia.com/gpu"
    shm: Quantity | None = None
    node_selector: dict[str, str] = {}
    tolerations: tuple[TolerationConfig, ...] = ()
    timeout_s: Count | None = None
    retries: Annotated[int, Field(ge=0)] = 0
    backoff_s: Count = 60
    backoff_factor: Positive = 2.0
    backoff_max_s: Count = 3600


class ResourcesConfig(Section):
    """Per task what differs from `defaults`."""

    defaults: TaskConfig = TaskConfig()
    check: TaskConfig = TaskConfig()
    seeds: TaskConfig = TaskConfig()
    ingest: TaskConfig = TaskConfig()
    synthesize: TaskConfig = TaskConfig()
    sft: TaskConfig = TaskConfig()
    weak: TaskConfig = TaskConfig()
    sample: TaskConfig = TaskConfig()
    merge: TaskConfig = TaskConfig()
    prefer: TaskConfig = TaskConfig()
    version: TaskConfig = TaskConfig()
    dpo: TaskConfig = TaskConfig()
    evaluate: TaskConfig = TaskConfig()
    collect: TaskConfig = TaskConfig()
    report: TaskConfig = TaskConfig()
    gate: TaskConfig = TaskConfig()
    publish: TaskConfig = TaskConfig()

    def of(self, task: str) -> TaskConfig:
        """What `task` asks for: the defaults, and over them what its own section sets."""
        own: TaskConfig = getattr(self, task)
        return self.defaults.model_copy(update={name: getattr(own, name) for name in own.model_fields_set})


class ClaimConfig(Section):
    """A PersistentVolumeClaim and where a task finds it."""

    claim: Name
    path: Path


class ClusterConfig(Section):
    """What all tasks share. Secrets and config maps are given as {name: {key in it: environment variable}}; they may be absent.

    `weights` holds base models, `checkpoints` what a retried task resumes from. `remote` is the DVC remote (s3://... or a path);
    `seeds` the revision of the seeds in it, as dvc.lock or a .dvc file says (md5), empty for the built-in ones. `shards` is the
    number of sampling tasks, `disk_gb` the free space that the first task insists on.
    """

    image: str = "sense-train:dev"
    image_pull_secrets: tuple[Name, ...] = ()
    run_as_user: Count = 1000
    run_as_group: Annotated[int, Field(ge=0)] = 0
    weights: ClaimConfig | None = None
    checkpoints: ClaimConfig | None = None
    secrets: dict[Name, dict[str, Variable]] = {}
    config_maps: dict[Name, dict[str, Variable]] = {}
    env: dict[Variable, str] = {}
    remote: str = ""
    seeds: Annotated[str, Field(pattern=r"^([0-9a-f]{32}(\.dir)?)?$")] = ""
    shards: Count = 1
    disk_gb: Positive = 1.0

    @model_validator(mode="after")
    def _remote(self) -> "ClusterConfig":
        if self.seeds and not self.remote:
            raise ValueError("seeds names a revision in the DVC remote: give remote as well")
        return self
