"""Runs commands in a container of the image, the way a cluster would: no network, a read-only root, /tmp in memory."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from sense import records

ROOT = Path(__file__).parents[2]
TRAIN, GATEWAY, SERVE = "sense-train:test", "sense-gateway:test", "sense-serve:test"
BUILD_COMMANDS = {
    TRAIN: f"make image IMAGE={TRAIN}",
    GATEWAY: f"docker build --target gateway -t {GATEWAY} .",
    SERVE: f"docker build --target serve -t {SERVE} --build-arg VLLM_IMAGE=python:3.11-slim-bookworm .",
}


def docker(*arguments: str) -> str:
    """Runs `docker ARGUMENTS` and returns what it prints."""
    process = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr or process.stdout
    return process.stdout.strip()


def run(image: str, *command: str, user: str = "", mounts: Mapping[Path, str] | None = None) -> str:
    """Runs `command` in a container of `image` and returns its output; `mounts` maps folders here to paths inside."""
    options = ["--rm", "--network", "none", "--read-only", "--tmpfs", "/tmp", *(["--user", user] if user else [])]
    for folder, path in (mounts or {}).items():
        options += ["--volume", f"{folder}:{path}"]
    return docker("run", *options, image, *command)


def why_unusable(image: str) -> str:
    """Why `image` cannot be tested here; empty if it can."""
    if not has_engine():
        return "no Docker engine answers"
    if not docker("image", "ls", "-q", image):
        return f"there is no image {image}: {BUILD_COMMANDS[image]}"
    script = "from pathlib import Path; from sense import records; print(records.digest(Path('sense')))"
    if run(image, "/opt/venv/bin/python", "-c", script) != records.digest(ROOT / "sense"):
        return f"{image} holds another sense/ than this working copy: {BUILD_COMMANDS[image]}"
    return ""


def has_engine() -> bool:
    """Whether a Docker engine answers."""
    try:
        return subprocess.run(["docker", "info"], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


def is_required() -> bool:
    """Whether tests fail without their image, because SENSE_TEST_DOCKER=1 is set; without it they are skipped."""
    return os.environ.get("SENSE_TEST_DOCKER") == "1"
