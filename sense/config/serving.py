"""The gateway's configuration, `sense serve --config FILE`: a file of its own, as a cluster mounts it."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from sense.config.data import ExecutionConfig
from sense.config.section import Count, Positive, Seconds, Section, Seed, Share, VariableName
from sense.config.training import PromptConfig


class LocalConfig(Section):
    """A model in this process, followed by its alias."""

    model: str = "models:/sense@champion"
    """models:/NAME@ALIAS, models:/NAME/VERSION, or a model folder."""
    follow_s: Seconds = 5.0
    """Seconds between two looks at where the alias points."""


class ServedConfig(Section):
    """A version that the model server serves, as the gateway must know it."""

    name: str
    """Name of the registered model."""
    version: str
    """Its version in the registry."""
    digest: str = ""
    """SHA-256 of its model folder, for answers and logs; empty if unknown."""
    prompt: PromptConfig = PromptConfig()
    """The prompt it was trained with."""


class VllmConfig(Section):
    """A vLLM server, asked by HTTP. Its key is read from the environment variable VLLM_API_KEY."""

    url: Annotated[str, Field(pattern=r"^https?://\S+$")]
    """Base URL of the server, without /v1."""
    models: Annotated[dict[str, ServedConfig], Field(min_length=1)]
    """Names that it may serve (--served-model-name) and their versions; a rollout shows two for a while."""
    structured: bool = True
    """Restrict what is generated to a SELECT by structured outputs."""
    connections: Count = 64
    """Connections open to the server at the same time."""


class BackendConfig(Section):
    """Where SQL is written: either `local` or `vllm`."""

    local: LocalConfig | None = None
    """A model in the gateway's own process."""
    vllm: VllmConfig | None = None
    """A vLLM server."""

    @model_validator(mode="after")
    def _one(self) -> "BackendConfig":
        if (self.local is None) == (self.vllm is None):
            raise ValueError("give exactly one of local and vllm")
        return self


class AbortConfig(Section):
    """When a candidate is aborted: where it is worse than the champion by more than this, which a test must show; null: never."""

    answers: Count = 50
    """Answers of the candidate before it is judged, and between one judgement and the next; a failed one counts too."""
    alpha: Annotated[float, Field(gt=0, lt=0.5)] = 0.01
    """Probability, over all judgements, of aborting a candidate that stays within the limits below."""
    error_share: Share | None = 0.02
    """Most by which its share of failed requests may exceed the champion's."""
    abstention_share: Share | None = 0.05
    """Most by which its share of answers without SQL may exceed the champion's."""
    latency_ratio: Annotated[float, Field(ge=1)] | None = 1.5
    """Most by which the 95th percentile of the time that it writes for may exceed the champion's, as a factor."""
    vote_share: Share | None = 0.1
    """Most by which the mean share of candidates that agree with its answer (k above 1) may fall below the champion's."""


class CanaryConfig(Section):
    """A candidate beside the champion. Which version, and its share, is in MLflow: `sense models canary VERSION --weight 10`."""

    vllm: VllmConfig
    """The vLLM server with the candidate, a server of its own."""
    model: str = "sense"
    """Registered model whose aliases `champion` and `canary` say which version has which part."""
    assign: Literal["request", "session", "key"] = "request"
    """What is drawn by the weight: each request, or all with one X-Session-Id, or with one API key; without one, the request."""
    follow_s: Seconds = 5.0
    """Seconds between two looks into MLflow."""
    abort: AbortConfig = AbortConfig()
    """When the candidate is aborted."""


class DatabasesConfig(Section):
    """The databases that may be asked."""

    folders: list[str] = ["data/dev/databases", "data/heldout/databases"]
    """Folders of SQLite files: FOLDER/NAME/NAME.sqlite (as Spider has them) or FOLDER/NAME.sqlite."""
    urls: dict[str, VariableName] = {}
    """Name of a database -> the environment variable with its SQLAlchemy URL, which holds a password."""


class GenerationConfig(Section):
    """How candidates are written: the first greedily, the others sampled."""

    max_new_tokens: Count = 256
    """Tokens a candidate may have."""
    temperature: Positive = 0.8
    """Sampling temperature of all candidates but the first, which is greedy."""
    top_p: Annotated[float, Field(gt=0, le=1)] = 0.95
    """Nucleus sampling of all candidates but the first."""
    seed: Seed = 0
    """Seed of the sampling."""


class LimitsConfig(Section):
    """What a request may cost."""

    body_bytes: Count = 65_536
    """Bytes a request's body may have; more gets 413."""
    question_chars: Count = 2_000
    """Characters a question may have."""
    candidates: Count = 8
    """Candidates a request may ask for (k)."""
    rows: Count = 1_000
    """Rows of a result that are sent."""
    concurrency: Count = 8
    """Requests at work at the same time."""
    queue: Annotated[int, Field(ge=0)] = 16
    """Requests that wait beyond those; the next gets 429."""
    queue_s: Seconds = 10.0
    """Seconds a request waits before it gets 429."""
    model_s: Seconds = 30.0
    """Seconds the model may take for the candidates of a request."""
    request_s: Seconds = 60.0
    """Seconds a request may take in all; more gets 504."""
    execution: ExecutionConfig = ExecutionConfig(timeout_s=5.0, max_rows=10_000, max_bytes=8_000_000, workers=2)
    """Limits on executing one candidate. Every value counts as 32 bytes at least, which is nearer to its memory."""


class ServeConfig(Section):
    """Everything `sense serve` needs. The defaults are those of a laptop after `make demo`."""

    host: str = "127.0.0.1"
    """Address to listen on; other than loopback only with API keys."""
    port: Annotated[int, Field(ge=0, le=65_535)] = 8080
    """Port to listen on; 0 takes a free one."""
    keys: VariableName = "SENSE_GATEWAY_KEYS"
    """Environment variable with the API keys, comma-separated; unset, no key is asked for."""
    backend: BackendConfig = BackendConfig(local=LocalConfig())
    """Where SQL is written."""
    canary: CanaryConfig | None = None
    """A candidate version beside the champion, which needs backend.vllm; null: none."""
    databases: DatabasesConfig = DatabasesConfig()
    """Databases that may be asked."""
    generation: GenerationConfig = GenerationConfig()
    """How candidates are written."""
    limits: LimitsConfig = LimitsConfig()
    """What a request may cost."""
    feedback: str | None = "feedback"
    """Folder that feedback is written to, as weak data; null takes none."""
    data: str | None = "data"
    """Folder of the pipeline's data that the page shows; null shows none."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Least severe messages that are logged."""

    @model_validator(mode="after")
    def _canary_beside_vllm(self) -> "ServeConfig":
        if self.canary is not None and self.backend.vllm is None:
            raise ValueError("canary needs backend.vllm: the champion and the candidate each have a vLLM server")
        return self
