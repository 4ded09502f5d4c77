import re
from collections import Counter
from random import Random

import pytest

from sense.config import GrammarConfig
from sense.teacher.grammar import domains
from sense.teacher.grammar.ddl import create_table, draw_declarations
from sense.teacher.grammar.naming import NamingStyle, draw_naming, needs_quotes
from sense.teacher.grammar.plans import draw_plans
from sense.teacher.grammar.populate import invent_database
from sense.teacher.grammar.schema import draw_schema

NAMES = domains.names()
COUNT = 300


@pytest.fixture(scope="module")
def schemas():
    return [draw_schema(domains.load(NAMES[n % len(NAMES)]), GrammarConfig().tables, Random(f"schema-{n}")) for n in range(COUNT)]


@pytest.fixture(scope="module")
def ddl():
    """The statements of some databases, joined."""
    databases = [invent_database("x", domains.load(NAMES[n % len(NAMES)]), 20, 10, Random(f"ddl-{n}")) for n in range(COUNT)]
    return ["\n".join(database.ddl) for database in databases]


def share(truths):
    return sum(map(bool, truths)) / COUNT


def test_there_are_five_tables_in_the_mean_and_at_times_many(schemas):
    sizes = Counter(len(schema.tables) for schema in schemas)
    assert min(sizes) == 2
    assert 12 <= max(sizes) <= 20
    assert 4.6 <= sum(size * count for size, count in sizes.items()) / COUNT <= 5.4


@pytest.mark.parametrize("most", [2, 3, 4, 7, 20])
def test_there_are_never_more_tables_than_allowed_and_all_are_connected(most):
    for n in range(60):
        schema = draw_schema(domains.load(NAMES[n % len(NAMES)]), most, Random(f"{most}-{n}"))
        assert 2 <= len(schema.tables) <= most
        reached = {schema.tables[0].name}
        for _ in schema.tables:
            reached |= {end for link in schema.links for end in (link.child, link.parent) if {link.child, link.parent} & reached}
        assert reached == {table.name for table in schema.tables}


@pytest.mark.parametrize(
    ("feature", "least"),
    [
        (lambda schema, table: len(table.key_columns) > 1, 0.1),
        (lambda schema, table: len(table.key_columns) > 1 and table.across, 0.05),
        (lambda schema, table: table.across, 0.15),
        (lambda schema, table: any(link.child == link.parent == table.name for link in schema.links), 0.1),
        (lambda schema, table: not table.key_columns, 0.05),
    ],
    ids=["composite key", "pair as key", "junction", "reference to itself", "no key"],
)
def test_structures_occur_in_many_databases(schemas, feature, least):
    assert share(any(feature(schema, table) for table in schema.tables) for schema in schemas) >= least


def test_parents_come_first_and_references_lead_to_their_keys(schemas):
    for schema in schemas:
        order = {table.name: number for number, table in enumerate(schema.tables)}
        tables = {table.name: table for table in schema.tables}
        for link in schema.links:
            assert order[link.parent] < order[link.child] or (link.parent == link.child and link.role)
            assert tables[link.parent].key.name == link.key
            assert tables[link.child].column(link.column).spec is None
            assert link.verb


def test_a_junction_says_how_its_parents_belong_together(schemas):
    for schema in schemas:
        for table in schema.tables:
            if table.across:
                assert set(table.across) == {link.parent for link in schema.links if link.child == table.name != link.parent}


def test_general_tables_have_nouns_of_their_own_and_references_to_what_stands_before_them():
    before = {domains.ENTITY}
    nouns = []
    for name, spec in domains.general().tables.items():
        assert set(spec.refers) <= before
        before.add(name)
        nouns += [name, *spec.also]
    assert len(nouns) == len(set(nouns))


def test_only_people_and_places_have_addresses():
    domain = domains.load("astronomy")
    for n in range(200):
        plans = draw_plans(domain, 20, draw_naming(Random("naming")), Random(f"plans-{n}"))
        for name in domains.general().for_people_and_places & set(plans):
            (parent,) = plans[name].refers
            spec = domain.tables[parent]
            kinds = {column.kind for column in spec.columns.values()}
            assert spec.columns[spec.label].kind == "person" or kinds & {"city", "phone", "email"}


def test_shared_lists_are_plain_and_without_repeats():
    lists = domains.shared_lists()
    assert set(lists.countries) - set(lists.demonyms) <= {"New Zealand"}
    for names in (lists.first_names, lists.last_names, lists.cities, lists.countries):
        assert len(names) == len(set(names))
        assert all(name.isascii() and "'" not in name for name in names)
    assert all(len(short) <= len(word) for word, short in lists.abbreviations.items())


def test_identifiers_differ_whatever_their_case(schemas):
    for schema in schemas:
        assert len({table.name.lower() for table in schema.tables}) == len(schema.tables)
        for table in schema.tables:
            assert len({column.name.lower() for column in table.columns}) == len(table.columns)
            assert len({column.words for column in table.columns}) == len(table.columns), table


def test_abbreviated_identifiers_keep_their_words(schemas):
    columns = [column for schema in schemas for table in schema.tables for column in table.columns]
    written = {column.words: column.name for column in columns if re.fullmatch("[a-z_]+", column.name)}
    assert len(written) > 100
    short = [
        schema
        for schema in schemas
        if sum(len(c.name) < len(c.words.replace(" ", "")) for table in schema.tables for c in table.columns) > 2
    ]
    assert 0.05 <= len(short) / COUNT <= 0.17
    assert all("_" not in column.words and column.words == column.words.lower() for column in columns)


def test_abbreviations():
    style = NamingStyle("snake", False, False, False, False, True, True, "id", "{noun} {key}")
    assert style.identifier("customer address") == "cust_addr"
    assert style.identifier("horsepower") == "hors"
    assert style.identifier("age") == "age"
    taken = {"cust"}
    assert [style.new_identifier("customer", taken), style.new_identifier("Customer", taken)] == ["customer", "Customer_2"]


def test_cases():
    def written(case):
        return NamingStyle(case, False, False, False, False, True, False, "id", "{noun} {key}").identifier("home city")

    cases = ["snake", "camel", "pascal", "title", "upper", "spaced", "spaced title", "hyphens"]
    assert [written(case) for case in cases] == [
        "home_city",
        "homeCity",
        "HomeCity",
        "Home_City",
        "HOME_CITY",
        "home city",
        "Home City",
        "home-city",
    ]


def test_what_needs_quotes():
    assert [name for name in ("order", "Group", "home city", "a-b", "2nd") if not needs_quotes(name)] == []
    assert [name for name in ("orders", "Home_City", "date", "key", "_x1", "type") if needs_quotes(name)] == []


@pytest.mark.parametrize(
    "pattern",
    [
        r" INT\b",
        r" INTEGER\b",
        r" BIGINT\b",
        r" VARCHAR\(",
        r" TEXT\b",
        r" REAL\b",
        r" DECIMAL\(10,2\)",
        r" DATE\b",
        r" BOOLEAN\b",
        r"NOT NULL",
        r"UNIQUE",
        r"DEFAULT",
        r"CHECK \(",
        r"\n  FOREIGN KEY",
        r" REFERENCES .*,\n",
        r"\n  PRIMARY KEY \(",
        r" PRIMARY KEY,",
    ],
)
def test_ways_to_declare_occur_in_many_databases(ddl, pattern):
    assert share(re.search(pattern, statements) for statements in ddl) >= 0.05


def test_some_databases_declare_no_foreign_key(ddl):
    assert 0.02 <= share("REFERENCES" not in statements for statements in ddl) <= 0.15


def test_the_same_style_declares_a_table_in_the_same_way():
    database = invent_database("x", domains.load("winery"), 4, 10, Random("a"))
    style = draw_declarations(Random("b"))
    table = next(iter(database.tables.values()))
    assert create_table(table, [], style, Random("c")) == create_table(table, [], style, Random("c"))
