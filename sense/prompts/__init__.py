"""All prompts of SENSE, as Jinja templates beside this file, and the functions that render them.

Training, sampling, evaluation and serving all write the prompt for a question with `question_prompt`, so that a model is
asked in the very form that it was trained on.
"""

from pathlib import Path
from typing import Any

from sense import templates
from sense.config import Target
from sense.prompts.linking import linking_line, without_linking_line
from sense.schema import Schema, SchemaStyle, schema_text
from sense.sql.extract import extract

_ENVIRONMENT = templates.environment(Path(__file__).parent, autoescape=False)  # plain text for a model, not HTML


def render_prompt(template: str, **values: Any) -> str:
    """Renders `<template>.j2` with `values`; the text has no newline at its end.

    Raises jinja2.UndefinedError if the template uses a variable that `values` lacks, which is an error of the caller.
    """
    return _ENVIRONMENT.get_template(f"{template}.j2").render(values)


def question_prompt(schema: Schema, question: str, evidence: str, style: SchemaStyle) -> str:
    """The prompt that a trained model completes with its SQL, in the form of `completion`.

    Question and evidence are put on one line each, so that a line break in them cannot forge the lines that follow.
    """
    return render_prompt(
        "question",
        schema=schema_text(schema, style),
        question=" ".join(question.split()),
        evidence=" ".join(evidence.split()),
    )


def completion(sql: str, target: Target) -> str:
    """The text that a model is trained to write after a question prompt: a space, then the SQL and nothing else.

    With the target `linked` the linking line comes first, if the SQL has one.
    """
    query = sql.strip()
    line = linking_line(query) if target == "linked" else ""
    return f" {line}\n{query}" if line else f" {query}"


def answer_sql(answer: str) -> str:
    """The SQL in what a model wrote after a question prompt, without a linking line before it."""
    return without_linking_line(extract(answer))
