"""The first task: the parameters of the run, and checks of all that it needs, before GPU hours are spent."""

from typing import NamedTuple

from kfp import dsl


@dsl.component(base_image="sense-train:dev", install_kfp_package=False)
def check(
    params: str,
    gpus: int,
    disk_gb: float,
    remote: str,
    data_rev: str,
    weights: str,
    shm: str,
    claims: list,
    synthesize_seed: int,
    synthesize_count: int,
    teacher_model: str,
    sft_base: str,
    sft_seed: int,
    sft_learning_rate: float,
    weak_base: str,
    weak_seed: int,
    weak_learning_rate: float,
    sample_seed: int,
    sample_k: int,
    sample_temperature: float,
    dpo_seed: int,
    dpo_learning_rate: float,
    dpo_beta: float,
    promote: bool,
    summary: dsl.Output[dsl.Markdown],
) -> NamedTuple(
    "Sections",
    merged=str,
    data_key=str,
    seeds=str,
    own=list,
    ingest=dict,
    synthesize=dict,
    sft=dict,
    weak=dict,
    sample=dict,
    prefer=dict,
    dpo=dict,
    evaluate=dict,
    publish=dict,
    report=dict,
):
    """Changes `params`, the text of params.yaml, by the inputs of the run, and fails with all that is wrong.

    Returns the changed text, the data that the run takes (a part of all cache keys) with its revisions, and the sections of the
    stages. `summary` lists the checks.
    """
    arguments = locals()
    from sense import config
    from sense.kubeflow import preflight, run_inputs, stage_task, task_files

    values = {row.name: arguments[row.name] for row in run_inputs.INPUTS}
    text = run_inputs.merge(params, values)
    around = preflight.Surroundings(gpus, disk_gb, remote, weights, shm, tuple(claims))
    stage_task.check(config.parse(text, "params.yaml"), around, values, summary)
    merged_params = config.validate(config.Params, config.parse(text, "params.yaml"), "params.yaml")
    data = task_files.resolve_data(merged_params, data_rev)
    return text, *data, *run_inputs.sections(merged_params).values()
