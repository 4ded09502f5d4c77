"""Sections for the cluster: what a task of the pipeline asks of Kubernetes. They change no result, and DVC does not see them."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from sense.config.section import Count, Positive, Section

ObjectName = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$", max_length=253)]  # of a Kubernetes object
EnvironmentName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
Quantity = Annotated[str, Field(pattern=r"^[0-9]+(\.[0-9]+)?([EPTGMK]i?|m|k)?$")]
TRAININGS = ("sft", "weak", "dpo")  # tasks that can use several nodes
_LABEL_NAME = r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?"
LabelKey = Annotated[str, Field(pattern=rf"^([a-z0-9]([a-z0-9.-]*[a-z0-9])?/)?{_LABEL_NAME}$", max_length=317)]
LabelValue = Annotated[str, Field(pattern=rf"^({_LABEL_NAME})?$")]
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


class NodeRequirementConfig(Section):
    """A rule of node affinity: what a label of the node must be, or, with a weight, had better be."""

    key: LabelKey
    """Label of the node."""
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"] = "In"
    """How the label is compared with the values."""
    values: tuple[str, ...] = ()
    """Values to compare with; none with Exists and DoesNotExist."""
    weight: Annotated[int, Field(ge=1, le=100)] | None = None
    """How much nodes that fit are preferred; null admits no other nodes."""

    @model_validator(mode="after")
    def _values(self) -> "NodeRequirementConfig":
        if bool(self.values) == (self.operator in ("Exists", "DoesNotExist")):
            raise ValueError(f"operator {self.operator} {'takes no values' if self.values else 'needs values'}")
        return self


class TaskConfig(Section):
    """What one task of the pipeline asks of Kubernetes."""

    cpu: Quantity = "1"
    """CPU request and limit, as a Kubernetes quantity."""
    memory: Quantity = "4Gi"
    """Memory request and limit, as a Kubernetes quantity."""
    gpus: Annotated[int, Field(ge=0)] = 0
    """GPUs of one pod."""
    nodes: Count = 1
    """Nodes of a training (sft, weak or dpo), each with the processors, memory and GPUs named here. Above 1 the task creates a
    TrainJob of Kubeflow Trainer and waits for it; `cluster.checkpoints` must be a ReadWriteMany claim then."""
    accelerator: str = "nvidia.com/gpu"
    """Resource name of the GPUs."""
    shm: Quantity | None = None
    """Size of /dev/shm (memory), which NCCL and data loaders of several GPUs need; null keeps the default of 64 MiB."""
    node_selector: dict[str, str] = {}
    """Labels a node must have."""
    tolerations: tuple[TolerationConfig, ...] = ()
    """Taints of nodes that the pod tolerates."""
    node_affinity: tuple[NodeRequirementConfig, ...] = ()
    """Rules for the labels of nodes. All that have no weight must hold."""
    labels: dict[LabelKey, LabelValue] = {}
    """Labels of the pod."""
    annotations: dict[LabelKey, str] = {}
    """Annotations of the pod."""
    queue: LabelValue | None = None
    """Kueue's local queue that admits the pod (label kueue.x-k8s.io/queue-name); null leaves it to Kubernetes alone."""
    priority_class: LabelValue | None = None
    """Kueue's WorkloadPriorityClass (label kueue.x-k8s.io/priority-class), with `queue`. Kubeflow Pipelines has no field for
    a pod's own priority class."""
    timeout_s: Count | None = None
    """Seconds after which the task is ended; null for no limit."""
    retries: Annotated[int, Field(ge=0)] = 0
    """Further tries after one that failed. A pod that was deleted, as by a drained node, is no failure for Argo: see
    `sense pipeline submit --retries`."""
    backoff_s: Count = 60
    """Seconds before the first retry."""
    backoff_factor: Positive = 2.0
    """Factor by which the wait grows from retry to retry."""
    backoff_max_s: Count = 3600
    """Seconds a wait may grow to."""

    def waiting(self) -> "TaskConfig":
        """What the task itself asks for while a TrainJob trains on the nodes: little, on any node, outside Kueue's queues."""
        of_nodes = ("gpus", "shm", "node_selector", "tolerations", "node_affinity", "queue", "priority_class")
        defaults = {name: type(self).model_fields[name].default for name in ("cpu", "memory", *of_nodes)}
        return self.model_copy(update=defaults)

    def pod_labels(self) -> dict[str, str]:
        """All labels of the pod: its own and Kueue's."""
        kueue = {"queue-name": self.queue, "priority-class": self.priority_class}
        return self.labels | {f"kueue.x-k8s.io/{name}": value for name, value in kueue.items() if value}


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

    @model_validator(mode="after")
    def _only_trainings_on_several_nodes(self) -> "ResourcesConfig":
        for task in type(self).model_fields:
            if task not in TRAININGS and self.of(task).nodes > 1:
                raise ValueError(f"{task}.nodes is {self.of(task).nodes}: only {', '.join(TRAININGS)} can use several nodes")
        return self

    @model_validator(mode="after")
    def _priority_in_a_queue(self) -> "ResourcesConfig":
        for task in type(self).model_fields:
            if self.of(task).priority_class and not self.of(task).queue:
                raise ValueError(f"{task}.priority_class is Kueue's: give {task}.queue too, or defaults.queue")
        return self


class ClaimConfig(Section):
    """A PersistentVolumeClaim and where a task finds it."""

    claim: ObjectName
    """Name of the PersistentVolumeClaim."""
    path: PodPath
    """Where it is mounted in the pod."""


class CheckpointsConfig(Section):
    """Where unfinished work goes, from which a retried task resumes: a claim, or a folder of an object store."""

    claim: ObjectName | None = None
    """Name of the PersistentVolumeClaim, with `path`. Tasks run on several nodes, so it must be ReadWriteMany unless there is
    one node only."""
    path: PodPath | None = None
    """Where the claim is mounted in the pod."""
    uri: Annotated[str, Field(pattern=r"^s3://[^/\s@]+(/\S*)?$")] | None = None
    """In place of a claim: s3://bucket/prefix. Work lies on the pod's own disk and is copied there after every checkpoint;
    addresses and keys come from the environment (AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID, ...)."""

    @model_validator(mode="after")
    def _one(self) -> "CheckpointsConfig":
        if (self.claim is None) != (self.path is None) or (self.claim is None) == (self.uri is None):
            raise ValueError("give either claim and path, or uri")
        return self


class AuthoritiesConfig(Section):
    """A config map with the certificates that tasks trust, in place of the public ones: for servers with a private CA."""

    config_map: ObjectName
    """Name of the config map."""
    key: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]+$")] = "ca-bundle.crt"
    """Key in it: certificates in the PEM format, the public ones among them if tasks reach the hub or a public teacher."""
    path: PodPath = "/etc/sense/ca"
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
    checkpoints: CheckpointsConfig | None = None
    """What holds unfinished work, from which a retried task resumes; null: each try begins anew."""
    secrets: dict[ObjectName, dict[str, EnvironmentName]] = {}
    """Secrets as environment variables: {secret: {key in it: variable}}; a secret may be absent."""
    config_maps: dict[ObjectName, dict[str, EnvironmentName]] = {}
    """Config maps as environment variables: {config map: {key in it: variable}}; a config map may be absent."""
    env: dict[EnvironmentName, str] = {}
    """Environment variables of all tasks; never put a secret here."""
    authorities: AuthoritiesConfig | None = None
    """Certificates that all tasks trust; null for the public ones that are in the image."""
    labels: dict[LabelKey, LabelValue] = {}
    """Labels of the pods of all tasks."""
    cache: bool = True
    """Whether a task whose code, section and inputs are those of an earlier run is taken from Kubeflow's cache."""
    remote: str = ""
    """DVC remote of the data: s3://bucket/prefix or a path; empty for none."""
    seeds: Annotated[str, Field(pattern=r"^([0-9a-f]{32}(\.dir)?|latest)?$")] = ""
    """Revision of the seeds in the remote: the md5 in dvc.lock or a .dvc file. Or `latest`: what `sense data push` has sent
    last under the name of the folder in `data.seeds`, when a run starts. Empty takes the built-in ones.
    """
    own: tuple[Annotated[str, Field(pattern=r"^([0-9a-f]{32}(\.dir)?|latest)$")], ...] = ()
    """Revisions in the remote of the folders that `synthesize.own` names, in their order: the md5s in their .dvc files, or
    `latest`, as in `seeds`; empty takes the folders themselves, where they are in the image.
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
