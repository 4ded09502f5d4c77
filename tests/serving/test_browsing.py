"""The data routes on a small folder of the pipeline's files, through a gateway that really runs."""

import json
import sqlite3
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import pytest

from sense.records import digest
from sense.serving.browsing import jsonl_tables
from sense.serving.browsing.datasets import Datasets
from sense.serving.browsing.jsonl_tables import PageRequest, UnavailableError
from sense.serving.browsing.mistakes import by_results, by_texts, by_verdict, unmatched_rows
from sense.sql.result import Failure, Result
from tests.serving.model_server import ModelServer
from tests.serving.running import Running, settings

SHOP = """
CREATE TABLE item(id INTEGER PRIMARY KEY, name TEXT, price REAL);
CREATE TABLE sale(id INTEGER PRIMARY KEY, item_id INTEGER REFERENCES item(id));
INSERT INTO item VALUES (1, 'spade', 12.5), (2, 'rake', 9.0), (3, 'hose', 30.0);
INSERT INTO sale VALUES (1, 1), (2, 1);
"""
QUESTIONS = {
    "q1": ("Which items cost over 10?", "SELECT name FROM item WHERE price > 10"),
    "q2": ("How many items are there?", "SELECT COUNT(*) FROM item"),
    "q3": ("Name the items.", "SELECT name FROM item"),
}


def write(path: Path, rows: list) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))


def example(key: str) -> dict:
    question, sql = QUESTIONS[key]
    return {"id": key, "db_id": "shop", "question": question, "sql": sql, "source": "grammar", "hardness": "easy"}


def sample(key: str, number: int, sql: str, verdict: str, detail: str = "", kind: str = "") -> dict:
    verdict_fields = {"verdict": verdict, "detail": detail, "kind": kind, "correct": verdict == "match"}
    return {"id": f"{key}#{number}", "example_id": key, "sql": sql, **verdict_fields}


def pair(key: str, rejected: str, error: str) -> dict:
    verdict_fields = {"strategy": "grouped-any-limit1", "error": error}
    return {"id": f"{key}#pair0", "example_id": key, "chosen": QUESTIONS[key][1], "rejected": rejected, **verdict_fields}


def write_data_folder(data: Path) -> Path:
    """Three questions, four samples, three pairs."""
    write(data / "strong" / "examples.jsonl", [example("q1"), example("q2") | {"hardness": "medium"}])
    write(data / "unseen" / "examples.jsonl", [example(key) for key in QUESTIONS])
    database = data / "unseen" / "databases" / "shop" / "shop.sqlite"
    database.parent.mkdir(parents=True)
    with closing(sqlite3.connect(database)) as connection:
        connection.executescript(SHOP)
    samples = [
        sample("q1", 0, "SELECT name FROM item", "mismatch", "rows (3 against 2)", "rows"),
        sample("q1", 1, "SELECT name FROM item WHERE price > 10", "match"),
        sample("q2", 0, "SELECT COUNT(*) FROM items", "error", "no such table: items"),
        sample("q3", 0, "DELETE FROM item", "rejected", "not a SELECT: it begins with DELETE"),
    ]
    write(data / "weak" / "samples.jsonl", samples)
    pairs = [
        pair("q1", "SELECT name FROM item", "mismatch"),
        pair("q2", "SELECT COUNT(*) FROM items", "error"),
        pair("q3", "DELETE FROM item", "rejected"),
    ]
    write(data / "pairs" / "pairs.jsonl", pairs)
    return data


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_data_folder(tmp_path / "data")


@pytest.fixture
def gateway(data: Path, shop: Path) -> Iterator[Running]:
    with ModelServer() as model, Running(settings(model.url, shop, data=str(data))) as running:
        yield running


@pytest.fixture(scope="module")
def readonly_gateway(tmp_path_factory: pytest.TempPathFactory, shop: Path) -> Iterator[Running]:
    """One for tests that change nothing."""
    data = write_data_folder(tmp_path_factory.mktemp("readonly") / "data")
    with ModelServer() as model, Running(settings(model.url, shop, data=str(data))) as running:
        yield running


def get_json(gateway: Running, path: str, **parameters: object) -> dict:
    response = gateway.client.get(f"/v1/data/{path}", params=parameters)
    assert response.status_code == 200, response.text
    return response.json()


def open_pair(gateway: Running, key: str) -> dict:
    return get_json(gateway, f"pairs/{quote(f'{key}#pair0', safe='')}")


def ids(listing: dict) -> list[str]:
    return [item["id"] for item in listing["items"]]


def test_pairs_come_with_their_questions_and_the_verdicts_of_the_file(readonly_gateway):
    listing = get_json(readonly_gateway, "pairs")
    assert ids(listing) == ["q1#pair0", "q2#pair0", "q3#pair0"]
    assert listing["counts"] == {"mismatch": 1, "error": 1, "rejected": 1}
    assert (listing["total"], listing["searched"], listing["rows"]) == (3, 3, 3)
    assert (listing["items"][0]["question"], listing["items"][0]["database"]) == ("Which items cost over 10?", "shop")


def test_samples_come_with_their_gold(readonly_gateway):
    listing = get_json(readonly_gateway, "samples", verdict="error")
    assert [(item["sql"], item["gold"], item["detail"]) for item in listing["items"]] == [
        ("SELECT COUNT(*) FROM items", "SELECT COUNT(*) FROM item", "no such table: items")
    ]
    assert listing["counts"] == {"mismatch": 1, "match": 1, "error": 1, "rejected": 1}


def test_strong_data_by_hardness(readonly_gateway):
    assert ids(get_json(readonly_gateway, "strong", hardness="medium")) == ["q2"]
    assert get_json(readonly_gateway, "strong", hardness="extra")["items"] == []


@pytest.mark.parametrize(
    ("search", "expected"),
    [
        ("ITEMS ARE THERE", ["q2#pair0"]),  # in the question, whatever the case
        ("delete", ["q3#pair0"]),  # in the rejected SQL
        ("price > 10", ["q1#pair0"]),  # in the chosen one
        ("shop", ["q1#pair0", "q2#pair0", "q3#pair0"]),  # the database
        ("strategy", []),  # a key of the file, which nobody wrote
    ],
)
def test_a_search_finds_what_a_row_contains(readonly_gateway, search, expected):
    assert ids(get_json(readonly_gateway, "pairs", search=search)) == expected


def test_search_verdict_and_pages_go_together(readonly_gateway):
    assert ids(get_json(readonly_gateway, "pairs", search="item", verdict="error")) == ["q2#pair0"]
    page = get_json(readonly_gateway, "pairs", search="item", offset=1, limit=1)
    assert (ids(page), page["offset"], page["total"]) == (["q2#pair0"], 1, 3)
    assert ids(get_json(readonly_gateway, "pairs", offset=7)) == []


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=101", "limit=x", "offset=-1", f"offset={10**400}", f"search={'a' * 201}", "verdict=bad", "hardness=easy"],
)
def test_what_is_beyond_the_bounds_is_refused(readonly_gateway, query):
    response = readonly_gateway.client.get(f"/v1/data/pairs?{query}")
    assert response.status_code == 422
    assert response.json()["details"]


def test_an_opened_pair_shows_the_rows_that_only_one_result_has(readonly_gateway):
    pair_page = open_pair(readonly_gateway, "q1")
    chosen, rejected = pair_page["chosen"], pair_page["rejected"]
    assert (chosen["rows"], chosen["only"], chosen["only_count"]) == ([["spade"], ["hose"]], [], 0)
    assert (rejected["rows"], rejected["only"], rejected["only_count"]) == ([["spade"], ["rake"], ["hose"]], [1], 1)
    assert [piece["text"] for piece in chosen["pieces"] if not piece["same"]] == ["WHERE price > 10"]
    assert all(piece["same"] for piece in rejected["pieces"])
    assert pair_page["why"] == [
        "It returns 3 rows, the right SQL 2.",
        "1 of its own is not in the right result.",
        "It lacks WHERE, which the right SQL has.",
    ]
    assert (pair_page["kind"], pair_page["detail"]) == ("rows", "rows (3 against 2)")
    assert [table["name"] for table in pair_page["tables"]] == ["item", "sale"]
    assert pair_page["foreign_keys"] == [{"table": "sale", "column": "item_id", "other_table": "item", "other_column": "id"}]


def test_a_pair_whose_rejected_sql_does_not_run_says_what_there_is(readonly_gateway):
    pair_page = open_pair(readonly_gateway, "q2")
    assert pair_page["why"] == ["It does not run: no such table: items.", "The database's tables are item and sale."]
    assert (pair_page["rejected"]["outcome"], pair_page["rejected"]["detail"]) == ("error", "no such table: items")
    assert (pair_page["rejected"]["only_count"], pair_page["chosen"]["rows"]) == (None, [[3]])


def test_what_would_write_is_never_executed(gateway, data):
    database = data / "unseen" / "databases" / "shop"
    before = digest(database)
    assert open_pair(gateway, "q3")["rejected"]["outcome"] == "rejected"
    assert digest(database) == before


def test_an_unknown_pair_is_a_404(readonly_gateway):
    for key in ("nothing", "q1", "..", "%2e%2e/x", "a/b", "%00"):
        response = readonly_gateway.client.get(f"/v1/data/pairs/{quote(key, safe='')}")
        assert response.status_code == 404, key
        assert response.json()["fix"]


def test_bad_lines_are_reported_and_the_others_shown(gateway, data):
    good = pair("q1", "SELECT name FROM item", "mismatch")
    lines = [good, "", "{", '{"id": 5}', good | {"id": "q1#pair1", "error": "odd"}, good | {"id": "last"}, '{"id": "\\ud800"}']
    write(data / "pairs" / "pairs.jsonl", lines)
    listing = get_json(gateway, "pairs")
    assert ids(listing) == ["q1#pair0", "last"]
    assert listing["bad_count"] == 4
    assert [(bad["file"], bad["line"]) for bad in listing["bad"]] == [("data/pairs/pairs.jsonl", line) for line in (3, 4, 5, 7)]
    assert "odd" not in json.dumps(listing["items"])


def test_binary_files_are_bad_lines_too(gateway, data):
    (data / "pairs" / "pairs.jsonl").write_bytes(bytes(range(256)) * 20 + b"\n" + b"\xff" * 5000)
    listing = get_json(gateway, "pairs", search="x")
    assert listing["items"] == []
    assert listing["bad_count"] > 0


def test_files_may_come_change_and_go(gateway, data):
    file = data / "pairs" / "pairs.jsonl"
    assert get_json(gateway, "pairs", search="item")["total"] == 3
    write(file, [pair("q2", "SELECT 1", "mismatch")])
    assert ids(get_json(gateway, "pairs", search="item")) == ["q2#pair0"]
    file.unlink()
    listing = get_json(gateway, "pairs")
    assert listing["items"] == []
    assert listing["missing"] == "data/pairs/pairs.jsonl is not there yet; the stage prefer writes it"
    assert gateway.client.get("/v1/data/pairs/x").status_code == 404
    write(file, [pair("q3", "SELECT 1", "mismatch")])
    assert ids(get_json(gateway, "pairs")) == ["q3#pair0"]


def test_a_file_that_cannot_be_read_is_a_503_that_names_it(gateway, data):
    (data / "pairs" / "pairs.jsonl").unlink()
    (data / "pairs" / "pairs.jsonl").mkdir()
    response = gateway.client.get("/v1/data/pairs")
    assert response.status_code == 503
    assert response.json()["message"].startswith("data/pairs/pairs.jsonl cannot be read")
    assert str(data) not in response.text


def test_rows_without_their_question_or_database_are_shown(gateway, data):
    rows = [example("q1") | {"db_id": "gone"}, example("q2") | {"db_id": "../shop"}]
    write(data / "unseen" / "examples.jsonl", rows)
    assert [item["question"] for item in get_json(gateway, "pairs")["items"]] == [QUESTIONS["q1"][0], QUESTIONS["q2"][0], ""]
    for key, detail in (("q1", "unseen has no readable database gone"), ("q2", "../shop"), ("q3", "unseen has no example q3")):
        assert detail in open_pair(gateway, key)["chosen"]["detail"]
    (data / "weak" / "samples.jsonl").unlink()
    assert open_pair(gateway, "q1")["kind"] == ""


def test_a_result_is_sent_up_to_the_limit_and_what_differs_first(data, shop):
    model_limits = {"limits": {"rows": 2}}
    with ModelServer() as model, Running(settings(model.url, shop, data=str(data), **model_limits)) as running:
        rejected = open_pair(running, "q1")["rejected"]
    assert (rejected["rows"], rejected["only"], rejected["row_count"], rejected["truncated"]) == (
        [["spade"], ["rake"]],
        [1],
        3,
        True,
    )


def test_values_that_json_has_no_form_for(gateway, data):
    sql = "SELECT x'00ff', 9007199254740993, 9e999, CAST(x'ff41' AS TEXT), NULL"
    write(data / "pairs" / "pairs.jsonl", [pair("q3", sql, "mismatch")])
    row = open_pair(gateway, "q3")["rejected"]["rows"][0]
    assert row[:3] == ["0x00ff", "9007199254740993", "inf"]
    assert row[3].endswith("A")
    assert row[4] is None


def test_a_long_search_goes_on_where_it_stopped(gateway, data, monkeypatch):
    monkeypatch.setattr(jsonl_tables, "_SEARCH_S", 0)
    monkeypatch.setattr(jsonl_tables, "_SEARCH_STEP", 64)
    write(data / "strong" / "examples.jsonl", [example("q1") | {"id": f"e{number}"} for number in range(200)])
    listing = get_json(gateway, "strong", search="e199")
    assert (listing["items"], listing["searched"], listing["rows"]) == ([], 64, 200)
    assert [get_json(gateway, "strong", search="e199")["searched"] for _ in range(4)] == [128, 192, 200, 200]
    assert ids(get_json(gateway, "strong", search="e199")) == ["e199"]


def test_rows_that_are_appended_are_found(gateway, data):
    assert get_json(gateway, "pairs", search="trowel")["total"] == 0
    with (data / "pairs" / "pairs.jsonl").open("a") as stream:
        stream.write(json.dumps(pair("q1", "SELECT 'trowel'", "mismatch") | {"id": "appended"}) + "\n")
    assert ids(get_json(gateway, "pairs", search="trowel")) == ["appended"]


def test_a_question_that_changes_is_searched_anew(gateway, data):
    assert ids(get_json(gateway, "pairs", search="which items")) == ["q1#pair0"]
    write(data / "unseen" / "examples.jsonl", [example("q2") | {"question": "Which items are there?"}])
    assert ids(get_json(gateway, "pairs", search="which items")) == ["q2#pair0"]


def test_nothing_is_found_across_two_texts_of_a_row(readonly_gateway):
    assert ids(get_json(readonly_gateway, "pairs", search="price > 10SELECT")) == []


def test_an_index_without_space_is_a_503_that_names_the_file(data, monkeypatch):
    monkeypatch.setattr(jsonl_tables, "_LARGEST_DATABASE", 30 * 4096)
    datasets = Datasets(data, patience_s=1.0)
    write(data / "pairs" / "pairs.jsonl", [pair("q1", f"SELECT '{'x' * 10_000}'", "mismatch")] * 20)
    with pytest.raises(UnavailableError, match=r"^data/pairs/pairs.jsonl cannot be indexed \(database or disk is full\)$"):
        datasets.pairs(PageRequest(0, 25, "", ""))
    write(data / "pairs" / "pairs.jsonl", [pair("q1", "SELECT 1", "mismatch")])
    assert datasets.pairs(PageRequest(0, 25, "", "")).total == 1
    datasets.close()


def test_too_many_requests_at_once_are_told_to_come_back(data, shop):
    slow = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
    write(data / "pairs" / "pairs.jsonl", [pair("q1", slow, "timeout")])
    limits = {"concurrency": 1, "queue": 1, "queue_s": 0.5, "execution": {"timeout_s": 2.0, "max_steps": 10**12, "workers": 1}}
    path = f"/v1/data/pairs/{quote('q1#pair0')}"
    config = {"data": str(data), "limits": limits}
    with ModelServer() as model, Running(settings(model.url, shop, **config)) as running, ThreadPoolExecutor(6) as pool:
        responses = list(pool.map(lambda _: running.client.get(path), range(6)))
    statuses = Counter(response.status_code for response in responses)
    assert set(statuses) == {200, 429}
    assert all(int(response.headers["Retry-After"]) >= 1 for response in responses if response.status_code == 429)


def test_ids_are_found_among_many(gateway, data):
    rows = [pair("q1", "SELECT name FROM item", "mismatch") | {"id": f"p{number}"} for number in range(500)]
    write(data / "pairs" / "pairs.jsonl", rows)
    for key in ("p0", "p250", "p499"):
        assert get_json(gateway, f"pairs/{key}")["id"] == key


def test_without_a_data_folder_there_are_no_data_routes(module_gateway):
    for path in ("strong", "samples", "pairs", "pairs/x"):
        assert module_gateway.client.get(f"/v1/data/{path}").status_code == 404


def test_only_counts_repetitions_and_finds_columns_that_changed_places():
    one = Result(("name", "n"), [("a", 1), ("a", 1), ("b", 2.0000000001)])
    assert unmatched_rows(one, Result(("n", "name"), [(2, "b"), (1, "a")])) == ([1], [])
    assert unmatched_rows(one, Result(("n",), [(1,)])) is None
    assert unmatched_rows(Result(("n",), []), Result(("m",), [(None,)])) == ([], [0])


@pytest.mark.parametrize(
    ("verdict", "kind", "limit", "detail", "chosen", "rejected", "expected"),
    [
        ("mismatch", "values", "", "", [(1,)], [(None,)], ["It gives NULL; the right answer is 1."]),
        ("mismatch", "values", "", "", [(1,)], [("x" * 70,)], [f"It gives “{'x' * 60}…”; the right answer is 1."]),
        ("mismatch", "order", "", "", [(1,), (2,)], [(2,), (1,)], ["Its result has the right rows in the wrong order, and "
                                                                   "the question asks for an order."]),
        ("mismatch", "values", "", "", [(1,), (2,)], [(3,), (4,)], ["No row of its result is in the right one."]),
        ("mismatch", "columns", "", "", [(1,)], [(1, 2)], ["It returns 2 columns, the right SQL 1."]),
        ("timeout", "", "steps", "50 steps", [(1,)], None, ["It was stopped: it needs more steps than allowed (50 steps)."]),
        ("too_large", "", "", "", [(1,)], None, ["It was stopped."]),
        ("rejected", "", "", "empty", [(1,)], None, ["It was never executed, as it is not one SELECT: empty."]),
    ],
)  # fmt: skip
def test_why_in_words(verdict, kind, limit, detail, chosen, rejected, expected):
    right = Result(("x",) * len(chosen[0]), chosen)
    wrong = Failure("error", "boom") if rejected is None else Result(("x",) * len(rejected[0]), rejected)
    unmatched = None if isinstance(wrong, Failure) else unmatched_rows(right, wrong)
    counts = None if unmatched is None else (len(unmatched[0]), len(unmatched[1]))
    assert by_verdict(verdict, limit, detail, []) + by_results(right, wrong, verdict, kind, counts) == expected


def test_why_by_the_texts():
    assert by_texts("SELECT AVG(a) FROM t ORDER BY a", "SELECT SUM(a) FROM u JOIN t GROUP BY a", ["t", "u"]) == [
        "It reads u, which the right SQL does not.",
        "It computes SUM where the right SQL computes AVG.",
        "It lacks ORDER BY, which the right SQL has.",
        "It has JOIN and GROUP BY, which the right SQL lacks.",
    ]
    assert by_texts("SELECT a FROM t", "SELECT 'WHERE' FROM t -- LIMIT", ["t"]) == []
