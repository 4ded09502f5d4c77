"""Faults in a model's drafts that no error tells of, on four pets: weights 3, 3, 5, 9; two dogs, two cats; one owner unknown."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sense.config import SynthesizeConfig
from sense.records import Hardness
from sense.sql.hardness import hardness
from sense.teacher import Draft, RejectedDraft
from sense.teacher.checks import CheckedDraft, DraftChecker

DDL = (
    "CREATE TABLE owner (name TEXT PRIMARY KEY, city TEXT)",
    "CREATE TABLE pet (name TEXT, species TEXT, weight REAL, owner TEXT REFERENCES owner (name))",
)
PETS = (("Rex", "dog", 3, "Ada"), ("Tom", "cat", 3, "Ada"), ("Max", "dog", 5, "Bo"), ("Kit", "cat", 9, None))
ROWS = (("owner", (("Ada", "Oslo"), ("Bo", "Rome"))), ("pet", PETS))


def checker(folder: Path, **llm: Any) -> DraftChecker:
    section = {"teacher": "llm", "llm": {"model": "m"} | llm, "suite": 0, "execution": {"workers": 1}}
    return DraftChecker(folder, SynthesizeConfig.model_validate(section))


@pytest.fixture(scope="module")
def pets(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DraftChecker]:
    with checker(tmp_path_factory.mktemp("pets")) as drafts:
        yield drafts


def draft(sql: str, level: Hardness | None = None, **changes: Any) -> Draft:
    fields = {"db_id": "pets", "domain": "pets", "ddl": DDL, "rows": ROWS, "question": "Which?", "sql": sql} | changes
    return Draft(level=level or hardness(sql), **fields)


def outcome(drafts: DraftChecker, one: Draft) -> CheckedDraft | RejectedDraft:
    (result,) = drafts.check([one]).drafts
    return result


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT name FROM pet",
        'SELECT "name" FROM pet WHERE "weight" > 4',
        "SELECT name FROM pet WHERE weight > 4 AND (species = 'cat' OR name = 'Max')",
        "SELECT name AS pet_name, weight AS kilos FROM pet ORDER BY kilos DESC LIMIT 2",
        "SELECT name, weight FROM pet ORDER BY 2 DESC LIMIT 1 OFFSET 1",
        "SELECT DISTINCT species FROM pet ORDER BY species LIMIT 1",
        "SELECT owner, SUM(weight) AS total FROM pet GROUP BY owner ORDER BY total DESC, owner LIMIT 1",
        'SELECT species AS "kind of pet", COUNT(*) FROM pet WHERE weight > 4 GROUP BY "kind of pet"',
        "SELECT name FROM pet UNION SELECT name FROM owner ORDER BY name LIMIT 3",
        "SELECT city FROM owner WHERE EXISTS (SELECT 1 FROM pet WHERE pet.owner = owner.name AND weight > 4 LIMIT 1)",
        "SELECT name FROM pet WHERE weight = (SELECT MAX(weight) FROM pet WHERE species = 'dog')",
        "WITH heavy AS (SELECT * FROM pet WHERE weight > 4) SELECT name FROM heavy ORDER BY weight LIMIT 1",
    ],
)
def test_a_draft_whose_every_part_matters_is_kept(pets: DraftChecker, sql: str):
    assert isinstance(outcome(pets, draft(sql)), CheckedDraft)


@pytest.mark.parametrize(
    ("reason", "sql"),
    [
        ("tie at LIMIT", "SELECT name FROM pet ORDER BY weight LIMIT 1"),
        ("tie at LIMIT", "SELECT name AS n, weight AS w FROM pet ORDER BY w LIMIT 1"),
        ("tie at LIMIT", "SELECT name, weight FROM pet ORDER BY 2 LIMIT 1"),
        ("tie at LIMIT", "SELECT name FROM pet LIMIT 2"),
        ("tie at LIMIT", "SELECT species, COUNT(*) AS n FROM pet GROUP BY species ORDER BY n DESC LIMIT 1"),
        ("tie at LIMIT", "SELECT weight, name FROM pet UNION SELECT 3, 'Pip' ORDER BY weight LIMIT 1"),
        (
            "tie at LIMIT",
            "SELECT name FROM pet WHERE species = (SELECT species FROM pet GROUP BY species ORDER BY COUNT(*) DESC LIMIT 1)",
        ),
        ("idle LIMIT", "SELECT name FROM pet ORDER BY weight DESC LIMIT 4"),
        ("idle LIMIT", "SELECT COUNT(*) FROM pet LIMIT 1"),
        ("idle ORDER BY", "SELECT AVG(weight) FROM pet ORDER BY 1"),
        ("idle condition", "SELECT name FROM pet WHERE weight < 10"),
        ("idle condition", "SELECT name FROM pet WHERE 1 = 1 AND weight > 4"),
        ("idle condition", "SELECT name FROM pet WHERE weight > 4 OR weight > 8"),
        ("idle condition", "SELECT owner FROM pet GROUP BY owner HAVING COUNT(*) >= 1"),
        ("idle condition", "SELECT name FROM pet EXCEPT SELECT city FROM owner"),
        ("idle condition", "SELECT name FROM owner WHERE name IN (SELECT name FROM pet)"),  # the owner's own name, not the pet's
        ("misspelt column", 'SELECT "nmae", species FROM pet'),
        ("misspelt column", 'SELECT name FROM pet WHERE species = "dog"'),
        ("SQL fails", "SELECT nmae FROM pet"),
        ("SQL counts nothing", "SELECT COUNT(*) FROM pet WHERE weight > 10"),
    ],
)
def test_a_draft_with_a_fault_is_rejected_by_its_reason(pets: DraftChecker, reason: str, sql: str):
    result = outcome(pets, draft(sql.replace("(SELECT name FROM pet)", "(SELECT owner.name FROM pet)")))
    assert isinstance(result, RejectedDraft)
    assert (result.reason, sql.split(maxsplit=1)[0] in result.detail or "nmae" in result.detail) == (reason, True)


def test_another_hardness_than_the_one_asked_for_is_a_fault_unless_it_may_be_any(pets: DraftChecker, tmp_path: Path):
    easy = draft("SELECT name FROM pet", "hard")
    result = outcome(pets, easy)
    assert isinstance(result, RejectedDraft)
    assert result.reason == "level not met"
    assert "easy by Spider's rules, hard was asked for" in result.detail
    with checker(tmp_path, match_level=False) as lenient:
        assert isinstance(outcome(lenient, easy), CheckedDraft)


@pytest.mark.parametrize(
    ("ddl", "detail"),
    [
        (DDL, "row 5 of pet refers to a row of owner that is not there"),
        ((DDL[0], DDL[1].replace("(name))", "(city))")), 'foreign key mismatch - "pet" referencing "owner"'),
        ((DDL[0], DDL[1].replace("owner (name)", "human (name)")), "row 1 of pet refers to a row of human that is not there"),
    ],
)
def test_rows_that_refer_to_nothing_are_a_fault_of_all_drafts_on_the_database(
    pets: DraftChecker, ddl: tuple[str, ...], detail: str
):
    rows = (ROWS[0], ("pet", (*PETS, ("Pip", "bird", 1, "Cy"))))
    result = outcome(pets, draft("SELECT name FROM pet", db_id="broken", ddl=ddl, rows=rows))
    assert result == RejectedDraft("broken foreign key", detail, "easy")


def test_the_grammar_s_drafts_are_not_checked_again(tmp_path: Path):
    config = SynthesizeConfig.model_validate({"suite": 0, "execution": {"workers": 1}})
    with DraftChecker(tmp_path, config) as drafts:
        assert isinstance(outcome(drafts, draft("SELECT name FROM pet WHERE weight < 10", "extra")), CheckedDraft)
