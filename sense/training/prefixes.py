"""Groups of prompts that begin alike, such as questions on one schema, whose beginning a model needs to read only once."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_LEAST_SHARE = 0.5  # of a group's beginning that a further prompt must share: the wording before any schema is far less


@dataclass(frozen=True)
class PrefixGroup:
    """Prompts, by their indices, of which the first `length` tokens are the same; each prompt has further ones."""

    indices: tuple[int, ...]
    length: int


def group_by_prefix(prompts: Sequence[Sequence[int]]) -> list[PrefixGroup]:
    """Every index of `prompts`, which are lists of token ids, in one group; by length of the prefix, then of the prompts."""
    groups: list[PrefixGroup] = []
    for index in sorted(range(len(prompts)), key=lambda index: (prompts[index], index)):
        longest = max(0, len(prompts[index]) - 1)  # the last token is read by itself: what it is followed by is asked for
        if groups:
            last = groups[-1]
            shared = min(longest, _common(prompts[last.indices[0]], prompts[index], last.length))
            if shared >= _LEAST_SHARE * last.length:
                groups[-1] = PrefixGroup((*last.indices, index), shared)
                continue
        groups.append(PrefixGroup((index,), longest))
    by_length = [
        PrefixGroup(tuple(sorted(group.indices, key=lambda index: (len(prompts[index]), index))), group.length)
        for group in groups
    ]
    return sorted(by_length, key=lambda group: (group.length, len(prompts[group.indices[0]]), group.indices))


def batches(groups: Sequence[PrefixGroup], size: int) -> Iterator[list[PrefixGroup]]:
    """The groups in their order, in batches of `size` prompts; a group that reaches over the end of a batch is divided."""
    batch: list[PrefixGroup] = []
    room = size
    for group in groups:
        rest = group.indices
        while rest:
            batch.append(PrefixGroup(rest[:room], group.length))
            room -= len(batch[-1].indices)
            rest = rest[len(batch[-1].indices) :]
            if not room:
                yield batch
                batch, room = [], size
    if batch:
        yield batch


def _common(first: Sequence[int], second: Sequence[int], most: int) -> int:
    """How many of the first `most` tokens of both are the same."""
    for number, (one, other) in enumerate(zip(first[:most], second[:most], strict=False)):
        if one != other:
            return number
    return min(most, len(first), len(second))
