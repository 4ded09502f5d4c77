"""Other phrasings of a question by rules: a request for a question, a question for a request, or a sentence before it.

The rules look at the first words alone, and what comes after them stays to the letter. Where a question has its verb before its
subject ("Which dogs does Ann own?"), an indirect question would be no English: it gets a sentence before it.
"""

import re
from random import Random

_COUNT = re.compile(
    r"How many (?P<what>(?:(?!\bhow\b)[^?,])*?) are there(?P<rest> (?:in|on|at|for|with|from|of) [^?]*)?\?$", re.I
)
_WHAT_IS = re.compile(r"What(?:'s| is| are| was| were) (?P<what>(?:the|all|their|its|our) .*)", re.I | re.DOTALL)
_INDIRECT = re.compile(r"(?:Who|Which|Whose|How many|What) .*", re.I | re.DOTALL)
_REQUEST = re.compile(
    r"(?:please )?(?:show|list|give|find|return|display|tell|name|report|print|select|provide|identify|get|state|retrieve|"
    r"compute|calculate|count|determine|sort)(?!\s*,| (?:of|and|or|per)\b) .*",  # "Name of the dog" is a noun phrase
    re.I | re.DOTALL,
)
# a question that ends so, or goes on with a second one, is none about a noun alone: "What is the dog called?"
_NEEDS_ITS_VERB = re.compile(
    r"\b(?:called|named|like|for|about|from|in|of|to|with|at|on)\s*\?|\b(?:and|or),? (?:what|which|who|whose|how|when|where)\b",
    re.I,
)
_INVERTED = re.compile(
    r"\b(?:[Dd]o|[Dd]oes|[Dd]id)\b|\b(?:is|are|was|were|has|have|had|can|could|will|would|should) "
    r"(?:the|a|an|each|every|all|any|he|she|it|they|we|you|I|his|her|their|these|those|this|that|there|[A-Z]\w*)\b"
)
_FIRST_WORDS = frozenset(
    """a all among are at by can compute could count did display do does each every find for from get give has have how
    identify in is list name of on order please print provide report return select show sort state tell that the what when where
    which who whose with""".split()
)
_SENTENCES_BEFORE = ("I have a question: {}", "Here is what I want to know: {}", "Please answer this: {}", "Quick question: {}")


def rephrase(question: str, rng: Random) -> str:
    """The question in other words, drawn from all that the rules have for it; it asks for the same, and every value stays.

    >>> rephrase("How many dogs are there?", Random(0)), rephrase("What is the age of Rex?", Random(0))
    ('Tell me the number of dogs.', 'Give me the age of Rex.')
    """
    candidates = [text for text in _candidates(question.strip()) if text != question.strip()]
    return rng.choice(candidates)


def _candidates(question: str) -> list[str]:
    count = _COUNT.match(question)
    if count is not None:
        what, rest = count["what"], count["rest"] or ""
        return [f"{start} {what}{rest}." for start in ("Count the", "Tell me the number of", "I need to know the number of")]
    what_is = _WHAT_IS.match(question)
    if what_is is not None and not _NEEDS_ITS_VERB.search(question):
        return [_as_statement(f"{start} {what_is['what']}") for start in ("Tell me", "Give me", "I would like to know")]
    lowered = _lowered(question)
    if _INDIRECT.match(question) and not _INVERTED.search(question):
        statements = [_as_statement(f"{start} {lowered}") for start in ("Tell me", "I want to know")]
        return [*statements, f"Could you tell me {lowered}"]
    request = _REQUEST.match(question)
    if request is not None:
        plain = lowered.removeprefix("please ")
        polite = [f"Please {plain}", f"I would like you to {plain}"]
        is_one_sentence = question.endswith(".") and not re.search(r"[.?!] ", question)
        return [*polite, f"Could you {plain[:-1]}?"] if is_one_sentence else polite
    return [sentence.format(lowered) for sentence in _SENTENCES_BEFORE]


def _as_statement(text: str) -> str:
    """The text with a full stop in place of its first question mark."""
    return text.replace("?", ".", 1)


def _lowered(question: str) -> str:
    """The question with a small letter at its start, unless its first word may be a name."""
    first = re.match(r"\w+", question)
    is_known = first is not None and first[0].lower() in _FIRST_WORDS
    return first[0].lower() + question[first.end() :] if first is not None and is_known else question
