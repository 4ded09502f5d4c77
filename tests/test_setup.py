"""What is installed is what constraints.txt pins, and the pins cover all that pyproject.toml asks for."""

import re
import tomllib
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).parent.parent


def plain(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def pins():
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line]
    return {plain(line.split("==")[0]): line.split("==")[1] for line in lines}


def test_every_requirement_is_pinned():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = project["dependencies"] + [item for extra in project["optional-dependencies"].values() for item in extra]
    names = {plain(re.match(r"[A-Za-z0-9._-]+", item).group()) for item in wanted}
    assert names <= set(pins())


def test_what_is_installed_is_what_is_pinned():
    installed = {plain(found.metadata["Name"]): found.version.split("+")[0] for found in metadata.distributions()}
    differing = {name: (installed[name], pin) for name, pin in pins().items() if name in installed and installed[name] != pin}
    assert differing == {}
