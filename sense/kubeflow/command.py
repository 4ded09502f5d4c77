"""The command `sense pipeline`: the same params.yaml on Kubeflow, or on this machine as Kubeflow would run it."""

import argparse
import json
import os
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from sense import config, console, records
from sense.config import DataConfig, Params
from sense.errors import UserError

ACTIONS = {
    "check": "look at parameters, MLflow, data remote, seeds, base models, teacher, GPUs and disk from here",
    "compile": "write the pipeline as YAML for the Kubeflow UI",
    "describe": "a table of what each task asks of the cluster",
    "run": "run the pipeline on this machine: every task a process, or a container of the image",
    "submit": "upload the pipeline to a Kubeflow Pipelines server and start a run",
}
_EXAMPLES = {
    "check": "sense pipeline check",
    "compile": "sense pipeline compile --profile sense-7b -o pipeline.yaml",
    "describe": "sense pipeline describe --profile sense-7b",
    "run": "sense pipeline run --runner subprocess --profile tiny",
    "submit": "sense pipeline submit --profile sense-7b --host http://localhost:8080 --wait",
}


def add_arguments(parser: argparse.ArgumentParser, _name: str) -> None:
    """Adds the actions and their flags."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    for name, help_line in ACTIONS.items():
        subparser = actions.add_parser(
            name,
            help=help_line,
            description=help_line[0].upper() + help_line[1:] + ".",
            epilog=f"example:\n  {_EXAMPLES[name]}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        source = subparser.add_mutually_exclusive_group()
        source.add_argument("--params", type=Path, default=Path("params.yaml"), metavar="FILE", help="default: params.yaml")
        source.add_argument("--profile", metavar="NAME", help="instead of --params: configs/NAME.yaml")
        _FLAGS.get(name, lambda _: None)(subparser)


def _compile_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help="written as YAML")


def _describe_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="tasks and inputs as JSON on stdout")


def _input_flag(parser: argparse.ArgumentParser) -> None:
    help_line = "an input of this run, as `sense pipeline describe` lists them; may be repeated"
    parser.add_argument("--input", action="append", default=[], metavar="NAME=VALUE", help=help_line)


def _run_flags(parser: argparse.ArgumentParser) -> None:
    _input_flag(parser)
    parser.add_argument("--runner", choices=("subprocess", "docker"), default="subprocess", help="default: subprocess")
    parser.add_argument("--root", type=Path, default=Path(".sense/kfp"), metavar="DIR", help="outputs, default: .sense/kfp")


def _submit_flags(parser: argparse.ArgumentParser) -> None:
    _input_flag(parser)
    parser.add_argument("--host", required=True, metavar="URL", help="the Kubeflow Pipelines API")
    parser.add_argument("--experiment", default="sense", metavar="NAME", help="default: sense")
    parser.add_argument("--namespace", metavar="NAME", help="a Kubeflow profile's, where there are several users")
    parser.add_argument("--service-account", default="", metavar="NAME", help="of the pods, default: the server's")
    parser.add_argument("--pipeline-root", default="", metavar="URI", help="where artifacts are kept, default: the server's")
    parser.add_argument("--label", action="append", default=[], metavar="KEY=VALUE", help="label of all pods; may be repeated")
    parser.add_argument("--no-cache", action="store_true", help="take no task from Kubeflow's cache")
    parser.add_argument("--cron", default="", metavar="SCHEDULE", help="runs that recur: six fields, e.g. '0 0 3 * * 1'")
    parser.add_argument(
        "--ca-file", type=Path, metavar="FILE", help="certificates to trust, default: SSL_CERT_FILE or the public ones"
    )
    parser.add_argument("--wait", action="store_true", help="until the run has ended; exit code 2 unless it succeeded")
    parser.add_argument("--retries", type=int, default=0, metavar="N", help="with --wait: tries of a run that failed, default: 0")


_FLAGS = {"compile": _compile_flags, "describe": _describe_flags, "run": _run_flags, "submit": _submit_flags}


def main(options: argparse.Namespace) -> int:
    """Carries out one action; returns the exit code."""
    path = Path("configs") / f"{options.profile}.yaml" if options.profile else options.params
    params_file = ParamsFile(config.load(path), records.read_text(path))
    _ACTIONS[options.action](params_file, options)
    return 0


class ParamsFile(NamedTuple):
    """A params.yaml: its values and its text."""

    params: Params
    text: str


def _build(params_file: ParamsFile, project: str = "/opt/sense") -> Callable[..., Any]:
    from pipelines.sense import build
    from sense.stages import code_digest

    params, text = params_file
    pipeline: Callable[..., Any] = build(params, text, code_digest(), _data_rev(params), project)
    return pipeline


def _data_rev(params: Params) -> str:
    """The revision of the seeds and of one's own databases: those of the data remote, or digests; the built-in seeds are code."""
    built_in = params.data.seeds == DataConfig().seeds
    seeds = params.cluster.seeds or ("built-in" if built_in else _digest(params.data.seeds))
    return " ".join([seeds, *(params.cluster.own or map(_digest, params.synthesize.own))])


def _digest(name: str) -> str:
    """The digest of a folder; its name, if it is not here."""
    folder = Path(name)
    return records.digest(folder) if folder.is_dir() else name


def _check(params_file: ParamsFile, _options: argparse.Namespace) -> None:
    from sense.kubeflow import preflight

    cluster = params_file.params.cluster
    value = config.parse(params_file.text, "params.yaml")
    around = preflight.Surroundings(params_file.params.resources.of("check").gpus, cluster.disk_gb, cluster.remote)
    results = preflight.run_checks(value, around)
    for result in results:
        console.say(f"{result.state:7} {result.name}: {result.detail}")
    _say_access_modes(cluster)
    preflight.require_all(results)


def _inputs(params_file: ParamsFile, options: argparse.Namespace) -> dict[str, Any]:
    """The inputs of a run that the flags give, of their types; ConfigError if the parameters would be wrong with them."""
    from sense.kubeflow import run_inputs

    values = run_inputs.parse(options.input)
    run_inputs.check(params_file.text, values)
    return values


def _compile(params_file: ParamsFile, options: argparse.Namespace) -> None:
    from sense.kubeflow.pipeline_spec import compile_pipeline

    records.write_text(options.output, compile_pipeline(_build(params_file)))
    console.say(f"pipeline: {options.output}")


def _describe(params_file: ParamsFile, options: argparse.Namespace) -> None:
    from sense.kubeflow import run_inputs
    from sense.kubeflow.pipeline_spec import compile_pipeline, describe_tasks, print_rows

    rows = describe_tasks(compile_pipeline(_build(params_file)))
    inputs = run_inputs.describe(params_file.params)
    if options.json:
        print(json.dumps({"tasks": rows, "inputs": inputs}, indent=2))
    else:
        print_rows(rows)
        print_rows(inputs)
        _say_access_modes(params_file.params.cluster)


def _say_access_modes(cluster: config.ClusterConfig) -> None:
    """What Kubernetes would say only once a pod waits on another node: how claims must be made that several nodes mount."""
    if cluster.checkpoints and cluster.checkpoints.claim:
        console.say(
            f"note: tasks on several nodes mount the claim {cluster.checkpoints.claim}: it must be ReadWriteMany; "
            "cluster.checkpoints.uri, an object store, needs no claim"
        )
    if cluster.weights:
        console.say(
            f"note: tasks on several nodes mount the claim {cluster.weights.claim}: it must be ReadOnlyMany or ReadWriteMany"
        )


def _run(params_file: ParamsFile, options: argparse.Namespace) -> None:
    from sense.kubeflow import local
    from sense.kubeflow.pipeline_spec import compile_pipeline

    inputs = _inputs(params_file, options)
    project = str(Path.cwd())
    if options.runner == "docker":
        project = "/opt/sense"
        local.require_image(params_file.params.cluster.image)
    pipeline = _build(params_file._replace(params=local.without_cluster(params_file.params)), project)
    environment = {**config.container_variables(), **params_file.params.cluster.env}
    user = f"{os.getuid() or params_file.params.cluster.run_as_user}:{params_file.params.cluster.run_as_group}"  # never root
    folder = local.run(pipeline, options.runner, options.root, environment, user, inputs)
    local.verify(folder, compile_pipeline(pipeline))
    console.say(f"outputs: {folder}\nreport:  {folder / 'report' / 'report'}")


def _submit(params_file: ParamsFile, options: argparse.Namespace) -> None:
    import hashlib
    import tempfile

    from sense.kubeflow import submit
    from sense.kubeflow.pipeline_spec import compile_pipeline, with_variables

    if options.cron and options.wait:
        raise UserError("--wait is for one run: leave it out with --cron")
    inputs = _inputs(params_file, options)
    text = compile_pipeline(_build(params_file._replace(params=_for_submit(params_file.params, options))))
    version = hashlib.sha256(text.encode()).hexdigest()[:12]
    names = config.PIPELINE_VARIABLES
    text = with_variables(text, {names["version"]: version, names["host"]: options.host})
    settings = submit.RunSettings(
        f"sense {version} {datetime.now():%Y-%m-%d %H:%M:%S}",
        options.experiment,
        options.namespace,
        options.service_account,
        options.pipeline_root,
        options.cron,
        inputs,
    )
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "pipeline.yaml"
        records.write_text(file, text)
        run = submit.submit(options.host, file, version, settings, options.ca_file)
    print(run.link, flush=True)  # at once, also into a pipe: the run may take days
    if options.wait:
        submit.wait(options.host, run, ca_file=options.ca_file, retries=options.retries)


def _for_submit(params: Params, options: argparse.Namespace) -> Params:
    """The parameters with what the flags of `submit` say of the cluster."""
    pairs = [label.partition("=") for label in options.label]
    if not all(separator for _, separator, _ in pairs):
        raise UserError(f"--label {' '.join(options.label)}: write KEY=VALUE")
    cluster = params.cluster.model_dump() | {
        "labels": params.cluster.labels | {key: value for key, _, value in pairs},
        "cache": params.cluster.cache and not options.no_cache,
    }
    return params.model_copy(update={"cluster": config.validate(config.ClusterConfig, cluster, "--label")})


_ACTIONS = {"check": _check, "compile": _compile, "describe": _describe, "run": _run, "submit": _submit}
