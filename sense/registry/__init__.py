"""The model registry: a model folder becomes a version, aliases name versions, `sense models` shows and moves them.

`publish_model` registers a model folder without loading it; `gate` decides about champion, `aliases` carries that out;
`versions` finds what is registered, `resolve` and `download` are for those who serve it.
"""

from sense.registry import files, gate, versions
from sense.registry.files import download
from sense.registry.layout import Package, Score
from sense.registry.publishing import publish_model
from sense.registry.versions import Resolved, Version, find_alias, resolve

__all__ = [
    "Package",
    "Resolved",
    "Score",
    "Version",
    "download",
    "files",
    "find_alias",
    "gate",
    "publish_model",
    "resolve",
    "versions",
]
