"""`sense ablate`: what each part of the recipe adds, measured on the same sets with the same seeds, as one table.

`arms` names the variants of params.yaml, `runs` executes their stages, each distinct one once, `table` compares the arms.
"""
