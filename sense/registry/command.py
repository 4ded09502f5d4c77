"""The command `sense models`: what is registered in MLflow, and which of it is served."""

import argparse
import math
from contextlib import nullcontext, suppress
from pathlib import Path

from sense import console

DESCRIPTIONS = {
    "list": "every version: aliases, EX with its interval, and why it is where it is",
    "show": "one version: its tags, its history, its card",
    "compare": "two versions on every set and hardness, with McNemar's test on the same questions",
    "promote": "make a version the champion, if the gate lets it: same edition of the set, EX not worse, fast enough",
    "rollback": "make the previous champion champion again, and the champion the previous one",
    "canary": "give a candidate a share of the questions beside the champion, promote it, abort it, or show how it stands",
    "values": "the chart's values for a version: what is resolved at deploy time, as YAML on stdout",
    "card": "the card of a version as a model hub reads it, with licence, base and EX as YAML; on stdout or in a file",
    "push": "send a version with its card to a repository of a model hub; needs HF_TOKEN",
    "measure": "time greedy answers, one question after the other, and keep p50 and p95 with the version",
}
_EXAMPLES = {
    "list": "sense models list",
    "show": "sense models show champion",
    "compare": "sense models compare champion challenger",
    "promote": "sense models promote 3 --latency-budget 2 --reason 'better on joins'",
    "rollback": "sense models rollback --reason 'timeouts since noon'",
    "canary": "sense models canary 3 --weight 10",
    "values": "sense models values sense@champion > values.champion.yaml",
    "card": "sense models card champion --license apache-2.0 -o README.md",
    "push": "sense models push champion acme/sense-7b --private --license apache-2.0",
    "measure": "sense models measure 3 --endpoint http://localhost:8000/v1",
}
_VERSION = "a number or an alias: 3, champion, sense@champion"


def add_arguments(parser: argparse.ArgumentParser, _name: str) -> None:
    """Adds the actions and their flags."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    for name, description in DESCRIPTIONS.items():
        sub = actions.add_parser(
            name,
            help=description,
            description=description[0].upper() + description[1:] + ".",
            epilog=f"example:\n  {_EXAMPLES[name]}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        for reference in {"compare": ("first", "second"), "list": (), "rollback": (), "canary": ()}.get(name, ("version",)):
            sub.add_argument(reference, metavar="VERSION", help=_VERSION)
        sub.add_argument("--model", default="sense", metavar="NAME", help="the registered model, default: sense")
        if name in ("list", "promote", "measure", "canary"):
            help_set = "of questions: dev, heldout or one of evaluate.sets; default: that which publish decided by"
            sub.add_argument("--set", metavar="NAME", help=help_set)
        if name in ("promote", "rollback", "canary"):
            sub.add_argument("--reason", type=str.strip, default="", metavar="TEXT", help="why; kept with the version")
            sub.add_argument("--by", type=str.strip, metavar="WHO", help="who decides; default: the operating system's user")
        _MORE.get(name, lambda _: None)(sub)
        if name not in ("values", "card"):
            sub.add_argument("--json", action="store_true", help="as JSON on stdout, nothing else")


def _promote_flags(parser: argparse.ArgumentParser) -> None:
    budget = "refuse a version whose recorded p95 is above this, or that has none"
    parser.add_argument("--latency-budget", type=_positive, metavar="SECONDS", help=budget)
    parser.add_argument("--force", action="store_true", help="whatever the gate says; needs --reason")


def _canary_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("version", nargs="?", metavar="VERSION", help=f"{_VERSION}; without it, what there is is shown")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--weight", type=_percent, metavar="PERCENT", help="of the questions; 100: all, and the champion waits")
    what.add_argument("--promote", action="store_true", help="the candidate becomes the champion, if the gate lets it")
    what.add_argument("--abort", action="store_true", help="the champion gets all questions again")
    _promote_flags(parser)


def _values_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="instead of stdout; whole or not at all")


def _card_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--license", metavar="ID", help="the hub's identifier of the model's licence: apache-2.0, llama3.1, ...")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="instead of stdout; whole or not at all")


def _push_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("repo", metavar="REPO", help="OWNER/NAME; created if there is none")
    parser.add_argument("--license", metavar="ID", help="the hub's identifier of the model's licence: apache-2.0, llama3.1, ...")
    parser.add_argument("--private", action="store_true", help="create it private; refuse one that is public")
    parser.add_argument("--revision", metavar="BRANCH", help="branch to commit to, created if there is none; default: main")


def _measure_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--questions", type=_count, default=50, metavar="N", help="default: 50")
    parser.add_argument("--max-new-tokens", type=_count, default=256, metavar="N", help="of an answer, default: 256")
    parser.add_argument("--endpoint", metavar="URL", help="an OpenAI-compatible server that serves it; default: in this process")
    parser.add_argument("--served-name", metavar="NAME", help="its name there; default: MODEL-VERSION, as the chart names it")


_MORE = {
    "promote": _promote_flags,
    "canary": _canary_flags,
    "values": _values_flags,
    "card": _card_flags,
    "push": _push_flags,
    "measure": _measure_flags,
}


def _positive(value: str) -> float:
    with suppress(ValueError):
        if 0 < float(value) < math.inf:
            return float(value)
    raise argparse.ArgumentTypeError(f"{value!r}: give a number above 0")


def _percent(value: str) -> float:
    with suppress(ValueError):
        if 0 < float(value) <= 100:
            return float(value)
    raise argparse.ArgumentTypeError(f"{value!r}: give a percentage above 0, 100 at most")


def _count(value: str) -> int:
    with suppress(ValueError):
        if int(value) > 0:
            return int(value)
    raise argparse.ArgumentTypeError(f"{value!r}: give a whole number above 0")


def main(options: argparse.Namespace) -> int:
    """Carries out one action; returns the exit code."""
    from sense import tracking
    from sense.registry.actions import ACTIONS

    console.quiet(getattr(options, "json", False))
    tracking.check_registry()
    # if the store stops answering, the command ends within seconds too; what takes minutes is worth longer tries
    with nullcontext() if options.action in ("measure", "push") else tracking.short_timeouts():
        ACTIONS[options.action](options)
    return 0
