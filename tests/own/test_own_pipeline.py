"""From a database and a file of questions to a model that is asked on the database, and from its feedback to the next data."""

import json
import re
import socket
import time
from pathlib import Path

import httpx
import pytest
import yaml

from tests import pipeline
from tests.own.shop import write_shop
from tests.stages.test_report import visible_text
from tests.test_pipeline import Copy, make_checkout

pytestmark = pytest.mark.slow

GOLDS = {
    "How many customers are there?": "SELECT COUNT(*) FROM customers",
    "Which cities are there?": "SELECT DISTINCT city FROM customers",
    "Who lives in Ghent?": "SELECT full_name FROM customers WHERE city = 'Ghent'",
    "Who lives in Turku?": "SELECT full_name FROM customers WHERE city = 'Turku'",
    "Who earns most?": "SELECT name FROM employees ORDER BY salary DESC LIMIT 1",
    "What is the mean salary?": "SELECT AVG(salary) FROM employees",
    "How many orders are pending?": "SELECT COUNT(*) FROM orders WHERE status = 'pending'",
    "How many orders of each status are there?": "SELECT status, COUNT(*) FROM orders GROUP BY status",
    "Which employees have no manager?": "SELECT name FROM employees WHERE manager_id IS NULL",
    "What does shipping cost in all?": "SELECT SUM(shipping_cost) FROM orders",
}


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A copy of the repository in which the pipeline has run on a shop with these questions."""
    checkout = make_checkout(tmp_path_factory.mktemp("own") / "sense")
    (checkout.root / "databases").mkdir()
    write_shop(checkout.root / "databases/shop.sqlite")
    lines = [json.dumps({"question": question, "sql": sql}) for question, sql in GOLDS.items()]
    (checkout.root / "questions.jsonl").write_text("\n".join(lines))
    checkout.stdout("sense", "own", "databases/shop.sqlite", "--rows", "60", "--mask", "email", "--questions", "questions.jsonl")
    checkout.stdout("sense", "profile", "--set", "data.seeds=data/own", "--set", "synthesize.own=[data/own]")
    checkout.stdout("sense", "profile", "--set", "synthesize.count=120")
    checkout.stdout("dvc", "repro", "synthesize")
    for section in pipeline.SECTIONS[2:]:  # DVC would start each in a new process, whose imports take longer than it works here
        ports = pipeline.inputs(section, Path()) | pipeline.outputs(section, Path())
        flags = [word for name, path in ports.items() for word in (f"--{name}", str(path))]
        stage = "sft" if section == "weak" else section
        process = pipeline.start([stage, "--section", section, *flags], checkout.root, checkout.environment)
        process.join()
        assert process.exitcode == 0, section
    return checkout


def questions(checkout: Copy, split: str) -> set[str]:
    return {json.loads(line)["question"] for line in (checkout.root / f"data/{split}/examples.jsonl").read_text().splitlines()}


def test_ones_own_questions_are_seed_and_dev_and_in_no_data_of_the_teachers(checkout):
    seed, dev = questions(checkout, "seed"), questions(checkout, "dev")
    assert seed
    assert dev
    assert seed | dev == set(GOLDS)
    assert not seed & dev
    assert checkout.metrics("evaluate")["sets"]["dev"]["n"] == len(dev)
    assert not dev & (questions(checkout, "strong") | questions(checkout, "unseen"))


def test_report_and_model_card_say_what_was_held_out_and_nothing_of_unseen_databases(checkout):
    text = visible_text((checkout.root / "report/index.html").read_text())
    for who in ("human-written", "synthetic"):
        assert f"{who} questions on the databases of training, held out by SQL skeleton" in text
    assert "Split by SQL skeleton: " in text
    assert "no training saw a question with the same SQL skeleton" in text
    assert "databases that no training saw" not in text
    assert re.search(r"On dev \(\d+ human-written .*\): base [\d.]+%, SFT [\d.]+%, SENSE [\d.]+%", text)
    card = checkout.stdout("sense", "models", "card", "champion", "--license", "apache-2.0")
    assert "held out by SQL skeleton" in card
    assert "databases that no training saw" not in card
    assert "dev" in checkout.stdout("sense", "results")


def test_the_model_is_asked_on_the_database_and_its_feedback_is_in_the_next_version(checkout, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    settings = {"port": port, "databases": {"folders": ["databases"]}, "feedback": "feedback", "data": None}
    (checkout.root / "gateway.yaml").write_text(yaml.safe_dump(settings))
    before = questions(checkout, "seed") | questions(checkout, "dev")
    gateway = pipeline.start(["serve", "--config", "gateway.yaml"], checkout.root, checkout.environment)
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60, trust_env=False) as client:
        while gateway.is_alive() and not _is_ready(client):
            time.sleep(0.2)
        ask = {"question": "How many employees are there?", "database": "shop"}
        answer = client.post("/v1/sql", json=ask).raise_for_status().json()
        right = "SELECT COUNT(*) FROM employees"
        feedback = {"id": "one", **ask, "sql": answer["sql"] or "", "correct": False, "corrected": right}
        client.post("/v1/feedback", json=feedback).raise_for_status()
        gateway.terminate()
        gateway.join()
    printed = checkout.stdout(
        "sense", "own", "databases/shop.sqlite", "--rows", "60", "--mask", "email", "--questions", "questions.jsonl", "feedback"
    )
    assert f"questions: {len(GOLDS) + 1} of {len(GOLDS) + 1} can be used" in printed
    checkout.stdout("dvc", "repro", "ingest")
    assert questions(checkout, "seed") | questions(checkout, "dev") == before | {ask["question"]}


def _is_ready(client: httpx.Client) -> bool:
    try:
        return client.get("/readyz").status_code == 200
    except httpx.TransportError:
        return False
