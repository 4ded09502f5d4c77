import sqlite3
from contextlib import closing

import pytest
import sqlglot

from sense import config
from sense.errors import ConfigError, InputError
from sense.teacher.grammar import domains
from sense.teacher.grammar.domains import ColumnSpec, Domain, TableSpec
from sense.teacher.grammar.english import plural
from sense.teacher.grammar.productions import PRODUCTIONS
from sense.teacher.grammar.verbalise import phrases


def test_there_are_many_domains_of_three_to_six_tables():
    every = [domains.load(name) for name in domains.names()]
    assert len(every) >= 24
    assert all(3 <= len(domain.tables) <= 6 for domain in every)
    assert all(any(table.refers for table in domain.tables.values()) for domain in every)


def test_every_domain_is_connected_by_its_references():
    for name in domains.names():
        tables = domains.load(name).tables
        reached, border = set(), [next(iter(tables))]
        while border:
            current = border.pop()
            reached.add(current)
            near = [*tables[current].refers, *(other for other in tables if current in tables[other].refers)]
            border += [other for other in near if other not in reached]
        assert reached == set(tables), name


def test_every_table_can_be_asked_about():
    """A number or a date to compare, and a category to group by, in all tables or nearly all."""
    tables = [table for name in domains.names() for table in domains.load(name).tables.values()]
    kinds = [{column.kind for column in table.columns.values()} for table in tables]
    assert all(len(table.columns) >= 3 for table in tables)
    assert all(table_kinds & (domains.NUMBERS | {"year", "date"}) for table_kinds in kinds)
    assert sum(bool(table_kinds & domains.GROUPS) for table_kinds in kinds) / len(kinds) > 0.8


def test_all_words_make_identifiers_that_need_no_quotes():
    tables = [pair for name in domains.names() for pair in domains.load(name).tables.items()]
    with closing(sqlite3.connect(":memory:")) as connection:
        for words, table in tables:
            nouns = [
                words,
                *table.also,
                *table.plural_also,
                table.plural or plural(words),
                *(plural(noun) for noun in table.also),
            ]
            names = list(dict.fromkeys(noun.replace(" ", "_") for noun in nouns))
            columns = [column.replace(" ", "_") for key, spec in table.columns.items() for column in (key, *spec.also)]
            for name in names:
                connection.execute(f"CREATE TABLE {name} ({', '.join(columns)})")
            sql = f"SELECT {', '.join(f'{names[0]}.{column}' for column in columns)} FROM {' CROSS JOIN '.join(names)}"
            assert sqlglot.parse_one(sql, dialect="sqlite").sql("sqlite") == sql
            connection.execute(sql)
            for name in names:
                connection.execute(f"DROP TABLE {name}")


def test_words_of_one_domain_do_not_name_two_tables():
    for name in domains.names():
        nouns = [noun for words, table in domains.load(name).tables.items() for noun in (words, *table.also)]
        assert len(nouns) == len(set(nouns)), name


def test_an_unknown_domain_is_refused_with_the_known_ones():
    with pytest.raises(InputError, match=r"no such domain; there are: .*beekeeping"):
        domains.load("astrology")


@pytest.mark.parametrize(
    ("kind", "value", "problem"),
    [
        (ColumnSpec, {"kind": "category"}, "kind category needs of"),
        (ColumnSpec, {"kind": "price", "low": 3}, "kind price needs high"),
        (ColumnSpec, {"kind": "year", "low": 2000, "high": 1990}, "low .2000. must be below high .1990."),
        (ColumnSpec, {"kind": "colour"}, "kind"),
        (TableSpec, {"label": "age", "columns": {"age": {"kind": "integer", "low": 1, "high": 9}}}, "label 'age' must be one of"),
        (TableSpec, {"columns": {"a": {"kind": "flag"}, "b": {"kind": "flag", "also": ["a"]}}}, "used for two columns: a"),
        (TableSpec, {"columns": {"home_city": {"kind": "city"}}}, "home_city"),
    ],
)
def test_a_wrong_file_is_refused(kind, value, problem):
    with pytest.raises(ConfigError, match=problem):
        config.validate(kind, value, "x.yaml")


@pytest.mark.parametrize(
    ("refers", "problem"),
    [
        ({"a": {"z": "have"}}, "a refers to 'z'"),
        ({"a": {"a": "have"}}, "a refers to 'a'"),
        ({"a": {"b": "have"}, "b": {"a": "have"}}, "a and b refer to each other"),
    ],
)
def test_a_reference_must_lead_somewhere(refers, problem):
    tables = {name: {"columns": {"name": {"kind": "person"}}, "refers": refers.get(name, {})} for name in "abc"}
    with pytest.raises(ConfigError, match=problem):
        config.validate(Domain, {"name": "x", "tables": tables}, "x.yaml")


def test_every_production_has_several_phrasings():
    names = {production.__name__.rstrip("_") for every in PRODUCTIONS.values() for production in every}
    assert len(names) >= 30
    assert names == set(phrases())
    assert all(3 <= len(set(phrases()[name])) <= 6 for name in names)
