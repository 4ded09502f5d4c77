"""The `sense` command: one table of subcommands, and the exit codes.

The module of a subcommand is imported only when that subcommand is used, so that `sense --help` is instant. Exit codes:
0 done, 2 something the user can mend, 1 a defect of SENSE, 130 interrupted.
"""

import argparse
import errno
import importlib
import os
import select
import sys
from typing import Any, NamedTuple

from sense import __version__, garbage
from sense.errors import SenseError, UserError
from sense.suggestion import did_you_mean

STAGES_MODULE = "sense.stages.command"
# What an OSError says that the user can mend: the disk or the quota is full, or permission is missing.
_USERS_TO_MEND = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EACCES, errno.EROFS)


class Parser(argparse.ArgumentParser):
    """A parser that names a misspelt flag, before argparse asks for the required flag that it was meant to be."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse does it, and ends with exit code 2 if flags are not those of this parser."""
        arguments = sys.argv[1:] if args is None else list(args)
        # flags after a subcommand, or of a program that is started, are for another parser
        if not any(action.nargs in (argparse.PARSER, argparse.REMAINDER) for action in self._actions):
            self._refuse_unknown_flags(arguments[: arguments.index("--")] if "--" in arguments else arguments)
        return super().parse_known_args(arguments, namespace)

    def _refuse_unknown_flags(self, arguments: list[str]) -> None:
        known_flags = list(self._option_string_actions)
        flags = [argument.partition("=")[0] for argument in arguments if argument.startswith("--") and " " not in argument]
        unknown = [flag for flag in flags if not any(one.startswith(flag) for one in known_flags)]  # argparse allows beginnings
        if unknown:
            lines = [f"{flag}: no such flag{did_you_mean(flag, known_flags)}" for flag in unknown]
            self.error("\n".join([*lines, f"all flags: {self.prog} --help"]))


class Command(NamedTuple):
    """A subcommand: its line of help, and the module with its `add_arguments(parser, name)` and `main(options) -> exit code`."""

    help: str
    module: str


COMMANDS = {
    "ingest": Command(
        "read human-written seeds (built-in, Spider, BIRD, your own), check every gold, split into seed and dev", STAGES_MODULE
    ),
    "synthesize": Command("strong data: a teacher writes schema, question and SQL; all of it is executed", STAGES_MODULE),
    "sft": Command("fine-tune a model on strong data (the student; with --section weak, the weak model)", STAGES_MODULE),
    "sample": Command("weak data: k SQL per unseen question from the weak model, executed against the gold", STAGES_MODULE),
    "prefer": Command("turn right and wrong samples into preference pairs", STAGES_MODULE),
    "dpo": Command("the second step on the SFT model (cDPO on the pairs, RFT or GRPO): the SENSE model", STAGES_MODULE),
    "evaluate": Command("execution accuracy of base, SFT and SENSE on the same dev sets", STAGES_MODULE),
    "publish": Command("register the model in MLflow and let the gate decide about champion", STAGES_MODULE),
    "report": Command("one HTML file with everything the run made", STAGES_MODULE),
    "own": Command("a sample of your own databases as a dataset folder, for the teacher to write on", "sense.own.command"),
    "ablate": Command(
        "what each part of the recipe adds: several variants trained, evaluated and compared", "sense.ablation.command"
    ),
    "score": Command(
        "judge a file of predictions, of whatever model, by the gold: EX as SENSE, Spider or BIRD define it",
        "sense.evaluation.command",
    ),
    "decontaminate": Command(
        "take out of training data what overlaps with evaluation sets: questions, SQL, schemas", "sense.decontamination.command"
    ),
    "perturb": Command(
        "copies of a dataset folder with other names, layout or wording, to measure how robust models are",
        "sense.robustness.command",
    ),
    "data": Command(
        "what changed between two versions of the data (diff), and the removal of data that nothing names (gc)",
        "sense.data_versions.command",
    ),
    "teacher": Command(
        "a stand-in for an LLM teacher: sense teacher serve, the grammar behind OpenAI's protocol", "sense.stand_in.command"
    ),
    "pipeline": Command("the pipeline on Kubeflow: compile, describe, run on this machine, submit", "sense.kubeflow.command"),
    "serve": Command("the gateway: answers questions on databases over HTTP, with a page to try it", "sense.serving.command"),
    "models": Command("the registry: versions listed, compared, measured, promoted, rolled back", "sense.registry.command"),
    "profile": Command("set keys of params.yaml, keeping its comments", "sense.config.profile"),
    "params": Command("every key of params.yaml and of the gateway's file, with its default and its effect", "sense.config.keys"),
    "results": Command("print the results table of the last run, and the path of its report", "sense.report.command"),
}


def main(arguments: list[str] | None = None) -> int:
    """Runs one command; returns the exit code."""
    garbage.collect_old_rarely()
    arguments = sys.argv[1:] if arguments is None else arguments
    name = arguments[0] if arguments else ""
    parser = _parser(name)
    if name and not name.startswith("-") and name not in COMMANDS:
        parser.error(f"{name}: no such command{did_you_mean(name, COMMANDS)}\nall commands: sense --help")
    options = parser.parse_args(arguments)
    if not name:
        parser.print_help()
        return 0
    try:
        return int(_module(name).main(options))
    except SenseError as error:
        print(f"sense {name}: {error}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:
        if not _reader_of_stdout_left():
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python flushes into the pipe once more at its end
        return 0
    except OSError as error:
        if error.errno not in _USERS_TO_MEND:
            raise
        print(f"sense {name}: {error}; free space or mend permissions, then run the same command again", file=sys.stderr)
        return UserError.exit_code
    except KeyboardInterrupt:
        again = "starts over" if name in ("own", "perturb", "score") else "resumes"
        print(f"sense {name}: interrupted; the same command again {again}", file=sys.stderr)
        return 130


def _reader_of_stdout_left() -> bool:
    """Whether stdout is a pipe whose reader, such as `head`, has seen enough; any other broken pipe is a failure."""
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)
    return any(events & select.POLLERR for _, events in poll.poll(0))


def _parser(name: str) -> argparse.ArgumentParser:
    """The parser; only the subcommand in use gets its flags, the others their one line of help."""
    parser = Parser(
        prog="sense",
        description="SENSE: train an open text-to-SQL model on data it makes itself.",
        epilog="The whole pipeline: dvc repro. One command's flags and an example: sense COMMAND --help",
    )
    parser.add_argument("--version", action="version", version=f"sense {__version__}")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND")
    for command, (help_line, _) in COMMANDS.items():
        subparser = subparsers.add_parser(command, help=help_line, description=help_line[0].upper() + help_line[1:] + ".")
        if command == name:
            _module(command).add_arguments(subparser, command)
    return parser


def _module(name: str) -> Any:
    return importlib.import_module(COMMANDS[name].module)
