"""Measures the image: time of a build without cache and after a change in sense/, size, and time to start a container.

    DOCKER_BUILDKIT=0 .venv/bin/python benchmarks/image.py [flags for `docker build`, such as --network host]

It takes minutes and about 5 GB of disk, and deletes the images that it builds.
"""

import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
DEPENDENCIES, TRAIN = "sense-bench:dependencies", "sense-bench:train"
COMMANDS = {
    "`sense --help`": ["sense", "--help"],
    "`import trl, mlflow.transformers`": ["python", "-c", "import trl, mlflow.transformers; trl.SFTTrainer"],
    "the same without the image's bytecode": [
        *("python", "-X", "pycache_prefix=/tmp/none"),
        *("-c", "import trl, mlflow.transformers; trl.SFTTrainer"),
    ],
}


def docker(*arguments: str) -> str:
    """Runs a docker command and returns what it prints on stdout."""
    return subprocess.run(["docker", *arguments], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def measure_build(context: Path, target: str, tag: str, *flags: str) -> float:
    """Builds `target` of the Dockerfile in `context` and returns the seconds it took."""
    start = time.monotonic()
    command = ["docker", "build", *flags, "--target", target, "-t", tag, "."]
    subprocess.run(command, cwd=context, check=True, stdout=sys.stderr)
    return time.monotonic() - start


def measure_container(command: list[str]) -> float:
    """Seconds of a container that runs `command`: its second run, when its files are in the page cache."""
    for _ in range(2):
        start = time.monotonic()
        docker("run", "--rm", "--network", "none", "--read-only", "--tmpfs", "/tmp", TRAIN, *command)
        seconds = time.monotonic() - start
    return seconds


def image_gigabytes(image: str) -> float:
    """The size of an image as Docker counts it."""
    return int(docker("image", "inspect", "-f", "{{.Size}}", image)) / 1e9


def dangling_images() -> set[str]:
    """The ids of images without a name; the classic builder leaves one for each other stage of the Dockerfile."""
    return set(docker("images", "-q", "--filter", "dangling=true").split())


def measure(flags: list[str]) -> list[tuple[str, str]]:
    """The rows of the table: what was measured, and the result."""
    with tempfile.TemporaryDirectory() as folder:
        context = Path(folder) / "context"
        shutil.copytree(
            ROOT, context, ignore=shutil.ignore_patterns(".git", ".venv", "data", "models", "__pycache__", ".*_cache")
        )
        dependencies = measure_build(context, "dependencies", DEPENDENCIES, "--no-cache", *flags)
        remainder = measure_build(context, "train", TRAIN, *flags)
        base = docker("image", "inspect", "-f", '{{index .Config.Labels "org.opencontainers.image.base.name"}}', TRAIN)
        rows = [
            ("build from nothing", f"{dependencies + remainder:.0f} s"),
            ("of this, the environment of all dependencies", f"{dependencies:.0f} s"),
            ("again, nothing changed", f"{measure_build(context, 'train', TRAIN, *flags):.1f} s"),
        ]
        (context / "sense" / "changed.py").write_text(f"WHEN = {time.time()}\n")
        rows.append(("again after a change in `sense/`", f"{measure_build(context, 'train', TRAIN, *flags):.1f} s"))
        rows += [(f"base image ({base})", f"{image_gigabytes(base):.2f} GB"), ("train image", f"{image_gigabytes(TRAIN):.2f} GB")]
        return rows + [(f"container: {name}", f"{measure_container(command):.1f} s") for name, command in COMMANDS.items()]


def main() -> None:
    """Prints a Markdown table and removes the images that were built."""
    before = dangling_images()
    try:
        rows = measure(sys.argv[1:])
    finally:
        for image in [TRAIN, DEPENDENCIES]:
            subprocess.run(["docker", "rmi", image], check=False, capture_output=True)
        if new_images := dangling_images() - before:
            subprocess.run(["docker", "rmi", *new_images], check=False, capture_output=True)
    print("| what | measured |\n|---|---|")
    for name, result in rows:
        print(f"| {name} | {result} |")


if __name__ == "__main__":
    main()
