"""JSON as models write it where nothing holds them to the standard: read where its meaning is plain, refused elsewhere.

Beyond the standard it takes comments (`//`, `#`, `/* */`), commas at the end, texts in single, typographic or triple quotes or in
backticks, line breaks and quotes within texts, names without quotes, and Python's None, True and False. What breaks off is
refused: a text that has no end is never given one.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

MAX_DEPTH = 20

_SPACE = re.compile(r"(?:\s++|//[^\n]*+|#[^\n]*+|/\*.*?\*/)*+", re.DOTALL)
_CLOSING = {'"': '"', "'": "'", "`": "`", "“": "”", "‘": "’", '"""': '"""', "'''": "'''"}
_QUOTE = re.compile("|".join(sorted(_CLOSING, key=len, reverse=True)))
_NAME = re.compile(r"[A-Za-z_]\w*+")
_NUMBER = re.compile(r"[-+]?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?")
_CONSTANTS = {"true": True, "false": False, "null": None, "True": True, "False": False, "None": None}
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)
_ESCAPED = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "\n": ""}
# What stands behind the quote that ends a value: the end of its container, or a comma and what may be another element. A quote
# before anything else, such as a number, belongs to the text.
_AFTER_VALUE = re.compile(r"\s*+(?:[\]}/#]|\Z|,\s*+(?:[\]}\[{/#\"'`“‘]|\Z|[A-Za-z_]\w*+\s*+:))")
# In a row, a list within a list, a number or a constant may be the next value.
_AFTER_CELL = re.compile(rf"{_AFTER_VALUE.pattern}|\s*+,\s*+(?:[-+]?\d+(?:\.\d*)?|null|None|true|True|false|False)\s*+[,\]]")
_AFTER_NAME = re.compile(r"\s*+:")


class LooseJsonError(ValueError):
    """A text that is no JSON, however loosely it is read."""


def parse_object(text: str, start: int) -> tuple[dict[str, Any], int]:
    """The object that begins with the brace at `start`, and the offset behind it; LooseJsonError if it cannot be read.

    >>> parse_object("{'a': ['it\\\\'s', \\"so\\",], b: None} // and so on", 0)
    ({'a': ["it's", 'so'], 'b': None}, 32)
    """
    reader = _Reader(text, start)
    return reader.object(0), reader.position


def iter_objects(text: str, start: int, tries: int) -> Iterator[dict[str, Any]]:
    """The objects from an offset on, one after another; of one that cannot be read, those within it. At most `tries` are read."""
    start = text.find("{", start)
    for _ in range(tries):
        if start < 0:
            return
        try:
            value, end = parse_object(text, start)
        except (LooseJsonError, RecursionError):
            end = start + 1  # it may break off itself
        else:
            yield value
        start = text.find("{", end)


class _Reader:
    """Reads values one behind the other; `position` is the offset of what is read next."""

    def __init__(self, text: str, start: int) -> None:
        self.text, self.position = text, start
        self._lists = 0  # around what is read, without an object between them

    def value(self, depth: int) -> Any:
        self._skip_space()
        first = self.text[self.position : self.position + 1]
        if depth > MAX_DEPTH:
            raise self._error(f"nested deeper than {MAX_DEPTH}")
        if first == "{":
            return self.object(depth)
        if first == "[":
            return self.array(depth)
        if quote := _QUOTE.match(self.text, self.position):
            return self.quoted(quote, _AFTER_CELL if self._lists > 1 else _AFTER_VALUE)
        if number := _NUMBER.match(self.text, self.position):
            self.position = number.end()
            return json.loads(number[0].lstrip("+")) if re.fullmatch(r"-?(0|[1-9]\d{0,18})", number[0]) else float(number[0])
        name = _NAME.match(self.text, self.position)
        if name and name[0] in _CONSTANTS:
            self.position = name.end()
            return _CONSTANTS[name[0]]
        raise self._error("no value")

    def object(self, depth: int) -> dict[str, Any]:
        fields: dict[str, Any] = {}
        lists, self._lists = self._lists, 0
        self.position += 1
        while not self._take("}"):
            name = self.name()
            if name in fields or not self._take(":"):
                raise self._error(f"{name[:40]!r} twice, or without a colon")
            fields[name] = self.value(depth + 1)
            self._end_element("}")
        self._lists = lists
        return fields

    def array(self, depth: int) -> list[Any]:
        values: list[Any] = []
        self._lists += 1
        self.position += 1
        while not self._take("]"):
            values.append(self.value(depth + 1))
            self._end_element("]")
        self._lists -= 1
        return values

    def name(self) -> str:
        if quote := _QUOTE.match(self.text, self.position):
            return self.quoted(quote, _AFTER_NAME)
        name = _NAME.match(self.text, self.position)
        if not name:
            raise self._error("no name of a field")
        self.position = name.end()
        return name[0]

    def quoted(self, quote: re.Match[str], after: re.Pattern[str]) -> str:
        """The text up to the first closing quote that is not escaped and, unless it is a triple one, stands before `after`."""
        closing = _CLOSING[quote[0]]
        end = quote.end()
        while (end := self.text.find(closing, end)) >= 0:
            backslashes = 0
            while self.text[end - backslashes - 1] == "\\":
                backslashes += 1
            if backslashes % 2 == 0 and (len(closing) == 3 or after.match(self.text, end + 1)):
                self.position = end + len(closing)
                return _join_surrogates(_ESCAPE.sub(_unescape, self.text[quote.end() : end]))
            end += 1
        raise self._error("a text without an end")

    def _end_element(self, closing: str) -> None:
        """Takes the comma behind an element; the last one needs none."""
        if not self._take(",") and self.text[self.position : self.position + 1] != closing:
            raise self._error("no comma")

    def _take(self, sign: str) -> bool:
        self._skip_space()
        if self.text[self.position : self.position + 1] != sign:
            return False
        self.position += 1
        return True

    def _skip_space(self) -> None:
        match = _SPACE.match(self.text, self.position)
        self.position = match.end() if match else self.position

    def _error(self, problem: str) -> LooseJsonError:
        return LooseJsonError(f"{problem} at character {self.position}")


def _unescape(match: re.Match[str]) -> str:
    sign = match[1]
    return chr(int(sign[1:], 16)) if len(sign) == 5 else _ESCAPED.get(sign, sign)


def _join_surrogates(text: str) -> str:
    """The text with each pair of surrogates as the character that it stands for; a half of a pair stays."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
