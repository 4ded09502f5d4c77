import re
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
import sqlglot
from sqlglot import exp

from sense.config import GrammarConfig
from sense.records import HARDNESS
from sense.sql.hardness import hardness
from sense.sql.parse import check_select
from sense.teacher import RejectedDraft, build_database
from sense.teacher.grammar import domains
from sense.teacher.grammar import teacher as teacher_module
from sense.teacher.grammar.teacher import GrammarTeacher
from sense.teacher.question_rules import problems

COUNT = 400


def jobs(count):
    return [(index, HARDNESS[index % 4]) for index in range(count)]


@pytest.fixture(scope="module")
def drafts():
    teacher = GrammarTeacher(GrammarConfig(), seed=7)
    return [teacher.draft(index, level, []) for index, level in jobs(COUNT)]


def test_every_draft_is_written_and_is_one_select(drafts):
    assert [draft for draft in drafts if isinstance(draft, RejectedDraft)] == []
    assert [draft.sql for draft in drafts if check_select(draft.sql) is not None] == []


def test_nearly_all_sql_answers_something_on_its_own_database(drafts):
    empty = []
    for draft in drafts:
        with closing(sqlite3.connect(":memory:")) as connection:
            for statement in draft.ddl:
                connection.execute(statement)
            for table, rows in draft.rows:
                connection.executemany(f'INSERT INTO "{table}" VALUES ({", ".join("?" * len(rows[0]))})', rows)
            answer = connection.execute(draft.sql).fetchall()
        if all(value is None for row in answer for value in row):
            empty.append(draft.sql)
    assert len(empty) <= 0.03 * COUNT, empty


def test_the_hardness_asked_for_is_the_hardness_measured(drafts):
    assert [draft.sql for draft in drafts if hardness(draft.sql) != draft.level] == []


def test_questions_read_well_by_rule(drafts):
    assert [draft.question for draft in drafts if problems(draft.question, draft.sql, draft.evidence)] == []
    assert [draft.question for draft in drafts if re.search(r"[{}]|  |^[a-z]", draft.question)] == []


def test_structures_and_features_are_many(drafts):
    trees = [sqlglot.parse_one(draft.sql, dialect="sqlite") for draft in drafts]
    assert len({structure(tree) for tree in trees}) > 0.4 * COUNT
    kinds = (
        exp.Window,
        exp.CTE,
        exp.Case,
        exp.Exists,
        exp.Cast,
        exp.Like,
        exp.Union,
        exp.Intersect,
        exp.Except,
        exp.Between,
        exp.In,
    )
    assert [kind.__name__ for kind in kinds if not any(tree.find(kind) for tree in trees)] == []
    assert max(len(tree.args.get("joins") or ()) for tree in trees) >= 2


def structure(tree):
    for node in [*tree.find_all(exp.Identifier)]:
        node.set("this", "x")
    for node in [*tree.find_all(exp.Literal)]:
        node.set("this", "1")
    return tree.sql()


def test_some_questions_need_evidence_and_most_do_not_spell_all_columns(drafts):
    assert 0.05 < sum(bool(draft.evidence) for draft in drafts) / COUNT < 0.4


def test_drafts_of_a_database_are_different():
    teacher = GrammarTeacher(GrammarConfig(per_database=20), seed=1)
    drafts = [teacher.draft(index, "easy", []) for index in range(200)]
    assert len({draft.db_id for draft in drafts}) == 10
    assert len({(draft.db_id, draft.sql) for draft in drafts}) >= 0.8 * len(drafts)


def test_a_draft_depends_on_nothing_but_its_arguments(drafts):
    teacher = GrammarTeacher(GrammarConfig(), seed=7)
    backwards = [teacher.draft(index, level, ["charity"]) for index, level in reversed(jobs(120))]
    assert backwards[::-1] == drafts[:120]
    other = GrammarTeacher(GrammarConfig(), seed=8)
    assert other.draft(0, "easy", []) != drafts[0]


def test_a_unit_holds_the_drafts_of_one_database(drafts):
    levels = [level for _, level in jobs(60)]
    assert GrammarTeacher(GrammarConfig(), seed=7).unit(2, levels[40:]) == drafts[40:60]


def test_threads_get_the_same_drafts(drafts):
    teacher = GrammarTeacher(GrammarConfig(), seed=7)
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda job: teacher.draft(*job, []), jobs(100))) == drafts[:100]


def test_drafts_with_one_db_id_carry_one_database(drafts, tmp_path):
    by_id = {}
    for draft in drafts:
        assert by_id.setdefault(draft.db_id, (draft.ddl, draft.rows)) == (draft.ddl, draft.rows)
    assert len(by_id) == COUNT // 20
    build_database(drafts[0], tmp_path / "a.sqlite")
    with closing(sqlite3.connect(tmp_path / "a.sqlite")) as connection:
        assert connection.execute(drafts[0].sql).fetchall()


def test_domains_take_turns():
    teacher = GrammarTeacher(GrammarConfig(per_database=1), seed=3)
    count = len(domains.names())
    names = [teacher.draft(index, "easy", []).domain for index in range(2 * count)]
    assert sorted(names[:count]) == sorted(set(names))
    assert names[:count] == names[count:]


def test_limits_of_the_configuration():
    teacher = GrammarTeacher(GrammarConfig(per_database=5, tables=2, rows=8), seed=0)
    drafts = [teacher.draft(index, "medium", []) for index in range(25)]
    assert {len(draft.ddl) for draft in drafts} == {2}
    assert max(len(rows) for draft in drafts for _, rows in draft.rows) <= 8


def test_a_database_too_poor_for_a_question_is_refused(monkeypatch):
    monkeypatch.setattr(teacher_module, "TRIES", 0)
    rejected = GrammarTeacher(GrammarConfig(rows=1), seed=0).draft(0, "extra", [])
    assert isinstance(rejected, RejectedDraft)
    assert (rejected.reason, rejected.level) == ("no question fits", "extra")
    assert "more rows" in rejected.detail


def test_spelt_questions_call_columns_by_the_words_in_their_names():
    def spells(draft):
        names = {column.name for column in sqlglot.parse_one(draft.sql, dialect="sqlite").find_all(sqlglot.exp.Column)}
        words = {word.lower() for name in names for word in re.findall(r"[A-Z]?[a-z]{3,}", name)}
        return all(word[:-1] in draft.question.lower() for word in words)

    def share(spelt):
        teacher = GrammarTeacher(GrammarConfig(tables=2, spelt=spelt), seed=0)
        return sum(spells(teacher.draft(index, "easy", [])) for index in range(0, 1000, 10))

    assert share(1.0) > share(0.0) + 5


def test_plain_names_are_small_words_joined_by_underscores():
    teacher = GrammarTeacher(GrammarConfig(per_database=1, plain_names=1.0), seed=2)
    for index in range(30):
        for statement in teacher.draft(index, "easy", []).ddl:
            name = statement.split("(")[0].removeprefix("CREATE TABLE").strip()
            assert re.fullmatch(r'[a-z0-9_]+|"[a-z]+"', name)  # a reserved word stands in quotes
