"""Imported last by the server of forks: full collections in a fork, of which a training asks for several, skip the libraries."""

import gc

gc.freeze()
