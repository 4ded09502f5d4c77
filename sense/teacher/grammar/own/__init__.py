"""The grammar on databases that it did not invent: what their names, types and values say of them, and the user's glossary.

What a domain's file says of an invented database is guessed here from names and values; a glossary corrects it. All requests, SQL
and questions are then those of the grammar.
"""
