"""The pipeline on Kubeflow: how the components are wired, what each task asks of the cluster, and what is cached."""

from collections.abc import Callable
from typing import Any

from kfp import dsl, kubernetes

from components import (
    check,
    collect,
    dpo,
    evaluate,
    gate,
    ingest,
    merge,
    prefer,
    publish,
    report,
    sample,
    seeds,
    sft,
    synthesize,
    version,
)
from sense.config import Params

_LOADS_MODELS = {"sft", "weak", "sample", "dpo", "evaluate", "publish"}
_RESUMES = {"check", "ingest", "synthesize", "prefer", "report", *_LOADS_MODELS}  # and the check, which looks for space
_NEVER_CACHED = {"check", "gate", "publish", "version"}  # they look at, or change, what lies outside the pipeline


def build(params: Params, text: str, code_rev: str, data_rev: str, project: str = "/opt/sense") -> Callable[..., Any]:
    """The pipeline for `params`, whose file holds `text`; the revisions make its cache keys honest: these hold no file contents.

    `project` is where tasks find dvc.yaml: in the image, or the working copy for a run on this machine.
    """
    section = {
        name: value
        for name, value in params.model_dump(mode="json", exclude_none=True).items()
        if name not in ("cluster", "resources")
    }
    revisions = {"code_rev": code_rev, "data_rev": data_rev}
    cluster = params.cluster

    def placed(name: str, task: dsl.PipelineTask) -> dsl.PipelineTask:
        return _place(params, name, task)

    def gpus(name: str) -> int:
        return max(1, params.resources.of(name).gpus)

    @dsl.pipeline(
        name="sense", description="SENSE (arXiv 2408.03256): synthetic data, SFT, weak samples, cDPO, evaluation, registry"
    )
    def sense() -> None:
        """Every task of the run; arrows are the artifacts that tasks pass on."""
        checked = placed(
            "check",
            check.check(params=text, gpus=params.resources.of("check").gpus, disk_gb=cluster.disk_gb, remote=cluster.remote),
        )
        fetched = placed(
            "seeds", seeds.seeds(remote=cluster.remote, revision=cluster.seeds, folder=params.data.seeds, data_rev=data_rev)
        )
        fetched.after(checked)
        start = placed("ingest", ingest.ingest(section=section["ingest"], seeds=fetched.outputs["seeds"], **revisions)).outputs
        strong = placed(
            "synthesize", synthesize.synthesize(section=section["synthesize"], seed=start["seed"], **revisions)
        ).outputs
        data = {"strong": strong["strong"], "seed": start["seed"]}
        student = placed("sft", sft.sft(section=section["sft"], processes=gpus("sft"), **data, **revisions)).outputs
        weak_task = sft.sft(section=section["weak"], processes=gpus("weak"), **data, **revisions)
        weak = placed("weak", weak_task.set_display_name("weak")).outputs
        with dsl.ParallelFor(list(range(cluster.shards)), name="shards") as shard:
            part = placed(
                "sample",
                sample.sample(
                    section=section["sample"],
                    shard=shard,
                    shards=cluster.shards,
                    model=weak["model"],
                    unseen=strong["unseen"],
                    **revisions,
                ),
            )
        drawn = placed(
            "merge",
            merge.merge(
                section=section["sample"],
                unseen=strong["unseen"],
                parts=dsl.Collected(part.outputs["samples"]),
                **revisions,
            ),
        ).outputs
        pairs = placed(
            "prefer",
            prefer.prefer(section=section["prefer"], samples=drawn["samples"], unseen=strong["unseen"], **revisions),
        ).outputs
        if cluster.remote:
            placed(
                "version",
                version.version(
                    params=text,
                    remote=cluster.remote,
                    project=project,
                    seeds=fetched.outputs["seeds"],
                    seed=start["seed"],
                    dev=start["dev"],
                    strong=strong["strong"],
                    unseen=strong["unseen"],
                    heldout=strong["heldout"],
                    weak=weak["model"],
                    samples=drawn["samples"],
                    pairs=pairs["pairs"],
                    ingest_metrics=start["metrics"],
                    synthesize_metrics=strong["metrics"],
                    sample_metrics=drawn["metrics"],
                    prefer_metrics=pairs["metrics"],
                    **revisions,
                ),
            )
        tuned = placed(
            "dpo",
            dpo.dpo(
                section=section["dpo"],
                processes=gpus("dpo"),
                sft=student["model"],
                pairs=pairs["pairs"],
                unseen=strong["unseen"],
                **revisions,
            ),
        ).outputs
        sets = {"dev": start["dev"], "heldout": strong["heldout"]}
        judged = placed(
            "evaluate",
            evaluate.evaluate(section=section["evaluate"], sft=student["model"], sense=tuned["model"], **sets, **revisions),
        ).outputs
        measured = placed(
            "collect",
            collect.collect(
                ingest=start["metrics"],
                synthesize=strong["metrics"],
                sft=student["metrics"],
                weak=weak["metrics"],
                sample=drawn["metrics"],
                prefer=pairs["metrics"],
                dpo=tuned["metrics"],
                evaluate=judged["metrics"],
                sft_curve=student["curve"],
                weak_curve=weak["curve"],
                dpo_curve=tuned["curve"],
            ),
        ).outputs["metrics"]
        shown = {"samples": drawn["samples"], "pairs": pairs["pairs"], "strong": strong["strong"]}
        shown |= {"predictions": judged["predictions"], **sets}
        placed(
            "report",
            report.report(
                section=section["report"],
                metrics=measured,
                unseen=strong["unseen"],
                **shown,
                **revisions,
            ),
        )
        publish_if_better(params, revisions, sense=tuned["model"], evaluation=judged["metrics"], **shown)

    return sense


def publish_if_better(params: Params, revisions: dict[str, str], **model: Any) -> None:
    """The gate and its two branches: the model is registered in both, and may become champion in one.

    `model` are the inputs of the stage publish.
    """
    section = params.publish.model_dump(mode="json", exclude_none=True)
    passed = _place(params, "gate", gate.gate(section=section, evaluation=model["evaluation"], **revisions))
    with dsl.If(passed.outputs["Output"] == True, name="better"):  # noqa: E712  (KFP overloads the comparison)
        better = publish.publish(section=section, promote=True, **model, **revisions)
        _place(params, "publish", better.set_display_name("publish"))
    with dsl.Else(name="not-better"):
        worse = publish.publish(section=section, promote=False, **model, **revisions)
        _place(params, "publish", worse.set_display_name("register"))


def _place(params: Params, name: str, task: dsl.PipelineTask) -> dsl.PipelineTask:
    """Asks for what the task needs: image, cpu, memory, GPUs, nodes, volumes, secrets, time and retries."""
    asked, cluster = params.resources.of(name), params.cluster
    task.set_container_image(cluster.image)
    task.set_cpu_request(asked.cpu).set_cpu_limit(asked.cpu)
    task.set_memory_request(asked.memory).set_memory_limit(asked.memory)
    task.set_caching_options(name not in _NEVER_CACHED)
    if asked.gpus:
        task.set_accelerator_type(asked.accelerator).set_accelerator_limit(asked.gpus)
    for label, value in sorted(asked.node_selector.items()):
        kubernetes.add_node_selector(task, label, value)
    for toleration in asked.tolerations:
        kubernetes.add_toleration(task, toleration.key, toleration.operator, toleration.value, toleration.effect)
    if asked.shm:
        kubernetes.empty_dir_mount(task, "shm", "/dev/shm", medium="Memory", size_limit=asked.shm)  # noqa: S108
    if asked.timeout_s:
        kubernetes.set_timeout(task, asked.timeout_s)
    if asked.retries:
        backoff = {"backoff_duration": f"{asked.backoff_s}s", "backoff_max_duration": f"{asked.backoff_max_s}s"}
        task.set_retry(asked.retries, backoff_factor=asked.backoff_factor, **backoff)
    if cluster.weights and name in _LOADS_MODELS:
        kubernetes.mount_pvc(task, cluster.weights.claim, cluster.weights.path)
        task.set_env_variable("HF_HUB_CACHE", cluster.weights.path)
    if cluster.checkpoints and name in _RESUMES:
        kubernetes.mount_pvc(task, cluster.checkpoints.claim, cluster.checkpoints.path)
        task.set_env_variable("SENSE_WORK", f"{cluster.checkpoints.path}/work")  # keyed by code, section and inputs
    for variable, value in sorted(cluster.env.items()):
        task.set_env_variable(variable, value)
    for secret, keys in sorted(cluster.secrets.items()):
        kubernetes.use_secret_as_env(task, secret, dict(keys), optional=True)
    for config_map, keys in sorted(cluster.config_maps.items()):
        kubernetes.use_config_map_as_env(task, config_map, dict(keys), optional=True)
    if cluster.image_pull_secrets:
        kubernetes.set_image_pull_secrets(task, list(cluster.image_pull_secrets))
    kubernetes.set_security_context(
        task, run_as_user=cluster.run_as_user, run_as_group=cluster.run_as_group, run_as_non_root=True
    )
    return task
