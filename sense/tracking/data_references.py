"""What in MLflow names data: registered versions and open runs. `sense data gc` deletes nothing that one of them names."""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from mlflow.entities import ViewType

from sense.tracking import store

# Tags of a version or run: `sense.data.strong` is the md5 that DVC has for it, `sense.digest.strong` the SHA-256 of its content.
DATA_TAG, DIGEST_TAG = "sense.data.", "sense.digest."
VERSIONED = ("dev", "heldout", "strong", "samples", "pairs")  # the data behind a registered version: inputs of publish
_REMOTE_TAG = "sense.data_remote"
_OPEN = ("RUNNING", "SCHEDULED")
_PAGE = 200
# Tags of a version and of the run `data` that agree where the version was trained on that run's data.
_SAME_RUN = {"strong": "strong", "samples": "weak.samples", "pairs": "pairs.pairs"}


@dataclass(frozen=True)
class DataReference:
    """What names data: `revisions` are DVC's md5s by name, `digests` SHA-256s of data whose md5 nobody recorded."""

    label: str
    revisions: Mapping[str, str]
    digests: Mapping[str, str] = field(default_factory=dict)


@store.endpoint_errors()
def data_references(open_since: float) -> list[DataReference]:
    """Every registered version of any model, and every run `data` that is open or that a version was trained on.

    A run is open until it has ended, and for as long after that as `open_since` says (Unix seconds): a pipeline registers its
    model hours after it has versioned its data. Deleted runs and versions name nothing.
    """
    client = store.read_client()
    versions = list(_version_references(client))
    trained_on = [{run_name: row.revisions.get(name) for name, run_name in _SAME_RUN.items()} for row in versions]
    runs = []
    for run in _data_runs(client):
        revisions = _tags(run.data.tags, DATA_TAG)
        ended = (run.info.end_time or time.time() * 1000) / 1000
        is_used = any(all(row.values()) and row.items() <= revisions.items() for row in trained_on)
        if revisions and (run.info.status in _OPEN or ended >= open_since or is_used):
            runs.append(DataReference(f"run {run.info.run_name} {run.info.run_id[:8]}", revisions))
    return versions + runs


def _version_references(client: Any) -> Iterator[DataReference]:
    aliases: dict[tuple[str, str], list[str]] = {}
    for model in _pages(lambda token: client.search_registered_models(max_results=_PAGE, page_token=token)):
        for alias, number in sorted(model.aliases.items()):
            aliases.setdefault((model.name, str(number)), []).append(alias)
    for version in _pages(lambda token: client.search_model_versions(max_results=_PAGE, page_token=token)):
        revisions, digests = _tags(version.tags, DATA_TAG), _tags(version.tags, DIGEST_TAG)
        unresolved = {name: digests[name] for name in VERSIONED if name in digests and name not in revisions}
        called = ", ".join(aliases.get((version.name, str(version.version)), []))
        label = f"{version.name} version {version.version}{f' ({called})' if called else ''}"
        yield DataReference(label, revisions, unresolved)


def _data_runs(client: Any) -> Iterator[Any]:
    experiments = [
        row.experiment_id for row in _pages(lambda token: client.search_experiments(max_results=_PAGE, page_token=token))
    ]
    yield from _pages(
        lambda token: client.search_runs(
            experiments,
            f"tags.`{_REMOTE_TAG}` LIKE '%'",
            run_view_type=ViewType.ACTIVE_ONLY,
            max_results=_PAGE,
            page_token=token,
        )
    )


def _tags(tags: Mapping[str, str], prefix: str) -> dict[str, str]:
    return {name.removeprefix(prefix): value for name, value in tags.items() if name.startswith(prefix)}


def _pages(search: Callable[[str | None], Any]) -> Iterator[Any]:
    token: str | None = None
    while token != "":
        page = search(token)
        yield from page
        token = page.token or ""
