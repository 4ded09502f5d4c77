"""Readers of human-written questions: the built-in seeds, Spider and BIRD, told apart by the files they bring."""

from pathlib import Path

from sense.errors import InputError
from sense.ingest import benchmark, builtin
from sense.ingest.source import Row, Source

__all__ = ["Row", "Source", "read"]


def read(seeds: Path) -> Source:
    """The rows of a seeds folder, whatever its layout; InputError lists what was looked for if none fits."""
    if (seeds / builtin.MANIFEST).is_file():
        return builtin.read(seeds)
    layout = benchmark.detect(seeds)
    if layout is not None:
        return benchmark.read(seeds, layout)
    looked = [f"  built-in: {builtin.MANIFEST}"]
    for known in (benchmark.SPIDER, benchmark.BIRD):
        splits = {f"{'/'.join(split.files)} with {split.databases}/" for split in (known.train, known.dev)}
        looked.append(f"  {known.name}: {', or '.join(sorted(splits, reverse=True))}")
    found = ", ".join(sorted(file.name for file in seeds.iterdir())[:10]) if seeds.is_dir() else "not a folder"
    raise InputError(
        "\n".join([f"{seeds}: no layout that SENSE knows; it looked for", *looked, f"and found: {found or 'nothing'}"])
        + "\nset data.seeds to the folder that holds these files, unpacked"
    )
