"""The model registry: a model folder becomes a version, aliases say which version is served, `sense models` shows and moves them.

`registration.register_model` registers a model folder without loading it, `gate` decides about the champion, `aliases` moves the
aliases, `versions.resolve` and `files.download` are for those who serve a model. Only `command` and `gate` are quick to import;
the others need mlflow (2 s), so import them inside functions.
"""

from sense import mlflow_settings

mlflow_settings.apply()  # before any module of this package imports mlflow
