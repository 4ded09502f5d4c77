"""A model package is sent to MLflow and becomes a version of a registered model, once, however often it is killed on the way."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mlflow.entities import Dataset, DatasetInput, LoggedModelOutput, LoggedModelStatus, Metric
from mlflow.exceptions import MlflowException

from sense import records
from sense.errors import InputError, StorageError
from sense.registry import versions
from sense.registry.package import DatasetMetric, ModelPackage, write_files
from sense.registry.versions import RegisteredVersion
from sense.tracking import runs, store

_DIGEST_LENGTH = 36  # MLflow's longest digest of a data set
_DESCRIPTION_LENGTH = 5000  # characters; PostgreSQL and MySQL refuse more


@store.endpoint_errors()
def register_model(package: ModelPackage, staging: Path) -> RegisteredVersion:
    """Registers `package` and returns its version; a package with the key of an earlier one gives that one's version.

    Everything is found by the key and made only where it is missing, so a killed call is completed by its repetition.
    `staging` is a folder that may be deleted. Raises StorageError if the store lacks a file afterwards.
    """
    opened = store.open_store()
    with runs.open_run("publish", package.key, package.params, package.tags) as run:
        _log_data(opened.client, run, package.data)
        version = _find_version(opened.client, package)
        model = _logged_model(opened, version, package, run)
        if model.status != LoggedModelStatus.READY:
            _upload(opened.client, model, write_files(package, staging, model, run.id), staging)
        _log_metrics(opened.client, run, model.model_id, package.metrics)
        if version is None:
            version = _create_version(opened.client, package, run.id, model.model_id)
        run.log(0, package.costs)
        run.finish({})
    records.remove(staging)
    return version


def _log_data(client: Any, run: runs.TrackedRun, data: Mapping[str, str]) -> None:
    """The data sets behind the model, as inputs of the run."""
    inputs = [
        DatasetInput(Dataset(name, digest[:_DIGEST_LENGTH], "local", json.dumps({"sha256": digest})))
        for name, digest in data.items()
    ]
    client.log_inputs(run.id, inputs)


def _logged_model(
    opened: store.TrackingStore, version: RegisteredVersion | None, package: ModelPackage, run: runs.TrackedRun
) -> Any:
    """The logged model behind `version`, or with the package's key; else a new one, still without files."""
    if version is not None:
        try:
            return opened.client.get_logged_model(version.model_id)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            raise InputError(
                f"{package.name} version {version.version}: its logged model {version.model_id} was deleted; "
                "delete the version too, then publish again"
            ) from None
    condition = f"tags.`{store.KEY_TAG}` = '{package.key}'"
    models = opened.client.search_logged_models([opened.experiment], condition, max_results=1)
    model = models[0] if models else _create_logged_model(opened, package, run)
    outputs = opened.client.get_run(run.id).outputs
    logged = [output.model_id for output in (outputs.model_outputs if outputs else [])]
    if model.model_id not in logged:  # MLflow refuses the same output twice
        opened.client.log_outputs(run.id, [LoggedModelOutput(model.model_id, step=0)])
    return model


def _create_logged_model(opened: store.TrackingStore, package: ModelPackage, run: runs.TrackedRun) -> Any:
    return opened.client.create_logged_model(
        opened.experiment,
        name=package.name.replace(".", "-"),  # a logged model's name allows less than a registered one's
        source_run_id=run.id,
        tags={**package.tags, store.KEY_TAG: package.key},
        params={name: str(value) for name, value in runs.mlflow_keys(package.params).items()},
        model_type="text-to-sql",
    )


def _upload(client: Any, model: Any, expected: Mapping[str, int], staging: Path) -> None:
    """Sends the files of `staging` and declares the model ready; StorageError unless the store lists each with its size."""
    client.log_model_artifacts(model.model_id, str(staging))
    stored = _list_artifacts(client, model.model_id, None)
    wrong = [path for path, size in expected.items() if path not in stored or stored[path] not in (size, None)]
    if wrong:
        raise StorageError(
            f"MLflow's store does not hold {', '.join(wrong[:5])} of the model {model.model_id} as sent ({len(wrong)} of "
            f"{len(expected)} files are missing or of another size); check space and rights of its artifact store, then run again"
        )
    client.finalize_logged_model(model.model_id, LoggedModelStatus.READY)


def _list_artifacts(client: Any, model_id: str, path: str | None) -> dict[str, int | None]:
    """Every artifact below `path`: its path and its size in bytes, None where the store does not say."""
    sizes: dict[str, int | None] = {}
    for entry in client.list_logged_model_artifacts(model_id, path):
        if entry.is_dir:
            sizes |= _list_artifacts(client, model_id, entry.path)
        else:
            sizes[entry.path] = entry.file_size
    return sizes


def _log_metrics(client: Any, run: runs.TrackedRun, model_id: str, metrics: Sequence[DatasetMetric]) -> None:
    """Logs the metrics with the time at which the run started: MLflow takes the same point only once."""
    points = [
        Metric(
            metric.name,
            metric.value,
            run.started,
            step=0,
            model_id=model_id,
            dataset_name=metric.dataset,
            dataset_digest=metric.digest[:_DIGEST_LENGTH],
        )
        for metric in metrics
    ]
    client.log_batch(run.id, metrics=points)


def _create_version(client: Any, package: ModelPackage, run_id: str, model_id: str) -> RegisteredVersion:
    try:
        client.create_registered_model(package.name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    tags = {**package.tags, store.KEY_TAG: package.key}  # written with the version: it is never there without its key
    source = f"models:/{model_id}"
    card = shorten_card(package.card)
    version = client.create_model_version(package.name, source, run_id, tags, description=card, model_id=model_id)
    return versions.from_mlflow(version)


def shorten_card(card: str) -> str:
    """The card as a description that every database under MLflow holds: whole sections, and where the others are."""
    if len(card) <= _DESCRIPTION_LENGTH:
        return card
    rest = "\n\nThe rest is in `model/README.md` among the files of this version.\n"
    start = card[: _DESCRIPTION_LENGTH - len(rest)]
    return start[: max(start.rfind("\n## "), 0) or None].rstrip() + rest


def _find_version(client: Any, package: ModelPackage) -> RegisteredVersion | None:
    condition = f"name = '{package.name}' and tags.`{store.KEY_TAG}` = '{package.key}'"
    matches = client.search_model_versions(condition, max_results=1)
    return versions.from_mlflow(matches[0]) if matches else None
