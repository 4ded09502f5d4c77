"""`sense teacher serve`: the grammar behind the chat protocol of LLMs, for tests and demos."""
