import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest
import sqlglot

from sense import config
from sense.errors import ConfigError, InputError
from sense.teacher.grammar import domains
from sense.teacher.grammar.domains import ColumnSpec, Domain, TableSpec
from sense.teacher.grammar.english.language import article, plural


def test_there_are_many_domains_of_three_to_twenty_tables():
    every = [domains.load(name) for name in domains.names()]
    assert len(every) >= 60
    assert all(3 <= len(domain.tables) <= 20 for domain in every)
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
    """A number or a date to compare, and a category to group by, in all tables or nearly all that do not just join others."""
    tables = [table for name in domains.names() for table in domains.load(name).tables.values() if not table.across]
    kinds = [{column.kind for column in table.columns.values()} for table in tables]
    assert all(len(table.columns) >= 3 for table in tables)
    assert all(table_kinds & (domains.NUMBERS | {"year", "date"}) for table_kinds in kinds)
    assert sum(bool(table_kinds & (domains.GROUPS | {"flag"})) for table_kinds in kinds) / len(kinds) > 0.8


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


def test_a_table_that_joins_two_others_is_no_more_than_that():
    for name in domains.names():
        joining = [table for table in domains.load(name).tables.values() if table.across]
        assert all(table.label is None and len(table.columns) <= 4 for table in joining), name


@pytest.mark.parametrize("name", domains.names())
def test_every_wording_reads_well_with_every_value(name):
    """What a program can see: doubled words, braces, double spaces, and the wrong one of a and an."""
    tables = domains.load(name).tables.values()
    rendered = list(_renderings(domains.load(name)))
    wrong = [text for text in rendered if _MISTAKE.search(text)]
    assert rendered
    assert wrong == []
    phrases = [phrase for table in tables for spec in table.columns.values() for phrase in spec.noun_phrases]
    assert not [phrase for phrase in phrases if re.search(r"\b(?:who|that|which)\b", phrase)], (
        "right for one row or for many, not both"
    )
    references = [
        one for table in tables for reference in table.refers.values() for one in (reference, *reference.roles.values())
    ]
    verbs = [*(one.verb for one in references), *(verb for table in tables for verb in table.across.values())]
    assert not [verb for verb in verbs if re.search(r"^\w*[^s]s\b", verb)], "the subject is plural"


_MISTAKE = re.compile(r"\b(?P<word>\w+) (?P=word)\b|[{}]|  |^ | $|\ba [aeio]|\ban (?![aeiou])", re.IGNORECASE)


def _renderings(domain: Domain) -> Iterator[str]:
    """Every template with every value and noun, every comparative and unit, and every reference in both directions."""
    for words, table in domain.tables.items():
        nouns = _nouns(words, table)
        for column, spec in table.columns.items():
            for singular, many in nouns:
                yield from _column_renderings(column, spec, singular, many)
        for parent, reference in table.refers.items():
            for singular, many in nouns:
                for parent_singular, parent_plural in _nouns(parent, domain.tables[parent]):
                    for part in reference.roles.values() or [reference]:
                        yield f"{parent_plural} that {part.verb} {article(singular)}"
                        yield f"{many} {part.by} {article(parent_singular)}"
        for parent, verb in table.across.items():
            (other,) = set(table.across) - {parent}
            for singular, _ in _nouns(other, domain.tables[other]):
                yield f"{_nouns(parent, domain.tables[parent])[0][1]} that {verb} {article(singular)}"
        if table.refers_self:
            yield f"{nouns[0][1]} that {table.refers_self.verb} {article(words)}"
            yield f"{nouns[0][1]} {table.refers_self.by} {article(words)}, whose {table.refers_self.role} is Ada"


def _column_renderings(column: str, spec: ColumnSpec, singular: str, many: str) -> Iterator[str]:
    values = {"city": domains.shared_lists().cities, "country": domains.shared_lists().countries}.get(spec.kind, spec.of)
    for template in spec.noun_phrases:
        for noun in (singular, many, f"{many} with a name"):
            yield from (template.format(table=noun, value=value, demonym="Peruvian") for value in values)
    for template in (*spec.yes, *spec.no):
        yield template.format(table=many)
    for phrase in (column, *spec.also, *spec.phrases):
        yield f"the {phrase} of the {singular}"
    yield from (f"{many} {comparative} than 3 {spec.unit or 'of them'}" for comparative in (*spec.more, *spec.less))
    yield from (f"the {superlative} {singular}" for superlative in (*spec.most, *spec.least))
    if spec.countable:
        yield f"{many} with more than 3 {spec.countable}"
    if spec.how:
        yield f"{spec.how.capitalize()} is the {singular}?"
    if spec.when:
        yield f"{many} {spec.when} after 2010"


def _nouns(words: str, table: TableSpec) -> list[tuple[str, str]]:
    also = [(noun, *table.plural_also[index : index + 1]) for index, noun in enumerate(table.also)]
    return [(pair[0], pair[1] if len(pair) > 1 else plural(pair[0])) for pair in [(words, table.plural or plural(words)), *also]]


def test_people_can_speak_of_most_columns_without_their_words():
    """Three of four columns that can have a comparative, a superlative, a verb or a noun phrase have one."""
    specs = [
        spec
        for name in domains.names()
        for table in domains.load(name).tables.values()
        for spec in table.columns.values()
        if spec.kind not in domains.NAMES | {"phone", "email"}
    ]
    spoken = [spec for spec in specs if spec.wordings() or spec.noun_phrases or spec.yes]
    assert len(spoken) / len(specs) > 0.75


def test_an_unknown_domain_is_refused_with_the_known_ones():
    with pytest.raises(InputError, match=r"no such domain; there are: .*beekeeping"):
        domains.load("astrology")


_LONG = {"kind": "integer", "low": 1, "high": 9, "more": ["longer"]}


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
        (ColumnSpec, {"kind": "city", "unit": "metres"}, "kind city cannot have unit"),
        (ColumnSpec, {"kind": "integer", "low": 1, "high": 9, "when": "built"}, "kind integer cannot have when"),
        (ColumnSpec, {"kind": "person", "more": ["older"]}, "kind person cannot have more"),
        (ColumnSpec, {"kind": "integer", "low": 1, "high": 9, "unit": "rooms", "countable": "rooms"}, "has no unit .rooms."),
        (
            ColumnSpec,
            {"kind": "city", "noun_phrases": ["{table} of {town}"]},
            "must have the slots {table} and {value}, once each",
        ),
        (
            ColumnSpec,
            {"kind": "city", "noun_phrases": ["{demonym} {table}"]},
            "must have the slots {table} and {value}, once each",
        ),
        (ColumnSpec, {"kind": "country", "noun_phrases": ["{value}"]}, "slots {table} and {value} or {demonym}, once each"),
        (
            ColumnSpec,
            {"kind": "flag", "yes": ["good {table}"], "no": ["bad {value}"]},
            "bad {value}.* must have the slot {table}",
        ),
        (ColumnSpec, {"kind": "flag", "yes": ["good {table}"]}, "a flag needs both yes and no"),
        (ColumnSpec, {"kind": "flag", "yes": ["good  {table}"], "no": ["bad {table}"]}, "yes"),
        (ColumnSpec, {"kind": "integer", "low": 1, "high": 9, "how": "What age"}, "how"),
        (TableSpec, {"columns": {"width": _LONG, "length": _LONG}}, "used for two columns: longer"),
        (TableSpec, {"columns": {"stay days": _LONG | {"unit": "days"}}}, "stay days: the unit 'days' must not be in the words"),
        (TableSpec, {"columns": {"a": {"kind": "city"}}, "across": {"x": "take"}}, "across must have exactly the two tables"),
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


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"a": {"also": ["b"]}}, "used for two tables: b"),
        ({"a": {"columns": {"name": {"kind": "person", "phrases": ["name of the a"]}}}}, "must not have the noun of its table"),
    ],
)
def test_nouns_stand_for_one_table(changes, problem):
    tables = {name: {"columns": {"name": {"kind": "person"}}} | changes.get(name, {}) for name in "abc"}
    with pytest.raises(ConfigError, match=problem):
        config.validate(Domain, {"name": "x", "tables": tables}, "x.yaml")


def test_domains_are_rich():
    """Tables that refer to themselves, that join two others, and that refer to one twice; databases of up to 20 tables."""
    every = [domains.load(name) for name in domains.names()]
    tables = [list(domain.tables.values()) for domain in every]
    assert sum(any(table.refers_self for table in of_domain) for of_domain in tables) >= 0.75 * len(every)
    assert sum(any(table.across for table in of_domain) for of_domain in tables) >= 0.75 * len(every)
    assert sum(any(one.roles for table in of_domain for one in table.refers.values()) for of_domain in tables) >= 0.15 * len(
        every
    )
    assert sum(len(of_domain) >= 14 for of_domain in tables) >= 6
    assert sum(map(len, tables)) / len(every) >= 8
