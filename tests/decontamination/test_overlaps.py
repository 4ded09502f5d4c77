"""What counts as the same: questions, SQL and schemas; planted rows are found, unrelated data are not."""

import doctest
from collections import Counter

import pytest

from sense.decontamination import forms, near_duplicates
from sense.decontamination.compared_sets import ComparedRow, ComparedSet, read_dataset, read_set
from sense.decontamination.comparison import Comparison, find_overlaps, trivial_sql
from sense.decontamination.forms import canonical_sql, schema_names, schema_shape, tables_of
from sense.decontamination.near_duplicates import NearDuplicates, similarity, sketch
from sense.records import Example
from sense.schema import Column, ForeignKey, Schema, Table
from tests.decontamination.plants import KINDS, plant, write_dataset
from tests.pipeline import ROOT

SPIDER = ROOT.parent / "shared" / "spider"
SEEDS = ROOT / "sense" / "seeds"


def schema(owner="owner", pet="pet", extra="age"):
    tables = (
        Table(owner, (Column("id", "INTEGER", True), Column("name", "TEXT", False))),
        Table(pet, (Column("id", "INT", True), Column("owner_id", "INT", False), Column(extra, "REAL", False))),
    )
    return Schema(tables, (ForeignKey(pet, "owner_id", owner, "id"),))


def row(question, sql, key="a"):
    return ComparedRow(id=key, db_id="db", question=question, sql=sql)


def overlaps(data, against, data_schema=None, against_schema=None):
    """The reasons for which rows overlap with others, on unlike schemas unless they are given."""
    other = Schema((Table("x", (Column("y", "BLOB", False),)),), ())
    evaluation = ComparedSet("dev", against, {"db": against_schema or other})
    found = find_overlaps(ComparedSet("strong", data, {"db": data_schema or schema()}), Comparison([evaluation]))
    return [(overlap.row.id, overlap.reason) for overlap in found]


@pytest.mark.parametrize("module", [forms, near_duplicates], ids=lambda module: module.__name__)
def test_examples_in_docstrings(module):
    result = doctest.testmod(module)
    assert result.attempted
    assert not result.failed


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("SELECT a FROM t WHERE b = 1 AND c > 2", "select A from T as T1 where 2 < T1.c and T1.b = 1"),
        ("SELECT a FROM t WHERE b IN (1, 2) OR c = 'x' OR d < 3", "SELECT a FROM t WHERE (d < 3 OR b IN (2, 1)) OR 'x' = c"),
        ("SELECT p.a FROM p JOIN q ON p.i = q.j AND q.k = 1", "SELECT x.a FROM p x JOIN q y ON y.k = 1 AND x.i = y.j"),
        (
            "SELECT a FROM t WHERE b = (SELECT max(b) FROM t WHERE c = 1 AND d = 2) AND e = 3",
            "SELECT a FROM t WHERE e = 3 AND b = (SELECT max(b) FROM t WHERE d = 2 AND c = 1)",
        ),
    ],
)
def test_canonical_sql_has_its_conditions_in_one_order(one, other):
    assert canonical_sql(one).named == canonical_sql(other).named
    assert canonical_sql(one).masked == canonical_sql(other).masked


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("SELECT a FROM t WHERE b > 1", "SELECT a FROM t WHERE b < 1"),
        ("SELECT a FROM t WHERE b = 1 AND c = 2", "SELECT a FROM t WHERE b = 1 OR c = 2"),
        ("SELECT a FROM t WHERE a = 1", "SELECT a FROM t WHERE b = 1"),
        ("SELECT a FROM t WHERE a = 1 AND (b = 2 OR c = 3)", "SELECT a FROM t WHERE a = 1 AND b = 2 OR c = 3"),
    ],
)
def test_queries_that_mean_something_else_have_other_forms(one, other):
    assert canonical_sql(one).named != canonical_sql(other).named
    assert canonical_sql(one).masked != canonical_sql(other).masked


def test_what_is_no_sql_and_what_is_too_deep_is_compared_as_text():
    assert canonical_sql("SELEC  Name").masked == "selec name"
    assert canonical_sql(f"SELECT {'(' * 3000}1{')' * 3000}").named.startswith("select (((")


@pytest.mark.parametrize(
    ("sql", "trivial"),
    [
        ("SELECT count(*) FROM singer", True),
        ("SELECT DISTINCT city FROM singer", True),
        ("SELECT name, city FROM singer", False),
        ("SELECT name FROM singer WHERE age > 3", False),
        ("SELECT name FROM singer LIMIT 1", False),
        ("SELECT name FROM singer UNION SELECT name FROM band", False),
        ("SELECT count(*) FROM (SELECT DISTINCT city FROM singer)", False),
        ("SELECT count(*) FROM singer, band", False),
    ],
)
def test_trivial_is_one_column_or_aggregate_of_a_whole_table(sql, trivial):
    assert canonical_sql(sql).trivial is trivial
    assert forms.may_be_trivial(sql) or not trivial


def test_tables_are_read_from_the_words():
    assert tables_of('SELECT 1 FROM Pet AS p LEFT JOIN "Owner" o ON 1 WHERE x IN (SELECT y FROM `vet`)') == {
        "pet",
        "owner",
        "vet",
    }
    assert tables_of("SELECT 1 FROM (SELECT 2)") == frozenset()


def test_a_shape_is_left_by_other_names_and_another_order():
    renamed = schema("river", "lamp", "stone")
    turned = Schema(renamed.tables[::-1], renamed.foreign_keys)
    assert schema_shape(schema()) == schema_shape(turned)
    assert schema_shape(schema()) != schema_shape(Schema(schema().tables, ()))
    assert schema_names(schema()) >= {"owner", "owner.name", "pet.age"}


def test_nearly_the_same_questions_are_matched_and_the_nearest_is_returned():
    index = NearDuplicates()
    for question in (
        "How many pets are there?",
        "List the names of all owners from Rome, by age.",
        "What is the mean age of dogs?",
    ):
        index.add(sketch(question))
    assert index.nearest(sketch("how many PETS are there")) == (0, 1.0)
    number, value = index.nearest(sketch("List the names of all owners of Rome, by age!"))
    assert number == 1
    assert (
        value == similarity("list the names of all owners from rome by age", "list the names of all owners of rome by age") > 0.8
    )
    assert index.nearest(sketch("What is the age of the oldest dog?")) is None
    assert index.nearest(sketch("")) is None


def test_a_row_overlaps_by_question_sql_or_schema():
    evaluation = [row("How old are the pets of Ann?", "SELECT age FROM pet WHERE owner_id = 1 AND id > 2", "e")]
    assert overlaps([row("how old are the pets of ann", "SELECT 1")], evaluation) == [("a", "same question")]
    assert overlaps([row("How old are the pets of Anna?", "SELECT 1")], evaluation) == [("a", "near-duplicate question")]
    same_sql = row("Ages of animals, please", "select T1.age from Pet as T1 where T1.id > 2 and T1.owner_id = 1")
    assert overlaps([same_sql], evaluation) == [("a", "same SQL")]
    assert overlaps([row("Something else", "SELECT 1")], evaluation, schema(), schema(extra="Age")) == [("a", "same schema")]
    assert overlaps([row("Something else", "SELECT 1")], evaluation) == []


def test_a_renamed_row_needs_the_shape_the_form_and_the_rest_of_the_question():
    evaluation = [row("How old are the pets with an id above 2?", "SELECT age FROM pet WHERE id > 2", "e")]
    new = schema("river", "lamp", "stone")
    renamed = row("How old are the lamps with an id above 9?", "SELECT stone FROM lamp WHERE id > 9")
    assert overlaps([renamed], evaluation, new, schema()) == [("a", "renamed SQL")]
    lamp = Table("lamp", (*new.tables[1].columns[:2], Column("stone", "TEXT", False)))
    assert overlaps([renamed], evaluation, Schema((new.tables[0], lamp), new.foreign_keys), schema()) == []
    asked_otherwise = row("List the stones of lamps, from id 9 on", renamed.sql)
    assert overlaps([asked_otherwise], evaluation, new, schema()) == []


def larger(base, *more):
    """A schema with further tables that refer to nothing."""
    return Schema((*base.tables, *more), base.foreign_keys)


LOG = Table("log", (Column("at", "TEXT", False), Column("text", "BLOB", False)))
NOTE = Table("note", (Column("id", "INTEGER", True), Column("note", "TEXT", False), Column("stars", "REAL", False)))


def test_a_renamed_row_in_a_larger_schema_is_found_if_its_own_is_large():
    evaluation = [row("How many pets are there?", "SELECT count(*) FROM pet", "e")]
    renamed = row("How many lamps are there?", "SELECT count(*) FROM lamp")
    new = schema("river", "lamp", "stone")
    assert overlaps([renamed], evaluation, larger(new, LOG), schema()) == []  # five columns
    assert overlaps([renamed], evaluation, larger(new, LOG, NOTE), larger(schema(), NOTE)) == [("a", "renamed SQL")]


def test_a_renamed_row_is_found_by_the_tables_that_it_reads():
    evaluation = [row("Which pets are the oldest?", "SELECT id FROM pet ORDER BY age DESC", "e")]
    renamed = row("Which lamps are the oldest?", "SELECT id FROM lamp ORDER BY stone DESC")
    lamp = Table("lamp", (Column("id", "INT", True), Column("river_id", "INT", False), Column("stone", "REAL", False)))
    assert overlaps([renamed], evaluation, Schema((lamp, LOG), ()), schema()) == [("a", "renamed SQL")]
    other_words = row("Which lamps go on longest?", renamed.sql)
    assert overlaps([other_words], evaluation, Schema((lamp, LOG), ()), schema()) == []
    other_columns = Table("lamp", (*lamp.columns, Column("weight", "REAL", False)))
    assert overlaps([renamed], evaluation, Schema((other_columns, LOG), ()), schema()) == []


def test_a_long_renamed_row_is_found_by_the_columns_that_it_names():
    question = "Of all {} with an id above 7, which id has the highest {} and no {} whatsoever before the year 1990?"
    sql = "SELECT id FROM {} WHERE id > 7 AND {} IS NULL ORDER BY {} DESC"
    evaluation = [row(question.format("pets", "age", "owner"), sql.format("pet", "owner_id", "age"), "e")]
    renamed = row(question.format("lamps", "stone", "river"), sql.format("lamp", "river_id", "stone"))
    columns = (Column("id", "INT", True), Column("river_id", "INT", False), Column("stone", "REAL", False))
    more = Table("lamp", (*columns, Column("weight", "REAL", False)))
    assert overlaps([renamed], evaluation, Schema((more,), ()), schema()) == [("a", "renamed SQL")]


def test_trivial_sql_is_shared_and_named_with_its_count():
    evaluation = [row("Count the pets.", "SELECT count(*) FROM pet", "e")]
    assert overlaps([row("Number of animals?", "SELECT COUNT(*) FROM Pet")], evaluation) == []
    shared = trivial_sql(["SELECT COUNT(*) FROM Pet", "SELECT name FROM pet"], [evaluation[0].sql] * 2 + ["SELECT 1"])
    assert shared == {"SELECT COUNT(*) FROM pet": 2}


def recall(evaluation, folder, each):
    """How many rows of each kind were planted, and how many are found by which reason."""
    examples = [Example(**entry.model_dump(), source="human", hardness="easy") for entry in evaluation.rows]
    with_conditions = [example for example in examples if " AND " in example.sql.upper() or " OR " in example.sql.upper()]
    others = list(evaluation.schemas.values())
    planted = [
        plant(kind, example, evaluation.schemas[example.db_id], number, others)
        for kind in KINDS
        for number, example in enumerate((with_conditions if kind == "reordered" else examples)[:each])
    ]
    write_dataset(folder, planted)
    data = read_dataset("planted", folder)
    kinds = Counter(entry.id.partition("-")[0] for entry in data.rows)
    found = Counter(overlap.row.id.partition("-")[0] for overlap in find_overlaps(data, Comparison([evaluation])))
    return kinds, found


def test_planted_rows_of_the_built_in_dev_set_are_found(tmp_path):
    planted, found = recall(read_set(SEEDS), tmp_path, 50)
    assert planted == {kind: 14 if kind == "reordered" else 50 for kind in KINDS}
    assert {kind: planted[kind] - found[kind] for kind in KINDS if kind != "cut"} == dict.fromkeys(set(KINDS) - {"cut"}, 0)
    assert found["cut"] >= 45  # the others are trivial


@pytest.mark.spider
@pytest.mark.skipif(not SPIDER.is_dir(), reason=f"needs Spider's training set in {SPIDER}")
def test_planted_rows_of_spider_are_found(tmp_path):
    spider = read_set(SPIDER)
    some = ComparedSet("spider", spider.rows[::9], spider.schemas)
    planted, found = recall(some, tmp_path, 50)
    assert set(planted.values()) == {50}
    assert {found[kind] for kind in ("verbatim", "renamed", "widened", "reordered")} == {50}
    assert found["paraphrased"] >= 48
    assert found["cut"] >= 40


@pytest.mark.spider
@pytest.mark.skipif(not SPIDER.is_dir(), reason=f"needs Spider's training set in {SPIDER}")
def test_unrelated_human_questions_do_not_overlap():
    spider = read_set(SPIDER)
    assert find_overlaps(read_set(SEEDS), Comparison([spider])) == []
    databases = sorted({row.db_id for row in spider.rows})[::2]
    one, other = (
        ComparedSet(name, [row for row in spider.rows[::3] if (row.db_id in databases) is first], spider.schemas)
        for name, first in (("one", True), ("other", False))
    )
    reasons = Counter(overlap.reason for overlap in find_overlaps(one, Comparison([other])))
    assert reasons["renamed SQL"] <= 0.005 * len(one.rows)
