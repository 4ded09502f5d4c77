"""Readers of human-written questions: the built-in seeds, Spider, BIRD and your own. The files in the folder tell which it is."""

from pathlib import Path

from sense.errors import InputError
from sense.ingest import benchmark, builtin, dataset
from sense.ingest.source import SeedQuestion, SeedSource, UnusableDatabase

__all__ = ["SeedQuestion", "SeedSource", "UnusableDatabase", "read_seeds"]


def read_seeds(seeds: Path) -> SeedSource:
    """The questions in a seeds folder of any supported layout; if it has none, InputError lists the files that were expected."""
    if (seeds / builtin.MANIFEST).is_file():
        return builtin.read(seeds)
    layout = benchmark.detect_layout(seeds)
    if layout is not None:
        return benchmark.read(seeds, layout)
    if (seeds / dataset.ROWS).is_file() and (seeds / dataset.DATABASES).is_dir():
        return dataset.read(seeds)
    if seeds.is_dir():
        for folder in sorted(seeds.iterdir()):
            if folder.is_dir() and ((folder / builtin.MANIFEST).is_file() or benchmark.detect_layout(folder) is not None):
                raise InputError(f"{seeds}: the seeds are one folder deeper; set data.seeds to {folder}")
    expected = [f"  built-in: {builtin.MANIFEST}"]
    for layout in (benchmark.SPIDER, benchmark.BIRD):
        splits = {f"{'/'.join(split.question_files)} with {split.database_folder}/" for split in (layout.train, layout.dev)}
        expected.append(f"  {layout.name}: {', or '.join(sorted(splits, reverse=True))}")
    expected.append(f"  your own (sense own): {dataset.ROWS} with {dataset.DATABASES}/")
    content = ", ".join(sorted(file.name for file in seeds.iterdir())[:10]) if seeds.is_dir() else "not a folder"
    raise InputError(
        "\n".join([f"{seeds}: no layout that SENSE knows; it looked for", *expected, f"and found: {content or 'nothing'}"])
        + "\nset data.seeds to the folder that holds these files, unpacked"
    )
