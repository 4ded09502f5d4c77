"""How questions are worded, and what of their SQL they spell: section 2 of `benchmarks.synthesis`."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from random import Random

from sqlglot import exp

from benchmarks.corpora import Row
from benchmarks.databases import name_words

STYLES = ("question", "command", "statement", "keywords", "polite", "two sentences")
_ASKS = re.compile(
    r"(?:what|which|who|whom|whose|where|when|how|why|are|is|was|were|do|does|did|has|have|can|could|will|would)\b", re.IGNORECASE
)
_POLITE = re.compile(
    r"\b(?:please|(?:can|could|would|will) you|i (?:would|'d|want|need)|i'd (?:like|love)|may i|thanks?)\b", re.IGNORECASE
)
_COMMANDS = re.compile(
    r"(?:show|list|find|return|give|display|tell|count|compute|calculate|sort|report|name|select|get|print|retrieve|identify|search"
    r"|rank|order|group|determine|fetch|provide|describe|state|look up|pick|compare)\b",
    re.IGNORECASE,
)
_LEAD = re.compile(r"^[^,?.]{1,80}, ")  # For each city, / Among singers over 30,
_WORD = re.compile(r"[^\W_]+(?:['’][a-z]+)?")


def spells_all_columns(row: Row) -> bool | None:
    """Whether the question spells every column of the SQL; None if the SQL cannot be parsed.

    Conditions of joins are left out, and so is *. A name is spelt where its words stand side by side, each perhaps in the plural.
    """
    if row.tree is None:
        return None
    question = " ".join(map(_singular, _WORD.findall(row.question.lower())))
    names = {tuple(map(_singular, name_words(column.name))) for column in row.tree.find_all(exp.Column) if not _joins(column)}
    return all(f" {' '.join(name)} " in f" {question} " for name in names)


def _joins(column: exp.Column) -> bool:
    """Whether a column stands in the condition of a join."""
    node: exp.Expr | None = column
    while node is not None and not isinstance(node, (exp.Select, exp.Join)):
        node = node.parent
    return isinstance(node, exp.Join)


def _singular(word: str) -> str:
    """A word without the ending of its plural, roughly: equal for both is all that matters."""
    if word.endswith("ies") and len(word) > 4:
        return f"{word[:-3]}y"
    return word[:-1] if word.endswith("s") and not word.endswith(("ss", "us", "is")) and len(word) > 3 else word


def names_a_table(row: Row) -> bool:
    """Whether the question has the words of one of the tables in the SQL."""
    question = f" {' '.join(map(_singular, _WORD.findall(row.question.lower())))} "
    tables = {table.name for table in row.tree.find_all(exp.Table)} if row.tree is not None else set()
    return any(f" {' '.join(map(_singular, name_words(table)))} " in question for table in tables)


def styles(question: str) -> set[str]:
    """The styles of a question: one of the first four of STYLES, and perhaps polite or in two sentences.

    >>> sorted(styles("For each city, how many singers are there?")), sorted(styles("singers by city"))
    (['question'], ['keywords'])
    >>> sorted(styles("Could you please list the singers? Sort them by age."))
    ['command', 'polite', 'two sentences']
    """
    text = question.strip()
    sentences = [sentence for sentence in re.split(r"(?<=[.?!])\s+(?=\w)", text) if sentence]
    result = {"two sentences"} if len(sentences) > 1 else set()
    start = _POLITE.sub("", sentences[0]).strip(" ,") if sentences else ""
    if _POLITE.search(text):
        result.add("polite")
    starts = [start, _LEAD.sub("", start)]
    if any(_ASKS.match(each) for each in starts):
        return result | {"question"}
    if "polite" in result or any(_COMMANDS.match(each) for each in starts):
        return result | {"command"}
    if text.endswith("?"):
        return result | {"question"}
    return result | {"statement" if text.endswith((".", "!")) else "keywords"}


def word_sample(questions: Sequence[str], count: int, seed: int = 0) -> list[str]:
    """The first `count` words, in lower case, of the questions in a seeded order."""
    order = list(questions)
    Random(seed).shuffle(order)
    words: list[str] = []
    for question in order:
        words += _WORD.findall(question.lower())
        if len(words) >= count:
            break
    return words[:count]


def type_token_ratio(words: Sequence[str]) -> float:
    """Different words as a share of all."""
    return len(set(words)) / len(words) if words else 0.0


def distinct_trigrams(words: Sequence[str]) -> int:
    """How many different rows of three words there are."""
    return len(set(zip(words, words[1:], words[2:], strict=False)))


def counts_over_join(row: Row) -> bool:
    """Whether the outermost SELECT joins, groups and returns a count: groups of zero may be missing."""
    tree = row.tree
    if not isinstance(tree, exp.Select) or not tree.args.get("joins") or tree.args.get("group") is None:
        return False
    return any(column.find(exp.Count) for column in tree.expressions)


def share_of_classes(classes: Iterable[Sequence[str]]) -> dict[str, float]:
    """Class -> the share of questions that have it, the most frequent first."""
    lists = list(classes)
    counts = Counter(name for names in lists for name in names)
    return {name: count / len(lists) for name, count in counts.most_common()}
