"""The revision of the code that runs."""

import subprocess
from pathlib import Path

from sense import config


def code_revision(package: Path = Path(__file__).parent.parent) -> str:
    """The commit of the repository that tracks `package`, with `-dirty` if that folder differs from it.

    Without git or such a repository (an image), the environment variable SENSE_CODE_REV; without that, `unknown`.
    """
    tracked = _git(package, "ls-files", "--error-unmatch", "__init__.py")
    commit = _git(package, "rev-parse", "HEAD")
    if not tracked or not commit:
        return config.environment("SENSE_CODE_REV") or "unknown"
    # only this folder: dvc.lock changes with every stage of every run
    return f"{commit}-dirty" if _git(package, "status", "--porcelain", "--", ".") else commit


def _git(folder: Path, *arguments: str) -> str:
    """What git prints, or nothing if there is no git, no repository or git refuses."""
    try:
        process = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return process.stdout.strip() if process.returncode == 0 else ""
