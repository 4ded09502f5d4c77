import pytest
import torch

from sense.config import NanoConfig
from sense.training import nano

CORPUS = ["pet(id, name, pet_age)\n\nquestion: What is the pet age of Rex?\nsql: SELECT pet_age FROM pet WHERE name = 'Rex'"] * 3


@pytest.mark.parametrize(
    "text",
    [
        CORPUS[0],
        " SELECT COUNT(*) FROM a AS T1 JOIN b ON T1.x = b.y WHERE z >= 3.5 AND n LIKE '%é_%'",
        "tabs\tand  spaces \n\n and ünïcödé 数据 🙂",
        "",
    ],
)
def test_any_text_survives_the_round_trip(text):
    tokenizer = nano.train_tokenizer(CORPUS, 400)
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


def test_the_same_corpus_gives_the_same_bytes(tmp_path):
    for name in ("one", "two"):
        nano.train_tokenizer(CORPUS * 50, 400).save_pretrained(tmp_path / name)
    assert (tmp_path / "one/tokenizer.json").read_bytes() == (tmp_path / "two/tokenizer.json").read_bytes()


def test_prompt_and_completion_are_the_same_tokens_apart_and_together():
    tokenizer = nano.train_tokenizer(CORPUS, 400)
    prompt, completion = CORPUS[0].split("\nsql:")
    prompt += "\nsql:"
    assert tokenizer(prompt)["input_ids"] + tokenizer(completion)["input_ids"] == tokenizer(prompt + completion)["input_ids"]


def test_a_name_is_the_same_tokens_in_the_schema_and_in_the_question_in_the_plural():
    tokenizer = nano.train_tokenizer(["lighthouse lighthouses HomeCity home city"] * 3, 400)
    singular, plural = (tokenizer.tokenize(text) for text in ("lighthouse", "lighthouses"))
    assert plural == [*singular, "s"]
    assert tokenizer.tokenize("HomeCity") == [*tokenizer.tokenize("Home"), *tokenizer.tokenize("City")]


def test_a_word_with_a_capital_has_the_tokens_of_the_word_without_but_for_the_first():
    tokenizer = nano.train_tokenizer(["lighthouse of a country", "Show the name"] * 3, 360)
    for word in ("lighthouse", "country", "show", "name", "lightname"):
        small, capital = tokenizer.tokenize(word), tokenizer.tokenize(word.capitalize())
        assert capital == [small[0].capitalize(), *small[1:]]


def test_the_vocabulary_is_as_large_as_allowed_and_no_larger():
    for size in (299, 300, 301, 302):
        assert size - 1 <= len(nano.train_tokenizer(CORPUS, size)) <= size


def test_tokens_that_differ_in_case_begin_alike():
    tokenizer = nano.train_tokenizer(["name name"], 300)
    config = NanoConfig(vocabulary=300, hidden=64, layers=2, heads=4)
    embeddings = nano.create_model(config, tokenizer, 0).model.embed_tokens.weight.detach()
    small, capital, other = (embeddings[tokenizer.convert_tokens_to_ids(token)] for token in ("name", "Name", "b"))
    likeness = torch.nn.functional.cosine_similarity
    assert likeness(small, capital, 0) > 0.6 > likeness(small, other, 0)


def test_a_model_is_its_seed():
    tokenizer, config = nano.train_tokenizer(CORPUS, 400), NanoConfig(vocabulary=400, hidden=32, layers=1, heads=1)
    one, two, other = (
        nano.create_model(config, tokenizer, 1),
        nano.create_model(config, tokenizer, 1),
        nano.create_model(config, tokenizer, 2),
    )
    assert (one.lm_head.weight == two.lm_head.weight).all()
    assert not (one.lm_head.weight == other.lm_head.weight).all()
