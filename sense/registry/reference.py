"""How a version is named on the command line: 3, champion, sense@champion, sense/3, models:/sense/3."""

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from sense.errors import InputError

if TYPE_CHECKING:
    from sense.registry.gate import Standing
    from sense.registry.versions import Resolved, Version

_SET = re.compile(r"sense\.eval\.(.+)\.digest")


def parsed(text: str, model: str) -> tuple[str, str]:
    """(registered model, number or alias); `model` where the text names none. InputError if it cannot be one."""
    name, mark, rest = text.removeprefix("models:/").rpartition("@" if "@" in text else "/")
    found = (name, rest) if mark else (model, rest)
    if not all(found) or "/" in found[1]:
        raise InputError(f"{text}: names no version; write a number, an alias (champion), or MODEL@ALIAS")
    return found


def version(text: str, model: str) -> tuple[str, "Version"]:
    """(registered model, the version that `text` names); InputError if there is none."""
    from sense import registry

    name, which = parsed(text, model)
    return name, registry.versions.find(name, which)


def resolved(name: str, version: str) -> "Resolved":
    """A version that can be deployed; InputError if its files are gone or carry no digest."""
    from sense import registry

    found = registry.resolve(f"models:/{name}/{version}")
    if not found.digest:
        raise InputError(f"{name} version {version}: carries no digest of its files; register it by `sense publish`")
    return found


def sets(found: "Version") -> list[str]:
    """The sets that a version was measured on."""
    return sorted(match[1] for match in map(_SET.fullmatch, found.tags) if match)


def standing(found: "Version", dataset: str) -> "Standing":
    """A version on a set, with its interval also where that is not among the tags (versions of earlier days)."""
    from sense.registry import gate, versions

    told = gate.standing(found.version, found.tags, dataset)
    if told.ex is None or told.low is not None:
        return told
    numbers = versions.numbers(found)
    return replace(told, low=numbers.get(f"{dataset}.sense.ex_low"), high=numbers.get(f"{dataset}.sense.ex_high"))


def gate_set(asked: str | None, *candidates: "Version | None") -> str:
    """The set whose EX decides: the one asked for, else the one that the first candidate which knows was published by.

    InputError if no candidate knows (versions of earlier days) and the first was measured on several.
    """
    told = asked or next((one.tags["sense.gate"] for one in candidates if one is not None and "sense.gate" in one.tags), None)
    first = candidates[0]
    known = sets(first) if first is not None else []
    if told or len(known) == 1:
        return told or known[0]
    shown = " or ".join(f"--set {name}" for name in known)
    which = "" if first is None else f"version {first.version}: "
    raise InputError(
        f"{which}it does not say which set decides; " + (f"give {shown}" if known else "it was never measured: publish it")
    )
