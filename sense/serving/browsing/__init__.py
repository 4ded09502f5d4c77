"""The pipeline's data, to look at."""
