"""Which databases are for SFT, which for weak sampling, which for evaluation: heldout has domains of its own.

A domain is drawn for heldout as a whole, so that a model is measured on subjects that no training has had. The grammar knows
its domains before it writes, and lays out its databases by a `DomainPlan`; an LLM invents them, and they are drawn afterwards.
"""

import math
import random
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence

from sense.config import SplitConfig
from sense.errors import UserError

SPLITS = ("strong", "unseen", "heldout")

# Not the run's seed: the grammar's heldout domains are the same in every run, so that figures of several seeds are on the same
# subjects, and a base that was pretrained on the grammar's other domains has seen none of them.
_DOMAINS_SEED = "100-domains"


class DomainPlan:
    """The domain of each database that a teacher is going to invent: the shares of the splits hold at any number of them.

    With `split.heldout` of the databases spread over the domains of heldout, a domain may be one of few databases, so that
    heldout needs no more of them than its share.
    """

    def __init__(self, names: Sequence[str], split: SplitConfig | None, seed: int) -> None:
        """`names` are all domains, of which the first of a fixed order are those of heldout; without `split` there are none.

        `seed` is for the order of the others.
        """
        order = list(names)
        random.Random(_DOMAINS_SEED).shuffle(order)
        self._share = split.heldout if split else 0.0
        count = split.heldout_domains if split and self._share else 0
        if count >= len(order):
            raise UserError(f"synthesize.split.heldout_domains = {count}: there are {len(order)} domains; lower it")
        self.heldout = frozenset(order[:count])
        """The domains that no split but heldout has."""
        self._heldout, self._others = order[:count], order[count:]
        random.Random(f"{seed}-domains").shuffle(self._others)

    def domain(self, number: int) -> str:
        """The domain of database `number`, from 0: those of heldout, and the others, take their turns."""
        before, now = math.ceil(number * self._share), math.ceil((number + 1) * self._share)
        if now > before:
            return self._heldout[before % len(self._heldout)]
        return self._others[(number - before) % len(self._others)]


def split_databases(
    example_counts: Mapping[str, int],
    domains: Mapping[str, str],
    config: SplitConfig,
    seed: int,
    heldout_domains: Collection[str] = (),
    unplanned: Collection[str] = (),
) -> dict[str, str]:
    """db_id -> split: heldout gets whole domains, and of the other databases unseen gets its share, drawn with `seed`.

    `example_counts` is the number of examples on each database, `domains` the domain of each. `heldout_domains` are those that
    were planned for heldout; without them they are drawn until heldout has its share of the examples, and at least
    `config.heldout_domains`. With both, where only some teachers plan, `unplanned` are the domains of the others: of them so many
    are drawn too that heldout has its share of their examples. Every split with a share above 0 gets a database. Raises UserError
    if there are too few.
    """
    totals: Counter[str] = Counter()
    for db_id, count in example_counts.items():
        totals[domains[db_id]] += count
    chosen = set(heldout_domains) & set(totals)
    if config.heldout > 0 and not heldout_domains:
        chosen = _draw_domains(totals, config, seed)
    elif config.heldout > 0 and unplanned:
        further = config.model_copy(update={"heldout_domains": max(0, config.heldout_domains - len(chosen))})
        chosen |= _draw_domains({name: totals[name] for name in unplanned}, further, seed)
    if config.heldout > 0 and len(chosen) < config.heldout_domains:
        raise _too_few_domains(len(chosen), len(totals), config)
    db_ids = sorted(db_id for db_id in example_counts if domains[db_id] not in chosen)
    random.Random(f"{seed}-split").shuffle(db_ids)
    if len(db_ids) < (2 if config.unseen > 0 else 1):
        raise UserError(
            f"{len(db_ids)} database(s) outside of heldout cannot be split into strong and unseen; raise synthesize.count, lower "
            "synthesize.grammar.per_database, or set a share of synthesize.split to 0"
        )
    splits = {db_id: "heldout" for db_id in example_counts if domains[db_id] in chosen}
    share, examples = config.unseen * sum(example_counts.values()), 0
    while len(db_ids) > 1 and examples < share:  # one is left for strong
        examples += example_counts[db_ids[-1]]
        splits[db_ids.pop()] = "unseen"
    return splits | dict.fromkeys(db_ids, "strong")


def planned_splits(db_ids: Collection[str], part: Callable[[str], str], config: SplitConfig) -> dict[str, str]:
    """db_id -> split, as `part` says; UserError if a split with a share above 0 gets no database."""
    splits = {db_id: part(db_id) for db_id in db_ids}
    shares = {"strong": 1 - config.unseen - config.heldout, "unseen": config.unseen, "heldout": config.heldout}
    empty = [split for split in SPLITS if shares[split] > 0 and split not in splits.values()]
    if empty:
        raise UserError(
            f"{len(splits)} copies of databases with questions leave none for {' and '.join(empty)}: raise synthesize.count, "
            "lower synthesize.grammar.per_database, or set the share of synthesize.split to 0"
        )
    return splits


def _draw_domains(totals: Mapping[str, int], config: SplitConfig, seed: int) -> set[str]:
    """Domains in random order, as long as they fit into the share of heldout; then the smallest ones, if they are too few."""
    order = sorted(totals)
    random.Random(f"{seed}-heldout").shuffle(order)
    left = config.heldout * sum(totals.values())
    chosen: set[str] = set()
    for domain in order:
        if totals[domain] <= left and len(chosen) < len(order) - 2:  # some are left for strong and unseen
            chosen.add(domain)
            left -= totals[domain]
    for domain in sorted(order, key=totals.__getitem__):
        if len(chosen) < min(config.heldout_domains, len(order) - 1):
            chosen.add(domain)
    return chosen


def _too_few_domains(heldout: int, domains: int, config: SplitConfig) -> UserError:
    return UserError(
        f"heldout gets {heldout} of the {domains} domains, but is to have {config.heldout_domains} of its own: raise "
        "synthesize.count, lower synthesize.grammar.per_database, raise synthesize.split.heldout (0 leaves heldout empty), or "
        "lower synthesize.split.heldout_domains"
    )
