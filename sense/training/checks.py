"""What is known to fail before the first step of a training: model, tokenizer and settings that do not fit each other."""

from typing import Any

from torch import nn
from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
from transformers.pytorch_utils import Conv1D

from sense import config
from sense.errors import InputError

_CAUSAL_ARCHITECTURES = set(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.values())
# Kinds of scaled rotary positions of which max_position_embeddings already speaks (as vLLM reads them).
_SCALED_ALREADY = ("default", "llama3", "longrope")


def check_architecture(model_config: PreTrainedConfig, name: str) -> None:
    """InputError unless a model's config speaks of whole weights of a decoder: one that continues a text."""
    quantization = getattr(model_config, "quantization_config", None)
    if quantization is not None:
        kind = quantization.get("quant_method") if isinstance(quantization, dict) else type(quantization).__name__
        raise InputError(
            f"{name}: quantized (quantization_config in config.json: {kind}); SENSE trains and merges "
            "whole weights: name the model that it was quantized from"
        )
    architectures = model_config.architectures or []
    if architectures and not _CAUSAL_ARCHITECTURES.intersection(architectures):
        raise InputError(
            f"{name}: {', '.join(architectures)} (architectures in config.json) continues no text; name a causal language model, "
            "such as LlamaForCausalLM or Qwen3ForCausalLM"
        )


def check_tokenizer(tokenizer: PreTrainedTokenizerBase, model_config: PreTrainedConfig, name: str) -> None:
    """InputError if a tokenizer has no EOS, or tokens beyond the embeddings; more embeddings than tokens are usual.

    Special tokens that nothing here uses may lie beyond, as Gemma 3's for images: no text becomes one (see tokenization.prepare).
    """
    if tokenizer.eos_token_id is None:
        raise InputError(
            f"{name}: the tokenizer has no EOS token, so that no completion would ever end; "
            "set eos_token in tokenizer_config.json to the token that ends a text"
        )
    rows = getattr(model_config.get_text_config(), "vocab_size", 0)
    used = {tokenizer.pad_token_id, tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.unk_token_id}
    unused = {number for number, token in tokenizer.added_tokens_decoder.items() if token.special} - used
    beyond = sorted((number, token) for token, number in tokenizer.get_vocab().items() if number >= rows and number not in unused)
    if not beyond:
        return
    number, token = beyond[0]
    is_pad = number == tokenizer.pad_token_id
    role, advice = (
        (" (the pad_token)", f"set it in tokenizer_config.json to {tokenizer.eos_token!r}, or ") if is_pad else ("", "")
    )
    raise InputError(
        f"{name}: the tokenizer has {len(tokenizer)} tokens, the embeddings only {rows} rows (vocab_size in config.json): "
        f"{token!r}{role} is token {number}; {advice}take the tokenizer that belongs to these weights, or enlarge the embeddings "
        "with model.resize_token_embeddings(len(tokenizer)) and save both"
    )


def context_length(model_config: PreTrainedConfig) -> int | None:
    """The most tokens that a model reads, prompt and completion together; None if its config sets no limit (ALiBi, Mamba)."""
    shape = model_config.get_text_config()
    positions: int | None = getattr(shape, "max_position_embeddings", None) or getattr(shape, "max_seq_len", None)
    rope = getattr(shape, "rope_parameters", None) or {}
    if positions is None or not rope.get("factor") or rope.get("rope_type", "default") in _SCALED_ALREADY:
        return positions
    return int(rope.get("original_max_position_embeddings", positions) * rope["factor"])


def check_settings(model: PreTrainedModel, settings: config.SftConfig, name: str) -> None:
    """InputError if a model cannot be trained with the settings of an SFT."""
    check_max_length(model, settings.train.max_length, name)
    if settings.lora is not None:
        check_lora(model, settings.lora, name)


def check_max_length(model: PreTrainedModel, max_length: int, name: str) -> None:
    """InputError if rows of `max_length` tokens are longer than the model reads."""
    positions = context_length(model.config)
    if positions is not None and max_length > positions:
        raise InputError(
            f"train.max_length = {max_length} is more than the {positions} positions of {name} (max_position_embeddings); "
            f"lower train.max_length to {positions} at most, or name a model that reads more"
        )


def check_lora(model: PreTrainedModel, lora: config.LoraConfig, name: str) -> None:
    """InputError if a name of `lora.target_modules` is no module of the model that can bear an adapter."""
    modules: dict[str, nn.Module] = {path: module for path, module in model.named_modules() if path}
    output = model.get_output_embeddings()
    bearers = {path for path, module in modules.items() if isinstance(module, nn.Linear | Conv1D) and module is not output}
    available = ", ".join(sorted({path.rpartition(".")[2] for path in bearers}))
    targets = [] if isinstance(lora.target_modules, str) else lora.target_modules
    for target in targets:
        paths = {path for path in modules if path == target or path.endswith(f".{target}")}
        if any(modules[path] is output for path in paths):
            raise InputError(
                f"lora.target_modules: {target!r} is the output layer of {name}, {_why_not_output(model)}; take it out "
                f"(there are {available})"
            )
        if not paths & bearers:
            problem = "no linear layer" if paths else "no module"
            raise InputError(f"lora.target_modules: {target!r} is {problem} of {name}; its linear layers are {available}")
    if not bearers:
        raise InputError(f"lora.target_modules: {name} has no linear layers; train all weights (lora: null)")


def _why_not_output(model: Any) -> str:
    if model.config.get_text_config().tie_word_embeddings:
        return "which shares its weights with the embeddings: an adapter on it would be merged into both"
    return "whose weights TRL reads directly: an adapter on it would never be trained"
