"""The `sense` command itself: what a broken pipe means, and what it says of a misspelt command or flag."""

import os
import subprocess
import sys

import pytest

from sense import cli

PROGRAM = """
import sys
from types import SimpleNamespace
from sense import cli

def main(options):
    {body}

cli._module = lambda name: SimpleNamespace(add_arguments=lambda parser, name: None, main=main)
sys.exit(cli.main(["results"]))
"""


def run(body: str, stdout: int) -> subprocess.CompletedProcess[str]:
    program = PROGRAM.format(body=body)
    return subprocess.run([sys.executable, "-c", program], stdout=stdout, stderr=subprocess.PIPE, text=True, check=False)


def test_a_reader_that_has_seen_enough_is_no_failure():
    reader, writer = os.pipe()
    os.close(reader)
    try:
        finished = run("print('x' * 100_000)", writer)
    finally:
        os.close(writer)
    assert (finished.returncode, finished.stderr) == (0, "")


def test_any_other_broken_pipe_is_a_failure():
    """A stage that ended so must not look done."""
    finished = run("raise BrokenPipeError('of a worker')", subprocess.DEVNULL)
    assert finished.returncode == 1
    assert "of a worker" in finished.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["synthesise"], "sense: error: synthesise: no such command; did you mean synthesize?\nall commands: sense --help\n"),
        (["xyzzy"], "sense: error: xyzzy: no such command\nall commands: sense --help\n"),
        (
            ["sft", "--strong", "a", "--seed", "b", "--modle=c", "--curve", "d", "--metrics", "e"],
            "sense sft: error: --modle: no such flag; did you mean --model?\nall flags: sense sft --help\n",
        ),
        (
            ["data", "push", "data/own", "--remot", "a", "--rmote", "b"],
            "sense data push: error: --rmote: no such flag; did you mean --remote?\nall flags: sense data push --help\n",
        ),
    ],
)
def test_a_misspelt_command_or_flag_is_named_with_the_nearest(capsys, arguments, message):
    with pytest.raises(SystemExit, match="2"):
        cli.main(arguments)
    assert capsys.readouterr().err.endswith(message)


def test_the_flags_of_a_program_that_is_started_are_its_own():
    """`sense teacher serve -- PROGRAM --flag`; and the beginning of a flag is one."""
    parser = cli._parser("teacher")
    options = parser.parse_args(["teacher", "serve", "--", "pytest", "--modle"])
    assert options.program[-2:] == ["pytest", "--modle"]
    assert cli._parser("profile").parse_args(["profile", "--par", "x.yaml"]).params.name == "x.yaml"
