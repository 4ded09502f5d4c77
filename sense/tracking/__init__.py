"""MLflow's runs and the connection to its store. Only this package and `registry` import mlflow (2 s: import it inside `run`).

`training_run` opens a run that a killed and repeated stage continues, `record_data` keeps the versions of the data in a run,
`task_run` is the run of a task of a Kubeflow pipeline run, beneath that of the whole, `data_references` lists what names data,
`check_store` and `check_registry` find out within seconds whether the store can be used at all. Every failure of the store is an
EndpointError. Nothing of the environment is ever logged.
"""

from sense import mlflow_settings

mlflow_settings.apply()  # before mlflow is imported, which the modules below do

from sense.tracking.data_references import DATA_TAG, VERSIONED, DataReference, data_references  # noqa: E402
from sense.tracking.pipeline_runs import RunLink, link, tag_pipeline_run  # noqa: E402
from sense.tracking.revision import code_revision  # noqa: E402
from sense.tracking.runs import SilentRun, TrackedRun, parent_run, record_data, training_run  # noqa: E402
from sense.tracking.store import check_registry, check_store, check_writable, short_timeouts  # noqa: E402
from sense.tracking.task_runs import task_run  # noqa: E402

__all__ = [
    "DATA_TAG",
    "VERSIONED",
    "DataReference",
    "RunLink",
    "SilentRun",
    "TrackedRun",
    "check_registry",
    "check_store",
    "check_writable",
    "code_revision",
    "data_references",
    "link",
    "parent_run",
    "record_data",
    "short_timeouts",
    "tag_pipeline_run",
    "task_run",
    "training_run",
]
