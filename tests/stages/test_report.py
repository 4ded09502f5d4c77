"""The report of a small, partly hostile run: what it says, that it needs nothing beside it, and that SQL stays text."""

import json
import re
import sqlite3
from collections import Counter
from contextlib import closing
from html.parser import HTMLParser
from pathlib import Path

import pytest

from sense import records
from sense.config import ReportConfig
from sense.errors import InputError
from sense.records import Example, Pair, Prediction, Sample, Verdict
from sense.registry import card
from sense.report import charts, contents, results, run_data, text
from sense.stages import report

HOSTILE = "SELECT '<script>alert(1)</script>' AS \"<img src=x onerror=alert(2)>\" -- </pre></style>"
MODELS = ("base", "sft", "sense")
# who is right (base, sft, sense) on the questions of dev
RIGHT = ["001", "010", "011", "111", "000", "100", "011"]
METRIC_FILES = ("ingest", "synthesize", "sft", "weak", "sample", "prefer", "dpo", "evaluate", "publish")


def dataset(folder: Path, name: str, n: int) -> Path:
    rows = [
        Example(
            id=f"{name}{i}", db_id="pets", question=f"{name} question {i} <b>?", sql="SELECT 1", source="grammar", hardness="easy"
        )
        for i in range(n)
    ]
    database = records.database_path(folder / name, "pets")
    database.parent.mkdir(parents=True)
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("CREATE TABLE pet (id)")
    records.write_jsonl(folder / name / "examples.jsonl", rows)
    return folder / name


def model_row(right: int, n: int, **paired) -> dict:
    part = {"n": n, "ex": right / n}
    parts = {"hardness": {"easy": part}, "complexity": {"2": part}}
    row = {"n": n, "ex": right / n, "ex_low": 0.0, "ex_high": 0.9, "executable": 0.75, "verdicts": {}, **parts}
    return row | {"wins": None, "losses": None, "mcnemar_p": None} | paired


def write_metrics(folder: Path) -> None:
    dev = {
        "base": model_row(2, 7),
        "sft": model_row(4, 7, wins=3, losses=1, mcnemar_p=0.625),
        "sense": model_row(4, 7, wins=1, losses=1, mcnemar_p=1.0),
    }
    held = {
        "base": model_row(0, 4),
        "sft": model_row(1, 4, wins=1, losses=0, mcnemar_p=1.0),
        "sense": model_row(3, 4, wins=2, losses=0, mcnemar_p=0.0004),
    }
    sections = {
        "ingest": {
            "source": "builtin",
            "seed": {"examples": 5, "databases": 2},
            "dev": {"examples": 7, "databases": 1},
            "dropped": {"duplicate": 3},
        },
        "synthesize": {
            "teacher": "grammar",
            "funnel": {"asked": 40, "kept": 30, "dropped": {"returns nothing": 8, "duplicate": 2}},
            "hardness": {"easy": 27, "hard": 3},
            "asked_hardness": {"easy": 30, "hard": 10},
            "complexity": {"1": 6, "2": 21, "7": 3},
            "domains": {"<i>bees</i>": 20, "clubs": 10},
            "splits": {"strong": 20, "heldout": 10},
        },
        "sft": {
            "model": "nano",
            "examples": 1234,
            "dropped": {"longer than max_length": 2},
            "parameters": 583392,
            "steps": 20,
            "loss": 0.5,
        },
        "weak": {"model": "nano", "examples": 20, "steps": 10, "loss": 1.0},
        "dpo": {"model": "nano", "pairs": 1, "steps": 2, "loss": 0.7},
        "sample": {"questions": 2, "samples": 4, "verdicts": {}, "distinct": 3, "pass_at_k": 0.5, "right": 0.25},
        "prefer": {
            "questions": 4,
            "pairs": 1,
            "strategy": "grouped-any-limit1",
            "rejected_errors": {"sql_error": 1},
            "no_pair": {"all_wrong": 3},
        },
        "evaluate": {
            "sets": {"dev": {"n": 7, "digest": "d" * 64, "models": dev}, "heldout": {"n": 4, "digest": "e" * 64, "models": held}}
        },
        "publish": {
            "model": "sense",
            "version": "3",
            "alias": "challenger",
            "reason": "not comparable: <digest>",
            "promoted": False,
        },
    }
    for name, value in sections.items():
        records.write_json(folder / f"{name}.json", value)
    records.write_text(folder / "curves" / "sft.csv", "step,learning_rate,loss\n10,0.1,2.0\n20,0.1,0.5\n")
    records.write_text(folder / "curves" / "dpo.csv", "step,logps/chosen,logps/rejected,loss\n1,-3.0,-5.0,0.69\n2,-4.0,nan,0.6\n")


@pytest.fixture
def given(tmp_path) -> report.Inputs:
    folders = {name: dataset(tmp_path, name, n) for name, n in (("strong", 5), ("unseen", 2), ("dev", 7), ("heldout", 4))}
    write_metrics(tmp_path / "metrics")
    samples = [
        Sample(
            id=f"unseen0#{k}",
            example_id="unseen0",
            sql=HOSTILE,
            correct=k == 0,
            verdict="match" if k == 0 else "error",
            detail=detail,
        )
        for k, detail in enumerate(["", "no such column: x", "ambiguous column name: id", 'near ")": syntax error'])
    ]
    records.write_jsonl(tmp_path / "samples.jsonl", samples)
    pair = Pair(id="p", example_id="unseen0", chosen="SELECT a FROM t", rejected=HOSTILE, strategy="all", error="error")
    records.write_jsonl(tmp_path / "pairs.jsonl", [pair])
    for name, pattern in (("dev", RIGHT), ("heldout", ["000"] * 4)):
        for place, model in enumerate(MODELS):
            stem = tmp_path / "predictions" / f"{name}.{model}"
            flags = [row[place] == "1" for row in pattern]
            verdicts = [
                Verdict(
                    id=f"{name}{i}", correct=ok, verdict="match" if ok else "error", detail="" if ok else "no such table: <u>"
                )
                for i, ok in enumerate(flags)
            ]
            records.write_jsonl(stem.with_name(f"{stem.name}.verdicts.jsonl"), verdicts)
            predictions = [Prediction(id=f"{name}{i}", sql=HOSTILE) for i in range(len(flags))]
            records.write_jsonl(stem.with_name(f"{stem.name}.predictions.jsonl"), predictions)
    return report.Inputs(
        tmp_path / "metrics",
        folders["strong"],
        folders["unseen"],
        tmp_path / "samples.jsonl",
        tmp_path / "pairs.jsonl",
        folders["dev"],
        folders["heldout"],
        tmp_path / "predictions",
    )


def made(given: report.Inputs, **config) -> tuple[str, dict]:
    target = given.metrics.parent / "out" / "index.html"
    metrics = report.run(ReportConfig(**config), given, report.Outputs(target))
    return target.read_text(encoding="utf-8"), metrics


def visible(html: str) -> str:
    """The text of a page with its runs of white space squeezed."""
    body = re.sub(r"<style>.*?</style>", " ", html, flags=re.DOTALL)
    found: list[str] = []
    parser = HTMLParser()
    parser.handle_data = found.append
    parser.handle_endtag = lambda tag: found.append(" " if tag in ("td", "th", "p") else "")
    parser.feed(body)
    return " ".join("".join(found).split())


class Tags(HTMLParser):
    """Every start tag with its attributes; `wrong` is the first end tag that closes something else."""

    def __init__(self):
        super().__init__()
        self.seen, self.open, self.wrong = [], [], None

    def handle_starttag(self, tag, attributes):
        self.seen.append((tag, dict(attributes)))
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.seen.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.wrong = self.wrong or tag


def tags(html: str) -> Tags:
    parser = Tags()
    parser.feed(html)
    return parser


def test_model_written_text_stays_text(given):
    html, _ = made(given)
    found = tags(html)
    assert found.wrong is None
    assert found.open == []
    names = Counter(tag for tag, _ in found.seen)
    assert names["script"] == names["img"] == names["b"] == names["i"] == names["u"] == 0
    assert not [name for _, attributes in found.seen for name in attributes if name.startswith("on")]
    assert html.count("&lt;script&gt;alert(1)&lt;/script&gt;") >= len(RIGHT)
    assert "bees</i>" in visible(html)


def test_it_needs_nothing_beside_it(given):
    html, _ = made(given)
    for tag, attributes in tags(html).seen:
        assert tag not in ("link", "script", "iframe", "object", "embed", "img", "base")
        assert all(value.startswith("#") for name, value in attributes.items() if name in ("href", "src", "action"))
    style = re.search(r"<style>(.*?)</style>", html, re.DOTALL).group(1)
    assert "url(" not in style
    assert "@import" not in style
    assert "prefers-color-scheme: dark" in style


def test_the_same_inputs_give_the_same_bytes(given):
    assert made(given)[0] == made(given)[0]


def test_every_link_inside_leads_somewhere(given):
    seen = tags(made(given)[0]).seen
    ids = [attributes["id"] for _, attributes in seen if "id" in attributes]
    assert len(ids) == len(set(ids))
    wanted = {attributes["href"].removeprefix("#") for tag, attributes in seen if tag == "a"}
    described = {name for _, attributes in seen for name in attributes.get("aria-labelledby", "").split()}
    assert wanted | described <= set(ids)


def test_headline_and_table(given):
    shown = visible(made(given)[0])
    assert "SENSE answers 57.1% of the dev questions" in shown
    assert (
        "On dev (7 human-written questions): base 28.6%, SFT 57.1%, SENSE 57.1%. SENSE and SFT are level: 1 questions won"
        in shown
    )
    assert "SENSE is 50.0 points above SFT: 2 questions won and 0 lost (McNemar p < 0.001), more than chance explains." in shown
    assert "SFT 7 57.1% 0.0% to 90.0% 75.0% +28.6 3 : 1 0.62" in shown.replace("\u2009", " ")


def test_parts_of_the_table(given):
    shown = visible(made(given)[0])
    assert "set hardness questions base SFT SENSE dev easy 7 28.6% 57.1% 57.1% held out easy 4 0.0% 25.0% 75.0%" in shown
    assert "set complexity questions base SFT SENSE dev 2 7 28.6% 57.1% 57.1% held out 2 4 0.0% 25.0% 75.0%" in shown


def test_metrics_of_an_older_run_have_no_complexity(given):
    path = given.metrics / "evaluate.json"
    path.write_text(path.read_text().replace('"complexity"', '"formerly"'))
    html, _ = made(given)
    assert "By complexity" not in html
    assert tags(html).wrong is None


def test_making_of(given):
    shown = visible(made(given)[0])
    assert "asked 40 100.0% returns nothing 8 20.0% duplicate 2 5.0% kept 30 75.0%" in shown
    assert "Split by database: 20 strong, 10 held out." in shown
    assert "easy 30 75.0% 27 90.0% medium 0 0.0% 0 0.0% hard 10 25.0% 3 10.0%" in shown
    assert "1 6 20.0% 2 21 70.0% 3 0 0.0% 4 0 0.0% 5 0 0.0% 6 0 0.0% 7 3 10.0% 8 0 0.0%" in shown
    assert "no such column 2 0 0 0" in shown  # two of the weak samples' three errors
    assert "no such table 0 9 7 7" in shown  # base: 5 of 7 wrong on dev, 4 of 4 on held out
    assert "all wrong 3 75.0%" in shown
    assert "sft nano 583,392 1,234 20 0.5 2 longer than max length" in shown
    assert "sense version 3 is challenger: not comparable: <digest>." in shown


@pytest.mark.parametrize("name", METRIC_FILES)
def test_a_missing_section_is_named_and_no_failure(given, name):
    (given.metrics / f"{name}.json").unlink()
    html, metrics = made(given)
    assert metrics["sections_missing"] == [name]
    assert f"Metrics that were not there: {name}." in visible(html)
    assert tags(html).wrong is None


def test_nothing_but_the_data(given):
    for name in METRIC_FILES:
        (given.metrics / f"{name}.json").unlink()
    for file in (given.metrics / "curves").iterdir():
        file.unlink()
    shown = visible(made(given)[0])
    assert "No model has been evaluated yet" in shown
    assert "The model of this run is not published yet: there is no metrics/publish.json, which sense publish writes." in shown
    assert "nothing has been trained for this report" in shown


def test_the_number_of_examples_is_the_configs(given):
    html, _ = made(given, examples=3)
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
        ("predictions/dev.sft.predictions.jsonl", '"id": "dev0"', '"id": "devX"', r"dev\.sft\.predictions\.jsonl: the id 'devX'"),
        ("metrics/curves/sft.csv", "20,0.1", "20,much", r"sft\.csv, line 3: not a row of numbers"),
        ("metrics/evaluate.json", "{", "", r"evaluate\.json: not valid JSON"),
    ],
)
def test_what_does_not_fit_is_named(given, file, old, new, message):
    path = given.metrics.parent / file
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(InputError, match=message):
        made(given)


def test_missing_predictions_are_named(given):
    (given.predictions / "heldout.sense.verdicts.jsonl").unlink()
    with pytest.raises(InputError, match=r"heldout\.sense\.verdicts\.jsonl: no such file"):
        made(given)


# --- which examples are shown


def read(given: report.Inputs) -> run_data.RunData:
    paths = {name: getattr(given, name) for name in ("metrics", "strong", "unseen", "samples", "pairs", "predictions")}
    return run_data.read(**paths, sets={"dev": given.dev})


def test_examples_take_turns_and_disagreement_comes_first(given):
    found = read(given)
    assert [comparison.outcome for comparison in contents.compare_models(found, 0, 10)] == [
        "gained",
        "lost",
        "taught",
        "taught",
        "forgotten",
        "none",
        "all",
    ]
    assert [comparison.outcome for comparison in contents.compare_models(found, 0, 3)] == ["gained", "lost", "taught"]
    assert {comparison.example.id for comparison in contents.compare_models(found, 0, 10)} == {f"dev{i}" for i in range(7)}
    assert contents.compare_models(found, 5, 3) == contents.compare_models(found, 5, 3)


# --- numbers and geometry


@pytest.mark.parametrize(
    ("low", "high", "most", "ticks"),
    [
        (0, 0.73, 5, [0, 0.2, 0.4, 0.6, 0.8]),
        (0, 1.0, 5, [0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (0, 526, 4, [0, 200, 400, 600]),
        (-9.1, -2.8, 4, [-10, -8, -6, -4, -2]),
        (0.5, 0.69, 4, [0.5, 0.55, 0.6, 0.65, 0.7]),
        (3, 3, 4, [3, 4, 5, 6]),
        (0, 0, 4, [0, 0.25, 0.5, 0.75, 1]),
    ],
)
def test_ticks_are_round_and_cover(low, high, most, ticks):
    found = charts.round_ticks(low, high, most)
    assert found == ticks
    assert found[0] <= low
    assert found[-1] >= high


def test_a_dot_lies_where_its_value_is():
    chart = charts.interval_chart("t", [("sense", "SENSE", 0.5, 0.25, 1.0)], 1.0)
    (dot,) = chart.dots
    span = chart.right - chart.left
    assert (dot.x, dot.low, dot.high) == (chart.left + span / 2, chart.left + span / 4, chart.right)
    assert chart.description == "SENSE 50.0%, interval 25.0 to 100.0%"


def test_columns_grow_from_the_axis_and_none_has_none():
    chart = charts.column_chart("t", ["easy", "hard"], [("base", "base", [0.5, None]), ("sft", "SFT", [1.0, 0.0])])
    assert [(c.name, c.label) for c in chart.columns] == [("base, easy", "50"), ("SFT, easy", "100"), ("SFT, hard", "0")]
    assert [c.top for c in chart.columns] == [(chart.top + chart.bottom) / 2, chart.top, chart.bottom]
    assert chart.columns[0].x + chart.columns[0].width <= chart.columns[1].x


def test_a_long_curve_is_thinned_but_keeps_its_ends():
    points = [(float(step), 10_000.0 - step) for step in range(10_001)]
    chart = charts.step_chart("t", "loss", [("sft", "loss", points)])
    places = chart.curves[0].points.split()
    assert len(places) <= 402
    assert places[0] == f"{chart.left:.1f},{chart.top:.1f}"
    assert places[-1] == f"{chart.right:.1f},{chart.bottom:.1f}"
    assert chart.curves[0].label == "0"


def test_curves_leave_out_what_is_no_number(given):
    drawn = charts.training_charts(read(given).curves)
    assert [chart.title for chart in drawn] == ["SFT, the student: loss", "DPO: loss", "DPO: log-probability of the answers"]
    assert drawn[2].description == "chosen from -3 at step 1 to -4 at step 2; rejected from -5 at step 1 to -5 at step 1"


def test_many_domains_end_in_a_rest():
    rows = contents.domains({f"d{n:02}": 1 + (n == 3) for n in range(20)})
    assert (rows[0].name, rows[0].n, rows[0].percentage) == ("d03", 2, "9.5%")
    assert (rows[-1].name, rows[-1].n) == ("8 more", 8)
    assert len(rows) == 13


@pytest.mark.parametrize(
    ("detail", "name"),
    [
        ("no such column: T1.x", "no such column"),
        ('near "FROM": syntax error', "syntax"),
        ("incomplete input", "syntax"),
        ("no such function: YEAR", "no such function"),
        ("misuse of aggregate: COUNT()", "aggregate in the wrong place"),
        ("SELECTs to the left and right of UNION do not have the same number of result columns", "set operation of unlike width"),
        ("out of memory", "other"),
    ],
)
def test_error_classes(detail, name):
    assert contents.error_class(detail) == name


def test_numbers_as_text():
    assert [text.percent(x) for x in (0, 0.12345, 1, None)] == ["0.0%", "12.3%", "100.0%", "–"]
    assert [text.percentage_points(x) for x in (0.0432, -0.005, 0.0001, None)] == ["+4.3", "−0.5", "0.0", "–"]
    assert [text.number(x) for x in (1234567, 0.03125, None)] == ["1,234,567", "0.0312", "–"]
    assert [text.p_value(x) for x in (0.0001, 0.035, 0.5512, None)] == ["< 0.001", "0.035", "0.55", "–"]
    assert text.drop_counts({"too_long": 3, "none": 0}) == "3 too long"


def test_text_of_others_is_disarmed_and_cut():
    assert text.printable("a\u202eb\x00c\nd") == "a\ufffdb\ufffdc\nd"
    assert text.printable("x" * 3000) == "x" * 2000 + " … (3,000 characters)"


def test_below_is_told_as_below(given):
    evaluate = json.loads((given.metrics / "evaluate.json").read_text())
    evaluate["sets"]["dev"]["models"]["sense"] |= {"ex": 0.5, "wins": 0, "losses": 1, "mcnemar_p": 1.0}
    (dev, _) = results.set_results(evaluate)
    assert (
        dev.conclusion
        == "SENSE is 7.1 points below SFT: 0 questions won and 1 lost (McNemar p = 1.00), no more than chance explains."
    )


def test_the_card_tells_of_every_set_and_origin(given):
    sets = json.loads((given.metrics / "evaluate.json").read_text())["sets"]
    recipe = {"dpo": {"beta": 0.1, "loss": "sigmoid"}}
    shown = card.render(card.CardFacts("sense", sets, {}, recipe, {"strong": "12ab"}, "abc", 1024))
    assert "| held out | SENSE | 4 | 75.0% | 0.0% to 90.0% | 75.0% | < 0.001 |" in shown
    for fact in ("`abc`", "dpo.beta", "`0.1`", "`12ab`"):
        assert fact in shown
