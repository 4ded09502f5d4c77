"""Strong data from hand-written teachers: which drafts are kept or dropped and why, the splits, and runs that are killed."""

import sqlite3
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from sense import records
from sense.config import SynthesizeConfig
from sense.decontamination.compared_sets import ComparedSet
from sense.errors import EndpointError, UserError
from sense.records import Example, Hardness
from sense.stages import fingerprint, synthesize
from sense.teacher import Draft, RejectedDraft, collection, runs
from sense.teacher.drafts import over_represented_domains
from tests.endpoint import Answerer, Endpoint, Reply, good_teacher
from tests.llm_runs import SPLITS, digests, seed_dataset

DDL = ("CREATE TABLE animal (id INTEGER PRIMARY KEY, name TEXT, legs INTEGER)",)
ROWS = (("animal", ((1, "ant", 6), (2, "cow", 4), (3, "eel", None))),)


NO_HUMAN_SETS = synthesize.HumanSets(ComparedSet("seed", [], {}), [ComparedSet("dev", [], {})])


class Zoo:
    """A good teacher of either kind: three drafts on each database, every second database in domain farms.

    `bad` replaces single drafts by index. `requests` records the level and the domains to avoid of each draft.
    """

    def __init__(self, bad: dict[int, Draft | RejectedDraft] | None = None) -> None:
        self.bad = bad or {}
        self.requests: dict[int, tuple[Hardness, tuple[str, ...]]] = {}

    def draft(self, index: int, level: Hardness, avoid: Sequence[str]) -> Draft | RejectedDraft:
        self.requests[index] = (level, tuple(avoid))
        return self.bad.get(index) or good_draft(index, level)

    def forget(self, index: int, level: Hardness, avoid: Sequence[str]) -> None:
        del self.requests[index]

    def fetch(self) -> bool:
        return False

    def close(self) -> None:
        """It never waits."""

    def unit(self, number: int, levels: Sequence[Hardness]) -> list[Draft | RejectedDraft]:
        return [self.draft(3 * number + position, level, ()) for position, level in enumerate(levels)]


class Backwards(Zoo):
    """Writes each draft of even number only after the odd one that follows, which is requested at the same time."""

    def __init__(self) -> None:
        super().__init__()
        self.written = [Event() for _ in range(200)]

    def draft(self, index: int, level: Hardness, avoid: Sequence[str]) -> Draft | RejectedDraft:
        if index < 16 and index % 2 == 0:
            assert self.written[index + 1].wait(5)
        self.written[index].set()
        return super().draft(index, level, avoid)


def good_draft(index: int, level: Hardness = "easy") -> Draft:
    database = index // 3
    return Draft(
        db_id=f"zoo{database}",
        domain="Farms" if database % 2 == 0 else f"museum {database}",
        ddl=(*DDL, f"CREATE TABLE keeper{database} (id INTEGER, ward{database} TEXT)"),  # else all schemas were the same
        rows=ROWS,
        question=good_question(index),
        sql=f"SELECT count(*) FROM animal WHERE legs < {index + 5}",
        level=level,
    )


def good_question(index: int) -> str:
    """A question with words of its own: one that differs in the number alone would be a near-duplicate."""
    words = sha256(str(index).encode()).hexdigest()
    return f"Of {words[:9]} and {words[9:18]} and {words[18:30]}, how many have fewer than {index + 5} legs?"


def synthesize_config(count: int = 24, concurrency: int = 0, **options: Any) -> SynthesizeConfig:
    """With a concurrency the section is the LLM teacher's, else the grammar's, with units of three drafts."""
    llm = (
        {
            "teacher": "llm",
            "llm": {"model": "m", "questions": 1, "concurrency": concurrency, "repair": False, "match_level": False},
        }
        if concurrency
        else {}
    )
    split = {"heldout_domains": 1} | dict(options.pop("split", {}))
    section = {"count": count, "grammar": {"per_database": 3}, "execution": {"workers": 1}, "split": split, "suite": 0}
    return SynthesizeConfig.model_validate(section | llm | options)


def output_paths(work: Path) -> synthesize.Outputs:
    work.mkdir(parents=True, exist_ok=True)
    return synthesize.Outputs(**{name: work / name for name in (*SPLITS, "decontamination", "metrics")})


def write_with(config: SynthesizeConfig, teacher: Zoo):
    """Has this teacher write, of the kind that the section names."""
    if config.teacher == "llm":
        return lambda part, work, screen, advance: runs.write_drafts(part, teacher, None, work, screen, advance)
    return lambda part, work, screen, advance: runs.write_units(part, lambda: teacher, work, screen, advance)


def run_stage(config: SynthesizeConfig, teacher: Zoo, work: Path) -> tuple[list[Example], dict]:
    """The examples of all splits, in the order of their ids, and the metrics."""
    metrics = synthesize.write(config, NO_HUMAN_SETS, output_paths(work), write_with(config, teacher))
    rows = [row for name in SPLITS for row in records.read_dataset(work / name)]
    return sorted(rows, key=lambda row: row.id), metrics


def test_kept_examples_carry_measured_and_asked_hardness_and_their_domain(tmp_path: Path):
    rows, metrics = run_stage(synthesize_config(levels={"hard": 1}), Zoo(), tmp_path)
    assert len(rows) == 24
    assert rows[4].model_dump() == {
        "id": "grammar-000004",
        "db_id": "zoo1",
        "question": good_question(4),
        "sql": "SELECT count(*) FROM animal WHERE legs < 9",
        "source": "grammar",
        "hardness": "easy",
        "evidence": "",
        "domain": "museum 1",
        "level": "hard",
        "complexity": "3",
    }
    assert metrics["funnel"] == {"asked": 24, "kept": 24, "dropped": {}}
    assert metrics["hardness"] == {"easy": 24, "medium": 0, "hard": 0, "extra": 0}
    assert metrics["asked_hardness"] == {"easy": 0, "medium": 0, "hard": 24, "extra": 0}
    assert metrics["complexity"] == {"3": 24} | dict.fromkeys("1245678", 0)  # a column, a table, an aggregate, a condition of 2
    assert metrics["domains"] == {"farms": 12, "museum 1": 3, "museum 3": 3, "museum 5": 3, "museum 7": 3}
    assert metrics["databases"] == 8


def test_evidence_of_a_draft_goes_with_its_example(tmp_path: Path):
    rows, _ = run_stage(synthesize_config(), Zoo({3: replace(good_draft(3), evidence="insects have six legs")}), tmp_path)
    assert [row.evidence for row in rows[2:5]] == ["", "insects have six legs", ""]


def test_metrics_name_the_commonest_domains_and_sum_up_the_rest(tmp_path: Path):
    bad: dict[int, Draft | RejectedDraft] = {
        index: replace(good_draft(index), domain=f"domain {index}") for index in range(2, 60)
    }
    _, metrics = run_stage(synthesize_config(count=60), Zoo(bad), tmp_path)
    assert len(metrics["domains"]) == 51
    assert next(iter(metrics["domains"])) == "farms"
    assert sum(metrics["domains"].values()) == 60
    assert metrics["domains"]["(others)"] == 9  # farms, and 58 of one example each, of which 49 are named


def test_levels_are_asked_by_their_weights_whatever_their_order_in_the_file(tmp_path: Path):
    weights = {"easy": 0.5, "medium": 0.5}
    teachers = [Zoo(), Zoo()]
    for teacher, levels in zip(teachers, (weights, dict(reversed(weights.items()))), strict=True):
        run_stage(synthesize_config(count=200, levels=levels), teacher, tmp_path / str(id(teacher)))
    assert teachers[0].requests == teachers[1].requests
    counts = Counter(level for level, _ in teachers[0].requests.values())
    assert set(counts) == {"easy", "medium"}
    assert 70 < counts["easy"] < 130  # 4 standard deviations of 7 around 100


def test_splits_share_no_database_and_hold_their_shares(tmp_path: Path):
    _, metrics = run_stage(synthesize_config(count=60, split={"unseen": 0.2, "heldout": 0.1}), Zoo(), tmp_path)
    db_ids = {name: {row.db_id for row in records.read_dataset(tmp_path / name)} for name in SPLITS}
    assert {name: len(ids) for name, ids in db_ids.items()} == {"strong": 14, "unseen": 4, "heldout": 2}
    domains = {name: {row.domain.lower() for row in records.read_dataset(tmp_path / name)} for name in SPLITS}
    assert not domains["heldout"] & (domains["strong"] | domains["unseen"])
    assert len(set.union(*db_ids.values())) == 20
    assert metrics["splits"] == {"strong": 42, "unseen": 12, "heldout": 6}  # three questions on each database
    for name, ids in db_ids.items():
        assert {folder.name for folder in (tmp_path / name / "databases").iterdir()} == ids


def test_an_empty_share_is_an_empty_dataset(tmp_path: Path):
    run_stage(synthesize_config(split={"unseen": 0.2, "heldout": 0}), Zoo(), tmp_path)
    assert records.read_dataset(tmp_path / "heldout") == []
    assert list((tmp_path / "heldout" / "databases").iterdir()) == []


def test_failing_drafts_are_dropped_by_reason_and_replaced(tmp_path: Path):
    bad: dict[int, Draft | RejectedDraft] = {
        0: replace(good_draft(0), sql="DROP TABLE animal"),
        1: replace(good_draft(1), sql="SELECT nam FROM animal"),
        2: replace(good_draft(2), sql="SELECT name FROM animal WHERE legs > 6"),
        3: replace(good_draft(3), sql="SELECT max(legs) FROM animal WHERE id = 3"),
        4: RejectedDraft("not json", "Sure, here is", "easy"),
        6: replace(good_draft(6), db_id="ruin", ddl=("CREATE TABLE animal (id",)),
        7: replace(good_draft(7), db_id="ruin", ddl=("CREATE TABLE animal (id",)),
        8: replace(good_draft(8), db_id="ruin", ddl=("CREATE TABLE animal (id",)),
        9: replace(good_draft(9), sql="WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"),
        10: replace(good_draft(10), sql="SELECT hex(zeroblob(900)) FROM animal"),
        13: replace(good_draft(13), sql=good_draft(12).sql.lower()),
        15: replace(good_draft(15), question=good_draft(12).question.upper() + "?", sql=good_draft(12).sql),
    }
    limits = {"timeout_s": 20, "max_steps": 200_000, "max_bytes": 1000, "workers": 1}
    rows, metrics = run_stage(synthesize_config(execution=limits), Zoo(bad), tmp_path)
    assert len(rows) == 24
    assert metrics["funnel"] == {
        "asked": 36,
        "kept": 24,
        "dropped": {
            "SQL fails": 1,
            "SQL rejected": 1,
            "SQL returns NULLs alone": 1,
            "SQL returns nothing": 1,
            "SQL times out": 1,
            "database cannot be built": 3,
            "duplicate SQL": 1,
            "duplicate question": 1,
            "not json": 1,
            "result too large": 1,
        },
    }
    assert not {int(row.id[-6:]) for row in rows} & set(bad)


def test_attempts_used_up_keep_what_there_is_and_say_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    bad: dict[int, Draft | RejectedDraft] = {index: RejectedDraft("not json", "Sure", "easy") for index in range(24) if index % 2}
    rows, metrics = run_stage(synthesize_config(count=12, max_attempts=2), Zoo(bad), tmp_path)
    assert len(rows) == 12
    assert metrics["funnel"]["asked"] == 23
    rows, metrics = run_stage(synthesize_config(count=20, max_attempts=1), Zoo(bad), tmp_path / "short")
    assert len(rows) == metrics["funnel"]["kept"] == 10
    assert metrics["wanted"] == 20
    assert "kept 10 of the 20 wanted: 20 asked, synthesize.max_attempts used up" in capsys.readouterr().err


def test_no_draft_kept_is_an_error_with_the_reasons(tmp_path: Path):
    bad: dict[int, Draft | RejectedDraft] = {index: RejectedDraft("not json", "Sure, here is", "easy") for index in range(8)}
    with pytest.raises(UserError, match=r"none of the 8 drafts .* could be kept; (.|\n)* 8 not json, first: Sure, here is"):
        run_stage(synthesize_config(count=2), Zoo(bad), tmp_path)


LLM: dict[str, Any] = {
    "teacher": "llm",
    "llm": {"model": "m", "questions": 1, "concurrency": 1, "repair": False, "match_level": False},
}  # the zoo has easy SQL


SLOW = RejectedDraft("no answer in time", "no answer within 120 s", "easy", failed_requests=6)


def rejected_except(indices: range, failed_requests: int = 0, until: int = 200) -> Zoo:
    """A teacher that writes drafts of these numbers alone."""
    rejected = RejectedDraft("not json", "Sure, here is", "easy", failed_requests)
    return Zoo({index: rejected for index in range(until) if index not in indices})


def test_an_llm_of_which_nothing_can_be_kept_is_asked_no_further(tmp_path: Path):
    teacher = rejected_except(range(0))
    with pytest.raises(
        UserError, match=r"none of the 20 drafts of the llm teacher could be kept; try another(.|\n)* 20 not json"
    ):
        run_stage(synthesize_config(count=50, **LLM), teacher, tmp_path)
    assert len(teacher.requests) <= 22
    fails = Zoo({index: replace(good_draft(index), sql="SELECT nam FROM animal") for index in range(200)})
    with pytest.raises(UserError, match=r"20 SQL fails, first: no such column: nam"):
        run_stage(synthesize_config(count=50, **LLM), fails, tmp_path / "fails")
    _, metrics = run_stage(synthesize_config(count=50, **LLM), Zoo(), tmp_path / "fails")
    assert metrics["funnel"]["dropped"].get("SQL fails", 0) <= 2  # what was on its way when the run ended is not judged yet


def test_an_llm_that_has_been_good_at_one_draft_in_three_may_be_wrong_for_longer(tmp_path: Path):
    config = synthesize_config(count=60, max_attempts=4, **LLM)
    _, metrics = run_stage(config, rejected_except(range(0, 180, 3)), tmp_path / "one in three")
    assert metrics["funnel"] == {"asked": 178, "kept": 60, "dropped": {"not json": 118}}
    teacher = rejected_except(range(0, 60, 3))
    with pytest.raises(UserError, match="none of the last 58 drafts"):  # 20 times 58 drafts for 20 examples
        run_stage(config, teacher, tmp_path / "no more")
    _, metrics = run_stage(config, rejected_except(range(0, 60, 3), until=58 + 40), tmp_path / "again")
    assert metrics["funnel"]["kept"] == 60


def test_requests_without_an_answer_are_counted_in_a_row(tmp_path: Path):
    config = synthesize_config(count=30, **LLM)
    _, metrics = run_stage(config, rejected_except(range(0, 120, 10), failed_requests=1, until=60), tmp_path / "nine")
    assert metrics["funnel"]["dropped"] == {"not json": 54}
    with pytest.raises(EndpointError, match="none of the 2 drafts of the llm teacher could be kept: 12 requests in a row"):
        run_stage(config, rejected_except(range(2, 200), failed_requests=6), tmp_path / "at the start")
    with pytest.raises(EndpointError, match="none of the last 10 drafts of the llm teacher could be kept: 60 requests in a row"):
        run_stage(config, rejected_except(range(12), failed_requests=6), tmp_path / "later")
    _, metrics = run_stage(config, Zoo({7: SLOW, 8: SLOW, 9: SLOW}), tmp_path / "three")
    assert metrics["funnel"]["dropped"] == {"no answer in time": 3}


def test_the_grammar_is_asked_to_the_end(tmp_path: Path):
    _, metrics = run_stage(synthesize_config(count=12, max_attempts=20), rejected_except(range(100, 200)), tmp_path)
    assert metrics["funnel"] == {"asked": 112, "kept": 12, "dropped": {"not json": 100}}


def test_another_timeout_finds_the_drafts_of_a_run_that_broke_off():
    changes: list[dict[str, Any]] = [{}, {"timeout_s": 300.0, "retries": 1}, {"concurrency": 9, "answers": "/answers"}]
    changes.append({"offline": True, "prompt_price": 1, "completion_price": 2, "cached_price": 0.5, "budget": 10})
    configs = [synthesize_config(**{**LLM, "llm": LLM["llm"] | change}) for change in changes]
    assert len({fingerprint("synthesize", config, {}) for config in configs}) == 1
    other = synthesize_config(**{**LLM, "llm": LLM["llm"] | {"temperature": 0.5}})
    assert fingerprint("synthesize", other, {}) != fingerprint("synthesize", configs[0], {})
    assert fingerprint("synthesize", synthesize_config(), {}) != fingerprint("synthesize", configs[0], {})


def test_domains_above_their_fair_share_are_to_be_avoided(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    assert over_represented_domains({}) == []
    assert over_represented_domains({"a": 1, "b": 1}) == []
    assert over_represented_domains({"a": 5, "b": 1, "c": 7}) == ["c", "a"]  # the fair share is 13 / 3
    monkeypatch.setattr(collection, "FIRST_LESSON", 6)
    runs = {}
    bad: dict[int, Draft | RejectedDraft] = {index: replace(good_draft(index), sql="SELECT nam") for index in (1, 7)}
    for count, concurrency, drafts in ((55, 1, {}), (50, 4, {}), (60, 2, bad)):
        teacher = Zoo(drafts)
        run_stage(synthesize_config(count=count, concurrency=concurrency), teacher, tmp_path / str(count))
        runs[count] = teacher.requests
    avoided = {index: avoid for index, (_, avoid) in runs[60].items()}
    assert {avoided[index] for index in range(24)} == {()}  # the first six are known when 18 more have been asked for
    assert {avoided[index] for index in range(24, 48)} == {()}  # three of farms and three of a museum
    assert {avoided[index] for index in range(48, 60)} == {("farms",)}
    for requests in runs.values():  # whatever the count, the number of requests in flight, and what became of the drafts
        assert {index: runs[60][index] for index in requests} == requests


def test_threads_change_neither_questions_nor_outcome(tmp_path: Path):
    runs = {"plain": Zoo(), "backwards": Backwards()}
    for name, teacher in runs.items():
        run_stage(synthesize_config(count=60, concurrency=4), teacher, tmp_path / name)
    assert runs["plain"].requests == runs["backwards"].requests
    assert digests(tmp_path / "plain") == digests(tmp_path / "backwards")


def test_no_more_drafts_are_requested_than_needed(tmp_path: Path):
    teacher = Zoo()
    run_stage(synthesize_config(count=9, concurrency=8), teacher, tmp_path)
    assert sorted(teacher.requests) == list(range(9))


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_a_killed_run_takes_what_failed_from_its_log_and_the_rest_from_the_teacher(tmp_path: Path, share: float):
    config = synthesize_config(concurrency=4)
    bad: dict[int, Draft | RejectedDraft] = {
        5: SLOW,
        6: replace(good_draft(6), sql="SELECT nam FROM animal"),
        9: RejectedDraft("declined", "I cannot", "easy", failed_requests=1),
    }
    undisturbed = run_stage(config, Zoo(bad), tmp_path / "undisturbed")
    log = (tmp_path / "undisturbed" / "failures.jsonl").read_bytes()
    assert log.count(b"\n") == 2
    torn = log[: int(len(log) * share)]
    rest = tmp_path / "killed" / "built" / "zoo0" / "zoo0.sqlite"
    rest.parent.mkdir(parents=True)
    rest.write_bytes(b"half a database")
    (tmp_path / "killed" / "strong" / "databases" / "zoo0").mkdir(parents=True)
    (tmp_path / "killed" / "failures.jsonl").write_bytes(torn)
    teacher = Zoo(bad)
    assert run_stage(config, teacher, tmp_path / "killed") == undisturbed
    assert digests(tmp_path / "killed") == digests(tmp_path / "undisturbed")
    assert len(teacher.requests) == 27 - torn.count(b"\n")


def test_databases_are_those_the_teacher_wrote(tmp_path: Path):
    rows, _ = run_stage(synthesize_config(split={"unseen": 0, "heldout": 0}), Zoo(), tmp_path)
    with closing(sqlite3.connect(records.database_path(tmp_path / "strong", rows[0].db_id))) as connection:
        assert connection.execute("SELECT * FROM animal").fetchall() == [(1, "ant", 6), (2, "cow", 4), (3, "eel", None)]


def test_the_grammar_writes_the_same_bytes_in_one_process_and_in_several(tmp_path: Path):
    seed = seed_dataset(tmp_path / "seed")
    results = []
    for processes in (1, 2, 3):
        grammar = {"per_database": 5, "rows": 12}
        config = synthesize_config(count=40, grammar=grammar, execution={"workers": processes}, suite=1)
        work = tmp_path / str(processes)
        results.append((synthesize.run(config, synthesize.Inputs(seed=seed, dev=seed), output_paths(work)), digests(work)))
    assert results[0] == results[1] == results[2]
    assert results[0][0]["funnel"]["kept"] == 40
    assert all(row.domain for name in SPLITS for row in records.read_dataset(tmp_path / "1" / name))


def test_wrong_sql_is_measured_and_a_draft_that_lets_it_through_dropped(tmp_path: Path):
    anything = replace(good_draft(4), sql="SELECT name FROM animal WHERE legs < 5 OR legs >= 5")
    rows, metrics = run_stage(synthesize_config(count=6, suite=2), Zoo({4: anything}), tmp_path)
    dropped = metrics["funnel"]["dropped"]["wrong SQL gives its result"]
    assert anything.sql not in {row.sql for row in rows}
    assert dropped == metrics["funnel"]["asked"] - 6 >= 1
    for split in SPLITS:
        for row in records.read_dataset(tmp_path / split):
            folder = records.database_path(tmp_path / split, row.db_id).parent
            names = {"suite_01.sqlite", "suite_02.sqlite", f"{row.db_id}.sqlite"}
            assert {file.name for file in folder.iterdir()} == names
    measured = metrics["false_right"]
    assert measured == records.read_json(tmp_path / "strong" / "manifest.json")["false_right"]
    assert measured["mutants"] > measured["by_instances"]["0"]["survived"] > measured["by_instances"]["2"]["survived"] > 0
    assert measured["survived"] == measured["by_instances"]["2"]["survived"]
    assert measured["rate"] == pytest.approx(measured["survived"] / measured["mutants"], abs=1e-6)
    assert sum(level["mutants"] for level in measured["by_hardness"].values()) == measured["mutants"]
    assert metrics["suite"]["databases"] == 2 * metrics["databases"]


def test_without_a_suite_nothing_is_dropped_for_wrong_sql(tmp_path: Path):
    _, metrics = run_stage(synthesize_config(count=9), Zoo(), tmp_path)
    assert metrics["funnel"]["dropped"] == {}
    assert list(metrics["false_right"]["by_instances"]) == ["0"]
    assert metrics["false_right"]["survived"] > 0


def test_processes_change_nothing_of_what_an_llm_is_asked_and_what_is_kept(tmp_path: Path):
    outcomes = []
    drafts: dict[int, Draft | RejectedDraft] = {index: replace(good_draft(index), db_id=f"zoo_{index}") for index in range(30)}
    drafts |= {5: RejectedDraft("not json", "Sure", "easy"), 6: replace(good_draft(6), sql="SELECT nam FROM animal")}
    for processes in (1, 2):
        teacher = Zoo(drafts)
        work = tmp_path / str(processes)
        config = synthesize_config(concurrency=4, execution={"workers": processes})
        outcomes.append((run_stage(config, teacher, work), teacher.requests, digests(work)))
    assert outcomes[0] == outcomes[1]


def run_over_http(answer: Answerer, seed: Path, work: Path) -> tuple[dict, list[str]]:
    """Runs the stage against an endpoint; the metrics and the prompts as they arrived."""
    with Endpoint(answer) as endpoint:
        llm = {"model": "m", "base_url": endpoint.base_url, "concurrency": 4, "retries": 0, "timeout_s": 20, "repair": False}
        llm |= {"answers": str(work / "answers"), "questions": 1}
        config = synthesize_config(count=20, teacher="llm", llm=llm)
        try:
            metrics = synthesize.run(config, synthesize.Inputs(seed=seed, dev=seed), output_paths(work))
        except EndpointError:
            metrics = {}
        return metrics, [request.body["messages"][-1]["content"] for request in endpoint.requests]


def test_an_llm_over_http_gets_demonstrations_and_is_asked_until_there_are_enough_examples(tmp_path: Path):
    seed = seed_dataset(tmp_path / "seed")
    metrics, prompts = run_over_http(good_teacher(nonsense=0.3), seed, tmp_path / "one")
    funnel = metrics["funnel"]
    assert funnel["kept"] == sum(metrics["splits"].values()) == 20
    assert funnel["asked"] == 20 + sum(funnel["dropped"].values()) == len(prompts)
    assert len(funnel["dropped"]) >= 2
    assert all("How many of 0?" in prompt and "Rex" in prompt for prompt in prompts)
    assert metrics["hardness"] == metrics["asked_hardness"]
    again, _ = run_over_http(good_teacher(nonsense=0.3), seed, tmp_path / "two")
    assert again == metrics
    assert digests(tmp_path / "one") == digests(tmp_path / "two")


def test_an_endpoint_that_breaks_off_loses_no_answer(tmp_path: Path):
    seed = seed_dataset(tmp_path / "seed")
    undisturbed, prompts = run_over_http(good_teacher(), seed, tmp_path / "undisturbed")
    answered: list[str] = []

    def breaks_off(request: dict) -> Reply:
        if len(answered) >= 7:
            return 401, {}, "the key has been revoked"
        answered.append(request["messages"][-1]["content"])
        return good_teacher()(request)

    assert run_over_http(breaks_off, seed, tmp_path / "broken")[0] == {}
    resumed, rest = run_over_http(good_teacher(), seed, tmp_path / "broken")
    assert sorted([*answered, *rest]) == sorted(prompts)
    assert resumed == undisturbed
    assert digests(tmp_path / "broken") == digests(tmp_path / "undisturbed")
