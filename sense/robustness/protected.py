"""The parts of a question that have to stay as they are: values that are quoted, or that stand in the gold."""

import re
from collections.abc import Iterator

from sense.records import Example
from sense.sql.parse import tokens

_QUOTED = re.compile(r"(?<!\w)'[^']+'(?!\w)|\"[^\"]+\"|“[^”]+”|‘[^’]+’|`[^`]+`")
_WORD = re.compile(r"\w+")
_CAPITAL = re.compile(r"(?<=[\w,;] )[A-Z]\w*")


def protected_spans(example: Example) -> list[tuple[int, int]]:
    """Where quoted texts, texts of the gold and names with a capital stand in the question: (start, end) pairs.

    A text of the gold that the question does not have as a whole is looked for word by word: `2010-03-01` for "March 2010".
    """
    question = example.question
    spans = [match.span() for match in _QUOTED.finditer(question)]
    spans += [match.span() for match in _CAPITAL.finditer(question)]
    for text in gold_texts(example.sql):
        whole = list(re.finditer(rf"(?<!\w){re.escape(text)}(?!\w)", question, re.IGNORECASE))
        words = [] if whole else [word for word in _WORD.findall(text) if len(word) > 1]
        for word in words:
            whole += re.finditer(rf"(?<!\w){re.escape(word)}(?!\w)", question, re.IGNORECASE)
        spans += [match.span() for match in whole]
    return spans


def gold_texts(sql: str) -> Iterator[str]:
    """What stands in quotes in a gold, names too, and its numbers; without the wildcards of LIKE around it."""
    for token in tokens(sql):
        if token.kind == "quoted" and token.text[0] in "'\"":
            text = token.text[1:-1].strip("%_ ")
            if text:
                yield text
        elif token.kind == "word" and token.text[0].isdigit():
            yield token.text


def overlaps(start: int, end: int, spans: list[tuple[int, int]]) -> bool:
    """Whether a part of a text overlaps with one of the spans."""
    return any(start < other_end and other_start < end for other_start, other_end in spans)


def lost_values(before: Example, question: str) -> list[str]:
    """The values, as they are spelt in the question before, that a changed question has not as often."""
    values = [before.question[start:end] for start, end in protected_spans(before)]
    return [value for value in values if question.count(value) < before.question.count(value)]
