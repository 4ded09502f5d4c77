"""Perturbed copies of a dataset folder, on which EX says how far a model's answers hang on names, layout and wording.

    kinds.py        the kinds of perturbation by name
    plan.py         what a kind does to a database, as data
    names.py        columns under synonyms and abbreviations, and golds with the new names
    words.py        the words of a name, and what becomes of them
    structure.py    tables and columns in another order, further ones, no keys
    questions.py    other keywords, typing errors, no capitals
    phrasings.py    other phrasings of a question
    protected.py    what of a question has to stay as it is: its values
    create_table.py the text of CREATE TABLE, taken apart and put together
    database.py     a plan carried out on a SQLite file
    perturb.py      a whole folder, with every gold executed before and after
    command.py      `sense perturb`

Every draw comes from a seed, a kind and a db_id or an example's id: so a question is perturbed in the same way whatever stands
beside it, and so is a database with the same questions.
"""
