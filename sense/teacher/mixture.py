"""Several teachers in one run: what each is asked for, and what all of them wrote together.

Each teacher has a part of `count`, in proportion to its share, and writes it as if it were alone, one teacher after the other;
what an earlier one has asked, a later one does not ask again. So the mixture is exact, and depends on nothing but the section.
"""

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from sense.config import LlmConfig, SynthesizeConfig
from sense.records import Hardness
from sense.teacher import Draft, RejectedDraft, UnitTeacher
from sense.teacher.collection import Collection
from sense.teacher.drafts import normalize_domain

OWN_SEED = ("grammar", "llm")
"""Teachers of these names draw as a run with that teacher alone does, so that answers paid for there serve here."""


@dataclass(frozen=True)
class Part:
    """A teacher, and the section by which it writes its part alone; `suffix` tells its files and databases from others'.

    That is empty where it is the only teacher.
    """

    name: str
    config: SynthesizeConfig
    suffix: str = ""

    @property
    def llm(self) -> LlmConfig:
        """The settings of the LLM; TypeError of the grammar."""
        if self.config.llm is None:
            raise TypeError(f"{self.name} is no LLM")
        return self.config.llm

    @property
    def database_prefix(self) -> str:
        """What the names of its databases begin with; the grammar's stay as they are."""
        return f"{self.name.replace('-', '_')}_" if self.suffix and self.config.teacher == "llm" else ""

    @property
    def writes_domains(self) -> bool:
        """Whether the subjects of its databases are the model's, and not those of the grammar or of one's own."""
        return self.config.teacher == "llm" and self.llm.strategy == "question-first" and not self.config.own

    @property
    def writes_units(self) -> bool:
        """Whether one request asks an LLM for several questions on a database; on one's own, where it may be one, too."""
        if self.config.teacher != "llm" or self.llm.strategy != "question-first":
            return False
        return self.llm.questions > 1 or bool(self.config.own)

    def label(self) -> str:
        """The teacher in a message."""
        return f"teacher {self.name}" if self.suffix else f"the {self.name} teacher"


def parts(config: SynthesizeConfig) -> list[Part]:
    """The parts of a run in the order of the section, those without an example left out.

    The counts are the shares of `config.count`, rounded so that they add up to it: what is left over goes to the largest
    remainders.
    """
    if not config.teachers:
        return [Part(config.teacher, config)]
    counts = _counts(config.count, {name: teacher.share for name, teacher in config.teachers.items()})
    return [
        Part(
            name,
            config.model_copy(
                update={
                    "teacher": "grammar" if teacher.llm is None else "llm",
                    "llm": teacher.llm,
                    "teachers": {},
                    "count": counts[name],
                    "seed": part_seed(config.seed, name),
                }
            ),
            suffix=f"-{name}",
        )
        for name, teacher in config.teachers.items()
        if counts[name] > 0
    ]


def part_seed(seed: int, name: str) -> int:
    """The seed of a teacher of this name in a run with `seed`."""
    return seed if name in OWN_SEED else random.Random(f"{seed}-teacher-{name}").getrandbits(31)


def _counts(count: int, shares: Mapping[str, float]) -> dict[str, int]:
    exact = {name: count * share / sum(shares.values()) for name, share in shares.items()}
    counts = {name: int(number) for name, number in exact.items()}
    by_remainder = sorted(exact, key=lambda name: counts[name] - exact[name])  # stable: of equal ones the first
    for name in by_remainder[: count - sum(counts.values())]:
        counts[name] += 1
    return counts


class PrefixedTeacher:
    """Drafts of another teacher, with a prefix before the names of its databases."""

    def __init__(self, make_teacher: Callable[[], UnitTeacher], prefix: str) -> None:
        self._teacher, self._prefix = make_teacher(), prefix

    def unit(self, number: int, levels: Sequence[Hardness]) -> list[Draft | RejectedDraft]:
        """The drafts on database `number`, one for each of `levels`."""
        return [with_prefix(draft, self._prefix) for draft in self._teacher.unit(number, levels)]


def with_prefix(draft: Draft | RejectedDraft, prefix: str) -> Draft | RejectedDraft:
    """The draft, on a database with `prefix` before its name."""
    return replace(draft, db_id=prefix + draft.db_id) if isinstance(draft, Draft) else draft


def unplanned_domains(collections: Mapping[str, Collection], run_parts: Sequence[Part]) -> list[str]:
    """The domains that only teachers with subjects of their own have written about, sorted."""
    domains: dict[bool, set[str]] = {True: set(), False: set()}
    for part in run_parts:
        domains[part.writes_domains] |= {normalize_domain(example.domain) for example in collections[part.name].examples}
    return sorted(domains[True] - domains[False])


def merge(config: SynthesizeConfig, collections: Sequence[Collection]) -> Collection:
    """What several teachers wrote, one after the other, as one collection, with the screen of the last."""
    if len(collections) == 1:
        return collections[0]
    whole = Collection(config, collections[-1].screen)
    for each in collections:
        whole.requested += each.requested
        whole.checked += each.checked
        whole.repairs += each.repairs
        whole.repaired += each.repaired
        whole.examples += each.examples
        whole.dropped += each.dropped
        whole.domains += each.domains
        whole.bands += each.bands
        whole.labels += each.labels
        whole.suite += each.suite
        whole.sizes += each.sizes
        whole.disagreements += each.disagreements
        whole.units += each.units
        whole.units_kept += each.units_kept
        whole.wishes += each.wishes
    return whole


def counts_by_teacher(run_parts: Sequence[Part], collections: Mapping[str, Collection], kept: Counter[str]) -> dict[str, object]:
    """Of each teacher: examples wanted of it, drafts asked, examples kept by `kept`, and the drafts dropped by reason.

    Reasons that show only when all examples are there are not among the latter.
    """
    return {
        part.name: {
            "wanted": part.config.count,
            "asked": collections[part.name].requested,
            "kept": kept[part.name],
            "dropped": dict(sorted(collections[part.name].dropped.items())),
        }
        for part in run_parts
    }
