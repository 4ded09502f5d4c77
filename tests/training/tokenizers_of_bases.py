"""Tokenizers as bases bring them, each a few hundred tokens large, and what each is to put before a prompt."""

import json
from collections.abc import Callable
from typing import Any

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import LlamaTokenizer, PreTrainedTokenizerFast

PROMPTS = [
    "CREATE TABLE pet (id, name, age)\n\nquestion: How old is Rex?\nsql:",
    "pet(id, name)\n\nquestion: Which pets' names end in a dot ?\nsql:",
]
COMPLETIONS = [" SELECT age FROM pet WHERE name = 'Rex ?'", " SELECT name FROM pet WHERE name LIKE '% .' AND id <> 3"]
CORPUS = [prompt + completion for prompt, completion in zip(PROMPTS, COMPLETIONS, strict=True)] * 3
BYTES = pre_tokenizers.ByteLevel.alphabet()


def _byte_level(*special: str, template: str = "", boundaries: bool = True) -> Any:
    """As GPT-2's, Qwen's and Llama 3's; without `boundaries` a token may hold a prompt's end and a completion's start."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=boundaries)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(
        CORPUS if boundaries else ["sql: SELECT"] * 50,
        trainers.BpeTrainer(vocab_size=340, special_tokens=list(special), initial_alphabet=BYTES, show_progress=False),
    )
    return _with_template(tokenizer, template)


def _with_template(tokenizer: Any, template: str) -> Any:
    if template:
        marks = [word for word in template.split() if word != "$A"]
        tokenizer.post_processor = processors.TemplateProcessing(
            single=template, special_tokens=[(mark, tokenizer.token_to_id(mark)) for mark in dict.fromkeys(marks)]
        )
    return tokenizer


def _fast(tokenizer: Any, **marks: str) -> Any:
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **marks)


def _llama(**how: bool) -> Any:
    """As Llama 2's and CodeLlama's: SentencePiece BPE with bytes for unknown characters; a text begins with a blank."""
    pieces = Tokenizer(models.BPE(byte_fallback=True, fuse_unk=True, unk_token="<unk>"))
    pieces.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    special = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    pieces.train_from_iterator(CORPUS[:1], trainers.BpeTrainer(vocab_size=420, special_tokens=special, show_progress=False))
    model = json.loads(pieces.to_str())["model"]
    return LlamaTokenizer(vocab=model["vocab"], merges=[tuple(pair) for pair in model["merges"]], **how)


def _unigram(template: str = "", legacy: bool = False) -> Any:
    """As T5's kind of SentencePiece; `legacy` puts the blank before a text whether it begins with one or not."""
    tokenizer = Tokenizer(models.Unigram())
    if legacy:
        tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
        tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
        tokenizer.decoder = decoders.Metaspace(prepend_scheme="always")
    trainer = trainers.UnigramTrainer(
        vocab_size=300, special_tokens=["<pad>", "</s>", "<unk>", "<s>"], unk_token="<unk>", show_progress=False
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    return _with_template(tokenizer, template)


CHATML = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
SENTENCE = {"bos_token": "<s>", "eos_token": "</s>"}
# name -> a maker of the tokenizer, and the tokens that it is to put before a prompt
KINDS: dict[str, tuple[Callable[[], Any], list[str]]] = {
    "gpt2: one token is BOS, EOS and unknown, none pads": (
        lambda: _fast(_byte_level("<|endoftext|>"), **dict.fromkeys(("bos_token", "eos_token", "unk_token"), "<|endoftext|>")),
        [],
    ),
    "gpt2 with BOS added": (
        lambda: _fast(
            _byte_level("<|endoftext|>", template="<|endoftext|> $A"), bos_token="<|endoftext|>", eos_token="<|endoftext|>"
        ),
        ["<|endoftext|>"],
    ),
    "opt: EOS is what begins a text": (
        lambda: _fast(_byte_level("<s>", "</s>", template="</s> $A"), bos_token="</s>", eos_token="</s>"),
        ["</s>"],
    ),
    "qwen: no BOS, another token pads": (
        lambda: _fast(_byte_level(*CHATML), eos_token="<|im_end|>", pad_token="<|endoftext|>"),
        [],
    ),
    "llama 3: byte-level with BOS, none pads": (
        lambda: _fast(_byte_level("<|begin|>", "<|eot|>", template="<|begin|> $A"), bos_token="<|begin|>", eos_token="<|eot|>"),
        ["<|begin|>"],
    ),
    "glm: two tokens begin a text": (
        lambda: _fast(_byte_level("[gMASK]", "<sop>", "<eos>", template="[gMASK] <sop> $A <eos>"), eos_token="<eos>"),
        ["[gMASK]", "<sop>"],
    ),
    "BOS and EOS added": (lambda: _fast(_byte_level("<s>", "</s>", template="<s> $A </s>"), **SENTENCE), ["<s>"]),
    "EOS added": (lambda: _fast(_byte_level("<s>", "</s>", template="$A </s>"), **SENTENCE), []),
    "EOS added twice": (lambda: _fast(_byte_level("<s>", "</s>", template="$A </s> </s>"), **SENTENCE), []),
    "EOS also pads": (
        lambda: _fast(_byte_level("<s>", "</s>", template="<s> $A </s>"), **SENTENCE, pad_token="</s>"),
        ["<s>"],
    ),
    "llama 2": (lambda: _llama(add_bos_token=True), ["<s>"]),
    "llama 2 without BOS": (_llama, []),
    "llama 2 with add_eos_token": (lambda: _llama(add_bos_token=True, add_eos_token=True), ["<s>"]),
    "unigram": (lambda: _fast(_unigram("<s> $A"), **SENTENCE, unk_token="<unk>", pad_token="<pad>"), ["<s>"]),
    "unigram with EOS added, cleaned up": (
        lambda: _fast(_unigram("$A </s>"), **SENTENCE, unk_token="<unk>", clean_up_tokenization_spaces=True),
        [],
    ),
    "unigram in one piece": (lambda: _fast(_unigram("<s> $A", legacy=True), **SENTENCE, unk_token="<unk>"), ["<s>"]),
    "tokens span the boundary": (lambda: _fast(_byte_level("<s>", "</s>", boundaries=False), **SENTENCE), []),
    "tokens span the boundary, BOS and EOS added": (
        lambda: _fast(_byte_level("<s>", "</s>", template="<s> $A </s>", boundaries=False), **SENTENCE),
        ["<s>"],
    ),
}
