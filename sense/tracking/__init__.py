"""MLflow: runs while stages train, the registry when one publishes. The only importer of mlflow (2 s: import it inside `run`).

`training_run` opens a run that a killed and repeated stage continues; `publish_model` registers a model folder without
loading it; `gate` decides about champion, `moves` carries that out; `versions` finds what is registered, `resolve` and
`download` are for those who serve it; `record_data` keeps the versions of data, `reach` and `look` ask whether the store can be
used at all. Every failure of the store is an EndpointError. Nothing of the environment is ever logged.
"""

import os

# MLflow reads these when it is imported. A user's own setting wins.
for _name, _value in {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",  # else its migrations are told line by line
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # stdout belongs to --json
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}.items():
    os.environ.setdefault(_name, _value)

from sense.tracking import files, gate, moves, revision, versions  # noqa: E402
from sense.tracking.contact import look, reach  # noqa: E402
from sense.tracking.data import record_data  # noqa: E402
from sense.tracking.files import download  # noqa: E402
from sense.tracking.layout import Package, Score  # noqa: E402
from sense.tracking.registry import find_alias, publish_model, set_alias  # noqa: E402
from sense.tracking.runs import Run, training_run  # noqa: E402
from sense.tracking.versions import Resolved, Version, resolve  # noqa: E402

__all__ = [
    "Package",
    "Resolved",
    "Run",
    "Score",
    "Version",
    "download",
    "files",
    "find_alias",
    "gate",
    "look",
    "moves",
    "publish_model",
    "reach",
    "record_data",
    "resolve",
    "revision",
    "set_alias",
    "training_run",
    "versions",
]
