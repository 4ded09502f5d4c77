"""The gateway's configuration, `sense serve --config FILE`: a file of its own, as a cluster mounts it."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from sense.config.data import ExecutionConfig
from sense.config.section import Count, Positive, Seconds, Section, Seed, Variable
from sense.config.training import PromptConfig


class LocalConfig(Section):
    """A model in this process: `models:/NAME@ALIAS` (asked again every `follow_s` seconds), `models:/NAME/VERSION`, a folder."""

    model: str = "models:/sense@champion"
    follow_s: Seconds = 5.0


class ServedConfig(Section):
    """What the gateway must know of a version that the model server serves: how its prompts are written, and what it is."""

    name: str
    version: str
    digest: str = ""
    prompt: PromptConfig = PromptConfig()


class VllmConfig(Section):
    """A vLLM server by HTTP (key: environment variable VLLM_API_KEY).

    `models` maps the names it may serve (`--served-model-name`, NAME-VERSION) to versions: a rollout shows two for a while.
    `structured` keeps what it writes to a SELECT; `connections` are open to it at a time.
    """

    url: Annotated[str, Field(pattern=r"^https?://\S+$")]
    models: Annotated[dict[str, ServedConfig], Field(min_length=1)]
    structured: bool = True
    connections: Count = 64


class BackendConfig(Section):
    """Where SQL is written: in this process (`local`), or by vLLM."""

    local: LocalConfig | None = None
    vllm: VllmConfig | None = None

    @model_validator(mode="after")
    def _one(self) -> "BackendConfig":
        if (self.local is None) == (self.vllm is None):
            raise ValueError("give exactly one of local and vllm")
        return self


class DatabasesConfig(Section):
    """What may be asked.

    `folders` hold SQLite files, FOLDER/<name>/<name>.sqlite (as Spider has them) or FOLDER/<name>.sqlite. `urls`: name -> the
    environment variable that holds a database's SQLAlchemy URL, which has a password in it.
    """

    folders: list[str] = ["data/dev/databases", "data/heldout/databases"]
    urls: dict[str, Variable] = {}


class GenerationConfig(Section):
    """How candidates are written: the first greedily, the others sampled at `temperature`."""

    max_new_tokens: Count = 256
    temperature: Positive = 0.8
    top_p: Annotated[float, Field(gt=0, le=1)] = 0.95
    seed: Seed = 0


class LimitsConfig(Section):
    """What a request may cost. Beyond `concurrency` requests at work `queue` wait, at most `queue_s`; the next gets 429.

    Of a result's `execution.max_bytes` every value takes 32 at least: that is nearer to its memory than its own length.
    """

    body_bytes: Count = 65_536
    question_chars: Count = 2_000
    candidates: Count = 8
    rows: Count = 1_000
    concurrency: Count = 8
    queue: Annotated[int, Field(ge=0)] = 16
    queue_s: Seconds = 10.0
    model_s: Seconds = 30.0
    request_s: Seconds = 60.0
    execution: ExecutionConfig = ExecutionConfig(timeout_s=5.0, max_rows=10_000, max_bytes=8_000_000, workers=2)


class ServeConfig(Section):
    """Everything `sense serve` needs; the defaults are those of a laptop after `make demo`.

    `keys` names the environment variable with the API keys, comma-separated (none set: anybody may ask, and only on a loopback
    `host`); `feedback` a folder that grows; `data` the folder of the pipeline's data that the page shows (null: it does not).
    """

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65_535)] = 8080
    keys: Variable = "SENSE_GATEWAY_KEYS"
    backend: BackendConfig = BackendConfig(local=LocalConfig())
    databases: DatabasesConfig = DatabasesConfig()
    generation: GenerationConfig = GenerationConfig()
    limits: LimitsConfig = LimitsConfig()
    feedback: str | None = "feedback"
    data: str | None = "data"
    log_level: Literal["debug", "info", "warning", "error"] = "info"
