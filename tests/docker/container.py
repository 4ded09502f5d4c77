"""Runs commands in a container of the image, the way a cluster would: no network, a read-only root, /tmp in memory."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from sense import records

ROOT = Path(__file__).parents[2]
TRAIN, GATEWAY, SERVE = "sense-train:test", "sense-gateway:test", "sense-serve:test"
BUILD = {
    TRAIN: f"make image IMAGE={TRAIN}",
    GATEWAY: f"docker build --target gateway -t {GATEWAY} .",
    SERVE: f"docker build --target serve -t {SERVE} --build-arg VLLM_IMAGE=python:3.11-slim-bookworm .",
}


def docker(*arguments: str) -> str:
    """What `docker ARGUMENTS` prints."""
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr or done.stdout
    return done.stdout.strip()


def run(image: str, *command: str, user: str = "", mounts: Mapping[Path, str] | None = None) -> str:
    """What `command` prints in a container of `image`; `mounts` are folders of this machine and their places inside."""
    options = ["--rm", "--network", "none", "--read-only", "--tmpfs", "/tmp", *(["--user", user] if user else [])]
    for folder, place in (mounts or {}).items():
        options += ["--volume", f"{folder}:{place}"]
    return docker("run", *options, image, *command)


def missing(image: str) -> str:
    """Why `image` cannot be tested here, or nothing."""
    if not engine():
        return "no Docker engine answers"
    if not docker("image", "ls", "-q", image):
        return f"there is no image {image}: {BUILD[image]}"
    script = "from pathlib import Path; from sense import records; print(records.digest(Path('sense')))"
    if run(image, "/opt/venv/bin/python", "-c", script) != records.digest(ROOT / "sense"):
        return f"{image} holds another sense/ than this working copy: {BUILD[image]}"
    return ""


def engine() -> bool:
    """Whether a Docker engine answers."""
    try:
        return subprocess.run(["docker", "info"], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


def insisted() -> bool:
    """Whether a missing image is a failure, by SENSE_TEST_DOCKER=1, and not a reason to skip its tests."""
    return os.environ.get("SENSE_TEST_DOCKER") == "1"
