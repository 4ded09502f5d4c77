"""The grammar's questions on one's own database: they run there, read well, and each has its part by the skeleton of its SQL."""

import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest
import sqlglot

from sense.config import GrammarConfig, SplitConfig
from sense.errors import InputError, UserError
from sense.sql.hardness import hardness
from sense.teacher import Draft
from sense.teacher.grammar.own.teacher import OwnPlan, OwnTeacher, skeleton
from sense.teacher.question_rules import problems
from tests.teacher.grammar.own_shop import write_glossary, write_own_shop

LEVELS = ("easy", "easy", "medium", "medium", "hard", "extra")


def tree(sql):
    return sqlglot.parse_one(sql, dialect="sqlite")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_own_shop(tmp_path_factory.mktemp("own"))


@pytest.fixture(scope="module")
def units(folder):
    teacher = OwnTeacher(GrammarConfig(), 0, [folder], SplitConfig())
    return [teacher.unit(number, LEVELS) for number in range(14)]


def test_every_draft_is_of_its_level_reads_well_and_returns_something(folder, units):
    with closing(sqlite3.connect(folder / "databases/shop/shop.sqlite")) as connection:
        for drafts in units:
            for draft, level in zip(drafts, LEVELS, strict=True):
                assert isinstance(draft, Draft), draft
                assert hardness(draft.sql) == level
                assert problems(draft.question, draft.sql, draft.evidence) == []
                assert connection.execute(draft.sql).fetchall()
                assert draft.domain == "shop"
    assert [drafts[0].db_id for drafts in units[:2]] == ["shop_0000", "shop_0001"]


def test_all_tables_are_asked_about(units):
    text = " ".join(draft.sql.lower() for drafts in units for draft in drafts)
    assert all(table in text for table in ("customers", "employees", "products", "orders", "order_items"))
    assert "notes" not in text


def test_no_skeleton_is_in_two_parts(folder, units):
    plan = OwnPlan([folder], SplitConfig())
    parts: dict[str, set[str]] = {}
    for number, drafts in enumerate(units):
        part = plan.unit(number)[2]
        assert plan.part(drafts[0].db_id) == part
        for draft in drafts:
            parts.setdefault(skeleton(tree(draft.sql)), set()).add(part)
    assert set().union(*parts.values()) == {"strong", "unseen", "heldout"}
    assert all(len(of_skeleton) == 1 for of_skeleton in parts.values())


def test_a_skeleton_is_a_query_without_its_values():
    first = skeleton(tree("SELECT a FROM t WHERE b = 'x' AND c IN (1, 2, 3) ORDER BY a LIMIT 5"))
    assert first == skeleton(tree("SELECT a FROM t WHERE b = 'it''s' AND c IN (4, 5) ORDER BY a LIMIT 1"))
    assert first != skeleton(tree("SELECT b FROM t WHERE b = 'x' AND c IN (1, 2, 3) ORDER BY a LIMIT 5"))


def test_every_database_has_its_share_of_every_part(tmp_path):
    folders = [write_own_shop(tmp_path / name) for name in ("one", "two")]
    (folders[1] / "databases/shop").rename(folders[1] / "databases/store")
    (folders[1] / "databases/store/shop.sqlite").rename(folders[1] / "databases/store/store.sqlite")
    plan = OwnPlan(folders, SplitConfig(unseen=0.25, heldout=0.2))
    counts = Counter(plan.unit(number)[1:] for number in range(200))
    assert counts == {
        (name, part): count for name in ("shop", "store") for part, count in (("heldout", 20), ("unseen", 25), ("strong", 55))
    }
    assert [plan.unit(number)[2] for number in range(6)] == ["heldout", "heldout", "unseen", "unseen", "strong", "strong"]


def test_the_same_seed_writes_the_same_and_another_one_other_questions(folder, units):
    again = OwnTeacher(GrammarConfig(), 0, [folder], SplitConfig()).unit(3, LEVELS)
    assert again == units[3]
    assert OwnTeacher(GrammarConfig(), 1, [folder], SplitConfig()).unit(3, LEVELS) != again


def test_questions_use_the_words_of_the_glossary(tmp_path):
    folder = write_own_shop(tmp_path)
    write_glossary(
        folder,
        "tables: {Customers: {noun: client, columns: {tier: {phrase: level, meanings: {A: golden, B: silvery, C: bronzed}}}},"
        " orders: {columns: {cust_id: {verb: place, by: placed by}}}}",
    )
    teacher = OwnTeacher(GrammarConfig(), 0, [folder], SplitConfig())
    drafts = [draft for number in range(12) for draft in teacher.unit(number, LEVELS) if isinstance(draft, Draft)]
    on_customers = [draft for draft in drafts if "Customers" in draft.sql]
    assert any("client" in draft.question.lower() for draft in on_customers)
    assert not any("customer" in draft.question.lower().replace("customerid", "") for draft in on_customers)
    by_code = [draft for draft in drafts if "tier = 'A'" in draft.sql]
    assert all("golden" in draft.question.lower() and "'A'" in draft.evidence for draft in by_code)


def test_what_is_no_folder_of_own_databases_is_called_so(tmp_path, folder):
    with pytest.raises(InputError, match="holds no database"):
        OwnPlan([tmp_path / "nothing"], SplitConfig())
    with pytest.raises(UserError, match="two databases are called 'shop'"):
        OwnPlan([folder, Path(f"{folder}/.")], SplitConfig())
