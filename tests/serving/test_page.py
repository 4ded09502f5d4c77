"""The page in a real browser, served by a running gateway."""

import base64
import hashlib
import json
import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from sense.config.serving import LimitsConfig
from sense.serving import page as served
from tests.serving import browser as browsers
from tests.serving.model_server import ModelServer
from tests.serving.running import Running, settings
from tests.serving.shops import database

needs_browser = pytest.mark.skipif(browsers.executable() is None, reason="no Chromium: install chromium or google-chrome")

SCRIPT = """
CREATE TABLE maker(id INTEGER PRIMARY KEY, name TEXT);
CREATE TABLE item(id INTEGER PRIMARY KEY, name TEXT, price REAL, maker_id INTEGER REFERENCES maker(id));
INSERT INTO maker VALUES (1, 'Spear'), (2, 'Bull <b>dog</b>');
INSERT INTO item VALUES (1, 'spade', 12.5, 1), (2, 'rake', NULL, 1), (3, '<img src=x onerror=alert(1)>', 30, 2);
"""
EXPENSIVE = "What costs more than 10?"
COUNT = "How many makers are there?"
MARKUP = "<script>alert(1)</script><b>Which</b> items?"
LONG = "Everything about everything, please."
NOTHING = "What will it cost tomorrow?"
_ALL = ", ".join(f"item.name AS a_rather_long_name_for_column_{number}" for number in range(12))
ANSWERS = {
    EXPENSIVE: ["SELECT name, price FROM item WHERE price > 10", "SELECT name, price FROM items", "SELECT name, price FROM item"],
    COUNT: ["SELECT COUNT(*) FROM maker"],
    MARKUP: ["SELECT name, price, '<script>alert(2)</script>' FROM item -- \u202eesrever"],
    LONG: [
        f"SELECT {_ALL}, 'x{'y' * 300}' FROM item JOIN maker ON maker.id = item.maker_id WHERE item.name IN ('spade', 'rake')"
    ],
    NOTHING: ["SELECT cost FROM tomorrow"],
}


def write_training_data(data: Path) -> Path:
    """Writes training data into a folder: one question with two pairs, one of them with markup in it."""
    database = data / "unseen" / "databases" / "depot" / "depot.sqlite"
    database.parent.mkdir(parents=True)
    with closing(sqlite3.connect(database)) as connection:
        connection.executescript(SCRIPT)
    example = {"id": "q1", "db_id": "depot", "question": "Name the makers.", "sql": "SELECT name FROM maker", "source": "grammar"}
    pair = {"example_id": "q1", "chosen": example["sql"], "strategy": "all", "error": "mismatch"}
    rows = {
        "unseen/examples.jsonl": [example | {"hardness": "easy"}],
        "strong/examples.jsonl": [example | {"hardness": "easy"}],
        "weak/samples.jsonl": [
            {
                "id": "q1#0",
                "example_id": "q1",
                "sql": "SELECT nam FROM maker",
                "correct": False,
                "verdict": "error",
                "detail": "no",
            }
        ],
        "pairs/pairs.jsonl": [
            pair | {"id": "q1#pair0", "rejected": "SELECT name FROM maker WHERE id = 1"},
            pair | {"id": "q1#pair1", "rejected": "SELECT '<b>bold</b>' FROM maker", "error": "error"},
        ],
    }
    for name, lines in rows.items():
        (data / name).parent.mkdir(parents=True, exist_ok=True)
        (data / name).write_text("".join(json.dumps(line) + "\n" for line in lines))
    return data


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browsers.chromium() as running:
        yield running


@pytest.fixture
def model() -> Iterator[ModelServer]:
    with ModelServer(write=browsers.scripted(ANSWERS)) as server:
        yield server


@pytest.fixture
def gateway(tmp_path: Path, model: ModelServer) -> Iterator[Running]:
    """A gateway that stores feedback and shows data."""
    data = write_training_data(tmp_path / "data")
    config = settings(model.url, data / "unseen" / "databases", data=str(data), feedback=str(tmp_path / "feedback"))
    with Running(config) as running:
        yield running


Open = Callable[..., tuple[Page, browsers.Watch]]


@pytest.fixture
def visit(chromium: Browser, gateway: Running) -> Iterator[Open]:
    """Opens the page; keywords are playwright's options of a context."""
    with ExitStack() as stack:

        def open_page(**options: Any) -> tuple[Page, browsers.Watch]:
            page = stack.enter_context(browsers.page_of(chromium, "about:blank", **options))
            watch = browsers.Watch(page, gateway.url)
            page.goto(gateway.url)
            expect(page.get_by_role("combobox", name="Database")).to_have_value("depot")
            return page, watch

        yield open_page


def test_the_page_is_self_contained_and_its_policy_allows_nothing_else():
    html = served.html()
    assert "{{" not in html
    assert set(re.findall(r"https?://[\w.]+", html)) == {"http://www.w3.org"}  # names of SVG's namespace, fetched by nobody
    assert not re.search(r"<(link|script|img|iframe)[^>]+(src|href)=\"(?!data:)", html)
    assert not re.search(r"\s(on\w+|style)=\"", html.split("<body>")[1].split("<script>")[0])
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", html)
    hashes = [
        base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        for text in re.findall(r"<script>(.*?)</script>", html, re.S)
    ]
    assert len(hashes) == 2
    assert all(f"'sha256-{value}'" in served.csp() for value in hashes)
    assert "unsafe" not in served.csp()
    assert "default-src 'none'" in served.csp()


def test_the_page_offers_what_the_limits_allow():
    html = served.html(LimitsConfig(candidates=3, question_chars=77))
    assert 'data-most="3"' in html
    assert html.count('maxlength="77"') == 2


def _colours(css: str) -> dict[str, str]:
    return dict(re.findall(r"--([\w-]+): (#\w{6});", css))


def _contrast(one: str, other: str) -> float:
    def luminance(colour: str) -> float:
        parts = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_colours_have_the_contrast_that_wcag_requires():
    css = (Path(served.__file__).parent / "style.css").read_text()
    light = _colours(css.split("@media")[0])
    for name, colours in (("light", light), ("dark", light | _colours(css.split('[data-theme="dark"] {\n')[1].split("}")[0]))):
        texts = "ink soft sense good bad broken refused slow big accent t-keyword t-text t-number t-call".split()
        combinations = [(text, ground) for text in texts for ground in ("paper", "raised", "wash")]
        combinations += [(text, ground) for text in ("ink", "soft") for ground in ("marked", "marked-right")]
        combinations += [("ink", "added"), ("ink", "removed"), ("on-accent", "accent")]
        for text, ground in combinations:
            assert _contrast(colours[text], colours[ground]) >= 4.5, (name, text, ground)
        assert _contrast(colours["line"], colours["raised"]) >= 3, name  # edges of fields and buttons


def test_the_system_dark_theme_and_the_chosen_one_have_the_same_colours():
    css = (Path(served.__file__).parent / "style.css").read_text()
    system = _colours(css.split("@media (prefers-color-scheme: dark)")[1].split("[data-theme")[1])
    assert system == _colours(css.split('[data-theme="dark"] {\n')[1].split("}")[0])


@needs_browser
def test_a_question_is_asked_answered_and_corrected(visit, gateway, tmp_path):
    page, watch = visit()
    expect(page.locator("#schema")).to_contain_text("item")
    expect(page.locator(".columns li", has_text="maker_id")).to_contain_text("maker.id")
    browsers.ask(page, EXPENSIVE, k=3)
    assert page.locator("#answer pre").first.inner_text() == "SELECT name, price FROM item WHERE price > 10"
    assert page.locator("#answer tbody tr").all_inner_texts() == ["spade\t12.5", "<img src=x onerror=alert(1)>\t30"]
    expect(page.locator("#model")).to_have_text("sense 1")
    page.get_by_text("3 candidates", exact=True).click()
    expect(page.locator(".candidates li").nth(1)).to_contain_text("no such table: items")
    page.get_by_role("button", name="Wrong").click()
    field = page.get_by_label("The right SQL")
    expect(field).to_have_value("SELECT name, price FROM item WHERE price > 10")
    field.fill("SELECT name FROM item WHERE price > 10 ORDER BY price")
    page.get_by_role("button", name="Send").click()
    expect(page.locator(".stored")).to_contain_text(
        "Kept with your SQL as the right one. The answer, executed against it: its result differs"
    )
    stored = [json.loads(line) for line in (tmp_path / "feedback" / "examples.jsonl").read_text().splitlines()]
    assert [row["sql"] for row in stored] == ["SELECT name FROM item WHERE price > 10 ORDER BY price"]
    watch.clean()


@needs_browser
def test_an_answer_can_be_marked_as_right(visit):
    page, watch = visit()
    browsers.ask(page, COUNT)
    expect(page.locator(".single .value")).to_have_text("2")
    page.context.set_offline(True)
    page.get_by_role("button", name="Right").click()
    expect(page.locator(".feedback .invalid")).to_contain_text("cannot be reached")
    expect(page.get_by_role("button", name="Right")).to_be_focused()
    page.context.set_offline(False)
    page.get_by_role("button", name="Right").click()
    expect(page.locator(".stored")).to_contain_text("Kept as a right answer")
    assert not watch.foreign


@needs_browser
def test_refused_feedback_can_be_corrected(visit):
    page, _ = visit()
    browsers.ask(page, COUNT)
    page.get_by_role("button", name="Wrong").click()
    page.get_by_label("The right SQL").fill("SELECT nonsense FROM maker")
    page.get_by_role("button", name="Send").click()
    expect(page.locator(".correction .invalid")).not_to_be_empty()
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator(".feedback .note")).to_be_empty()
    page.get_by_role("button", name="Wrong").click()
    page.get_by_label("The right SQL").fill("SELECT COUNT(*) + 1 FROM maker")
    page.get_by_role("button", name="Send").click()
    expect(page.locator(".stored")).to_be_visible()


@needs_browser
def test_an_abstention_says_why(visit):
    page, watch = visit()
    browsers.ask(page, NOTHING)
    expect(page.locator(".abstained")).to_contain_text("no such table: tomorrow")
    expect(page.locator(".candidates li")).to_contain_text("did not run")
    watch.clean()


@needs_browser
def test_the_keyboard_is_enough(visit):
    page, watch = visit()
    press, focused = page.keyboard.press, lambda: page.evaluate("document.activeElement.id")
    order = []
    for _ in range(4):
        press("Tab")
        order.append(focused())
    assert order[1:] == ["tab-ask", "theme", "database"]
    press("ArrowDown")
    expect(page.get_by_role("listbox")).to_be_visible()
    press("Escape")
    expect(page.get_by_role("listbox")).to_be_hidden()
    page.get_by_label("Question", exact=True).focus()
    page.keyboard.type(COUNT)
    press("Control+Enter")
    expect(page.locator(".single .value")).to_have_text("2")
    expect(page.locator("#said")).to_contain_text("1 row")
    page.get_by_label("Question", exact=True).fill(EXPENSIVE)
    press("Meta+Enter")
    expect(page.locator("#answer tbody tr")).to_have_count(2)
    page.locator(".entry").first.focus()
    press("ArrowDown")
    press("Enter")
    expect(page.get_by_label("Question", exact=True)).to_have_value(COUNT)
    page.locator("#tab-ask").focus()
    press("ArrowRight")
    assert focused() == "tab-data"
    expect(page.locator("ol.data > li")).to_have_count(2)
    page.locator("#tab-pairs").focus()
    press("End")
    expect(page.locator("#tab-strong")).to_have_attribute("aria-selected", "true")
    press("Home")
    page.locator("ol.data a").first.focus()
    press("Enter")
    expect(page.locator("#pair-title")).to_be_focused()
    page.go_back()
    expect(page.locator("ol.data a").first).to_be_focused()
    watch.clean()


@needs_browser
def test_a_pair_shows_why_the_rejected_sql_is_wrong(visit):
    page, watch = visit()
    page.get_by_role("tab", name="Data").click()
    page.get_by_label("Search").fill("where id")
    expect(page.locator("ol.data > li")).to_have_count(1)
    page.locator("ol.data a").click()
    expect(page.locator(".why")).to_contain_text("It returns 1 row, the right SQL 2.")
    assert page.locator("del").all_inner_texts() == ["WHERE id = 1"]
    assert page.locator("tr.only td:not(.mark)").all_inner_texts() == ["Bull <b>dog</b>"]
    expect(page.locator(".side").last).to_contain_text("1 row; in the chosen result too")
    page.get_by_role("link", name="All pairs").click()
    expect(page.get_by_label("Search")).to_have_value("where id")
    page.get_by_role("tab", name="Weak samples").click()
    page.get_by_label("Search").fill("")
    expect(page.locator("ol.data > li")).to_contain_text("SELECT nam FROM maker")
    page.get_by_role("tab", name="Strong data").click()
    expect(page.locator("#tag-label")).to_have_text("Hardness")
    watch.clean()


@needs_browser
def test_a_link_to_a_pair_opens_it(visit, gateway):
    page, watch = visit()
    page.goto(f"{gateway.url}/#data/pairs/q1%23pair1")
    expect(page.locator(".side").last).to_contain_text("<b>bold</b>")
    watch.clean()
    page.goto(f"{gateway.url}/#data/pairs/nothing")
    expect(page.locator("#pair .problem")).to_contain_text("Not found")
    expect(page.get_by_role("button", name="Try again")).to_have_count(0)


@needs_browser
def test_long_lists_are_paged_by_the_keyboard(visit, tmp_path):
    page, watch = visit()
    page.get_by_role("tab", name="Data").click()
    expect(page.locator("ol.data > li")).to_have_count(2)
    expect(page.get_by_role("button", name="Next")).to_have_count(0)
    strong = tmp_path / "data" / "strong" / "examples.jsonl"
    row = json.loads(strong.read_text())
    strong.write_text("".join(json.dumps(row | {"id": f"s{number}"}) + "\n" for number in range(60)))
    page.get_by_role("tab", name="Strong data").click()
    count = page.locator(".pager .count").first
    expect(count).to_have_text("1–25 of 60")
    page.get_by_role("button", name="Next").first.focus()
    for range_text in ("26–50 of 60", "51–60 of 60"):
        page.keyboard.press("Enter")
        expect(count).to_have_text(range_text)
    expect(page.get_by_role("button", name="Previous").first).to_be_focused()
    watch.clean()


@needs_browser
def test_markup_stays_text(visit):
    page, watch = visit()
    page.on("dialog", lambda dialog: watch.errors.append("a dialog") or dialog.dismiss())
    browsers.ask(page, MARKUP)
    expect(page.locator("#answer h2").first).to_have_text(MARKUP)
    assert page.locator("#answer img, #answer b, #answer script").count() == 0
    assert "\ufffdesrever" in page.locator("#answer pre").first.inner_text()
    watch.clean()


_TOO_SMALL = """() => [...document.querySelectorAll("button, select, input, textarea, summary, a[href], [role=option]")]
    .filter((each) => each.checkVisibility() && !each.matches(".skip") && each.getBoundingClientRect().height < 44)
    .map((each) => each.outerHTML)"""
_BELOW = "document.documentElement.scrollHeight - Math.max(innerHeight, document.body.offsetHeight)"
_NUMBERS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300) SELECT {} FROM n"


@needs_browser
@pytest.mark.parametrize("width", [320, 390])
def test_a_phone_needs_no_sideways_scrolling(visit, width, tmp_path):
    pairs = tmp_path / "data" / "pairs" / "pairs.jsonl"
    wide = [_NUMBERS.format(", ".join(f"i + {by} AS quite_a_long_name_{number}" for number in range(9))) for by in (0, 1000)]
    added = json.loads(pairs.read_text().splitlines()[0]) | {"id": "wide", "chosen": wide[0], "rejected": wide[1]}
    pairs.write_text(pairs.read_text() + json.dumps(added) + "\n")
    page, watch = visit(width=width, height=800, has_touch=True, is_mobile=True)
    expect(page.locator("#schema-body")).to_be_hidden()
    page.evaluate("document.getElementById('key').hidden = false")  # so that the bar shows all its buttons
    sideways = "document.documentElement.scrollWidth - document.documentElement.clientWidth"  # innerWidth grows with it
    for question in (LONG, NOTHING):
        browsers.ask(page, question)
        assert page.evaluate(sideways) <= 0, question
    page.locator("#schema > summary").click()
    expect(page.locator("#schema-body")).to_be_visible()
    page.get_by_role("combobox", name="Database").click()
    assert page.evaluate(sideways) <= 0
    assert page.evaluate(_TOO_SMALL) == []
    page.keyboard.press("Escape")
    page.get_by_role("tab", name="Data").click()
    for tab in ("Weak samples", "Strong data", "Pairs"):
        page.get_by_role("tab", name=tab).click()
        page.locator("ol.data > li").first.wait_for()
        assert page.evaluate(sideways) <= 0, tab
    assert page.evaluate(_TOO_SMALL) == []
    page.locator("ol.data a").last.click()
    expect(page.locator("tr.only")).to_have_count(600)
    assert page.evaluate(sideways) <= 0
    assert page.evaluate(_BELOW) <= 0  # rows that scroll in their table make the page no longer
    assert page.evaluate(_TOO_SMALL) == []
    watch.clean()


@needs_browser
def test_a_long_schema_is_folded_and_scrolls_by_itself(chromium, model, tmp_path):
    database(tmp_path / "many" / "many.sqlite", "".join(f"CREATE TABLE t{number}(a, b);" for number in range(90)))
    with Running(settings(model.url, tmp_path)) as gateway, browsers.page_of(chromium, gateway.url) as page:
        expect(page.locator("#schema > summary")).to_have_text("Schema 90 tables")
        assert page.locator(".tables details[open]").count() == 0
        assert page.evaluate(
            "(() => { const list = document.querySelector('.tables'); return list.scrollHeight > list.clientHeight })()"
        )
        assert page.evaluate(_BELOW) <= 0
        expect(page.locator("#history-title")).to_be_in_viewport()


@needs_browser
def test_the_theme_follows_the_system_until_one_is_chosen(visit):
    page, watch = visit(color_scheme="light")
    background = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(background)
    page.get_by_role("button", name="Theme").click()
    dark = page.evaluate(background)
    assert dark != light
    page.reload()
    assert page.evaluate(background) == dark
    page.get_by_role("button", name="Theme").click()
    assert page.evaluate(background) == light
    page.emulate_media(color_scheme="dark")
    assert page.evaluate(background) == dark
    watch.clean()


@needs_browser
def test_the_history_lasts_and_can_be_cleared(visit):
    page, watch = visit()
    with page.expect_request("**/v1/sql") as first:
        browsers.ask(page, EXPENSIVE)
    with page.expect_request("**/v1/sql") as second:
        browsers.ask(page, COUNT)
    assert first.value.headers["x-session-id"] == second.value.headers["x-session-id"]
    page.reload()
    expect(page.locator(".entry .question")).to_have_text([COUNT, EXPENSIVE])
    expect(page.locator(".entry .about").first).to_contain_text("sense 1")  # the version that answered
    page.locator(".entry").last.click()
    expect(page.get_by_label("Question", exact=True)).to_have_value(EXPENSIVE)
    expect(page.locator("#answer")).to_contain_text("From the history, without rows")
    assert "spade" not in page.evaluate("JSON.stringify({...localStorage})")
    page.get_by_role("button", name="Clear").click()
    expect(page.locator(".entry")).to_have_count(0)
    page.get_by_role("button", name="Undo").click()
    expect(page.locator(".entry")).to_have_count(2)
    page.get_by_role("button", name="Clear").click()
    page.reload()
    expect(page.locator(".entry")).to_have_count(0)
    expect(page.get_by_role("button", name="Undo")).to_have_count(0)
    watch.clean()


@needs_browser
def test_the_policy_holds_in_the_browser(visit, model):
    page, watch = visit()
    assert page.evaluate(f"fetch('{model.url}/version').then(() => 'let through', () => 'refused')") == "refused"
    inline = "(() => { const made = document.createElement('script'); made.textContent = '1'; document.body.append(made); })()"
    assert "TrustedScript" in page.evaluate(f"(() => {{ try {{ {inline} }} catch (error) {{ return String(error); }} }})()")
    assert any("Content Security Policy" in error for error in watch.errors)


@needs_browser
def test_it_works_where_storage_is_blocked(chromium, gateway):
    blocked = """for (const kind of ["localStorage", "sessionStorage"])
        Object.defineProperty(window, kind, {get() { throw new Error("blocked"); }});"""
    with browsers.page_of(chromium, "about:blank") as page:
        page.context.add_init_script(blocked)
        watch = browsers.Watch(page, gateway.url)
        page.goto(gateway.url)
        expect(page.get_by_role("combobox", name="Database")).to_have_value("depot")
        browsers.ask(page, COUNT)
        expect(page.locator(".entry .question")).to_have_text(COUNT)
        expect(page.locator("#history-note")).to_contain_text("keeps nothing")
        watch.clean()


@needs_browser
def test_an_unavailable_model_is_reported_and_can_be_tried_again(visit, model):
    page, _ = visit()
    model.fail(500)
    browsers.ask(page, COUNT)
    notice = page.locator("#answer .problem")
    expect(notice).to_contain_text("Not available now")
    expect(notice.locator("code")).to_have_text(re.compile(r"^[A-Za-z0-9._-]+$"))
    model.heal()
    ended = page.locator("#answer .single, #answer .problem button:enabled")
    for _ in range(10):  # the gateway finds out by itself that the model is back
        ended.wait_for()
        if page.locator("#answer .single").count():
            break
        ended.click()
    expect(page.locator("#answer .single .value")).to_have_text("2")


@needs_browser
def test_an_unavailable_network_is_reported(visit):
    page, _ = visit()
    page.context.set_offline(True)
    browsers.ask(page, COUNT)
    expect(page.locator("#answer .problem")).to_contain_text("The gateway cannot be reached.")
    page.context.set_offline(False)
    page.get_by_role("button", name="Try again").click()
    expect(page.locator("#submit")).to_be_focused()
    expect(page.locator(".single .value")).to_have_text("2")


@needs_browser
def test_unavailable_databases_are_reported_on_a_phone_too(visit):
    page, _ = visit(width=390, height=800)
    page.route("**/v1/databases", lambda route: route.abort())
    page.reload()
    expect(page.locator("#schema-body .problem")).to_be_visible()
    page.unroute("**/v1/databases")
    page.get_by_role("button", name="Try again").click()
    expect(page.locator("#schema > summary")).to_be_focused()
    expect(page.get_by_role("combobox", name="Database")).to_have_value("depot")


@needs_browser
def test_a_question_in_flight_can_be_stopped(visit, model):
    page, watch = visit()
    browsers.ask(page, EXPENSIVE)
    model.stall()
    page.get_by_label("Question", exact=True).fill(COUNT)
    page.get_by_role("button", name="Ask", exact=True).click()
    model.until(lambda: model.in_flight == 1)
    page.get_by_role("button", name="Stop").click()
    expect(page.locator("#answer")).to_have_text("Stopped.")
    model.until(lambda: model.aborted == 1)
    page.get_by_role("button", name="Ask", exact=True).click()
    model.until(lambda: model.in_flight == 1)
    page.locator(".entry").click()
    model.until(lambda: model.aborted == 2)
    expect(page.locator("#answer")).to_contain_text("From the history")
    model.resume()
    browsers.ask(page, COUNT)
    expect(page.locator(".single .value")).to_have_text("2")
    watch.clean()


@needs_browser
def test_a_key_is_prompted_for_and_stored_in_the_tab_alone(chromium, model, shop, monkeypatch):
    monkeypatch.setenv("SENSE_GATEWAY_KEYS", "open-sesame")
    with Running(settings(model.url, shop)) as gateway, browsers.page_of(chromium, gateway.url) as page:
        dialog = page.get_by_role("dialog")
        expect(dialog).to_be_visible()
        page.keyboard.press("Escape")
        expect(dialog).to_be_hidden()
        expect(page.locator("#schema-body .problem")).to_contain_text("A key is needed")
        page.get_by_role("button", name="API key").click()
        page.get_by_label("Key", exact=True).fill("wrong")
        page.keyboard.press("Enter")
        expect(dialog).to_contain_text("did not take this key")
        page.get_by_label("Key", exact=True).fill("open\u200bsesame")
        page.keyboard.press("Enter")
        expect(dialog).to_contain_text("copy it once more")
        page.get_by_label("Key", exact=True).fill("open-sesame")
        page.keyboard.press("Enter")
        expect(page.get_by_role("combobox", name="Database")).to_have_value("shop")
        assert "open-sesame" not in page.evaluate("JSON.stringify({...localStorage})")
        assert "open-sesame" in page.evaluate("JSON.stringify({...sessionStorage})")


@needs_browser
def test_the_page_hides_what_the_gateway_does_not_offer(chromium, model, shop):
    with Running(settings(model.url, shop)) as gateway, browsers.page_of(chromium, "about:blank") as page:
        watch = browsers.Watch(page, gateway.url)
        page.goto(f"{gateway.url}/#data")
        expect(page.get_by_label("Question", exact=True)).to_be_visible()
        expect(page.get_by_role("tab", name="Data")).to_be_hidden()
        expect(page.get_by_role("combobox", name="Database")).to_have_value("shop")
        browsers.ask(page, COUNT)
        expect(page.locator("#answer .facts")).to_be_visible()
        expect(page.locator("#answer .feedback")).to_have_count(0)
        watch.clean()


def test_the_gateway_serves_the_page_with_its_policy(module_gateway):
    answer = module_gateway.client.get("/")
    assert answer.text == served.html(module_gateway.config.limits)
    assert answer.headers["Content-Security-Policy"] == served.csp()
