"""The model registry: a model folder becomes a version, aliases name versions, `sense models` shows and moves them.

`publish_model` registers a model folder without loading it; `gate` decides about champion, `moves` carries that out;
`versions` finds what is registered, `resolve` and `download` are for those who serve it.
"""

from sense.registry import files, gate, moves, versions
from sense.registry.files import download
from sense.registry.layout import Package, Score
from sense.registry.publishing import find_alias, publish_model, set_alias
from sense.registry.versions import Resolved, Version, resolve

__all__ = [
    "Package",
    "Resolved",
    "Score",
    "Version",
    "download",
    "files",
    "find_alias",
    "gate",
    "moves",
    "publish_model",
    "resolve",
    "set_alias",
    "versions",
]
