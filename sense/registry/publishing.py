"""The model registry: a model folder becomes a version, once; aliases say which version is which."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mlflow.entities import Dataset, DatasetInput, LoggedModelOutput, LoggedModelStatus, Metric
from mlflow.exceptions import MlflowException

from sense import records
from sense.errors import InputError, StorageError
from sense.registry import layout
from sense.registry.versions import Version, described
from sense.tracking import runs, store

_DIGEST = 36  # MLflow's longest digest of a data set
_DESCRIPTION = 5000  # characters; PostgreSQL and MySQL refuse more


@store.reported()
def publish_model(package: layout.Package, staging: Path) -> Version:
    """Registers `package` and returns its version; a package with the key of an earlier one gives that one's version.

    Everything is found by the key and made only where it is missing, so a killed call is completed by its repetition.
    `staging` is a folder that may be deleted. Raises StorageError if the store lacks a file afterwards.
    """
    opened = store.current()
    with runs.keyed("publish", package.key, package.params, package.tags) as run:
        _describe(opened.client, run, package.data)
        found = _find_version(opened.client, package)
        model = _logged_model(opened, found, package, run)
        if model.status != LoggedModelStatus.READY:
            _upload(opened.client, model, layout.build(package, staging, model, run.id), staging)
        _score(opened.client, run, model.model_id, package.scores)
        if found is None:
            found = _register(opened.client, package, run.id, model.model_id)
        run.finish({})
    records.remove(staging)
    return found


def _describe(client: Any, run: runs.Run, data: Mapping[str, str]) -> None:
    """The data sets behind the model, as inputs of the run."""
    inputs = [
        DatasetInput(Dataset(name, digest[:_DIGEST], "local", json.dumps({"sha256": digest}))) for name, digest in data.items()
    ]
    client.log_inputs(run.id, inputs)


def _logged_model(opened: store.Store, version: Version | None, package: layout.Package, run: runs.Run) -> Any:
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
    condition = f"tags.`{store.KEY}` = '{package.key}'"
    found = opened.client.search_logged_models([opened.experiment], condition, max_results=1)
    model = found[0] if found else _create(opened, package, run)
    known = opened.client.get_run(run.id).outputs
    if model.model_id not in [output.model_id for output in (known.model_outputs if known else [])]:  # told twice, MLflow fails
        opened.client.log_outputs(run.id, [LoggedModelOutput(model.model_id, step=0)])
    return model


def _create(opened: store.Store, package: layout.Package, run: runs.Run) -> Any:
    return opened.client.create_logged_model(
        opened.experiment,
        name=package.name.replace(".", "-"),  # a logged model's name allows less than a registered one's
        source_run_id=run.id,
        tags={**package.tags, store.KEY: package.key},
        params={name: str(value) for name, value in runs.flat(package.params).items()},
        model_type="text-to-sql",
    )


def _upload(client: Any, model: Any, expected: Mapping[str, int], staging: Path) -> None:
    """Sends the files of `staging` and declares the model ready; StorageError unless the store lists each with its size."""
    client.log_model_artifacts(model.model_id, str(staging))
    stored = _listing(client, model.model_id, None)
    wrong = [path for path, size in expected.items() if path not in stored or stored[path] not in (size, None)]
    if wrong:
        raise StorageError(
            f"MLflow's store does not hold {', '.join(wrong[:5])} of the model {model.model_id} as sent ({len(wrong)} of "
            f"{len(expected)} files are missing or of another size); check space and rights of its artifact store, then run again"
        )
    client.finalize_logged_model(model.model_id, LoggedModelStatus.READY)


def _listing(client: Any, model_id: str, path: str | None) -> dict[str, int | None]:
    found: dict[str, int | None] = {}
    for entry in client.list_logged_model_artifacts(model_id, path):
        if entry.is_dir:
            found |= _listing(client, model_id, entry.path)
        else:
            found[entry.path] = entry.file_size
    return found


def _score(client: Any, run: runs.Run, model_id: str, scores: Sequence[layout.Score]) -> None:
    """Logs the scores, timed at the start of the run: the same point again is no second point."""
    points = [
        Metric(s.name, s.value, run.started, 0, model_id=model_id, dataset_name=s.dataset, dataset_digest=s.digest[:_DIGEST])
        for s in scores
    ]
    client.log_batch(run.id, metrics=points)


def _register(client: Any, package: layout.Package, run_id: str, model_id: str) -> Version:
    try:
        client.create_registered_model(package.name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    tags = {**package.tags, store.KEY: package.key}  # written with the version: it is never there without its key
    source = f"models:/{model_id}"
    card = shortened(package.card)
    made = client.create_model_version(package.name, source, run_id, tags, description=card, model_id=model_id)
    return described(made)


def shortened(card: str) -> str:
    """The card as a description that every database under MLflow holds: whole sections, and where the others are."""
    if len(card) <= _DESCRIPTION:
        return card
    rest = "\n\nThe rest is in `model/README.md` among the files of this version.\n"
    start = card[: _DESCRIPTION - len(rest)]
    return start[: max(start.rfind("\n## "), 0) or None].rstrip() + rest


def _find_version(client: Any, package: layout.Package) -> Version | None:
    condition = f"name = '{package.name}' and tags.`{store.KEY}` = '{package.key}'"
    found = client.search_model_versions(condition, max_results=1)
    return described(found[0]) if found else None
