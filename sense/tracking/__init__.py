"""MLflow's runs and the connection to its store. Only this package and `registry` import mlflow (2 s: import it inside `run`).

`training_run` opens a run that a killed and repeated stage continues, `record_data` keeps the versions of the data in a run,
`check_store` and `check_registry` find out within seconds whether the store can be used at all. Every failure of the store is an
EndpointError. Nothing of the environment is ever logged.
"""

import os

# MLflow reads these when it is imported. A user's own setting wins.
for _name, _value in {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",  # else it prints a line for each migration
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # stdout belongs to --json
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}.items():
    os.environ.setdefault(_name, _value)

from sense.tracking.runs import SilentRun, TrackedRun, code_revision, record_data, training_run  # noqa: E402
from sense.tracking.store import check_registry, check_store, short_timeouts  # noqa: E402

__all__ = [
    "SilentRun",
    "TrackedRun",
    "check_registry",
    "check_store",
    "code_revision",
    "record_data",
    "short_timeouts",
    "training_run",
]
