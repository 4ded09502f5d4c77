"""Copies of an example with its tables, columns and values renamed to random words.

A small model that sees real names learns the names; one that sees new names every time learns to find
them in the schema and in the question, and to copy them. The renaming is word by word and consistent over
schema, question and SQL (`pet_age` and "pet age" become `lamp_river` and "lamp river"), so references stay consistent.
"""

import functools
import random
import re
from collections.abc import Mapping
from importlib import resources

from sqlglot.dialects.sqlite import SQLite
from sqlglot.errors import SqlglotError
from sqlglot.tokenizer_core import Token, TokenType

from sense.records import Example
from sense.schema import Column, ForeignKey, Schema, Table

_WORD = re.compile(r"[A-Za-z]+")
_PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^A-Za-z0-9]+")
# words that carry the meaning of a question and are no names; they are never renamed
_NEVER_RENAMED = frozenset(
    """a all and any are as at average avg by count distinct each every for from has have id in is it least less list many max
    maximum mean min minimum more most name no not number of on or order per show sum than that the to top total what where
    which who with""".split()
)


@functools.cache
def replacement_words() -> tuple[str, ...]:
    """The words that names are renamed to: short nouns of everyday English."""
    return tuple(resources.files("sense.training").joinpath("words.txt").read_text(encoding="utf-8").split())


def rename(example: Example, schema: Schema, rng: random.Random) -> tuple[Example, Schema]:
    """A consistently renamed copy of the example and its schema, tables and columns in a new order; the SQL keeps its form.

    An example whose SQL cannot be tokenized comes back as it is: a half renamed example would be wrong.
    """
    try:
        tokens = SQLite().tokenize(example.sql)
    except SqlglotError:
        return example, schema
    names = [table.name for table in schema.tables] + [column.name for table in schema.tables for column in table.columns]
    values = [token.text for token in tokens if token.token_type == TokenType.STRING and _WORD.search(token.text)]
    mapping = _mapping(names, values, rng)
    new_names = {name.lower(): _renamed(name, mapping) for name in names}
    changes = {
        "question": _text(example.question, mapping),
        "evidence": _text(example.evidence, mapping),
        "sql": _sql(example.sql, tokens, new_names, mapping),
    }
    return example.model_copy(update=changes), _schema(schema, new_names, mapping, rng)


def _mapping(names: list[str], values: list[str], rng: random.Random) -> dict[str, str]:
    """Lower-case word -> new word, for every word of a name or a text value, no new word used twice."""
    old = dict.fromkeys(part.lower() for text in names + values for part in _PART.findall(text) if part.isalpha())
    candidates = [word for word in old if word not in _NEVER_RENAMED and len(word) > 1]
    pool = rng.sample(replacement_words(), min(len(replacement_words()), len(candidates)))
    return dict(zip(candidates, pool, strict=False))


def _renamed(name: str, mapping: Mapping[str, str]) -> str:
    return "".join(_cased(part, mapping.get(part.lower(), part)) for part in _PART.findall(name))


def _cased(old: str, new: str) -> str:
    """`new` in the case of `old`: Name -> Lamp, NAME -> LAMP."""
    if old.isupper() and len(old) > 1:
        return new.upper()
    return new.capitalize() if old[:1].isupper() else new


def _text(text: str, mapping: Mapping[str, str]) -> str:
    def replaced(match: re.Match[str]) -> str:
        word = match.group()
        for ending in ("", "s", "es"):
            stem = word.removesuffix(ending) if ending else word
            if stem.lower() in mapping and stem + ending == word:
                return _cased(stem, mapping[stem.lower()]) + ending
        singular = word[:-3] + "y" if word.endswith("ies") else word
        return _cased(word, mapping[singular.lower()]) + "s" if singular.lower() in mapping else word

    return _WORD.sub(replaced, text)


def _sql(sql: str, tokens: list[Token], new_names: Mapping[str, str], mapping: Mapping[str, str]) -> str:
    """The SQL with identifiers and text literals replaced in place, everything else to the letter as it was."""
    pieces, end = [], 0
    for token in tokens:
        text = sql[token.start : token.end + 1]
        if token.token_type == TokenType.STRING:
            new = _WORD.sub(lambda m: _cased(m.group(), mapping.get(m.group().lower(), m.group())), text)
        elif token.text.lower() in new_names and text.strip('"`[]').lower() == token.text.lower():
            new = text.replace(token.text, new_names[token.text.lower()])
        else:
            new = text
        pieces += [sql[end : token.start], new]
        end = token.end + 1
    return "".join([*pieces, sql[end:]])


def _schema(schema: Schema, new_names: Mapping[str, str], mapping: Mapping[str, str], rng: random.Random) -> Schema:
    def samples(column: Column) -> tuple[str, ...]:
        return tuple(_text(text, mapping) for text in column.samples)

    def columns(table: Table) -> tuple[Column, ...]:
        new = [Column(new_names[c.name.lower()], c.type, c.primary_key, samples(c)) for c in table.columns]
        return tuple(rng.sample(new, len(new)))

    tables = [Table(new_names[table.name.lower()], columns(table)) for table in schema.tables]
    keys = tuple(
        ForeignKey(*(new_names.get(name.lower(), name) for name in (key.table, key.column, key.other_table, key.other_column)))
        for key in schema.foreign_keys
    )
    return Schema(tuple(rng.sample(tables, len(tables))), keys)
