"""Times the pipeline stage by stage in this working copy, and a last `dvc repro` that has nothing to do.

Run it in a fresh clone after `make demo` has set up .venv:  .venv/bin/python benchmarks/pipeline.py
Every stage is forced to run again; peak memory is the largest resident set of any one process, in MiB.
"""

import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import yaml

ROOT = Path(__file__).parent.parent
ENVIRONMENT = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}


def measure_seconds(*command: str) -> float:
    """Runs a command in the working copy, with its output on stderr, and returns its wall-clock seconds."""
    start = time.monotonic()
    subprocess.run(command, cwd=ROOT, env=ENVIRONMENT, check=True, stdout=sys.stderr)
    return time.monotonic() - start


def main() -> None:
    """Prints a Markdown table: the seconds of each stage, of all, and of a `dvc repro` with nothing to do, and peak memory."""
    stages = list(yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"])
    seconds = {stage: measure_seconds("dvc", "repro", "--force", "--single-item", stage) for stage in stages}
    seconds["all stages"] = sum(seconds.values())
    seconds["dvc repro, nothing to do"] = measure_seconds("dvc", "repro")
    print("| what | seconds |\n|---|---|")
    for name, duration in seconds.items():
        print(f"| {name} | {duration:.1f} |")
    print(f"| peak memory (MiB) | {resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024:.0f} |")


if __name__ == "__main__":
    main()
