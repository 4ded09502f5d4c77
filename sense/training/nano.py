"""The nano base: a byte-level BPE tokenizer trained on the corpus, and a small Llama of random weights.

It needs no hub, trains on a laptop's CPU in minutes and is a plain transformers model, so that
everything downstream (PEFT, TRL, MLflow, vLLM) treats it as it treats a 7B model.
"""

import json
import re
from collections.abc import Iterable
from typing import Any

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from sense.config import NanoConfig
from sense.training import copying, tokenization

PAD, BOS, EOS = "<pad>", "<s>", "</s>"

# Letters never share a token with the space before them: a column is the same tokens in the schema, in the question and in the
# SQL, so that copying a name is copying tokens. The s of a plural is a token of its own, so that the rest is the singular, and
# HomeCity is two words. Keywords and punctuation include the spaces around them, which keeps SQL short; so do the words of
# a linking line.
PIECES = Regex(
    r" ?-- tables: | columns: | ?[A-Z]{2,}(?![a-z]) ?| ?[=<>!|]+ ?'?|[,;:?] ?| ?\(|\) ?|\n[a-z]+:"
    r"|[A-Z]?[a-z]+?(?=s(?![a-z]))|s(?![a-z])|[A-Z]?[a-z]+|[A-Z]+|\d|\s|[^\w\s]|."
)
_CAPITAL = re.compile(r"(?<![A-Z])[A-Z](?=[a-z])")  # of a word that goes on in small letters
_SMALL_LETTERS = re.compile(r"[a-z]+")


def train_tokenizer(corpus: Iterable[str], size: int) -> PreTrainedTokenizerBase:
    """A byte-level BPE of at most `size` tokens; any text survives a round trip. The same corpus gives the same bytes.

    A word has as many tokens with a capital as without, and they differ in the first one alone.
    """
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(vocab_size=size, special_tokens=[PAD, BOS, EOS], initial_alphabet=alphabet, show_progress=False)
    small = _tokenizer(models.BPE())
    small.train_from_iterator((_CAPITAL.sub(lambda match: match[0].lower(), text) for text in corpus), trainer)
    return tokenization.prepare(
        PreTrainedTokenizerFast(
            tokenizer_object=_tokenizer(_with_capitals(json.loads(small.to_str())["model"], size)),
            pad_token=PAD,
            bos_token=BOS,
            eos_token=EOS,
            clean_up_tokenization_spaces=False,
            padding_side="left",
        )
    )


def _tokenizer(bpe: models.BPE) -> Tokenizer:
    tokenizer = Tokenizer(bpe)
    split = pre_tokenizers.Split(PIECES, behavior="isolated")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def _with_capitals(bpe: dict[str, Any], size: int) -> models.BPE:
    """The first merges of a BPE, as tokenizer.json has it, each of small letters also with its first letter as a capital."""
    merged = {left + right for left, right in bpe["merges"]}
    vocabulary = [token for token in sorted(bpe["vocab"], key=bpe["vocab"].__getitem__) if token not in merged]
    merges: list[tuple[str, str]] = []
    tokens = set(vocabulary)
    for left, right in bpe["merges"]:
        pairs = [(left, right), (left.capitalize(), right)] if _SMALL_LETTERS.fullmatch(left + right) else [(left, right)]
        new = list(dict.fromkeys(token for token in map("".join, pairs) if token not in tokens))
        if len(vocabulary) + len(new) > size:
            break
        merges += pairs
        vocabulary += new
        tokens.update(new)
    return models.BPE({token: number for number, token in enumerate(vocabulary)}, merges)


def _capitalized(tokenizer: PreTrainedTokenizerBase) -> list[tuple[int, int]]:
    """Tokens that begin with a capital, each with the token of the same letters that are all small."""
    vocabulary = tokenizer.get_vocab()
    smalls = [(token.capitalize(), number) for token, number in vocabulary.items() if _SMALL_LETTERS.fullmatch(token)]
    return sorted((vocabulary[token], number) for token, number in smalls if token in vocabulary)


def create_model(config: NanoConfig, tokenizer: PreTrainedTokenizerBase, seed: int) -> PreTrainedModel:
    """A Llama of random float32 weights, able to copy; the same config, vocabulary and seed give the same weights."""
    torch.manual_seed(seed)
    llama = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=config.hidden,
        intermediate_size=config.hidden * 3,
        num_hidden_layers=config.layers,
        num_attention_heads=config.heads,
        head_dim=max(32, config.hidden // config.heads),  # vLLM on CPU supports no smaller head; copying needs several heads
        max_position_embeddings=config.context,
        tie_word_embeddings=True,
        rope_parameters={"rope_type": "default", "rope_theta": copying.ROTARY_BASE},
        # transformers' default of 0.02 suits widths of thousands; at a width of 100 a copied token would hardly move the logits
        initializer_range=config.hidden**-0.5,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    model = LlamaForCausalLM(llama)
    copying.initialize(model, _capitalized(tokenizer))
    return model
