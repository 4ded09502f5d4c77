"""What a stage costs: seconds, processors, memory, tokens, money. None of it enters a file that is the same in every run.

`usage` is where the code that trains, generates or asks an LLM counts tokens and names GPUs. `meter` measures a stage while it
runs, over all tries of one that is killed. `record` keeps the cost of a result beside the unfinished work, by the digest of that
result.
"""
