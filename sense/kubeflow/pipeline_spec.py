"""A pipeline as KFP's intermediate representation."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from google.protobuf import json_format
from kfp import compiler
from kfp.pipeline_spec import pipeline_spec_pb2


def compiled(pipeline: Callable[..., Any]) -> str:
    """The YAML of `pipeline`: the same pipeline gives the same text, and what KFP's protobuf does not know raises ParseError."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "pipeline.yaml"
        compiler.Compiler().compile(pipeline, str(file))
        text = file.read_text(encoding="utf-8")
    spec = next(yaml.safe_load_all(text))
    json_format.ParseDict(spec, pipeline_spec_pb2.PipelineSpec())
    return text
