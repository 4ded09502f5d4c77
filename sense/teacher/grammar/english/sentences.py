"""Questions for requests, in the styles in which people ask: a question, a command, keywords, politely, in two sentences."""

from random import Random
from typing import Literal

from sense.teacher.grammar.english import groups, lists, numbers
from sense.teacher.grammar.english.language import capitalized
from sense.teacher.grammar.english.speaker import Speaker
from sense.teacher.grammar.english.wording import Wording
from sense.teacher.grammar.meaning import (
    AboveMeanGroups,
    BestOfGroup,
    Combining,
    Contrast,
    Grouping,
    Listing,
    Measuring,
    Request,
    Twins,
)

Style = Literal["question", "command", "keywords", "polite", "two sentences"]
_STYLES: tuple[tuple[Style, float], ...] = (
    ("question", 44),
    ("command", 30),
    ("keywords", 11),
    ("polite", 9),
    ("two sentences", 11),
)
_MOST_KEYWORDS = 14
_SHOW = (
    *("Show", "List", "Find", "Return", "Give me", "Show me", "Display", "Tell me", "Get", "Give", "I need", "Look up", "Report"),
    *("Fetch", "Provide", "Print", "Output", "Let me see", "I want", "Retrieve", "Get me", "Write down"),
)
_POLITE = (
    "Could you tell me {}?",
    "Can you show me {}?",
    "Please list {}.",
    "I would like to know {}.",
    "Could you please give me {}?",
    "Please show me {}.",
    "I'd like to see {}.",
    "Can you find {}?",
    "Would you please look up {}?",
    "Do you know {}?",
    "May I have {}?",
    "Please help me find {}.",
    "I am trying to find out {}.",
    "We would like a list with {}.",
)
_LOOK = (
    "Consider {}",
    "Take {}",
    "Look at {}",
    "Let us look at {}",
    "My question is about {}",
    "This is about {}",
)
_INDIRECT = (
    "Can you tell me {}?",
    "Could you tell me {}?",
    "Do you know {}?",
    "I wonder {}.",
    "I want to know {}.",
    "Please tell me {}.",
)
_ASKING = ("what", "which", "who", "how", "when", "in which", "for each", "for every")


def question(request: Request, rng: Random, spelt: bool = False) -> tuple[str, str]:
    """A question for `request`, and the evidence that it needs (an empty text if none).

    With `spelt` it calls tables and columns by the words in their names.
    """
    speaker = Speaker(rng, spelt)
    text = _in_style(speaker, _wording(speaker, request))
    return text, speaker.evidence(text)


def _wording(speaker: Speaker, request: Request) -> Wording:
    match request:
        case Listing():
            return lists.listing(speaker, request)
        case Measuring():
            return numbers.measuring(speaker, request)
        case Grouping():
            return groups.grouping(speaker, request)
        case Combining():
            return lists.combining(speaker, request)
        case BestOfGroup():
            return lists.best_of_group(speaker, request)
        case AboveMeanGroups():
            return groups.above_mean_groups(speaker, request)
        case Contrast():
            return numbers.contrast(speaker, request)
        case Twins():
            return lists.twins(speaker, request)


def _in_style(speaker: Speaker, wording: Wording) -> str:
    rng = speaker.rng
    styles = [(style, weight) for style, weight in _STYLES if style != "two sentences" or wording.rest]
    if not wording.direct and not wording.nominal:
        styles = [(style, weight) for style, weight in styles if style != "question"]
    if len(wording.noun.split()) + len(wording.tail.split()) > _MOST_KEYWORDS:
        styles = [(style, weight) for style, weight in styles if style != "keywords"]
    style = rng.choices([style for style, _ in styles], [weight for _, weight in styles])[0]
    if style == "two sentences":
        mark = "?" if wording.rest.startswith(_ASKING) else "."
        return f"{rng.choice(_LOOK).format(wording.intro)}. {capitalized(wording.rest)}{wording.tail}{mark}"
    if style == "question":
        if wording.direct and (not wording.nominal or speaker.chance(0.75)):
            return f"{capitalized(rng.choice(wording.direct))}{wording.tail}?"
        return f"What {'are' if wording.plural else 'is'} {wording.noun}{wording.tail}?"
    if style == "keywords":
        return capitalized(wording.noun.removeprefix("the ") + wording.tail)
    if style == "polite":
        if wording.indirect and speaker.chance(0.4):
            return rng.choice(_INDIRECT).format(rng.choice(wording.indirect) + wording.tail)
        polite = _POLITE if wording.plural else _POLITE[:-1]
        return rng.choice(polite).format(wording.noun + wording.tail)
    return f"{rng.choice(_SHOW)} {wording.noun}{wording.tail}."
