"""Builds the image from nothing, then again after a change in sense/, and measures time, size and the start of a container.

    DOCKER_BUILDKIT=0 .venv/bin/python benchmarks/image.py [flags for `docker build`, such as --network host]

Minutes, and about 5 GB of disk meanwhile; what it builds it deletes again.
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
    """What a docker command prints; what it says besides goes to stderr."""
    return subprocess.run(["docker", *arguments], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def build(context: Path, target: str, tag: str, *flags: str) -> float:
    """Seconds of a build."""
    started = time.monotonic()
    command = ["docker", "build", *flags, "--target", target, "-t", tag, "."]
    subprocess.run(command, cwd=context, check=True, stdout=sys.stderr)
    return time.monotonic() - started


def started(command: list[str]) -> float:
    """Seconds of a container that runs `command`; the second time, so that its files are in memory."""
    for _ in range(2):
        begin = time.monotonic()
        docker("run", "--rm", "--network", "none", "--read-only", "--tmpfs", "/tmp", TRAIN, *command)
        seconds = time.monotonic() - begin
    return seconds


def gigabytes(image: str) -> float:
    """The size of an image as Docker counts it."""
    return int(docker("image", "inspect", "-f", "{{.Size}}", image)) / 1e9


def dangling() -> set[str]:
    """The images without a name: those of the other stages, where the classic builder builds."""
    return set(docker("images", "-q", "--filter", "dangling=true").split())


def measured(flags: list[str]) -> list[tuple[str, str]]:
    """All rows of the table."""
    with tempfile.TemporaryDirectory() as folder:
        context = Path(folder) / "context"
        shutil.copytree(
            ROOT, context, ignore=shutil.ignore_patterns(".git", ".venv", "data", "models", "__pycache__", ".*_cache")
        )
        dependencies = build(context, "dependencies", DEPENDENCIES, "--no-cache", *flags)
        rest = build(context, "train", TRAIN, *flags)
        base = docker("image", "inspect", "-f", '{{index .Config.Labels "org.opencontainers.image.base.name"}}', TRAIN)
        rows = [
            ("build from nothing", f"{dependencies + rest:.0f} s"),
            ("of this, the environment of all dependencies", f"{dependencies:.0f} s"),
            ("again, nothing changed", f"{build(context, 'train', TRAIN, *flags):.1f} s"),
        ]
        (context / "sense" / "changed.py").write_text(f"WHEN = {time.time()}\n")
        rows.append(("again after a change in `sense/`", f"{build(context, 'train', TRAIN, *flags):.1f} s"))
        rows += [(f"base image ({base})", f"{gigabytes(base):.2f} GB"), ("train image", f"{gigabytes(TRAIN):.2f} GB")]
        return rows + [(f"container: {name}", f"{started(command):.1f} s") for name, command in COMMANDS.items()]


def main() -> None:
    """Prints a markdown table and leaves no image behind."""
    before = dangling()
    try:
        rows = measured(sys.argv[1:])
    finally:
        for image in [TRAIN, DEPENDENCIES]:
            subprocess.run(["docker", "rmi", image], check=False, capture_output=True)
        if left := dangling() - before:
            subprocess.run(["docker", "rmi", *left], check=False, capture_output=True)
    print("| what | measured |\n|---|---|")
    for name, value in rows:
        print(f"| {name} | {value} |")


if __name__ == "__main__":
    main()
