"""Every prompt of SENSE, as Jinja files beside this one, and the only renderer.

Training, sampling, evaluation and serving put a question to a model through `question_prompt`, so that a model
never meets a form in use that it did not see in training.
"""

from pathlib import Path
from typing import Any, Literal

from sense import schema as schemas
from sense import templates

_ENVIRONMENT = templates.environment(Path(__file__).parent, autoescape=False)  # plain text for a model, not HTML


def render(name: str, **values: Any) -> str:
    """The prompt file `<name>.j2` filled with `values`, no newline at its end.

    A value that the file asks for and `values` lacks raises jinja2.UndefinedError: a defect of the caller.
    """
    return _ENVIRONMENT.get_template(f"{name}.j2").render(values)


def question_prompt(schema: schemas.Schema, question: str, evidence: str, style: Literal["compact", "ddl"]) -> str:
    """What a trained model sees; what it writes next is `completion` of its SQL.

    Question and evidence are put on one line each: a line break in them would forge the lines that come after.
    """
    shown = schemas.render(schema, style)
    return render("question", schema=shown, question=" ".join(question.split()), evidence=" ".join(evidence.split()))


def completion(sql: str) -> str:
    """The text a model is trained to write after a question prompt: a space, then the SQL alone."""
    return f" {sql.strip()}"
