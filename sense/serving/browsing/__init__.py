"""Pages of the pipeline's data: strong data, weak samples and preference pairs, listed, searched and explained."""
