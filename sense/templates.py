"""The Jinja environment of everything that SENSE renders: prompts, the HTML report, the model card."""

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined


def environment(folder: Path, *, autoescape: bool) -> Environment:
    """An environment with the templates of `folder`. A rendered text ends without the newline that ends its file.

    A name that a template uses and the caller did not pass raises jinja2.UndefinedError: a defect of the caller.
    `autoescape` is for HTML. Templates are read once in a process.
    """
    return Environment(
        loader=FileSystemLoader(folder),
        undefined=StrictUndefined,
        autoescape=autoescape,  # noqa: S701  (prompts and Markdown are no HTML)
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,  # else each rendering asks the file system for the file's time
    )
