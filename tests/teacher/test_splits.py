"""Domains and databases are shared out: heldout has domains of its own, and every split its share of the examples."""

import pytest

from sense import config
from sense.config import SplitConfig
from sense.errors import UserError
from sense.teacher.grammar import domains
from sense.teacher.splits import SPLITS, DomainPlan, split_databases
from tests.pipeline import ROOT

PROFILES = sorted((ROOT / "configs").glob("*.yaml"))


def split(counts, domain, **options):
    """The split of each database; `domain` tells that of a database."""
    settings = SplitConfig.model_validate({"heldout_domains": 1} | options)
    return split_databases(counts, {db_id: domain(db_id) for db_id in counts}, settings, seed=0)


@pytest.mark.parametrize("seed", range(5))
def test_drawn_domains_are_whole_and_fill_the_share(seed):
    counts = {f"{domain}{number}": 3 for domain in "abcdefghijklmnopqrst" for number in range(5)}
    settings = SplitConfig(unseen=0.2, heldout=0.1, heldout_domains=2)
    splits = split_databases(counts, {db_id: db_id[0] for db_id in counts}, settings, seed)
    examples = {name: sum(counts[db_id] for db_id, other in splits.items() if other == name) for name in SPLITS}
    assert examples == {"strong": 210, "unseen": 60, "heldout": 30}
    heldout = {db_id[0] for db_id in splits if splits[db_id] == "heldout"}
    assert len(heldout) == 2
    assert not heldout & {db_id[0] for db_id in splits if splits[db_id] != "heldout"}


def test_domains_of_a_few_examples_are_taken_until_the_share_is_full():
    """As an LLM invents them: thousands, most of them once; one that is too large for the share stays."""
    counts = {f"d{number}": 1 for number in range(500)} | {"large": 500}
    splits = split(counts, str, heldout=0.04, heldout_domains=8)
    heldout = [db_id for db_id in splits if splits[db_id] == "heldout"]
    assert len(heldout) == 40
    assert "large" not in heldout


def test_the_smallest_domains_fill_up_where_too_few_fit_into_the_share():
    counts = {"a": 50, "b": 40, "c": 30, "d": 60}
    assert [db_id for db_id, name in split(counts, str, heldout=0.1, heldout_domains=2).items() if name == "heldout"] == [
        "b",
        "c",
    ]


def test_every_split_gets_a_database_however_few_there_are():
    counts = {"a": 100, "b": 1, "c": 1}
    for seed in range(5):
        domains_of = {db_id: db_id for db_id in counts}
        settings = SplitConfig(unseen=0.8, heldout=0.1, heldout_domains=1)
        assert sorted(split_databases(counts, domains_of, settings, seed).values()) == sorted(SPLITS)
    assert set(split(counts, str, unseen=0, heldout=0).values()) == {"strong"}


def test_too_few_databases_or_domains_are_refused_with_the_fix():
    with pytest.raises(UserError, match=r"1 database\(s\) outside of heldout cannot be split .* raise synthesize.count"):
        split({"a": 5, "b": 5}, str)
    with pytest.raises(UserError, match=r"heldout gets 2 of the 3 domains, but is to have 8 of its own: raise synthesize.count"):
        split({"a": 5, "b": 5, "c": 5}, str, heldout_domains=8)
    with pytest.raises(UserError, match=r"synthesize.split.heldout_domains = 3: there are 3 domains; lower it"):
        DomainPlan(["a", "b", "c"], SplitConfig(heldout_domains=3), 0)


def test_planned_domains_are_those_of_heldout_even_beyond_its_share():
    counts = {"a": 50, "b": 50, "c": 50}
    splits = split_databases(counts, {name: name for name in counts}, SplitConfig(heldout_domains=1, heldout=0.1), 0, {"b"})
    assert splits["b"] == "heldout"


@pytest.mark.parametrize("profile", PROFILES, ids=lambda path: path.stem)
def test_in_every_profile_eight_domains_belong_to_heldout_alone(profile):
    section = config.load(profile).synthesize
    assert section.split.heldout_domains >= 8
    databases = -(-section.count // section.grammar.per_database)
    if section.teacher == "llm":
        return  # its domains are drawn, one for each few examples
    plan = DomainPlan(domains.names(), section.split, section.seed)
    sequence = [plan.domain(number) for number in range(databases)]
    heldout = [domain for domain in sequence if domain in plan.heldout]
    assert len(set(heldout)) == len(plan.heldout) == section.split.heldout_domains
    assert len(heldout) / databases == pytest.approx(section.split.heldout, abs=0.02)
    assert set(sequence) == set(domains.names()) or databases < 2 * len(domains.names())


def test_a_plan_without_heldout_gives_all_domains_the_same_share():
    for settings in (None, SplitConfig(heldout=0)):
        plan = DomainPlan(["a", "b", "c"], settings, 0)
        sequence = [plan.domain(number) for number in range(6)]
        assert sequence[:3] == sequence[3:]
        assert sorted(sequence[:3]) == ["a", "b", "c"]
        assert not plan.heldout


def test_the_heldout_domains_of_the_grammar_are_the_same_for_every_seed_and_the_others_come_in_another_order():
    names = [f"d{number}" for number in range(20)]
    plans = [DomainPlan(names, SplitConfig(heldout=0.1, heldout_domains=3), seed) for seed in (0, 1)]
    assert plans[0].heldout == plans[1].heldout
    assert len(plans[0].heldout) == 3
    orders = [[plan.domain(number) for number in range(40)] for plan in plans]
    assert orders[0] != orders[1]
    assert set(orders[0]) == set(orders[1]) == set(names)
