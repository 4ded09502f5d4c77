"""What the pages say is so: commands parse, links and files exist, examples are valid, the table of packages is the tests' own.

Commands in `bash` fences are run by tests/test_pipeline.py; `make docs` (in `make check`) refuses a broken link within docs/.
"""

import json
import re
import shlex

import pytest
import yaml

from sense import cli, config
from tests.documentation import PAGES, ROOT, Block, blocks, commands, prose
from tests.test_arrows import ARROWS

BLOCKS = [block for page in PAGES for block in blocks(page)]
NAMES = {page.relative_to(ROOT).as_posix(): page for page in PAGES}
# Files of this repository that a page names, with * for several and NAME for any.
_PATH = re.compile(r"`((?:sense|tests|components|pipelines|charts|configs|benchmarks|docs|\.ci)/[\w./*@-]+)`")


def sense_arguments(command: str) -> list[str] | None:
    """The arguments of a `sense` command, up to a redirection or pipe; None for another program."""
    words = shlex.split(command, comments=True)
    end = next((number for number, word in enumerate(words) if word in {">", ">>", "|", "&&"}), len(words))
    words = words[:end]
    if words[:1] == ["sense"]:
        return words[1:]
    return words[words.index("-m") + 2 :] if "-m" in words and words[words.index("-m") + 1] == "sense" else None


def test_a_fence_is_of_a_language_that_the_tests_know():
    assert {block.language for block in BLOCKS} <= {"bash", "sh", "json", "yaml", "text", "python", "", "{toctree}"}


@pytest.mark.parametrize("name", NAMES)
def test_commands_stand_in_fences_that_are_run_or_parsed(name):
    others = "\n".join(block.text for block in blocks(NAMES[name]) if block.language not in {"bash", "sh"})
    indented = re.sub(r"^(?! {4}).*$", "", prose(NAMES[name]), flags=re.MULTILINE)
    assert not re.findall(rf"^\s*(?:sense (?:{'|'.join(cli.COMMANDS)}) .*|make [a-z]+.*)$", others + indented, re.MULTILINE)


@pytest.mark.parametrize("command", commands("bash") | commands("sh"))
def test_a_command_parses(command):
    arguments = sense_arguments(command)
    if arguments and arguments != ["--help"] and "--help" not in arguments:
        cli._parser(arguments[0]).parse_args(arguments)
    elif command.startswith("make "):
        target = command.split()[1]
        assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
    elif command.startswith("cp "):
        assert (ROOT / command.split()[1]).is_file()


@pytest.mark.parametrize("name", NAMES)
def test_a_command_in_the_text_exists(name):
    assert set(re.findall(r"`sense ([a-z]+)", prose(NAMES[name]))) <= set(cli.COMMANDS)


@pytest.mark.parametrize("name", NAMES)
def test_links_and_files_exist(name):
    page, text = NAMES[name], prose(NAMES[name])
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
        assert (page.parent / target).exists() or target == "keys.md", target
    for path in _PATH.findall(text):
        assert list(ROOT.glob(path.replace("NAME", "*").rstrip("/"))), path


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.language in {"json", "yaml"}], ids=lambda block: block.page)
def test_an_example_is_valid(block: Block):
    value = json.loads(block.text) if block.language == "json" else yaml.safe_load(block.text)
    if block.page == "docs/serving.md" and block.language == "yaml":
        config.validate(config.ServeConfig, value, block.page)


def test_the_readme_is_short():
    assert (ROOT / "README.md").stat().st_size <= 8192


def test_the_table_of_packages_is_that_of_the_arrow_tests():
    rows = re.findall(r"^\| `(\w+)` \| [^|]+ \| ([^|]*)\|$", (ROOT / "docs/architecture.md").read_text(), re.MULTILINE)
    assert [(name, set(re.findall(r"`(\w+)`", imported))) for name, imported in rows] == list(ARROWS.items())
