"""Old objects are looked through rarely: those of the libraries that a command imports are none."""

import gc

from sense import garbage


def test_only_full_collections_become_rare():
    before = gc.get_threshold()
    try:
        garbage.collect_old_rarely()
        assert gc.get_threshold() == (*before[:2], 100)
    finally:
        gc.set_threshold(*before)
