"""Python's garbage collector, in a process that imports large libraries. Standard library only."""

import gc

_YOUNG_PER_FULL = 100  # 10 by default


def collect_old_rarely() -> None:
    """Has old objects looked through a tenth as often; young ones, as a training step leaves them, as before.

    What the libraries of a training define while they are imported is never garbage, and looking through all of it again and
    again is a tenth of their import.
    """
    gc.set_threshold(*gc.get_threshold()[:2], _YOUNG_PER_FULL)
