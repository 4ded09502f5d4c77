"""What training data and evaluation sets have in common: looked for by question, SQL and schema, dropped, and reported.

`near_duplicates` and `forms` say when two questions, two queries and two schemas are the same; `comparison` compares sets of
them, and `report` is the file by which `sense evaluate` knows that its data were compared.
"""
