"""The one fake of the tests: an OpenAI-compatible HTTP server on 127.0.0.1, real down to the socket.

    with Endpoint([chat_reply("hello")]) as endpoint:
        LlmConfig(model="m", base_url=endpoint.base_url, ...)

A script is a list of replies, given out one after the other, or a function from the request's JSON to a reply.
`good_teacher()` is such a function: it answers the strong prompt with a data point that builds and runs.
"""

import hashlib
import json
import random
import re
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Reply = tuple[int, dict[str, str], Any]  # status, headers, body: text, bytes, or what is sent as JSON
Answerer = Callable[[dict[str, Any]], Reply]

HANG: Reply = (0, {}, "")  # no answer until the endpoint closes


@dataclass(frozen=True)
class Request:
    """What a client sent; header names in lower case. The body of a GET is {}."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]


class _Server(ThreadingHTTPServer):
    daemon_threads = False  # so that closing waits for them, and no socket outlives the test
    request_queue_size = 128  # with the default of 5 the kernel resets connections of clients that open many at once


class Endpoint:
    """A running server; `requests` in order of arrival. A list that has run out answers 500."""

    def __init__(self, script: Sequence[Reply] | Answerer) -> None:
        self.requests: list[Request] = []
        self._script = script
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._server = _Server(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def __enter__(self) -> "Endpoint":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _reply(self, request: Request) -> Reply:
        with self._lock:
            self.requests.append(request)
            number = len(self.requests) - 1
        if callable(self._script):
            return self._script(request.body)
        return self._script[number] if number < len(self._script) else (500, {}, "the script has run out")

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        endpoint = self

        class Handler(BaseHTTPRequestHandler):  # HTTP/1.0: each request on a connection of its own
            def do_GET(self) -> None:
                self._answer({})

            def do_POST(self) -> None:
                self._answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

            def _answer(self, body: dict[str, Any]) -> None:
                headers = {name.lower(): value for name, value in self.headers.items()}
                status, extra, answer = endpoint._reply(Request(self.path, headers, body))
                if not status:
                    endpoint._closing.wait(30)
                    return
                content = (
                    answer if isinstance(answer, bytes) else (answer if isinstance(answer, str) else json.dumps(answer)).encode()
                )
                self.send_response(status)
                for name, value in ({"Content-Length": str(len(content))} | extra).items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                pass

        return Handler


def chat_reply(content: Any, finish: str = "stop", **message: Any) -> Reply:
    """A whole chat completion whose answer is `content`, with further fields of its message."""
    choice = {"index": 0, "message": {"role": "assistant", "content": content} | message, "finish_reason": finish}
    return 200, {}, {"id": "chatcmpl-1", "object": "chat.completion", "model": "fake", "choices": [choice]}


def models_reply(*names: str, **fields: Any) -> Reply:
    """The list of a server's models, each with further fields such as vLLM's max_model_len."""
    return 200, {}, {"object": "list", "data": [{"id": name, "object": "model"} | fields for name in names]}


def text_reply(text: str, prompt_tokens: int | None = None, finish: str | None = "stop") -> Reply:
    """A completion of `/completions`; with `prompt_tokens`, the server's count of them."""
    usage = {} if prompt_tokens is None else {"usage": {"prompt_tokens": prompt_tokens}}
    return 200, {}, {"object": "text_completion", "choices": [{"index": 0, "text": text, "finish_reason": finish}]} | usage


def error_reply(status: int, message: str, **fields: Any) -> Reply:
    """An error in OpenAI's form."""
    return status, {}, {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": None} | fields}


def answer_text(reply: Reply) -> str:
    """The text of a completion."""
    return str(reply[2]["choices"][0]["message"]["content"])


# domain, parent, child, what the child is counted in
_THEMES = (
    ("lighthouse upkeep", "lighthouse", "repair", "cost"),
    ("beekeeping", "apiary", "harvest", "weight"),
    ("puppet theatre", "puppeteer", "performance", "tickets"),
    ("glacier survey", "glacier", "expedition", "distance"),
    ("stamp auctions", "collector", "stamp", "price"),
    ("bell foundry", "foundry", "bell", "mass"),
    ("canal locks", "canal", "passage", "toll"),
    ("mushroom growing", "cellar", "crop", "yield"),
)
_NONSENSE = ("prose", "field", "schema", "rows", "write", "error", "empty")


def good_teacher(nonsense: float = 0.0) -> Answerer:
    """Answers strong prompts as a good teacher would; about a share `nonsense` of the answers is unusable.

    The answer depends on the request alone, never on the order of arrival; another request gives another data
    point. Its SQL has the hardness that the prompt asks for and returns rows.
    """

    def answer(request: dict[str, Any]) -> Reply:
        rng = random.Random(hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest())
        level = re.search(r"at the (\w+) level", request["messages"][-1]["content"])
        point = data_point(rng, level[1] if level else "easy")
        if rng.random() < nonsense:
            return chat_reply(_spoilt(point, rng.choice(_NONSENSE)))
        text = json.dumps(point)
        return chat_reply(f"```json\n{text}\n```" if rng.random() < 0.2 else text)

    return answer


def data_point(rng: random.Random, level: str) -> dict[str, Any]:
    """A valid answer to the strong prompt at `level`, drawn by `rng`."""
    domain, parent, child, amount = rng.choice(_THEMES)
    # Every condition below has an effect: the highest amount alone is above the average of all of them, five are above that of
    # the others, and these belong to four parents.
    amounts = [1_000 * number + rng.randrange(900) for number in range(1, 10)] + [rng.randrange(90_000, 100_000)]
    order = rng.sample(range(10), 10)
    names = [_word(rng) for _ in range(4)]
    parents = ", ".join(f"({number}, '{name}')" for number, name in enumerate(names, start=1))
    children = ", ".join(
        f"({number}, {position % 4 + 1}, '{_word(rng)}', {amounts[position]})" for number, position in enumerate(order, start=1)
    )
    low, high = min(amounts), max(amounts)
    joined = f"{parent} AS T1 JOIN {child} AS T2 ON T1.id = T2.{parent}_id"
    average = f"(SELECT avg({amount}) FROM {child} WHERE {amount} < {high})"
    question, sql = {
        "easy": (
            f"Which {child} titles have a {amount} above {low}?",
            f"SELECT title FROM {child} WHERE {amount} > {low}",
        ),
        "medium": (
            f"List each {child} with a {amount} above {low} and the name of its {parent}.",
            f"SELECT T1.name, T2.title FROM {joined} WHERE T2.{amount} > {low}",
        ),
        "hard": (
            f"Which {child} titles have a {amount} above the average of those below {high}?",
            f"SELECT title FROM {child} WHERE {amount} > {average}",
        ),
        "extra": (
            f"Which 3 {parent} names have the highest total {amount}, of those above the average of those below {high}?",
            f"SELECT T1.name, sum(T2.{amount}) FROM {joined} WHERE T2.{amount} > {average} "
            f"GROUP BY T1.name ORDER BY sum(T2.{amount}) DESC LIMIT 3",
        ),
    }[level]
    return {
        "domain": domain,
        "schema": [
            f"CREATE TABLE {parent} (id INTEGER PRIMARY KEY, name TEXT NOT NULL)",
            f"CREATE TABLE {child} (id INTEGER PRIMARY KEY, {parent}_id INTEGER, title TEXT, {amount} INTEGER, "
            f"FOREIGN KEY ({parent}_id) REFERENCES {parent}(id))",
        ],
        "rows": [
            f"INSERT INTO {parent} VALUES {parents}",
            f"INSERT INTO {child} (id, {parent}_id, title, {amount}) VALUES {children}",
        ],
        "question": f"{_word(rng)} {_word(rng)} {_word(rng)} {_word(rng)} asks: {question}",  # else they are near-duplicates
        "sql": sql,
    }


def _word(rng: random.Random) -> str:
    return "".join(rng.choice("bdfgklmnprstvz") + rng.choice("aeiou") for _ in range(4)).capitalize()


def _spoilt(point: dict[str, Any], kind: str) -> str:
    """The answer with `point`, made unusable in one way."""
    table = point["sql"].partition("FROM ")[2].split()[0]
    spoilt = {
        "field": {"sql": None},
        "schema": {"schema": [*point["schema"], "DROP TABLE sqlite_master"]},
        "rows": {"rows": [f"INSERT INTO {table} SELECT * FROM {table}"]},
        "write": {"sql": f"DELETE FROM {table}"},
        "error": {"sql": "SELECT no_such_column FROM no_such_table"},
        "empty": {"sql": f"SELECT * FROM {table} WHERE 1 = 0"},
    }
    return "I cannot help with that." if kind == "prose" else json.dumps(point | spoilt[kind])
