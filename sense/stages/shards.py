"""Shards of the weak data, sampled by several tasks: each file says which shard it is and what its samples depend on."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sense import records
from sense.config import ShardConfig
from sense.errors import InputError
from sense.records import Record, Sample


class Shard(Record):
    """What a shard writes, as one line: which it is, its samples, whether each greedy answer is right, settings and digests."""

    shard: ShardConfig
    settings: dict[str, Any]
    model: str
    unseen: str
    samples: list[Sample]
    greedy: list[bool]

    def __str__(self) -> str:
        return f"shard {self.shard.number} of {self.shard.of}"


def read_shard(part: Path) -> Shard:
    """The shard in the file `part`; InputError if there is anything else in it."""
    lines = list(records.read_jsonl(part, Shard))
    if len(lines) != 1:
        raise InputError(f"{part}: {len(lines)} lines, where a shard of samples is one; sample this shard again")
    return lines[0]


def check_origin(shard_files: Sequence[tuple[Path, Shard]], settings: Mapping[str, Any], unseen: Path) -> None:
    """InputError names the first shard that was sampled with other settings or questions, or unlike the first of them."""
    questions = records.digest(unseen)
    for part, shard in shard_files:
        first, first_shard = shard_files[0]
        differing = [key for key, value in settings.items() if shard.settings.get(key) != value]
        if differing:
            key = differing[0]
            problem = f"was sampled with {key} = {shard.settings.get(key)}, where the section of sample has {settings[key]}"
        elif shard.unseen != questions:
            problem = f"answers other questions than those of {unseen}"
        elif shard.model != first_shard.model:
            problem = f"comes from another model than {first}"
        elif shard.shard.of != first_shard.shard.of:
            problem = f"cannot go with {first}, which is {first_shard}"
        else:
            continue
        raise InputError(f"{part}: {shard} (counted from 0) is of another run: it {problem}; give the shards of one run")


def in_order(shard_files: Sequence[tuple[Path, Shard]]) -> list[tuple[Path, Shard]]:
    """The shards by their numbers; InputError names those that are missing, or there twice."""
    by_number: dict[int, tuple[Path, Shard]] = {}
    for part, shard in shard_files:
        number = shard.shard.number
        if number in by_number:
            raise InputError(f"{part}: {shard} (counted from 0) is there twice, in {by_number[number][0]} too; give each once")
        by_number[number] = part, shard
    of = shard_files[0][1].shard.of if shard_files else 1
    missing = [str(number) for number in range(of) if number not in by_number]
    if missing:
        raise InputError(
            f"shard {', '.join(missing)} of {of} (counted from 0) is missing; sample it, and give all shards together"
        )
    return [by_number[number] for number in range(of)]
