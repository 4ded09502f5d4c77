"""Every option of SENSE: one frozen section per stage, read from one params.yaml, and the environment.

`load` reports all errors of a file at once. No other part of SENSE reads environment variables.
"""

from sense.config.cluster import ClaimConfig, ClusterConfig, ResourcesConfig, TaskConfig
from sense.config.data import (
    DataConfig,
    ExecutionConfig,
    GrammarConfig,
    IngestConfig,
    LlmConfig,
    PreferConfig,
    SampleConfig,
    ShardConfig,
    SplitConfig,
    SynthesizeConfig,
)
from sense.config.environment import (
    api_key,
    container_variables,
    cores,
    environment,
    is_main_process,
    processes,
    tracking_uri,
    work_root,
)
from sense.config.evaluation import EvaluateConfig, PublishConfig, ReportConfig
from sense.config.params import Params, load, parse, validate
from sense.config.section import Section
from sense.config.serving import (
    BackendConfig,
    DatabasesConfig,
    GenerationConfig,
    LimitsConfig,
    LocalConfig,
    ServeConfig,
    ServedConfig,
    VllmConfig,
)
from sense.config.training import (
    DpoConfig,
    LoraConfig,
    ModelConfig,
    NanoConfig,
    PromptConfig,
    RenameConfig,
    SftConfig,
    Target,
    TrainConfig,
)

__all__ = [
    "BackendConfig",
    "ClaimConfig",
    "ClusterConfig",
    "DataConfig",
    "DatabasesConfig",
    "DpoConfig",
    "EvaluateConfig",
    "ExecutionConfig",
    "GenerationConfig",
    "GrammarConfig",
    "IngestConfig",
    "LimitsConfig",
    "LlmConfig",
    "LocalConfig",
    "LoraConfig",
    "ModelConfig",
    "NanoConfig",
    "Params",
    "PreferConfig",
    "PromptConfig",
    "PublishConfig",
    "RenameConfig",
    "ReportConfig",
    "ResourcesConfig",
    "SampleConfig",
    "Section",
    "ServeConfig",
    "ServedConfig",
    "SftConfig",
    "ShardConfig",
    "SplitConfig",
    "SynthesizeConfig",
    "Target",
    "TaskConfig",
    "TrainConfig",
    "VllmConfig",
    "api_key",
    "container_variables",
    "cores",
    "environment",
    "is_main_process",
    "load",
    "parse",
    "processes",
    "tracking_uri",
    "validate",
    "work_root",
]
