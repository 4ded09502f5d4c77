"""The `sense` command itself: what a broken pipe means."""

import os
import subprocess
import sys

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
