"""The section `generator` of the stages that have a model write: sample and evaluate."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from sense.config.section import Count, Positive, Seconds, Section

ModelRole = Literal["base", "weak", "sft", "sense"]  # what a model is in the pipeline


class GeneratorConfig(Section):
    """What runs the model that writes SQL. Random seeds, prompts and files are the same with all three."""

    kind: Literal["transformers", "vllm", "endpoint"] = "transformers"
    """transformers: in this process, batch after batch; it runs anywhere. vllm: vLLM in this process, which is much faster on a
    GPU; its package has to be installed. endpoint: a server that has the model and an OpenAI-compatible `/completions` that
    takes token ids (vLLM, SGLang, llama.cpp); its key is read from the environment variable VLLM_API_KEY.
    """
    url: str | None = None
    """URL of the endpoint, up to and including its version, such as http://vllm:8000/v1; `/completions` is appended."""
    models: dict[ModelRole, str] = {}
    """The endpoint's names of models; one that is left out is asked for as base, weak, sft or sense."""
    concurrency: Count = 32
    """Requests to the endpoint in flight at the same time."""
    timeout_s: Seconds = 600.0
    """Seconds to wait for one completion of the endpoint."""
    retries: Annotated[int, Field(ge=0)] = 5
    """Further tries after a request to the endpoint that failed by itself, before the stage ends."""
    gpus: Count = 1
    """GPUs over which vllm spreads one model (tensor parallelism)."""
    kv_cache_gb: Positive | None = None
    """Gigabytes of memory for what vllm remembers of the prompts and completions at work; null: on a GPU what the model leaves
    of nine tenths of the memory, without one 1 GB.
    """

    @model_validator(mode="after")
    def _endpoint(self) -> "GeneratorConfig":
        if self.kind == "endpoint" and not self.url:
            raise ValueError("kind: endpoint needs a url, such as http://vllm:8000/v1")
        if self.kind != "endpoint" and (self.url or self.models):
            raise ValueError(f"url and models are the endpoint's: take them out, or set kind: endpoint instead of {self.kind}")
        return self


# Keys that change nothing in what a model writes, as pydantic's `exclude` takes them.
GENERATOR_WITHOUT_EFFECT = {"concurrency": True, "timeout_s": True, "retries": True, "kv_cache_gb": True}
