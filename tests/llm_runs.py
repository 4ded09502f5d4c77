"""Runs of `sense synthesize` with an LLM teacher behind the fake endpoint, in the test's own process."""

import random
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sense import records
from sense.config import SynthesizeConfig
from sense.errors import UserError
from sense.records import Example
from sense.stages import synthesize
from tests.endpoint import Answerer, Endpoint, Request

SPLITS = ("strong", "unseen", "heldout")


@dataclass(frozen=True)
class LlmRun:
    """One run: its metrics (none if it failed), the message of its failure, and the requests that were made."""

    metrics: dict[str, Any]
    message: str
    requests: list[Request]


def seed_dataset(folder: Path) -> Path:
    """Two demonstrations on one database."""
    rows = [
        Example(id=f"seed-{n}", db_id="pets", question=f"How many of {n}?", sql="SELECT 1", source="spider", hardness="easy")
        for n in range(2)
    ]
    records.write_jsonl(folder / "examples.jsonl", rows)
    database = records.database_path(folder, "pets")
    database.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(database)) as connection:
        connection.executescript("CREATE TABLE IF NOT EXISTS pet (name TEXT); INSERT INTO pet VALUES ('Rex');")
    return folder


def run_llm(answer: Answerer, work: Path, llm: dict[str, Any] | None = None, query: str = "", **section: Any) -> LlmRun:
    """Runs the stage in `work`, where an earlier run may have left its log; `query` goes to the end of the base URL."""
    with Endpoint(answer) as endpoint:
        metrics, message = run_at(endpoint.base_url + query, work, llm, **section)
        return LlmRun(metrics, message, endpoint.requests)


def run_at(base_url: str, work: Path, llm: dict[str, Any] | None = None, **section: Any) -> tuple[dict[str, Any], str]:
    """Runs the stage in `work` with the teacher at an address; its metrics, and the message of its failure."""
    return _run(work, section | {"teacher": "llm", "llm": _settings(work, base_url) | (llm or {})})


def run_teachers(answer: Answerer, work: Path, teachers: dict[str, dict[str, Any]], **section: Any) -> LlmRun:
    """Runs the stage with several teachers, of which those with a section `llm` ask one endpoint."""
    with Endpoint(answer) as endpoint:
        settings = _settings(work, endpoint.base_url)
        complete = {name: each | ({"llm": settings | each["llm"]} if "llm" in each else {}) for name, each in teachers.items()}
        metrics, message = _run(work, section | {"teachers": complete})
        return LlmRun(metrics, message, endpoint.requests)


def _settings(work: Path, url: str) -> dict[str, Any]:
    return {
        "answers": str(work / "answers"),
        "model": "m",
        "base_url": url,
        "concurrency": 1,
        "retries": 0,
        "timeout_s": 20,
        "repair": False,
        "questions": 1,
    }


def _run(work: Path, section: dict[str, Any]) -> tuple[dict[str, Any], str]:
    seed = work / "seed"
    if not seed.exists():
        seed_dataset(seed)
    config = SynthesizeConfig.model_validate(
        {"count": 6, "max_attempts": 2, "execution": {"workers": 1}, "suite": 0, "split": {"heldout_domains": 1}} | section
    )
    outputs = synthesize.Outputs(**{name: work / name for name in (*SPLITS, "decontamination", "metrics")})
    try:
        return synthesize.run(config, synthesize.Inputs(seed=seed, dev=seed), outputs), ""
    except UserError as error:
        return {}, str(error)


def chat_seed(index: int) -> int:
    """The seed that the request for draft number `index` carries."""
    return random.Random(f"0-chat-{index}").getrandbits(31)


def digests(work: Path) -> list[str]:
    """Of the three datasets that a run wrote."""
    return [records.digest(work / name) for name in SPLITS]
