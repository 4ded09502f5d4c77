"""Completions from vLLM in this process, or on GPUs in processes that it starts: all prompts at once, in their order."""

import importlib.util
import weakref
from collections.abc import Sequence
from typing import Any

from transformers import PreTrainedTokenizerBase

from sense.config import GeneratorConfig, set_defaults
from sense.cost import usage
from sense.errors import InputError, UserError
from sense.training import devices, tokenization
from sense.training.generate import OnProgress, completion_seeds, ignore_progress

_GB = 10**9
_CPU_CACHE_GB = 1.0  # by itself vLLM takes nine tenths of the machine's memory
_GPU_SHARE = 0.9
# By itself vLLM logs a page at each start, reports its use, and on CPUs binds this process, and so those that execute SQL.
_VARIABLES = {"VLLM_LOGGING_LEVEL": "ERROR", "VLLM_NO_USAGE_STATS": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind"}
_OTHERS = "or set generator.kind: transformers, or endpoint with the url of a vLLM server"


def check_installed() -> None:
    """UserError that says how to get vLLM, if this Python has none."""
    if importlib.util.find_spec("vllm") is None:
        raise UserError(
            "generator.kind: vllm needs vLLM in the environment that runs this stage, and it is not installed there; on CPUs "
            "`.ci/vllm-up` installs it into .vllm (then: .vllm/bin/python -m sense ...), on GPUs the serve image has it "
            f"(docs/recipes.md says what to add); {_OTHERS}"
        )


class VllmGenerator:
    """A Generator on a whole model in vLLM (a folder or a name on the hub), in the precision that transformers would take.

    One lives at a time in a process: vLLM keeps what its workers share in global variables, which end with the first of two.
    """

    def __init__(
        self,
        config: GeneratorConfig,
        name: str,
        revision: str | None,
        tokenizer: PreTrainedTokenizerBase,
        context: int | None,
    ) -> None:
        """InputError if vLLM cannot load the model. Its memory is freed when nobody holds the generator any more."""
        self._tokenizer, self.context = tokenizer, context
        gpus = devices.gpu_count()
        # without a GPU in this process, so that batches are made up alike in every run; on GPUs as vLLM does it by itself, in
        # a process that gives all memory back when it ends
        multiprocessing = "1" if gpus else "0"
        set_defaults({"VLLM_ENABLE_V1_MULTIPROCESSING": multiprocessing, **_VARIABLES})
        from vllm import LLM, SamplingParams

        cache_gb = config.kv_cache_gb or (None if gpus else _CPU_CACHE_GB)
        # nothing narrower: vLLM passes on what pydantic, torch, its workers and files of weights raise
        try:
            self._llm: Any = LLM(
                name,
                revision=revision,
                skip_tokenizer_init=True,  # it gets tokens and gives tokens
                generation_config="vllm",  # the model's own would change what is not set below
                dtype=str(devices.compute_dtype()).removeprefix("torch."),
                max_model_len=context,
                seed=0,
                use_tqdm_on_load=False,
                enable_prefix_caching=True,
                tensor_parallel_size=config.gpus,
                gpu_memory_utilization=_GPU_SHARE,
                kv_cache_memory_bytes=None if cache_gb is None else int(cache_gb * _GB),
                # vLLM 0.32 ends on CPUs where a prompt with a seed is read in parts ("CPU Generator does not use offset")
                enable_chunked_prefill=None if gpus else False,
                enforce_eager=not gpus,  # compiling takes longer than a small model answers, and needs a C++ compiler
            )
        except Exception as error:
            reason = " ".join(str(error).split())[:400]
            raise InputError(
                f"{name}: vLLM cannot load it: {type(error).__name__}: {reason}; where memory is short, change "
                f"generator.kv_cache_gb or raise generator.gpus, {_OTHERS}"
            ) from error
        self._parameters: Any = SamplingParams
        weakref.finalize(self, self._llm.llm_engine.engine_core.shutdown)
        usage.use_gpus(config.gpus if gpus else 0, None)  # vLLM's processes hold their memory

    def count_tokens(self, prompts: Sequence[str]) -> list[int]:
        """How many tokens each prompt has."""
        return [len(ids) for ids in tokenization.prompt_tokens(self._tokenizer, prompts)]

    def generate(
        self,
        prompts: Sequence[str],
        *,
        n: int,
        temperature: float,
        top_p: float,
        max_tokens: int,
        seed: int,
        on_progress: OnProgress = ignore_progress,
    ) -> list[list[str]]:
        """`n` completions for each prompt, each with a random seed of its own; temperature 0 is greedy."""
        requests = [ids for ids in tokenization.prompt_tokens(self._tokenizer, prompts) for _ in range(n)]
        parameters = [
            self._parameters(
                temperature=temperature,
                top_p=top_p,
                top_k=0,
                max_tokens=max_tokens,
                seed=one_seed,
                stop_token_ids=[self._tokenizer.eos_token_id],
                detokenize=False,
            )
            for one_seed in completion_seeds(seed, len(prompts), n)
        ]
        # what is cached from calls before would change the sizes of the kernels' inputs, and so the last bits of their results
        self._llm.reset_prefix_cache()
        outputs = self._llm.generate([{"prompt_token_ids": ids} for ids in requests], parameters, use_tqdm=False)
        completions = [list(output.outputs[0].token_ids) for output in outputs]
        usage.count("generated", sum(map(len, completions)))
        on_progress(len(prompts))
        texts: list[str] = self._tokenizer.batch_decode(
            completions,
            skip_special_tokens=True,
            clean_up_tokenization_spaces=False,
        )
        return [texts[start : start + n] for start in range(0, len(texts), n)]
