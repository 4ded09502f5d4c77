"""A real browser for the page: what its tests use, and `python tests/serving/browser.py OUTDIR`, which takes pictures of it.

The pictures show the data of a finished run, data/ in the working copy; the model is a script behind real HTTP.
"""

import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from playwright.sync_api import Browser, ConsoleMessage, Page, Request, sync_playwright

_EXECUTABLES = ("chromium", "chromium-browser", "google-chrome")
ScriptedAnswers = Mapping[str, Sequence[str]]


def executable() -> str | None:
    """The system's Chromium, if there is one."""
    return next((path for name in _EXECUTABLES if (path := shutil.which(name))), None)


@contextmanager
def chromium() -> Iterator[Browser]:
    """A running Chromium; --no-sandbox, as its sandbox refuses root."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable(), args=["--no-sandbox", "--disable-dev-shm-usage"])
        try:
            yield browser
        finally:
            browser.close()


class Watch:
    """Records errors in the console, uncaught exceptions and requests to other hosts."""

    def __init__(self, page: Page, url: str) -> None:
        self.errors: list[str] = []
        self.foreign: list[str] = []
        self._url = url
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.errors.append(f"uncaught: {error}"))
        page.on("request", self._request)

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.errors.append(message.text)

    def _request(self, request: Request) -> None:
        if not request.url.startswith((self._url, "data:")):
            self.foreign.append(request.url)

    def clean(self) -> None:
        """AssertionError if anything was recorded."""
        assert not self.errors, self.errors
        assert not self.foreign, self.foreign


@contextmanager
def page_of(browser: Browser, url: str, width: int = 1280, height: int = 900, **options: Any) -> Iterator[Page]:
    """A page at `url` in a context of its own, closed at the end."""
    context = browser.new_context(viewport={"width": width, "height": height}, reduced_motion="reduce", **options)
    try:
        page = context.new_page()
        page.set_default_timeout(20_000)
        page.goto(url)
        yield page
    finally:
        context.close()


def scripted(answers: ScriptedAnswers) -> Callable[[dict[str, Any], int], str]:
    """What a model server writes: the answers to the question in the prompt, the first greedily, the others when sampled."""

    def write(body: dict[str, Any], index: int) -> str:
        candidates = next((sqls for question, sqls in answers.items() if question in body["prompt"]), ["SELECT 1"])
        return f" {candidates[min(index + 1, len(candidates) - 1)] if body.get('temperature') else candidates[0]}"

    return write


def ask(page: Page, question: str, database: str = "", k: int = 1) -> None:
    """Asks as a person with a mouse does, and waits for the answer or an error."""
    if database:
        page.get_by_role("combobox", name="Database").click()
        page.get_by_role("option", name=database, exact=True).click()
    page.get_by_label("Question", exact=True).fill(question)
    page.get_by_label("Candidates").select_option(str(k))
    page.get_by_role("button", name="Ask", exact=True).click()
    page.locator("#answer .card:not(.waiting), #answer .notice").first.wait_for()


_TRIPS = (
    "SELECT T2.driver_name, T1.trip_date, T1.delay_minutes, T1.passengers FROM trip AS T1 "
    "JOIN driver AS T2 ON T1.badge = T2.badge"
)
_STEP_FREE_STOPS = "Which step-free stops are served by more than one line? Give the name and the number of lines."
_DELAYED = "Which trips were late, who drove, and how many passengers were on board?"
_WIDE = "Show everything there is to know about the batches, with their beers and styles."
_SINGLE_VALUE = "How many stops are step-free?"
_UNANSWERABLE = "What is the weather at the depot?"
DEMO: ScriptedAnswers = {
    _DELAYED: [
        f"{_TRIPS} WHERE T1.delay_minutes > 0 ORDER BY T1.delay_minutes DESC",
        f"{_TRIPS} WHERE T1.delay_minutes >= 1 ORDER BY 3 DESC",
        "SELECT name, delay FROM trips WHERE delay > 0",
        f"{_TRIPS} WHERE T1.delay_minutes > 5 ORDER BY T1.delay_minutes DESC",
    ],
    _STEP_FREE_STOPS: [
        'SELECT T1.stop_name, COUNT(*) AS "number of lines" FROM stop AS T1 JOIN line_stop AS T2 ON T1.stop_id = T2.stop_id '
        "WHERE T1.step_free = 'yes' AND T1.zone != 'A' GROUP BY T1.stop_id HAVING COUNT(*) > 1 UNION SELECT stop_name, 0 "
        "FROM stop WHERE stop_id NOT IN (SELECT stop_id FROM line_stop) ORDER BY 2 DESC LIMIT 20 -- ties as they come"
    ],
    _WIDE: ["SELECT * FROM batch AS T1 JOIN beer AS T2 ON T1.beer_id = T2.beer_id JOIN style AS T3 ON T2.style_id = T3.style_id"],
    _SINGLE_VALUE: ["SELECT COUNT(*) FROM stop WHERE step_free = 'yes'"],
    _UNANSWERABLE: ["SELECT temperature FROM weather", "DELETE FROM depot", "SELECT weather FROM depot"],
}


def pictures(folder: Path, data: Path) -> None:
    """Takes every picture into `folder`."""
    from tests.serving.model_server import ModelServer
    from tests.serving.running import Running, settings

    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory() as temporary, ModelServer(write=scripted(DEMO)) as model, chromium() as browser:
        config = settings(model.url, data / "dev" / "databases", data=str(data), feedback=f"{temporary}/feedback")
        with Running(config) as gateway:
            for theme in ("light", "dark"):
                with page_of(browser, gateway.url, color_scheme=theme) as page:
                    _picture_questions(page, folder, theme, model)
                    _picture_data(page, folder, theme, gateway.url)
            with page_of(browser, gateway.url, 390, 844, device_scale_factor=2, has_touch=True, is_mobile=True) as page:
                _picture_questions(page, folder, "phone", model)
                _picture_data(page, folder, "phone", gateway.url)


def _picture_questions(page: Page, folder: Path, name: str, model: Any) -> None:
    def take(what: str) -> None:
        page.screenshot(path=folder / f"{name}-{what}.png", full_page=True)

    page.locator("#schema .tables").wait_for(state="attached")
    take("start")
    ask(page, _DELAYED, "tram_network", 4)
    page.get_by_text("4 candidates", exact=True).click()
    take("answer")
    page.get_by_role("button", name="Wrong").click()
    take("correction")
    page.get_by_label("The right SQL").fill(f"{_TRIPS} WHERE T1.delay_minutes > 5")
    page.get_by_role("button", name="Send").click()
    page.locator(".stored").wait_for()
    take("stored")
    ask(page, _STEP_FREE_STOPS)
    take("long")
    ask(page, _WIDE, "craft_brewery")
    take("wide")
    ask(page, _SINGLE_VALUE, "tram_network")
    take("single")
    ask(page, _UNANSWERABLE, k=3)
    take("abstained")
    model.fail(500)
    ask(page, _SINGLE_VALUE)
    take("problem")
    model.heal()
    page.locator(".entry").last.click()
    take("history")
    page.evaluate("document.getElementById('key-dialog').showModal()")
    page.screenshot(path=folder / f"{name}-key.png")
    page.keyboard.press("Escape")
    page.get_by_role("combobox", name="Database").click()
    take("picker")
    page.keyboard.press("Escape")


def _picture_data(page: Page, folder: Path, name: str, url: str) -> None:
    def take(what: str) -> None:
        page.locator("#rows:not([aria-busy=true])").wait_for(state="attached")
        page.screenshot(path=folder / f"{name}-{what}.png", full_page=name == "phone")

    page.get_by_role("tab", name="Data").click()
    page.locator("ol.data > li").first.wait_for()
    take("pairs")
    page.locator("ol.data a").first.click()
    page.locator("#pair .sides").wait_for()
    take("pair-error")
    page.goto(f"{url}/#data/pairs")
    page.get_by_label("Verdict").select_option("mismatch")
    page.locator(".badge:not(.v-mismatch)").first.wait_for(state="detached")
    page.locator("ol.data a").last.click()
    page.locator("#pair .sides").wait_for()
    take("pair-mismatch")
    for kind in ("Weak samples", "Strong data"):
        page.goto(f"{url}/#data/{kind.split()[-1] if kind.startswith('Weak') else 'strong'}")
        page.locator("ol.data > li").first.wait_for()
        take(kind.split()[0].lower())
    page.goto(f"{url}/#ask")


if __name__ == "__main__":
    sys.path.insert(0, str(Path.cwd()))
    pictures(Path(sys.argv[1]), Path(sys.argv[2] if len(sys.argv) > 2 else "data"))
