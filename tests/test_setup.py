"""What is installed is what constraints.txt pins, and every requirement of pyproject.toml is pinned."""

import re
import tomllib
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).parent.parent


def normalized(name):
    """A package's name as PyPI compares names."""
    return re.sub(r"[-_.]+", "-", name).lower()


def pinned_versions():
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line]
    return {normalized(line.split("==")[0]): line.split("==")[1] for line in lines}


def test_every_requirement_is_pinned():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    requirements = project["dependencies"] + [item for extra in project["optional-dependencies"].values() for item in extra]
    names = {normalized(re.match(r"[A-Za-z0-9._-]+", requirement).group()) for requirement in requirements}
    assert names <= set(pinned_versions())


def test_what_is_installed_is_what_is_pinned():
    installed = {normalized(package.metadata["Name"]): package.version.split("+")[0] for package in metadata.distributions()}
    differing = {
        name: (installed[name], version)
        for name, version in pinned_versions().items()
        if name in installed and installed[name] != version
    }
    assert differing == {}
