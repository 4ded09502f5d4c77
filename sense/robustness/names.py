"""Columns under other names: synonyms or abbreviations of their words, in the schema and in the golds; the question stays.

A name gets the same new one in all tables, as keys and columns of the same name in a join do. So it is enough to know what in a
gold is a name, and `sense.training.sql_words` says that for certain or not at all.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from random import Random

from sense.records import Example
from sense.robustness.plan import DatabasePlan, Drop
from sense.robustness.words import abbreviate, name_of_words, replace_words, split_name, synonyms
from sense.schema import Schema, quote_identifier
from sense.sql.parse import tokens
from sense.training.sql_words import find_parts, quoted

_ROW_IDS = frozenset(("rowid", "_rowid_", "oid"))
NOTHING_RENAMED = Drop("no column of the gold has another name")
UNCERTAIN = Drop("gold cannot be rewritten for certain")


def plan_synonyms(examples: Sequence[Example], schema: Schema, rng: Random) -> DatabasePlan:
    """Each column whose name has words with synonyms, under a name of these; a word has one synonym in a database."""
    drawn = {word: rng.sample(others, len(others)) for word, others in synonyms().items()}

    def other_name(name: str) -> str:
        words = split_name(name)
        whole = drawn.get(" ".join(words)) if len(words) > 1 else None
        return name_of_words(whole[0], name) if whole else replace_words(name, [other_word(word, words) for word in words])

    def other_word(word: str, words: Sequence[str]) -> str:
        """The first of the word's synonyms that says nothing that the name says already; the word itself if there is none."""
        return next((other for other in drawn.get(word, ()) if not set(other.split()) & set(words)), word)

    return DatabasePlan(renamed=dict(_new_names(examples, schema, other_name)))


def plan_abbreviations(examples: Sequence[Example], schema: Schema, _rng: Random) -> DatabasePlan:
    """Each column whose name has words of more than three letters, with these shortened: `customer_name` is `cust_nm`."""
    return DatabasePlan(renamed=dict(_new_names(examples, schema, _abbreviated)))


def _abbreviated(name: str) -> str:
    return replace_words(name, [abbreviate(word) for word in split_name(name)])


def _new_names(examples: Iterable[Example], schema: Schema, other_name: Callable[[str], str]) -> Iterator[tuple[str, str]]:
    """The columns, in lower case, that get a new name, with it: one that neither the schema nor a gold has."""
    tables = {table.name.lower() for table in schema.tables}
    taken = tables | _ROW_IDS | {column.name.lower() for table in schema.tables for column in table.columns}
    taken |= {token.text.strip("\"'`[]").lower() for example in examples for token in tokens(example.sql)}
    names = {column.name.lower(): column.name for table in reversed(schema.tables) for column in table.columns}
    for name in dict.fromkeys(names[column.name.lower()] for table in schema.tables for column in table.columns):
        new = other_name(name)
        is_plain = quote_identifier(new) == new or quote_identifier(name) != name
        if new.lower() in taken or name.lower() in tables | _ROW_IDS or not is_plain:
            continue
        taken.add(new.lower())
        yield name.lower(), new


def rewrite(example: Example, schema: Schema, plan: DatabasePlan) -> Example | Drop:
    """The example with the new names in its gold, and in its evidence, which speaks of columns by their names."""
    parts = find_parts(example.sql, schema)
    if parts is None:
        return UNCERTAIN
    sql = example.sql
    used: set[str] = set()
    for part in reversed(parts):
        new = plan.renamed.get(part.text.lower()) if part.use is None else None
        if new is not None:
            used.add(part.text)
            sql = sql[: part.start] + quoted(new, sql[part.start : part.end]) + sql[part.end :]
    if not used:
        return NOTHING_RENAMED
    return example.model_copy(update={"sql": sql, "evidence": _evidence(example.evidence, schema, plan)})


def _evidence(text: str, schema: Schema, plan: DatabasePlan) -> str:
    """The text with the new names; what stands in single quotes is a value, and stays.

    A name in another case than the schema's is one only where nothing else can stand: in backticks or double quotes, before a
    comparison, or after "refers to".
    """
    names = {column.name for table in schema.tables for column in table.columns if column.name.lower() in plan.renamed}
    if not text or not names:
        return text
    pattern = "|".join(re.escape(name) for name in sorted(names, key=lambda name: (-len(name), name)))
    other_case = rf"(?i:{pattern})"
    spans = re.compile(
        rf"(?P<value>(?<!\w)'(?:[^']|'')*'(?!\w))|(?<!\w)(?:{pattern})(?!\w)|(?<=`){other_case}(?=`)|(?<=\"){other_case}(?=\")"
        rf"|(?<!\w){other_case}(?!\w)(?=\s*(?:[=<>]|!=|(?:NOT )?(?:LIKE|IN|BETWEEN)\b|IS\b))|(?<=refers to ){other_case}(?!\w)"
    )
    return spans.sub(lambda match: match["value"] or plan.renamed[match[0].lower()], text)
