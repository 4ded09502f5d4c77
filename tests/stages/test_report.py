"""The report of a small, partly hostile run: what it says, that it loads nothing from elsewhere, and that SQL stays text."""

import re
from collections import Counter
from html.parser import HTMLParser
from typing import Any

import pytest

from sense import records
from sense.config import ReportConfig
from sense.errors import InputError
from sense.stages import report
from tests.report_runs import DEV_OUTCOMES, write_run

METRIC_FILES = ("ingest", "synthesize", "sft", "weak", "sample", "prefer", "dpo", "evaluate", "publish")


@pytest.fixture
def inputs(tmp_path) -> report.Inputs:
    return write_run(tmp_path)


def run_report(inputs: report.Inputs, **config: Any) -> tuple[str, dict[str, Any]]:
    """Runs the stage; returns the page and the metrics."""
    page = inputs.metrics.parent / "out" / "index.html"
    metrics = report.run(ReportConfig(**config), inputs, report.Outputs(page))
    return page.read_text(encoding="utf-8"), metrics


def visible_text(html: str) -> str:
    """The text of a page with its runs of white space squeezed."""
    body = re.sub(r"<style>.*?</style>", " ", html, flags=re.DOTALL)
    pieces: list[str] = []
    parser = HTMLParser()
    parser.handle_data = pieces.append
    parser.handle_endtag = lambda tag: pieces.append(" " if tag in ("td", "th", "p") else "")
    parser.feed(body)
    return " ".join("".join(pieces).split())


class TagParser(HTMLParser):
    """Collects start tags with their attributes; `mismatched` is the first end tag that does not close the last open one."""

    def __init__(self):
        super().__init__()
        self.start_tags, self.open_tags, self.mismatched = [], [], None

    def handle_starttag(self, tag, attributes):
        self.start_tags.append((tag, dict(attributes)))
        if tag not in ("meta", "br"):
            self.open_tags.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.start_tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        if not self.open_tags or self.open_tags.pop() != tag:
            self.mismatched = self.mismatched or tag


def parse_tags(html: str) -> TagParser:
    parser = TagParser()
    parser.feed(html)
    return parser


def test_model_written_text_is_no_markup(inputs):
    html, _ = run_report(inputs)
    tags = parse_tags(html)
    assert tags.mismatched is None
    assert tags.open_tags == []
    names = Counter(tag for tag, _ in tags.start_tags)
    assert names["script"] == names["img"] == names["b"] == names["i"] == names["u"] == 0
    assert not [name for _, attributes in tags.start_tags for name in attributes if name.startswith("on")]
    assert html.count("&lt;script&gt;alert(1)&lt;/script&gt;") >= len(DEV_OUTCOMES)
    assert "bees</i>" in visible_text(html)


def test_the_page_loads_nothing_from_elsewhere(inputs):
    html, _ = run_report(inputs)
    for tag, attributes in parse_tags(html).start_tags:
        assert tag not in ("link", "script", "iframe", "object", "embed", "img", "base")
        links = [value for name, value in attributes.items() if name in ("href", "src", "action")]
        assert all(link.startswith("#") or (tag, link) == ("a", "cost.html") for link in links)
    style = re.search(r"<style>(.*?)</style>", html, re.DOTALL).group(1)
    assert "url(" not in style
    assert "@import" not in style
    assert "prefers-color-scheme: dark" in style


def test_the_same_inputs_give_the_same_bytes(inputs):
    assert run_report(inputs)[0] == run_report(inputs)[0]


def test_every_link_leads_to_an_id_in_the_page(inputs):
    tags = parse_tags(run_report(inputs)[0]).start_tags
    ids = [attributes["id"] for _, attributes in tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    targets = {attributes["href"].removeprefix("#") for tag, attributes in tags if tag == "a"}
    labels = {name for _, attributes in tags for name in attributes.get("aria-labelledby", "").split()}
    assert targets - {"cost.html"} | labels <= set(ids)


def test_headline_and_table(inputs):
    text = visible_text(run_report(inputs)[0])
    assert "SENSE answers 57.1% of the dev questions" in text
    assert (
        "On dev (7 human-written questions): base 28.6%, SFT 57.1%, SENSE 57.1%. SENSE and SFT are level: 1 questions won" in text
    )
    assert "SENSE is 50.0 points above SFT: 2 questions won and 0 lost (McNemar p < 0.001), more than chance explains." in text
    assert "SFT 7 57.1% 0.0% to 90.0% 75.0% +28.6 3 : 1 0.62" in text.replace("\u2009", " ")


def test_ts_stands_beside_ex_where_there_are_suites(inputs):
    assert "Test-suite accuracy" not in run_report(inputs)[0]
    path = inputs.metrics / "evaluate.json"
    metrics = records.read_json(path)
    metrics["sets"]["dev"]["suite"] = {"mode": "strict-ts@1", "databases": 9, "digest": "e" * 64}
    for model in metrics["sets"]["dev"]["models"].values():
        model |= {"ts": 0.125, "ts_low": 0.0, "ts_high": 0.5}
    records.write_json(path, metrics)
    text = visible_text(run_report(inputs)[0])
    assert "the same on every database of the question's test suite, 9 further ones on dev." in text
    assert "SFT 7 57.1% 0.0% to 90.0% 12.5% 0.0% to 50.0% 75.0%" in text


def test_modes_and_votes_have_tables_where_they_were_measured(inputs):
    assert "Under several scoring modes" not in run_report(inputs)[0]
    assert "With a vote" not in run_report(inputs)[0]
    path = inputs.metrics / "evaluate.json"
    metrics = records.read_json(path)
    dev = metrics["sets"]["dev"]
    dev["mode"] = "strict@2"
    for model in dev["models"].values():
        model["modes"] = {
            "spider-exec@1": {"n": 7, "ex": 0.3, "ex_low": 0.1, "ex_high": 0.5, "ts": 0.2, "ts_low": 0.0, "ts_high": 0.4},
            "bird-f1@1": {"n": 7, "ex": 0.3, "soft_f1": 0.61, "soft_f1_low": 0.5, "soft_f1_high": 0.7},
        }
        model["vote"] = {
            **{"k": 5, "temperature": 0.8, "n": 7, "ex": 0.75, "ex_low": 0.6, "ex_high": 0.9, "wins": 4, "losses": 1},
            **{"mcnemar_p": 0.375, "pass_at_k": 0.9, "pass_at_k_low": 0.8, "pass_at_k_high": 1.0, "right": 0.45, "fell_back": 2},
        }
    records.write_json(path, metrics)
    text = visible_text(run_report(inputs)[0]).replace("\u2009", " ")
    assert "set model strict@2 EX spider-exec@1 EX spider-exec@1 TS bird-f1@1 soft F1 dev base 28.6% 0.0% to 90.0%" in text
    assert "SFT 57.1% 0.0% to 90.0% 30.0% 10.0% to 50.0% 20.0% 0.0% to 40.0% 61.0% 50.0% to 70.0%" in text
    assert "5 samples for each question at temperature 0.8" in text
    assert "Greedy answers that stand in where no sample ran are not counted in it." in text
    assert "SFT 57.1% 75.0% 60.0% to 90.0% +17.9 4 : 1 0.38 90.0% 80.0% to 100.0% 45.0% 2" in text
    html = run_report(inputs)[0]
    assert parse_tags(html).mismatched is None


def test_a_perturbed_set_stands_beside_its_original(inputs):
    assert "Perturbed copies" not in run_report(inputs)[0]
    path = inputs.metrics / "evaluate.json"
    metrics = records.read_json(path)
    metrics["sets"]["heldout"]["perturbation"] = {"kind": "no-keys", "set": "dev"}
    for model in metrics["sets"]["heldout"]["models"].values():
        model["original"] = {
            **{"n": 4, "ex": 0.75, "ex_low": 0.5, "ex_high": 1.0, "change": -0.25, "change_low": -0.5, "change_high": 0.0},
            **{
                "perturbed_ex": 0.5,
                "perturbed_ex_low": 0.25,
                "perturbed_ex_high": 0.75,
                "wins": 0,
                "losses": 1,
                "mcnemar_p": 1.0,
            },
        }
    records.write_json(path, metrics)
    html = run_report(inputs)[0]
    text = visible_text(html).replace("\u2009", " ")
    row = "4 75.0% 50.0% to 100.0% 50.0% 25.0% to 75.0% −25.0 −50.0 to 0.0 0 : 1 1.00"
    assert f"held out of dev base {row} SFT {row} SENSE {row}" in text
    assert "On held out (4 questions, a perturbed copy of dev: no-keys): base 0.0%" in text
    assert parse_tags(html).mismatched is None


def test_domains_have_their_share_and_its_interval(inputs):
    assert "By domain" not in run_report(inputs)[0]
    path = inputs.metrics / "evaluate.json"
    metrics = records.read_json(path)
    for model in metrics["sets"]["heldout"]["models"].values():
        model["domains"] = {"<b>bees</b>": {"n": 4, "ex": 0.25, "ex_low": 0.0, "ex_high": 0.75}}
    records.write_json(path, metrics)
    cell = "25.0% 0.0% to 75.0%"
    text = visible_text(run_report(inputs)[0])
    assert f"set domain questions base SFT SENSE held out <b>bees</b> 4 {cell} {cell} {cell}" in text


def test_further_sets_stand_behind_the_two_of_every_run(inputs):
    path = inputs.metrics / "evaluate.json"
    metrics = records.read_json(path)
    metrics["sets"] = {"spider": metrics["sets"]["dev"], **metrics["sets"]}
    records.write_json(path, metrics)
    for model in ("base", "sft", "sense"):
        for kind in ("predictions", "verdicts"):
            records.write_text(
                inputs.predictions / f"spider.{model}.{kind}.jsonl",
                (inputs.predictions / f"dev.{model}.{kind}.jsonl").read_text(),
            )
    examples = (inputs.dev / "examples.jsonl").read_text()
    records.write_text(inputs.predictions / "spider.examples.jsonl", examples.replace("dev question", "spider question"))
    text = visible_text(run_report(inputs)[0])
    assert "SENSE answers 57.1% of the dev questions" in text
    assert "On spider (7 questions of a further set): base 28.6%" in text
    assert "spider question" in text  # among the examples
    assert "error 3 9 7 7" in text  # 5 of 7 on dev and 4 of 4 on held out: not once more on spider
    assert "Answers to further sets are not counted here." in text


def test_results_by_hardness_and_complexity(inputs):
    text = visible_text(run_report(inputs)[0])
    assert "set hardness questions base SFT SENSE dev easy 7 28.6% 57.1% 57.1% held out easy 4 0.0% 25.0% 75.0%" in text
    assert "set complexity questions base SFT SENSE dev 2 7 28.6% 57.1% 57.1% held out 2 4 0.0% 25.0% 75.0%" in text


def test_a_run_without_complexity_has_no_table_of_it(inputs):
    path = inputs.metrics / "evaluate.json"
    path.write_text(path.read_text().replace('"complexity"', '"formerly"'))
    html, _ = run_report(inputs)
    assert "By complexity" not in html
    assert parse_tags(html).mismatched is None


def test_data_verdicts_trainings_and_publication(inputs):
    text = visible_text(run_report(inputs)[0])
    assert "asked 40 100.0% returns nothing 8 20.0% duplicate 2 5.0% kept 30 75.0%" in text
    assert "Split by database: 20 strong, 10 held out." in text
    assert "easy 30 75.0% 27 90.0% medium 0 0.0% 0 0.0% hard 10 25.0% 3 10.0%" in text
    assert "1 6 20.0% 2 21 70.0% 3 0 0.0% 4 0 0.0% 5 0 0.0% 6 0 0.0% 7 3 10.0% 8 0 0.0%" in text
    assert "schema linking 2 9 7 7" in text  # samples: of three errors; base: 5 of 7 wrong on dev, 4 of 4 on held out
    assert "syntax 1 0 0 0" in text
    assert "100.0% of the rejected answers run" in text
    assert "filter 1 100.0%" in text
    assert "mutant 1 100.0%" in text
    assert "all wrong 3 75.0%" in text
    assert "sft nano 583,392 1,234 20 0.5 2 longer than max length" in text
    assert "sense version 3 is challenger: not comparable: <digest>." in text


@pytest.mark.parametrize("name", METRIC_FILES)
def test_a_missing_file_of_metrics_is_named_and_no_error(inputs, name):
    (inputs.metrics / f"{name}.json").unlink()
    html, metrics = run_report(inputs)
    assert metrics["sections_missing"] == [name]
    assert f"Metrics that were not there: {name}." in visible_text(html)
    assert parse_tags(html).mismatched is None


def test_without_any_metrics_the_page_says_so(inputs):
    for name in METRIC_FILES:
        (inputs.metrics / f"{name}.json").unlink()
    for file in (inputs.metrics / "curves").iterdir():
        file.unlink()
    text = visible_text(run_report(inputs)[0])
    assert "No model has been evaluated yet" in text
    assert "The model of this run is not published yet: there is no metrics/publish.json, which sense publish writes." in text
    assert "nothing has been trained for this report" in text


def test_examples_of_the_configuration_limits_the_questions(inputs):
    html, _ = run_report(inputs, examples=3)
    assert len(re.findall(r'class="badge k-', html)) == 3


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        (
            "pairs.jsonl",
            '"example_id": "unseen0"',
            '"example_id": "gone"',
            r"pairs\.jsonl: the id 'gone' \(1 in all\) is not in .*unseen",
        ),
        (
            "samples.jsonl",
            '"example_id": "unseen0", "sql"',
            '"example_id": "gone", "sql"',
            r"samples\.jsonl: the id 'gone' \(1 in all\) is not in .*unseen",
        ),
        ("predictions/dev.examples.jsonl", '"id": "dev0"', '"id": "devX"', r"dev\.examples\.jsonl: the id 'devX' .*dev"),
        ("predictions/dev.sft.predictions.jsonl", '"id": "dev0"', '"id": "devX"', r"dev\.sft\.predictions\.jsonl: the id 'devX'"),
        ("metrics/curves/sft.csv", "20,0.1", "20,much", r"sft\.csv, line 3: not a row of numbers"),
        ("metrics/evaluate.json", "{", "", r"evaluate\.json: not valid JSON"),
        ("metrics/evaluate.json", '"sets"', '"other"', r"evaluate\.json: no metrics of evaluate; run: dvc repro evaluate"),
    ],
)
def test_a_file_that_does_not_fit_is_named(inputs, file, old, new, message):
    path = inputs.metrics.parent / file
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(InputError, match=message):
        run_report(inputs)


def test_predictions_are_those_of_the_questions_that_were_evaluated(inputs):
    rows = records.read_dataset(inputs.dev)[1:]  # as with evaluate.limit
    records.write_jsonl(inputs.predictions / "dev.examples.jsonl", rows)
    with pytest.raises(InputError, match=r"dev\.base\.predictions\.jsonl: the id 'dev0' \(1 in all\) is not in .*dev\.examples"):
        run_report(inputs)
    files = [inputs.predictions / f"dev.{model}.predictions.jsonl" for model in ("base", "sft", "sense")]
    for file in files:
        records.write_text(file, "".join(file.read_text().splitlines(keepends=True)[1:]))
    assert "dev question 0" not in visible_text(run_report(inputs)[0])
    records.write_text(files[0], "".join(files[0].read_text().splitlines(keepends=True)[1:]))
    with pytest.raises(InputError, match=r"dev\.examples\.jsonl: the id 'dev1' \(1 in all\) is not in .*dev\.base\.predictions"):
        run_report(inputs)


def test_the_model_that_was_sampled_is_named(inputs):
    assert "The weak model wrote 4 samples for 2 questions" in visible_text(run_report(inputs)[0])
    metrics = records.read_json(inputs.metrics / "sample.json")
    records.write_json(inputs.metrics / "sample.json", metrics | {"model": "sft"})
    text = visible_text(run_report(inputs)[0])
    assert "The student (SFT) wrote 4 samples for 2 questions" in text
    assert "weak samples" not in text.lower()


def test_what_is_right_on_the_main_database_alone_has_a_row_of_its_own(inputs):
    assert 'class="swatch c-match_on_main_database"' not in run_report(inputs)[0]
    file = inputs.predictions / "dev.sft.verdicts.jsonl"
    rows = records.read_rows(file, records.Verdict)
    assert not rows[0].correct
    rows[0] = rows[0].model_copy(update={"verdict": "mismatch", "detail": "rows", "instance": "suite_01.sqlite"})
    records.write_jsonl(file, rows)
    html, _ = run_report(inputs)
    assert 'class="swatch c-match_on_main_database"' in html
    text = visible_text(html)
    assert "match 1 2 4 4 match on main database 0 0 1 0 error 3 9 6 7" in text
    assert "schema linking 2 9 6 7" in text  # of what EX counts as wrong
    # SENSE and SFT are right for EX on question 0, which base gets wrong
    [case] = [part for part in html.split('<article class="case">') if "dev question 0 " in part]
    assert "SFT and SENSE right, base wrong" in case
    assert '<span class="badge c-match_on_main_database">match on main database</span>' in case


def test_missing_predictions_are_named(inputs):
    (inputs.predictions / "heldout.sense.verdicts.jsonl").unlink()
    with pytest.raises(InputError, match=r"heldout\.sense\.verdicts\.jsonl: no such file"):
        run_report(inputs)


def test_pairs_that_were_not_trained_on_are_said_to_be_so(inputs):
    text = visible_text(run_report(inputs)[0])
    assert "after preference learning (DPO) on pairs of executed samples." in text
    assert "They were not trained on here" not in text
    metrics = records.read_json(inputs.metrics / "dpo.json")
    records.write_json(inputs.metrics / "dpo.json", metrics | {"method": "rft"})
    text = visible_text(run_report(inputs)[0])
    step = "fine-tuning on executed samples that are right (RFT)"
    assert f"They were not trained on here: the second step was {step}." in text
    assert f"after {step}." in text
