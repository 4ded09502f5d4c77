"""MLflow's runs and the connection to its store. Only this package and `registry` import mlflow (2 s: import it inside `run`).

`training_run` opens a run that a killed and repeated stage continues, `record_data` keeps the versions of the data in a run,
`reach` and `look` ask whether the store can be used at all. Every failure of the store is an EndpointError. Nothing of the
environment is ever logged.
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

from sense.tracking import revision  # noqa: E402
from sense.tracking.contact import look, reach  # noqa: E402
from sense.tracking.data import record_data  # noqa: E402
from sense.tracking.runs import Run, training_run  # noqa: E402

__all__ = ["Run", "look", "reach", "record_data", "revision", "training_run"]
