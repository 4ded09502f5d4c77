"""The built-in seeds: small hand-written databases, each with questions and their gold SQL; seeds.yaml lists them."""

from pathlib import Path


def path() -> Path:
    """The folder of the built-in set, in a checkout or an installed wheel alike."""
    return Path(__file__).parent
