"""What a stage did, as small tables in Markdown: what the Kubeflow UI shows beside a task.

Names of domains and models, reasons and digests come from elsewhere, some of them from a model: all are escaped, so that none
is taken for Markdown or HTML.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from sense.records import HARDNESS, flatten, is_number
from sense.report import contents, results, text

_MAX_LENGTH = 600  # characters of text that somebody else wrote
_MAX_ROWS = 12  # of a table of counts; the others are summed up in one more row
_HTML = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


class Decision(Protocol):
    """The fields of sense.registry.gate.GateDecision that are printed here; this package may not import the registry."""

    @property
    def version(self) -> str:
        """The version that was compared with the champion."""

    @property
    def promoted(self) -> bool:
        """Whether it becomes champion."""

    @property
    def reason(self) -> str:
        """Why, or why not."""


def summary(stage: str, metrics: Mapping[str, Any]) -> str:
    """The metrics of a task as Markdown; `weak` and `merge` have those of sft and sample, `version` has digests by name."""
    render = {
        "ingest": _ingest,
        "synthesize": _synthesize,
        "sft": _training,
        "weak": _training,
        "sample": _sample,
        "merge": _sample,
        "prefer": _prefer,
        "dpo": _training,
        "evaluate": _evaluate,
        "publish": _publish,
    }.get(stage, _any_metrics)
    return render(metrics)


def decision(gate: Decision) -> str:
    """The gate's decision before a model is registered."""
    outcome = "may become champion" if gate.promoted else "does not become champion"
    return _page(f"**{escape(gate.version[:1].upper() + gate.version[1:])} {outcome}**: {escape(gate.reason)}.")


def findings(checks: Iterable[tuple[str, str, str]]) -> str:
    """The checks before a pipeline run (sense.kubeflow.preflight) as a table; a check is (name, how it ended, details)."""
    return _page(_table(("what", "", "found"), checks))


def escape(untrusted: str) -> str:
    """The text on one line, cut after 600 characters, with nothing left in it that is Markdown, HTML or a link."""
    line = " ".join(text.printable(untrusted).split())
    line = line if len(line) <= _MAX_LENGTH else f"{line[:_MAX_LENGTH]} …"
    without_markdown = re.sub(r"([\\`*_\[\]|~@]|:(?=//)|=(?==))", r"\\\1", line)
    return re.sub(r"[&<>]", lambda match: _HTML[match[0]], without_markdown)


def _ingest(metrics: Mapping[str, Any]) -> str:
    sets = [(name, metrics[name]) for name in ("seed", "dev")]
    rows = [(name, text.number(counts["examples"]), text.number(counts["databases"])) for name, counts in sets]
    levels = [(level, *(text.number(counts["hardness"].get(level, 0)) for _, counts in sets)) for level in HARDNESS]
    dropped = metrics["dropped"]
    suite = metrics.get("suite", {})
    return _page(
        f"Human-written seeds ({escape(metrics['source'])}), every gold executed.",
        _table(("set", "examples", "databases"), rows),
        _count_table("dropped", "examples", dropped, None) if dropped else "Nothing was dropped.",
        _table(("hardness", "seed", "dev"), levels),
        _count_table("test suites", "n", suite, None) if suite else "",
    )


def _synthesize(metrics: Mapping[str, Any]) -> str:
    bars = contents.funnel(metrics["funnel"])
    levels = [
        (level, text.number(asked), text.percent(asked_share), text.number(kept), text.percent(kept_share))
        for level, asked, kept, asked_share, kept_share in contents.hardness_rows(metrics["asked_hardness"], metrics["hardness"])
    ]
    labels = [
        (kind, text.number(mutants), text.number(survived), text.percent(rate))
        for kind, mutants, survived, rate in contents.false_right_rows(metrics.get("false_right", {}))
    ]
    teachers = contents.teacher_rows(metrics.get("teachers", {}))
    quotas = [
        (kind, name, text.number(asked), text.number(kept))
        for kind, name, asked, kept in contents.quota_rows(metrics.get("quotas", {}))
    ]
    return _page(
        f"Teacher: {escape(contents.teacher(metrics))}. Every SQL was executed on its database.",
        escape(contents.agreement_sentence(metrics.get("agreement", {}))),
        _table(("teacher", "wanted", "asked", "kept"), [(name, *map(text.number, counts)) for name, *counts in teachers])
        if teachers
        else "",
        _table(("funnel", "examples", "of asked"), [(bar.name, text.number(bar.n), bar.percentage) for bar in bars]),
        contents.repairs(metrics["funnel"]),
        _table(("hardness", "asked", "share", "kept", "share"), levels),
        _table(("wish", "of the LLM", "asked", "kept"), quotas) if quotas else "",
        _table(("labels", "plausible wrong SQL", "as the gold", "share"), labels) if labels else "",
        _count_table("domain", "examples", metrics["domains"], sum(metrics["domains"].values())),
        _count_table("split", "examples", metrics["splits"], sum(metrics["splits"].values())),
    )


def _training(metrics: Mapping[str, Any]) -> str:
    sentence = f"Last loss: **{text.number(metrics['loss'])}**, at step {text.number(metrics['steps'])}."
    return _page(sentence, _value_table(metrics))


def _sample(metrics: Mapping[str, Any]) -> str:
    samples = metrics["samples"]
    sentences = (
        f"{samples:,} samples for {metrics['questions']:,} questions, {metrics['distinct']:,} of them distinct. "
        f"**{text.percent(metrics['right'])}** are right; {text.percent(metrics['pass_at_k'])} of the questions have a right one."
    )
    if "greedy_ex" in metrics:
        sentences += f" The greedy answer to **{text.percent(metrics['greedy_ex'])}** of them is right."
    if "headroom" in metrics:
        sentences += f" {metrics['headroom']:,} have right and wrong samples, which is what preference learning can learn from."
    if metrics.get("too_long"):
        sentences += f" {metrics['too_long']:,} of the questions are longer than the model reads; their samples are rejected."
    return _page(sentences, _count_table("verdict", "samples", metrics["verdicts"], samples))


def _prefer(metrics: Mapping[str, Any]) -> str:
    pairs, questions = metrics["pairs"], metrics["questions"]
    rows = [("questions", text.number(questions), text.percent(1.0))]
    rows += [(f"no pair: {bar.name}", text.number(bar.n), bar.percentage) for bar in contents.bars(metrics["no_pair"], questions)]
    return _page(
        f"**{pairs:,}** pairs, strategy {escape(metrics['strategy'])}."
        + (f" {text.percent(metrics['rejected_runs'])} of the rejected answers run." if "rejected_runs" in metrics else ""),
        _table(("funnel", "questions", "of all"), rows),
        _count_table("verdict on the rejected answer", "pairs", metrics["rejected_errors"], pairs),
        *(
            _count_table(title, "pairs", metrics[key], pairs)
            for title, key in (
                ("what is wrong with the rejected answer", "rejected_classes"),
                ("source of the rejected answer", "rejected_sources"),
                ("source of the chosen answer", "chosen_sources"),
            )
            if metrics.get(key)
        ),
        _count_table("samples left out", "samples", metrics["dropped"], None) if metrics.get("dropped") else "",
    )


def _evaluate(metrics: Mapping[str, Any]) -> str:
    """EX of every model on every set, with its interval, the change to the model before it, and EX by hardness."""
    parts = []
    for on_set in results.set_results(metrics):
        suite = on_set.further > 0
        rows = [
            (
                model.name,
                text.percent(model.ex),
                f"{text.percent(model.low)} to {text.percent(model.high)}",
                *([text.percent(model.ts), f"{text.percent(model.ts_low)} to {text.percent(model.ts_high)}"] if suite else []),
                text.percent(model.executable),
                text.percentage_points(model.change),
                text.number(model.wins),
                text.number(model.losses),
                text.p_value(model.p_value),
            )
            for model in on_set.models
        ]
        columns_of_suite = ("TS", "95% interval") if suite else ()
        head = ("model", "EX", "95% interval", *columns_of_suite, "executable", "change (points)", "won", "lost", "McNemar p")
        levels = [(level, text.number(n), *(text.percent(share) for share in ex)) for level, n, ex in on_set.hardness]
        parts += [
            f"### {on_set.name}: {on_set.n:,} {on_set.description}",
            _table(head, rows),
            _mode_table(on_set),
            _vote_table(on_set),
            _original_table(on_set),
            _table(("hardness", "questions", *(model.name for model in on_set.models)), levels),
            _domain_table(on_set),
            on_set.conclusion,
            f"{on_set.too_long:,} of the questions are longer than the model reads, and count as wrong."
            if on_set.too_long
            else "",
        ]
    return _page(*parts) if parts else "No model has been evaluated.\n"


def _mode_table(on_set: results.SetResults) -> str:
    """What each scoring mode measures; nothing if there is one alone."""
    columns = results.mode_columns(on_set.models)
    rows = [(model.name, *(_share(model.modes.get(column)) for column in columns)) for model in on_set.models]
    return _table(("scoring mode", *(" ".join(column) for column in columns)), rows) if columns else ""


def _vote_table(on_set: results.SetResults) -> str:
    """The vote of samples beside greedy answers; nothing if no samples voted."""
    if on_set.vote is None:
        return ""
    rows = [
        (
            model.name,
            text.percent(model.ex),
            _share(model.vote.ex),
            text.percentage_points(model.vote.change),
            text.number(model.vote.wins),
            text.number(model.vote.losses),
            text.p_value(model.vote.p_value),
            _share(model.vote.pass_at_k),
        )
        for model in on_set.models
        if model.vote is not None
    ]
    head = (f"vote of {on_set.vote.k}", "greedy EX", "vote EX", "change (points)", "won", "lost", "McNemar p", "pass@k")
    return _table(head, rows)


def _original_table(on_set: results.SetResults) -> str:
    """EX beside that on the same questions of the original; nothing if the set is no perturbed copy."""
    if on_set.original is None:
        return ""
    rows = [
        (
            model.name,
            text.number(model.original.n),
            _share(model.original.ex),
            _share(model.original.perturbed),
            text.percentage_points(model.original.change.value),
            f"{text.percentage_points(model.original.change.low)} to {text.percentage_points(model.original.change.high)}",
            text.number(model.original.wins),
            text.number(model.original.losses),
            text.p_value(model.original.p_value),
        )
        for model in on_set.models
        if model.original is not None
    ]
    head = (
        "perturbed",
        "same questions",
        f"EX on {on_set.original}",
        "EX here",
        "change (points)",
        "95% interval",
        "won",
        "lost",
    )
    return _table((*head, "McNemar p"), rows)


def _domain_table(on_set: results.SetResults) -> str:
    rows = [(domain, text.number(n), *(_share(ex) for ex in shares)) for domain, n, shares in on_set.domains]
    return _table(("domain", "questions", *(model.name for model in on_set.models)), rows) if rows else ""


def _share(share: results.Share | None) -> str:
    return f"{text.percent(share.value)} ({text.percent(share.low)} to {text.percent(share.high)})" if share else "–"


def _publish(metrics: Mapping[str, Any]) -> str:
    name, version, alias = (escape(metrics[key]) for key in ("model", "version", "alias"))
    rest = {key: value for key, value in metrics.items() if key not in ("model", "version", "alias", "reason")}
    return _page(f"**{name}** version **{version}** is **{alias}**: {escape(metrics['reason'])}.", _value_table(rest))


def _any_metrics(metrics: Mapping[str, Any]) -> str:
    return _page(_value_table(metrics))


def _count_table(name: str, unit: str, counts: Mapping[str, int], total: int | None) -> str:
    """Counts as a table, the largest first, each with its share of `total` if there is one."""
    bars = contents.bars(counts, total)
    rows = [(bar.name, text.number(bar.n), bar.percentage) for bar in bars[:_MAX_ROWS]]
    if rest := bars[_MAX_ROWS:]:
        n = sum(bar.n for bar in rest)
        rows.append((f"{len(rest)} more", text.number(n), text.percent(n / total) if total else ""))
    return _table((name, unit, "share"), rows) if total else _table((name, unit), [row[:2] for row in rows])


def _value_table(metrics: Mapping[str, Any]) -> str:
    rows = [
        (name, text.number(value) if is_number(value) or value is None else str(value))
        for name, value in flatten(metrics).items()
    ]
    return _table(("metric", "value"), rows)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table with its first column aligned to the left, the others to the right; this escapes every cell."""
    lines = [f"| {' | '.join(escape(cell) for cell in cells)} |" for cells in (head, *rows)]
    return "\n".join([lines[0], f"|---{'|---:' * (len(head) - 1)}|", *lines[1:]])


def _page(*parts: str) -> str:
    return "\n\n".join(part for part in parts if part) + "\n"
