"""Copies of an example with its tables, columns and values renamed to random words.

A small model that sees real names learns the names; one that sees new names every time learns to find
them in the schema and in the question, and to copy them. The renaming is word by word and consistent over
schema, question and SQL (`pet_age` and "pet age" become `lamp_river` and "lamp river"), so references stay consistent:
on a database whose names and values are renamed in the same way, the new SQL gives the old result, renamed.

Some words keep their place for that: those of a value that the question does not have ('CA' for California), those
of a text that is not compared as a whole (LIKE '%ab%', the arguments of functions), and those of a name that the question only
implies: nobody could tell that "the tallest" asks for a column `lamp`. They are renamed nowhere.
"""

import functools
import random
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from importlib import resources
from itertools import chain

from sense.records import Example
from sense.schema import Column, ForeignKey, Schema, Table, quote_identifier
from sense.training.sql_words import SqlPart, cut_words, find_parts, quoted

_WORD = re.compile(r"[^\W\d_]+")
# a name's words: a run of letters with one beyond ASCII is one word, others are split at capitals
_PART = re.compile(r"[A-Za-z]*[^\W\d_A-Za-z][^\W\d_]*|[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[\W_]+")
# words that carry the meaning of a question and are no names; they are never renamed
_NEVER_RENAMED = frozenset(
    """a all and any are as at average avg by count distinct each every for from has have id in is it least less list many max
    maximum mean min minimum more most name no not number of on or order per show sum than that the to top total what where
    which who with""".split()
)
_SHORTEST_CUT = 3  # letters
# what syllables of invented words begin with, have in the middle, and what the last one ends with
_ONSETS = "b c d f g h j k l m n p r s t v w z br cr dr fl gr pl st tr sh ch th cl".split()
_VOWELS = "a e i o u a e i o ea oo ai".split()
_CODAS = "n r l s t m nd rt ck x st p b d g k".split()
_SHORTEST_INVENTED = 3  # letters

Inventor = Callable[[random.Random], str]
"""Draws a word in small letters that need not be one of any language."""


def of_syllables(rng: random.Random) -> str:
    """A word of random syllables, such as `drilpoan`."""
    return "".join(rng.choice(_ONSETS) + rng.choice(_VOWELS) for _ in range(rng.choice((1, 1, 2, 2, 3)))) + rng.choice(_CODAS)


def of_tokens(tokens: Sequence[str]) -> Inventor:
    """Draws words of one to three of `tokens`, each as likely as any other.

    What is rare in all names of the training data comes as often as the rest: a token that a model was never trained to write, it
    does not copy either, and the name of another schema may need it.
    """
    return lambda rng: "".join(rng.choice(tokens) for _ in range(rng.choice((1, 2, 2, 3))))


@functools.cache
def replacement_words() -> tuple[str, ...]:
    """The words that names are renamed to: short nouns of everyday English."""
    return tuple(resources.files("sense.training").joinpath("words.txt").read_text(encoding="utf-8").split())


def rename(example: Example, schema: Schema, rng: random.Random) -> tuple[Example, Schema] | None:
    """A consistently renamed copy of the example and its schema, tables and columns in a new order; the SQL keeps its form.

    None if it cannot be said for certain what in the SQL is a name: a half renamed example would be wrong.
    """
    if not can_rename(example, schema):
        return None
    (copy,), renamed_schema = rename_together([example], schema, rng)
    return copy, renamed_schema


def can_rename(example: Example, schema: Schema) -> bool:
    """Whether it can be said for certain what in the SQL of the example is a name."""
    return find_parts(example.sql, schema) is not None


def rename_together(
    examples: Sequence[Example], schema: Schema, rng: random.Random, invented: float = 0.0, inventor: Inventor = of_syllables
) -> tuple[list[Example], Schema]:
    """Copies of examples on one schema, all with the same new names, and that schema renamed.

    A word that one of the examples needs as it is keeps its place in all. With the probability `invented` a new word is the
    inventor's. ValueError if `can_rename` is false for an example.
    """
    texts = [f"{example.question} {example.evidence}" for example in examples]
    parts_of = [find_parts(example.sql, schema) for example in examples]
    if None in parts_of:
        raise ValueError("an example whose names are not certain cannot be renamed")
    certain = [parts for parts in parts_of if parts is not None]
    names = [table.name for table in schema.tables] + [column.name for table in schema.tables for column in table.columns]
    words = _draw(
        names,
        [(parts, text, _implied_words(parts, schema, text)) for parts, text in zip(certain, texts, strict=True)],
        rng,
        invented,
        inventor,
    )
    copies = [
        example.model_copy(
            update={
                "question": words.text(example.question),
                "evidence": words.text(example.evidence),
                "sql": _sql(example.sql, parts, words),
            }
        )
        for example, parts in zip(examples, certain, strict=True)
    ]
    return copies, _schema(schema, words, rng)


def shuffle(schema: Schema, rng: random.Random) -> Schema:
    """The schema with its tables and columns in a new order, under the names that they have."""
    return _schema(schema, _Words({}, frozenset(), ()), rng)


class _Words:
    """The new word of each word that is renamed, in lower case; the words that are renamed nowhere; the schema's names."""

    def __init__(self, mapping: Mapping[str, str], fixed: Set[str], names: Iterable[str]) -> None:
        self._mapping, self._fixed = mapping, fixed
        self._names = {name.lower(): "".join(self._renamed(part) for part in _PART.findall(name)) for name in names}

    def _renamed(self, word: str) -> str:
        new = self._mapping.get(word.lower())
        return word if new is None else _cased(word, new)

    def name(self, name: str) -> str:
        """A table's or column's name; any other, such as an alias, is returned as it is."""
        return self._names.get(name.lower(), name)

    def value(self, text: str) -> str:
        """A value, word by word."""
        return _WORD.sub(lambda match: self._renamed(match[0]), text)

    def text(self, text: str) -> str:
        """A question: its words may stand in the plural, and names in it may be written as in the schema (PetAge)."""
        return _WORD.sub(lambda match: self._spoken(match[0]), text)

    def _spoken(self, word: str) -> str:
        if word.lower() in self._fixed:
            return word
        for stem, ending in _stems(word):
            if stem.lower() in self._mapping:
                return self._renamed(stem) + ending
        name = self.name(word)
        return word if name.lower() == word.lower() else name


def _implied_words(parts: Iterable[SqlPart], schema: Schema, question: str) -> set[str]:
    """The words of names in the SQL that the question does not spell, in lower case, except keys, which the schema shows."""
    keys = {column.name.lower() for table in schema.tables for column in table.columns if column.primary_key}
    keys |= {name.lower() for key in schema.foreign_keys for name in (key.column, key.other_column)}
    names = [part.text for part in parts if part.use is None and part.text.lower() not in keys]
    spoken = {stem for word in _words(question) for stem, _ in _stems(word)}
    return {part.lower() for name in names for part in _PART.findall(name) if part.isalpha()} - spoken


def _draw(
    names: Sequence[str],
    uses: Sequence[tuple[Sequence[SqlPart], str, Set[str]]],
    rng: random.Random,
    invented: float,
    inventor: Inventor,
) -> _Words:
    """New words for those of the names, but those that are implied, and for those of the values that the questions have.

    `uses` has for each example the names and texts in its SQL, its question, and the words of names which that implies.
    """
    named = dict.fromkeys(part.lower() for name in names for part in _PART.findall(name) if part.isalpha())
    values: dict[str, None] = {}
    fixed: set[str] = set()
    for parts, question, implied in uses:
        texts = [part for part in parts if part.use]
        own_values = dict.fromkeys(word for part in texts if part.use != "other" for word in _words(part.text))
        fixed |= _fixed_words([*named, *own_values], texts, question) | implied
        values |= own_values
    candidates = [word for word in dict.fromkeys([*named, *values]) if len(word) > 1 and word not in _NEVER_RENAMED | fixed]
    written_texts = chain(names, *((question, *(part.text for part in parts)) for parts, question, _ in uses))
    written = {word for text in written_texts for word in _words(text)} | named.keys()
    kept = {stem for word in written for stem, _ in _stems(word)} - set(candidates)
    mapping = _sample(candidates, kept, rng, invented, inventor)
    for word in candidates:  # where a value is the plural of a name, or a name that of a value, their new words are as well
        for stem, ending in _stems(word):
            if ending and stem in mapping and word in mapping and (word in named) != (stem in named):
                mapping[word] = mapping[stem] + ending
    return _Words(mapping, fixed, names)


def _fixed_words(words: Iterable[str], texts: Sequence[SqlPart], question: str) -> set[str]:
    """The words that must stay, in lower case: in another place they would mean something else, or nothing could tell them."""
    spoken = {stem for word in _words(question) for stem, _ in _stems(word)}
    fixed = {word for part in texts for word in _words(part.text) if part.use == "other" or word not in spoken}
    # McDonald and Mcdonald are different values, and would both become Lamp
    fixed |= {word.lower() for part in texts for word in _WORD.findall(part.text) if not (word[1:].islower() or word.isupper())}
    cut = {word for part in texts if part.use == "pattern" for word in cut_words(part.text)}
    long_cut = [word for word in cut if len(word) >= _SHORTEST_CUT]
    fixed |= cut | {word for word in words if any(piece in word for piece in long_cut)}
    return fixed | {stem for word in fixed for stem, _ in _stems(word)}


def _sample(candidates: Sequence[str], kept: Set[str], rng: random.Random, invented: float, inventor: Inventor) -> dict[str, str]:
    """A new word for each candidate, no word twice and none of those that are kept, as long as there are any."""
    unused = set(kept)
    while True:
        pool = [word for word in replacement_words() if word not in unused]
        left_over = set(candidates[len(pool) :]) - unused
        if not left_over:
            mapping = dict(zip(candidates, rng.sample(pool, min(len(pool), len(candidates))), strict=False))
            break
        unused |= left_over
    if invented:  # without, the same random numbers are drawn as ever
        taken = unused | set(mapping.values()) | _NEVER_RENAMED
        for word in candidates:
            if word in mapping and rng.random() < invented:
                mapping[word] = _invent(inventor, taken, rng)
                taken.add(mapping[word])
    return mapping


def _invent(inventor: Inventor, taken: Set[str], rng: random.Random) -> str:
    """A word of the inventor's that is not taken, and that SQL reads as a name."""
    while True:
        word = inventor(rng)
        if len(word) >= _SHORTEST_INVENTED and word not in taken and quote_identifier(word) == word:
            return word


def _words(text: str) -> list[str]:
    return [word.lower() for word in _WORD.findall(text)]


def _stems(word: str) -> Iterator[tuple[str, str]]:
    """The word itself, and what it may be the plural of, each with the ending that a new word gets."""
    yield word, ""
    for ending in ("s", "es"):
        if word.endswith(ending):
            yield word.removesuffix(ending), ending
    if word.endswith("ies"):
        yield word[:-3] + "y", "s"


def _cased(old: str, new: str) -> str:
    """`new` in the case of `old`: Name -> Lamp, NAME -> LAMP."""
    if old.isupper() and len(old) > 1:
        return new.upper()
    return new.capitalize() if old[:1].isupper() else new


def _sql(sql: str, parts: Sequence[SqlPart], words: _Words) -> str:
    """The SQL with names and texts replaced in place, everything else to the letter as it was."""
    pieces, end = [], 0
    for part in parts:
        new = words.value(part.text) if part.use else words.name(part.text)
        pieces += [sql[end : part.start], quoted(new, sql[part.start : part.end])]
        end = part.end
    return "".join([*pieces, sql[end:]])


def _schema(schema: Schema, words: _Words, rng: random.Random) -> Schema:
    def columns(table: Table) -> tuple[Column, ...]:
        new = [
            Column(words.name(column.name), column.type, column.primary_key, tuple(map(words.value, column.samples)))
            for column in table.columns
        ]
        return tuple(rng.sample(new, len(new)))

    tables = [Table(words.name(table.name), columns(table)) for table in schema.tables]
    keys = tuple(
        ForeignKey(*map(words.name, (key.table, key.column, key.other_table, key.other_column))) for key in schema.foreign_keys
    )
    return Schema(tuple(rng.sample(tables, len(tables))), keys)
