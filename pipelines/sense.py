"""The pipeline on Kubeflow: how the components are connected, what each task requests of the cluster, and what is cached."""

import inspect
import json
from collections.abc import Callable, Sequence
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
from sense.config import PIPELINE_VARIABLES, ClusterConfig, NodeRequirementConfig, Params, TaskConfig
from sense.kubeflow import run_inputs, train_job

_DESCRIPTION = "SENSE (arXiv 2408.03256): synthetic data, SFT, weak samples, cDPO, evaluation, registry"
_LOADS_MODELS = {"sft", "weak", "sample", "dpo", "evaluate", "publish"}
_READS_WEIGHTS = {"check", *_LOADS_MODELS}
# Tasks that keep unfinished work on the volume of checkpoints; the check is here because it looks for space on that volume.
_RESUMES = {"check", "ingest", "synthesize", "prefer", "report", *_LOADS_MODELS}
# What Kubeflow Pipelines and Argo label every pod with. As variables, not as inputs, they are no part of Kubeflow's cache keys.
_POD_LABELS = {"run_id": "pipeline/runid", "workflow": "workflows.argoproj.io/workflow"}
_NEVER_CACHED = {"check", "gate", "publish", "version"}  # they look at, or change, what lies outside the pipeline


def build(params: Params, text: str, code_rev: str, data_rev: str, project: str = "/opt/sense") -> Callable[..., Any]:
    """The pipeline for `params`; `text` is the content of the file they come from. Its inputs are `run_inputs.INPUTS`.

    `code_rev` and the data that the first task resolves (from `data_rev`, and `latest`) are inputs of every task that is cached,
    because Kubeflow's cache keys hold no file contents: a change in the code, the seeds or one's own databases changes the keys.
    `project` is the folder with dvc.yaml: in the image, or the working copy for a run on this machine.
    """
    cluster = params.cluster

    def configure(name: str, task: dsl.PipelineTask) -> dsl.PipelineTask:
        return _configure(params, name, task)

    inputs = run_inputs.defaults(params)

    def spread(name: str) -> dict[str, Any]:
        """The GPUs over which a training is spread, and, where they are on several nodes, as which TrainJob."""
        resources = params.resources.of(name)
        job = json.dumps(train_job.manifests(name, params), sort_keys=True) if resources.nodes > 1 else ""
        return {"gpus": resources.gpus, "job": job}

    def check_parameters(values: dict[str, Any]) -> dsl.PipelineTask:
        """The first task; its outputs are the sections, changed by `values`: a stage's cache key has its own section alone."""
        claims = {claim.claim for claim in (cluster.weights, cluster.checkpoints) if claim and claim.claim}
        task = check.check(
            params=text,
            gpus=params.resources.of("check").gpus,
            disk_gb=cluster.disk_gb,
            remote=cluster.remote,
            data_rev=data_rev,
            weights=cluster.weights.path if cluster.weights else "",
            shm=params.resources.of("check").shm or "",
            claims=sorted(claims),
            **values,
        )
        return configure("check", task)

    def sense(*channels: Any) -> None:
        check_task = check_parameters(dict(zip(inputs, channels, strict=True)))
        sections = check_task.outputs
        revisions = {"code_rev": code_rev, "data_rev": sections["data_key"]}
        seeds_task = configure(
            "seeds",
            seeds.seeds(
                remote=cluster.remote,
                revision=sections["seeds"],
                folder=params.data.seeds,
                own_revisions=sections["own"],
                own_folders=list(params.synthesize.own),
                data_rev=sections["data_key"],
            ),
        )
        ingested = configure(
            "ingest", ingest.ingest(section=sections["ingest"], seeds=seeds_task.outputs["seeds"], **revisions)
        ).outputs
        synthesized = configure(
            "synthesize",
            synthesize.synthesize(
                section=sections["synthesize"],
                seed=ingested["seed"],
                dev=ingested["dev"],
                own=seeds_task.outputs["own"],
                **revisions,
            ),
        ).outputs
        training_data = {"strong": synthesized["strong"], "seed": ingested["seed"]}
        student = configure("sft", sft.sft(section=sections["sft"], **spread("sft"), **training_data, **revisions)).outputs
        weak_task = sft.sft(section=sections["weak"], **spread("weak"), **training_data, **revisions)
        weak = configure("weak", weak_task.set_display_name("weak")).outputs
        sampled = student if params.sample.model == "sft" else weak
        with dsl.ParallelFor(list(range(cluster.shards)), name="shards") as shard:
            sample_task = configure(
                "sample",
                sample.sample(
                    section=sections["sample"],
                    shard=shard,
                    shards=cluster.shards,
                    model=sampled["model"],
                    unseen=synthesized["unseen"],
                    **revisions,
                ),
            )
        merged = configure(
            "merge",
            merge.merge(
                section=sections["sample"],
                unseen=synthesized["unseen"],
                parts=dsl.Collected(sample_task.outputs["samples"]),
                **revisions,
            ),
        ).outputs
        preferred = configure(
            "prefer",
            prefer.prefer(section=sections["prefer"], samples=merged["samples"], unseen=synthesized["unseen"], **revisions),
        ).outputs
        if cluster.remote:
            configure(
                "version",
                version.version(
                    params=sections["merged"],
                    remote=cluster.remote,
                    project=project,
                    seeds=seeds_task.outputs["seeds"],
                    seed=ingested["seed"],
                    dev=ingested["dev"],
                    strong=synthesized["strong"],
                    unseen=synthesized["unseen"],
                    heldout=synthesized["heldout"],
                    decontamination=synthesized["decontamination"],
                    model=sampled["model"],
                    samples=merged["samples"],
                    pairs=preferred["pairs"],
                    ingest_metrics=ingested["metrics"],
                    synthesize_metrics=synthesized["metrics"],
                    sample_metrics=merged["metrics"],
                    prefer_metrics=preferred["metrics"],
                    **revisions,
                ),
            )
        tuned = configure(
            "dpo",
            dpo.dpo(
                section=sections["dpo"],
                **spread("dpo"),
                sft=student["model"],
                pairs=preferred["pairs"],
                samples=merged["samples"],
                unseen=synthesized["unseen"],
                **training_data,
                **revisions,
            ),
        ).outputs
        sets = {"dev": ingested["dev"], "heldout": synthesized["heldout"]}
        evaluated = configure(
            "evaluate",
            evaluate.evaluate(
                section=sections["evaluate"],
                sft=student["model"],
                sense=tuned["model"],
                unseen=synthesized["unseen"],
                decontamination=synthesized["decontamination"],
                **training_data,
                **sets,
                **revisions,
            ),
        ).outputs
        collected = configure(
            "collect",
            collect.collect(
                ingest=ingested["metrics"],
                synthesize=synthesized["metrics"],
                sft=student["metrics"],
                weak=weak["metrics"],
                sample=merged["metrics"],
                prefer=preferred["metrics"],
                dpo=tuned["metrics"],
                evaluate=evaluated["metrics"],
                sft_curve=student["curve"],
                weak_curve=weak["curve"],
                dpo_curve=tuned["curve"],
            ),
        ).outputs
        results = {"samples": merged["samples"], "pairs": preferred["pairs"], "strong": synthesized["strong"]}
        results |= {"predictions": evaluated["predictions"], **sets}
        configure(
            "report",
            report.report(
                section=sections["report"],
                metrics=collected["metrics"],
                unseen=synthesized["unseen"],
                **results,
                **revisions,
            ),
        )
        publish_if_better(
            params, sections["publish"], revisions, sense=tuned["model"], evaluation=evaluated["metrics"], **results
        )

    sense.__signature__ = inspect.Signature(  # type: ignore[attr-defined]  # as KFP reads it: inputs with types and defaults
        [
            inspect.Parameter(row.name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=inputs[row.name], annotation=row.kind)
            for row in run_inputs.INPUTS
        ]
    )
    sense.__doc__ = "\n".join([_DESCRIPTION, "", "Args:", *(f"    {row.name}: {row.description}" for row in run_inputs.INPUTS)])
    return dsl.pipeline(sense, name="sense", description=_DESCRIPTION)


def publish_if_better(params: Params, section: Any, revisions: dict[str, str], **inputs: Any) -> None:
    """The gate and its two branches: the model is registered in both, and may become champion in one.

    `section` and `inputs` are those of the stage publish.
    """
    gate_task = _configure(params, "gate", gate.gate(section=section, evaluation=inputs["evaluation"], **revisions))
    with dsl.If(gate_task.outputs["Output"] == True, name="better"):  # noqa: E712  (KFP overloads the comparison)
        task = publish.publish(section=section, promote=True, **inputs, **revisions)
        _configure(params, "publish", task.set_display_name("publish"))
    with dsl.Else(name="not-better"):
        task = publish.publish(section=section, promote=False, **inputs, **revisions)
        _configure(params, "publish", task.set_display_name("register"))


def _configure(params: Params, name: str, task: dsl.PipelineTask) -> dsl.PipelineTask:
    """Sets all that the task asks of the cluster, and its caching; returns the task."""
    resources, cluster = params.resources.of(name), params.cluster
    task.set_container_image(cluster.image)
    task.set_caching_options(cluster.cache and name not in _NEVER_CACHED)
    if resources.nodes > 1:  # the task creates a TrainJob, and waits
        resources = resources.waiting()
    _set_resources(task, resources)
    _set_pod(task, resources, cluster)
    _mount_volumes(task, name, resources, cluster)
    _set_environment(task, cluster)
    _name_run(task, name, cluster)
    return task


def _set_resources(task: dsl.PipelineTask, resources: TaskConfig) -> None:
    """CPU, memory, GPUs, time limit and retries."""
    task.set_cpu_request(resources.cpu).set_cpu_limit(resources.cpu)
    task.set_memory_request(resources.memory).set_memory_limit(resources.memory)
    if resources.gpus:
        task.set_accelerator_type(resources.accelerator).set_accelerator_limit(resources.gpus)
    if resources.timeout_s:
        kubernetes.set_timeout(task, resources.timeout_s)
    if resources.retries:
        backoff = {"backoff_duration": f"{resources.backoff_s}s", "backoff_max_duration": f"{resources.backoff_max_s}s"}
        task.set_retry(resources.retries, backoff_factor=resources.backoff_factor, **backoff)


def _set_pod(task: dsl.PipelineTask, resources: TaskConfig, cluster: ClusterConfig) -> None:
    """On which nodes, under which labels and as whom the pod runs, and how its image is pulled."""
    for label, value in sorted(resources.node_selector.items()):
        kubernetes.add_node_selector(task, label, value)
    for toleration in resources.tolerations:
        kubernetes.add_toleration(task, toleration.key, toleration.operator, toleration.value, toleration.effect)
    _add_node_affinity(task, resources.node_affinity)
    for label, value in sorted((cluster.labels | resources.pod_labels()).items()):
        kubernetes.add_pod_label(task, label, value)
    for annotation, value in sorted(resources.annotations.items()):
        kubernetes.add_pod_annotation(task, annotation, value)
    if cluster.image_pull_secrets:
        kubernetes.set_image_pull_secrets(task, list(cluster.image_pull_secrets))
    kubernetes.set_security_context(
        task, run_as_user=cluster.run_as_user, run_as_group=cluster.run_as_group, run_as_non_root=True
    )


def _mount_volumes(task: dsl.PipelineTask, name: str, resources: TaskConfig, cluster: ClusterConfig) -> None:
    """Shared memory, the claims, and the certificates, with the variables that name their places."""
    if resources.shm:
        kubernetes.empty_dir_mount(task, "shm", "/dev/shm", medium="Memory", size_limit=resources.shm)  # noqa: S108
    if cluster.weights and name in _READS_WEIGHTS:
        kubernetes.mount_pvc(task, cluster.weights.claim, cluster.weights.path)
        task.set_env_variable("HF_HUB_CACHE", cluster.weights.path)
    if cluster.checkpoints and cluster.checkpoints.uri and name in _RESUMES:
        task.set_env_variable("SENSE_CHECKPOINTS", cluster.checkpoints.uri)
    elif cluster.checkpoints and name in _RESUMES:
        kubernetes.mount_pvc(task, cluster.checkpoints.claim, cluster.checkpoints.path)
        task.set_env_variable("SENSE_WORK", f"{cluster.checkpoints.path}/work")  # keyed by code, section and inputs
    if cluster.authorities:
        kubernetes.use_config_map_as_volume(task, cluster.authorities.config_map, cluster.authorities.path)
        for variable in train_job.AUTHORITIES:
            task.set_env_variable(variable, f"{cluster.authorities.path}/{cluster.authorities.key}")


def _set_environment(task: dsl.PipelineTask, cluster: ClusterConfig) -> None:
    """Environment variables: the profile's, and those from secrets and config maps."""
    for variable, value in sorted(cluster.env.items()):
        task.set_env_variable(variable, value)
    for secret, keys in sorted(cluster.secrets.items()):
        kubernetes.use_secret_as_env(task, secret, dict(keys), optional=True)
    for config_map, keys in sorted(cluster.config_maps.items()):
        kubernetes.use_config_map_as_env(task, config_map, dict(keys), optional=True)


def _name_run(task: dsl.PipelineTask, name: str, cluster: ClusterConfig) -> None:
    """Tells the task in its environment of which pipeline run it is which task, for its run in MLflow."""
    task.set_env_variable(PIPELINE_VARIABLES["name"], name)
    task.set_env_variable(PIPELINE_VARIABLES["image"], cluster.image)
    for field, label in _POD_LABELS.items():
        kubernetes.use_field_path_as_env(task, PIPELINE_VARIABLES[field], f"metadata.labels['{label}']")


def _add_node_affinity(task: dsl.PipelineTask, rules: Sequence[NodeRequirementConfig]) -> None:
    """All rules without a weight in one term, as terms are alternatives; each with a weight in one of its own."""
    expressions = [({"key": rule.key, "operator": rule.operator, "values": list(rule.values)}, rule.weight) for rule in rules]
    required = [expression for expression, weight in expressions if weight is None]
    if required:
        kubernetes.add_node_affinity(task, match_expressions=required)
    for expression, weight in expressions:
        if weight is not None:
            kubernetes.add_node_affinity(task, match_expressions=[expression], weight=weight)
