"""The run `data`: which versions of the data a run of the pipeline made."""

from collections.abc import Mapping

from sense.errors import EndpointError
from sense.tracking import revision, runs, store


@store.reported()
def record_data(key: str, digests: Mapping[str, str], remote: str, lock: str) -> str:
    """Logs the digests as tags `sense.data.<name>`, the remote, and the text of dvc.lock; returns the run's id.

    What has the same `key` is the same run, so a killed call is completed by its repetition.
    """
    tags = {f"sense.data.{name}": digest for name, digest in digests.items()}
    about = {"sense.data_remote": remote, "sense.code_rev": revision.current()}
    opened = store.current()
    with runs.keyed("data", key, {}, tags | about) as run:
        try:
            opened.client.log_text(run.id, lock, "dvc.lock")
        except OSError as error:  # of the artifact store, which may be another server
            raise EndpointError(f"MLflow cannot keep dvc.lock ({error}); check its artifact store, then run again") from None
        run.finish({})
    return run.id
