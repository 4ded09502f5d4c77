"""The Markdown that the Kubeflow UI shows: its tables, cell by cell, and that untrusted text becomes no markup."""

import re
from types import SimpleNamespace

import pytest

from sense.records import finite_numbers, flatten
from sense.report import markdown

EASY = {"easy": 2, "medium": 0, "hard": 0, "extra": 1}
INGEST = {
    "source": "builtin",
    "seed": {"examples": 1200, "databases": 4, "hardness": {"easy": 1000, "medium": 200}},
    "dev": {"examples": 3, "databases": 1, "hardness": EASY},
    "dropped": {"duplicate": 3, "gold_fails": 5},
}
SYNTHESIZE = {
    "teacher": "llm",
    "wanted": 30,
    "funnel": {"asked": 40, "kept": 30, "dropped": {"returns nothing": 8, "duplicate": 2}},
    "hardness": {"easy": 27, "medium": 0, "hard": 3, "extra": 0},
    "asked_hardness": {"easy": 30, "medium": 0, "hard": 10, "extra": 0},
    "complexity": {"1": 30},
    "domains": {"bees": 20, "clubs": 10},
    "databases": 6,
    "splits": {"strong": 20, "heldout": 10},
}
SAMPLE = {
    "questions": 3,
    "samples": 12,
    "verdicts": {"match": 3, "sql_error": 9},
    "distinct": 10,
    "pass_at_k": 2 / 3,
    "right": 0.25,
}
PREFER = {
    "questions": 4,
    "pairs": 1,
    "strategy": "grouped-any-limit1",
    "chosen": "gold",
    "rejected_errors": {"mismatch": 1},
    "rejected_runs": 1.0,
    "rejected_classes": {"schema linking": 1},
    "rejected_sources": {"mutant": 1},
    "no_pair": {"all_wrong": 2, "same_query": 1},
    "dropped": {"empty": 7},
}
DPO = {
    "model": "nano",
    "pairs": 1,
    "dropped": {"longer than max_length": 2},
    "steps": 1200,
    "loss": 0.69314,
    "rewards_margins": -0.5,
}
PUBLISH = {
    "model": "sense",
    "version": "3",
    "promoted": False,
    "alias": "challenger",
    "reason": "EX 40.0% on dev against 50.0% of the champion, version 1",
    "champion_ex": 0.5,
    "gate": "dev",
    "ex": 0.4,
    "champion_before": "1",
    "run_id": "r1",
    "model_id": "m1",
}


def model_metrics(ex, low, high, comparison, easy_ex):
    wins, losses, p = comparison
    hardness = {"easy": {"n": 3, "ex": easy_ex}, "extra": {"n": 1, "ex": 0.0}}
    interval = {"ex_low": low, "ex_high": high, "executable": 0.75, "verdicts": {}}
    return {"n": 4, "ex": ex, **interval, "hardness": hardness, "complexity": {}, "wins": wins, "losses": losses, "mcnemar_p": p}


EVALUATE = {
    "sets": {
        "heldout": {
            "n": 4,
            "digest": "d" * 64,
            "models": {
                "base": model_metrics(0.0, 0.0, 0.0, (None, None, None), 0.0),
                "sft": model_metrics(0.5, 0.25, 0.75, (3, 1, 0.625), 2 / 3),
                "sense": model_metrics(0.75, 0.5, 1.0, (1, 0, 0.0004), 1.0),
            },
        }
    }
}


def table_cells(page):
    """Every row of every table, split into its cells, without the lines under the heads."""
    lines = [line for line in page.splitlines() if line.startswith("|") and not line.startswith("|---")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def test_ingest():
    page = markdown.summary("ingest", INGEST)
    assert page.startswith("Human-written seeds (builtin), every gold executed.\n")
    assert table_cells(page) == [
        ["set", "examples", "databases"],
        ["seed", "1,200", "4"],
        ["dev", "3", "1"],
        ["dropped", "examples"],
        ["gold fails", "5"],
        ["duplicate", "3"],
        ["hardness", "seed", "dev"],
        ["easy", "1,000", "2"],
        ["medium", "200", "0"],
        ["hard", "0", "0"],
        ["extra", "0", "1"],
    ]
    assert "Nothing was dropped." in markdown.summary("ingest", INGEST | {"dropped": {}})


def test_synthesize_names_the_llm_and_its_repairs():
    funnel = SYNTHESIZE["funnel"] | {"repairs": {"asked": 5, "kept": 3}}
    page = markdown.summary("synthesize", SYNTHESIZE | {"model": "gpt_4", "funnel": funnel})
    assert "Teacher: the LLM gpt\\_4." in page
    assert "wrote once more: 5; kept of these: 3." in page


def test_synthesize():
    assert table_cells(markdown.summary("synthesize", SYNTHESIZE)) == [
        ["funnel", "examples", "of asked"],
        ["asked", "40", "100.0%"],
        ["returns nothing", "8", "20.0%"],
        ["duplicate", "2", "5.0%"],
        ["kept", "30", "75.0%"],
        ["hardness", "asked", "share", "kept", "share"],
        ["easy", "30", "75.0%", "27", "90.0%"],
        ["medium", "0", "0.0%", "0", "0.0%"],
        ["hard", "10", "25.0%", "3", "10.0%"],
        ["extra", "0", "0.0%", "0", "0.0%"],
        ["domain", "examples", "share"],
        ["bees", "20", "66.7%"],
        ["clubs", "10", "33.3%"],
        ["split", "examples", "share"],
        ["strong", "20", "66.7%"],
        ["held out", "10", "33.3%"],
    ]


def test_synthesize_with_several_teachers_and_examples_set_apart():
    part = {"wanted": 20, "asked": 25, "kept": 18, "dropped": {}}
    counts = {"hard": 3, "ambiguous": 1, "folder": "strong/disagreements"}
    summary = markdown.summary("synthesize", SYNTHESIZE | {"teachers": {"grammar": part}, "agreement": counts})
    assert table_cells(summary)[:2] == [["teacher", "wanted", "asked", "kept"], ["grammar", "20", "25", "18"]]
    assert "4 examples are set apart" in summary
    assert "3 hard and 1 ambiguous, in data/strong/disagreements" in summary
    none = markdown.summary("synthesize", SYNTHESIZE | {"agreement": counts | {"hard": 0, "ambiguous": 0}})
    assert "confirm every example" in none


def test_what_an_llm_was_asked_for_stands_beside_what_was_kept():
    quotas = {
        "level": {"easy": {"asked": 40, "kept": 31}},
        "feature": {"CTE": {"asked": 1200, "kept": 90}, "CAST": {"asked": 0, "kept": 0}},
    }
    summary = markdown.summary("synthesize", SYNTHESIZE | {"quotas": quotas})
    assert "| level | easy | 40 | 31 |" in summary
    assert "| feature | CTE | 1,200 | 90 |" in summary
    assert "CAST" not in summary


def test_rare_domains_are_one_row():
    many = {f"d{n:02}": 100 - n for n in range(40)}
    rows = table_cells(markdown.summary("synthesize", SYNTHESIZE | {"domains": many}))
    domains = [line for line in rows if line[0].startswith("d") and line[0][1:].isdigit()]
    assert [line[0] for line in domains] == [f"d{n:02}" for n in range(12)]
    assert ["28 more", "2,086", "64.8%"] in rows  # the sum of 61 to 88; of 3,220


@pytest.mark.parametrize("stage", ["sample", "merge"])
def test_sample(stage):
    page = markdown.summary(stage, SAMPLE)
    assert page.splitlines()[0] == (
        "12 samples for 3 questions, 10 of them distinct. **25.0%** are right; 66.7% of the questions have a right one."
    )
    assert table_cells(page) == [["verdict", "samples", "share"], ["sql error", "9", "75.0%"], ["match", "3", "25.0%"]]


def test_an_empty_shard_has_no_verdicts():
    empty = {"questions": 0, "samples": 0, "verdicts": {}, "distinct": 0, "pass_at_k": 0.0, "right": 0.0}
    assert markdown.summary("sample", empty).startswith("0 samples for 0 questions")


def test_prefer():
    page = markdown.summary("prefer", PREFER)
    assert page.startswith("**1** pairs, strategy grouped-any-limit1. 100.0% of the rejected answers run.\n")
    assert table_cells(page) == [
        ["funnel", "questions", "of all"],
        ["questions", "4", "100.0%"],
        ["no pair: all wrong", "2", "50.0%"],
        ["no pair: same query", "1", "25.0%"],
        ["verdict on the rejected answer", "pairs", "share"],
        ["mismatch", "1", "100.0%"],
        ["what is wrong with the rejected answer", "pairs", "share"],
        ["schema linking", "1", "100.0%"],
        ["source of the rejected answer", "pairs", "share"],
        ["mutant", "1", "100.0%"],
        ["samples left out", "samples"],
        ["empty", "7"],
    ]


@pytest.mark.parametrize("stage", ["sft", "weak", "dpo"])
def test_trainings(stage):
    page = markdown.summary(stage, DPO)
    assert page.startswith("Last loss: **0.693**, at step 1,200.\n")
    assert table_cells(page) == [
        ["metric", "value"],
        ["model", "nano"],
        ["pairs", "1"],
        [r"dropped.longer than max\_length", "2"],
        ["steps", "1,200"],
        ["loss", "0.693"],
        [r"rewards\_margins", "-0.5"],
    ]


def test_evaluate():
    page = markdown.summary("evaluate", EVALUATE)
    assert page.startswith("### held out: 4 synthetic questions on databases that no training saw\n")
    assert table_cells(page) == [
        ["model", "EX", "95% interval", "executable", "change (points)", "won", "lost", "McNemar p"],
        ["base", "0.0%", "0.0% to 0.0%", "75.0%", "–", "–", "–", "–"],
        ["SFT", "50.0%", "25.0% to 75.0%", "75.0%", "+50.0", "3", "1", "0.62"],
        ["SENSE", "75.0%", "50.0% to 100.0%", "75.0%", "+25.0", "1", "0", "&lt; 0.001"],
        ["hardness", "questions", "base", "SFT", "SENSE"],
        ["easy", "3", "0.0%", "66.7%", "100.0%"],
        ["extra", "1", "0.0%", "0.0%", "0.0%"],
    ]
    assert "SENSE is 25.0 points above SFT: 1 questions won and 0 lost (McNemar p < 0.001), more than chance explains." in page
    assert markdown.summary("evaluate", {"sets": {}}) == "No model has been evaluated.\n"


def test_evaluate_with_test_suites_has_ts_beside_ex():
    base, sft = (dict(EVALUATE["sets"]["heldout"]["models"][name]) for name in ("base", "sft"))
    models = {
        "base": base | {"ts": 0.0, "ts_low": 0.0, "ts_high": 0.0},
        "sft": sft | {"ts": 0.25, "ts_low": 0.0, "ts_high": 0.75},
    }
    on_set = EVALUATE["sets"]["heldout"] | {
        "models": models,
        "suite": {"mode": "strict-ts@1", "databases": 9, "digest": "e" * 64},
    }
    rows = table_cells(markdown.summary("evaluate", {"sets": {"heldout": on_set}}))
    assert rows[0][:6] == ["model", "EX", "95% interval", "TS", "95% interval", "executable"]
    assert rows[2][:6] == ["SFT", "50.0%", "25.0% to 75.0%", "25.0%", "0.0% to 75.0%", "75.0%"]


def test_publish():
    page = markdown.summary("publish", PUBLISH)
    assert page.splitlines()[0] == (
        "**sense** version **3** is **challenger**: EX 40.0% on dev against 50.0% of the champion, version 1."
    )
    assert table_cells(page) == [
        ["metric", "value"],
        ["promoted", "False"],
        [r"champion\_ex", "0.5"],
        ["gate", "dev"],
        ["ex", "0.4"],
        [r"champion\_before", "1"],
        [r"run\_id", "r1"],
        [r"model\_id", "m1"],
    ]


@pytest.mark.parametrize(("promoted", "outcome"), [(True, "may become champion"), (False, "does not become champion")])
def test_decision_of_the_gate(promoted, outcome):
    gate = SimpleNamespace(version="this run", promoted=promoted, reason="EX 40.0% <b>")
    assert markdown.decision(gate) == f"**This run {outcome}**: EX 40.0% &lt;b&gt;.\n"


def test_digests_and_findings_of_the_checks():
    assert table_cells(markdown.summary("version", {"data/strong": "a1.dir", "seeds": "b2"})) == [
        ["metric", "value"],
        ["data/strong", "a1.dir"],
        ["seeds", "b2"],
    ]
    checks = [("MLflow", "ok", "sqlite:///mlflow.db"), ("GPUs", "FAIL", "1 wanted | 0 there")]
    assert table_cells(markdown.findings(checks)) == [
        ["what", "", "found"],
        ["MLflow", "ok", r"sqlite\:///mlflow.db"],
        ["GPUs", "FAIL", r"1 wanted \| 0 there"],
    ]


HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(2)>",
    "a | b || c",
    "[click](javascript:alert(3))",
    "![x](http://evil.example/?leak)",
    "https://evil.example",
    "**bold** _it_ ~~gone~~ ==mark== `code`",
    "line\nbreak\r\n| new | row |\n# heading",
    "\u202eesrever\u0007",
    "&lt;b&gt; &#60;",
    "\\",
    "someone@example.com",
]


@pytest.mark.parametrize("hostile", HOSTILE)
def test_untrusted_text_stays_text_in_its_cell(hostile):
    pages = [
        markdown.summary("synthesize", SYNTHESIZE | {"domains": {hostile: 30}, "teacher": hostile}),
        markdown.summary("ingest", INGEST | {"source": hostile, "dropped": {hostile: 1}}),
        markdown.summary("prefer", PREFER | {"strategy": hostile}),
        markdown.summary("dpo", DPO | {"model": hostile}),
        markdown.summary("publish", PUBLISH | {"reason": hostile, "gate": hostile}),
        markdown.summary("other", {hostile: hostile}),
        markdown.decision(SimpleNamespace(version="this run", promoted=False, reason=hostile)),
    ]
    plain_pages = [
        markdown.summary("synthesize", SYNTHESIZE | {"domains": {"x": 30}}),
        markdown.summary("ingest", INGEST | {"dropped": {"x": 1}}),
        *(markdown.summary(stage, metrics) for stage, metrics in (("prefer", PREFER), ("dpo", DPO), ("publish", PUBLISH))),
        markdown.summary("other", {"x": "x"}),
        markdown.decision(SimpleNamespace(version="this run", promoted=False, reason="x")),
    ]
    for page, plain_page in zip(pages, plain_pages, strict=True):
        assert [len(line) for line in table_cells(page)] == [len(line) for line in table_cells(plain_page)]
        assert page.count("\n") == plain_page.count("\n")
        assert not re.search(r"[<>]", page)
        assert not re.search(r"(?<!\\)(\[|~|`|@|://)", page)
        assert "\u202e" not in page


def test_escaped_text_renders_as_the_text():
    def rendered(markdown_text):  # as CommonMark does it
        text = re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", markdown_text)
        return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")

    for hostile in HOSTILE:
        if hostile.isprintable():
            assert rendered(markdown.escape(hostile)) == hostile
    long = "x" * 5000
    assert markdown.escape(long) == "x" * 600 + " …"


def test_only_finite_numbers_are_metrics():
    nested = {"a": {"b": 1, "c": {"d": 0.5}}, "flag": True, "name": "x", "none": None, "nan": float("nan"), "inf": float("inf")}
    assert finite_numbers(nested) == {"a.b": 1.0, "a.c.d": 0.5}
    assert {type(value) for value in finite_numbers(nested).values()} == {float}
    assert list(flatten(nested)) == ["a.b", "a.c.d", "flag", "name", "none", "nan", "inf"]
    assert flatten({}) == {}
