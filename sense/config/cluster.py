"""Sections for the cluster: what a task of the pipeline asks of Kubernetes. They change no result, and DVC does not see them."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from sense.config.section import Count, Positive, Section

ObjectName = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$", max_length=253)]  # of a Kubernetes object
EnvironmentName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
Quantity = Annotated[str, Field(pattern=r"^[0-9]+(\.[0-9]+)?([EPTGMK]i?|m|k)?$")]
PodPath = Annotated[str, Field(pattern=r"^/[^\s]+$")]


class TolerationConfig(Section):
    """A toleration, as in a pod's spec: it lets a task's pod onto nodes with a taint."""

    key: str | None = None
    """Key of the taint; null with operator Exists tolerates every taint."""
    operator: Literal["Equal", "Exists"] = "Equal"
    """Equal compares the value, Exists asks for the key alone."""
    value: str | None = None
    """Value of the taint."""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    """Effect of the taint; null tolerates all effects."""


class TaskConfig(Section):
    """What one task of the pipeline asks of Kubernetes."""

    cpu: Quantity = "1"
    """CPU request and limit, as a Kubernetes quantity."""
    memory: Quantity = "4Gi"
    """Memory request and limit, as a Kubernetes quantity."""
    gpus: Annotated[int, Field(ge=0)] = 0
    """GPUs of one pod."""
    accelerator: str = "nvidia.com/gpu"
    """Resource name of the GPUs."""
    shm: Quantity | None = None
    """Size of /dev/shm (memory), which NCCL and data loaders of several GPUs need; null keeps the default of 64 MiB."""
    node_selector: dict[str, str] = {}
    """Labels a node must have."""
    tolerations: tuple[TolerationConfig, ...] = ()
    """Taints of nodes that the pod tolerates."""
    timeout_s: Count | None = None
    """Seconds after which the task is ended; null for no limit."""
    retries: Annotated[int, Field(ge=0)] = 0
    """Further tries after a failed one."""
    backoff_s: Count = 60
    """Seconds before the first retry."""
    backoff_factor: Positive = 2.0
    """Factor by which the wait grows from retry to retry."""
    backoff_max_s: Count = 3600
    """Seconds a wait may grow to."""


class ResourcesConfig(Section):
    """What each task asks for: `defaults`, and for a task what differs from them."""

    defaults: TaskConfig = TaskConfig()
    """What every task asks for."""
    check: TaskConfig = TaskConfig()
    """What the task `check` asks for where it differs from `defaults`."""
    seeds: TaskConfig = TaskConfig()
    """What the task `seeds` asks for where it differs from `defaults`."""
    ingest: TaskConfig = TaskConfig()
    """What the task `ingest` asks for where it differs from `defaults`."""
    synthesize: TaskConfig = TaskConfig()
    """What the task `synthesize` asks for where it differs from `defaults`."""
    sft: TaskConfig = TaskConfig()
    """What the task `sft` asks for where it differs from `defaults`."""
    weak: TaskConfig = TaskConfig()
    """What the task `weak` asks for where it differs from `defaults`."""
    sample: TaskConfig = TaskConfig()
    """What the task `sample` asks for where it differs from `defaults`."""
    merge: TaskConfig = TaskConfig()
    """What the task `merge` asks for where it differs from `defaults`."""
    prefer: TaskConfig = TaskConfig()
    """What the task `prefer` asks for where it differs from `defaults`."""
    version: TaskConfig = TaskConfig()
    """What the task `version` asks for where it differs from `defaults`."""
    dpo: TaskConfig = TaskConfig()
    """What the task `dpo` asks for where it differs from `defaults`."""
    evaluate: TaskConfig = TaskConfig()
    """What the task `evaluate` asks for where it differs from `defaults`."""
    collect: TaskConfig = TaskConfig()
    """What the task `collect` asks for where it differs from `defaults`."""
    report: TaskConfig = TaskConfig()
    """What the task `report` asks for where it differs from `defaults`."""
    gate: TaskConfig = TaskConfig()
    """What the task `gate` asks for where it differs from `defaults`."""
    publish: TaskConfig = TaskConfig()
    """What the task `publish` asks for where it differs from `defaults`."""

    def of(self, task: str) -> TaskConfig:
        """What `task` asks for: the defaults, and over them what its own section sets."""
        own: TaskConfig = getattr(self, task)
        return self.defaults.model_copy(update={name: getattr(own, name) for name in own.model_fields_set})


class ClaimConfig(Section):
    """A PersistentVolumeClaim and where a task finds it."""

    claim: ObjectName
    """Name of the PersistentVolumeClaim."""
    path: PodPath
    """Where it is mounted in the pod."""


class ClusterConfig(Section):
    """What all tasks of the pipeline share."""

    image: str = "sense-train:dev"
    """Image of all tasks; pin it by digest for honest cache keys."""
    image_pull_secrets: tuple[ObjectName, ...] = ()
    """Names of the secrets with which the image is pulled."""
    run_as_user: Count = 1000
    """User id of the containers."""
    run_as_group: Annotated[int, Field(ge=0)] = 0
    """Group id of the containers."""
    weights: ClaimConfig | None = None
    """Claim that holds base models."""
    checkpoints: ClaimConfig | None = None
    """Claim that holds work directories, from which a retried task resumes."""
    secrets: dict[ObjectName, dict[str, EnvironmentName]] = {}
    """Secrets as environment variables: {secret: {key in it: variable}}; a secret may be absent."""
    config_maps: dict[ObjectName, dict[str, EnvironmentName]] = {}
    """Config maps as environment variables: {config map: {key in it: variable}}; a config map may be absent."""
    env: dict[EnvironmentName, str] = {}
    """Environment variables of all tasks; never put a secret here."""
    remote: str = ""
    """DVC remote of the data: s3://bucket/prefix or a path; empty for none."""
    seeds: Annotated[str, Field(pattern=r"^([0-9a-f]{32}(\.dir)?)?$")] = ""
    """Revision of the seeds in the remote: the md5 in dvc.lock or a .dvc file; empty takes the built-in ones."""
    own: tuple[Annotated[str, Field(pattern=r"^[0-9a-f]{32}(\.dir)?$")], ...] = ()
    """Revisions in the remote of the folders that `synthesize.own` names, in their order: the md5s in their .dvc files; empty
    takes the folders themselves, where they are in the image.
    """
    shards: Count = 1
    """Tasks that sample at the same time."""
    disk_gb: Positive = 1.0
    """Free gigabytes that the first task insists on."""

    @model_validator(mode="after")
    def _remote(self) -> "ClusterConfig":
        for name, revision in (("seeds", self.seeds), ("own", self.own)):
            if revision and not self.remote:
                raise ValueError(f"{name} names a revision in the DVC remote: give remote as well")
        return self
