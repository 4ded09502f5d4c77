"""The pages that people read, and the commands in them.

A fence says what becomes of its commands: `bash` is run by the tests on a finished run of the tiny profile; `sh` needs what a
test does not have (a cluster, a GPU, a server), and each `sense` command in it is parsed by the command line's own parser.
"""

import re
import textwrap
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
# keys.md is written by docs/conf.py
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted(page for page in (ROOT / "docs").glob("*.md") if page.name != "keys.md"),
    ROOT / "charts/sense/README.md",
    ROOT / "benchmarks/RESULTS.md",
]
_FENCE = re.compile(r"^(?P<margin> *)```(?P<language>\S*)\n(?P<text>.*?)^(?P=margin)```$", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    """A fenced block of a page, without its margin."""

    page: str
    language: str
    text: str


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page, in order."""
    name = page.relative_to(ROOT).as_posix()
    return [Block(name, match["language"], textwrap.dedent(match["text"])) for match in _FENCE.finditer(page.read_text())]


def prose(page: Path) -> str:
    """A page without its fenced blocks."""
    return _FENCE.sub("", page.read_text())


def commands(language: str) -> dict[str, str]:
    """The commands in all fences of `language`, each once, and the page where each stands first."""
    first: dict[str, str] = {}
    for page in PAGES:
        for block in blocks(page):
            if block.language == language:
                for line in block.text.replace("\\\n", " ").splitlines():
                    command = " ".join(line.split())
                    if command and not command.startswith("#"):
                        first.setdefault(command, block.page)
    return first
