"""Rules of the Dockerfile that can be checked without Docker."""

import re

from tests.docker.container import ROOT

DOCKERFILE = (ROOT / "Dockerfile").read_text()
INSTRUCTIONS = [line for line in DOCKERFILE.splitlines() if line and not line.lstrip().startswith("#")]


def test_the_classic_builder_can_build_it():
    assert not DOCKERFILE.startswith("# syntax")
    only_buildkit = re.compile(r"--mount=|<<|^(COPY|ADD) .*--(link|chmod|parents|exclude)|\$\{TARGET", re.MULTILINE)
    assert only_buildkit.findall("\n".join(INSTRUCTIONS)) == []


def test_bases_are_pinned_and_named_by_arguments():
    bases = [line.split()[1] for line in INSTRUCTIONS if line.startswith("FROM")]
    defaults = dict(line.split()[1].split("=", 1) for line in INSTRUCTIONS if line.startswith("ARG") and "_IMAGE=" in line)
    assert {base for base in bases if base.startswith("$")} == {f"${{{name}}}" for name in defaults}
    assert all(re.fullmatch(r"[a-z0-9/-]+:[a-z0-9.-]+", image) and not image.endswith(":latest") for image in defaults.values())


def test_each_target_ends_as_a_user_that_is_not_root():
    for target in ("train", "gateway", "serve"):
        stage = re.search(rf"^FROM \S+ AS {target}$(.*?)(?=^FROM |\Z)", DOCKERFILE, re.MULTILINE | re.DOTALL).group(1)
        assert re.findall(r"^USER (\S+)$", stage, re.MULTILINE)[-1] == "1000:0", target


def test_the_build_context_is_what_the_dockerfile_copies():
    rules = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    copied = {name for line in INSTRUCTIONS if line.startswith("COPY") and "--from" not in line for name in line.split()[1:-1]}
    assert rules[0] == "*"
    assert {rule[1:] for rule in rules if rule.startswith("!")} == copied
