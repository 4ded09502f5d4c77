"""The rules on questions: each class by questions that are in it and by near ones that are not."""

import pytest

from sense.teacher.question_rules import NAMED_ROW, TWO_READINGS, ZERO_GROUPS, class_names, problems

_SQL = "SELECT name FROM singer WHERE age > 30"
_CITY = "SELECT name FROM singer WHERE city = 'New Paris' AND name LIKE '%an_a%'"
BAD = {
    "with city of X": (
        ("Show the names of singers with city of New Paris.", _CITY),
        ("How many singers with weight of at least 3 are there?", _SQL),
        ("List the singers with home port of 'Malmo'.", _SQL),
    ),
    "equal to X": (
        ("Which singers have a city equal to New Paris?", _CITY),
        ("Which singers have a city that equals New Paris?", _CITY),
        ("Show the singers whose retirement is set to no.", _SQL),
    ),
    "city values": (
        ("Which city values are shared by 3 singers?", _SQL),
        ("Show singers with a retirement value of no.", _SQL),
    ),
    "the different name of": (
        ("Show the different name of all singers.", _SQL),
        ("What are the distinct home city of the singers?", _SQL),
    ),
    "a unit or a flag as a noun": (
        ("What is the average area hectares of the forests?", _SQL),
        ("What is the fragile of each parcel?", _SQL),
        ("Count the parcels whose fragile is yes.", _SQL),
    ),
    "tautology": (
        ("For singers whose name includes New Paris, what is the name?", _CITY),
        ("Show the name of the singer called Ann.", "SELECT T1.name FROM singer AS T1 WHERE T1.name = 'Ann'"),
    ),
    "and what is it?": (
        ("Which city has singers with an average age over 3, and what is it?", _SQL),
        ("Which cities have 3 singers, and how many singers is it for each?", _SQL),
    ),
    "with a city that is missing": (("Show singers with a city that is missing.", _SQL),),
    "lowest and maximum": (
        ("What are the lowest and maximum ages?", _SQL),
        ("What are the smallest, average and highest ages?", _SQL),
    ),
    "article before a plural": (
        ("Show singers that have a points over 3.", _SQL),
        ("Show lifts with an above-average people per hour.", _SQL),
    ),
    "country without its article": (
        ("Which singers are from Netherlands?", "SELECT name FROM singer WHERE country = 'Netherlands'"),
        ("Which singers are not from United States?", _SQL),
    ),
    "a for an": (
        ("Show waiters with a hourly wage over 3.", _SQL),
        ("Show the city of an utility.", _SQL),
        ("Is there a older singer?", _SQL),
    ),
    "one with a plural, many with a singular": (
        ("Which singers have at least 1 songs?", _SQL),
        ("How many singer are there?", _SQL),
        ("Which days have over 1 collection routes?", _SQL),
        ("What are the cities of the museum with more than two collections?", _SQL),
        ("What is the names of all singers?", _SQL),
    ),
    "wrong form of a verb": (("Which jobs cannots be done from home?", _SQL), ("Show each singer that haves a pool.", _SQL)),
    "more words than a person writes": (("Show the names of singers who " + "sing and " * 15 + "are older than 30.", _SQL),),
    "doubled words": (("What is the average average grade?", _SQL), ("Show the name of of the singers.", _SQL)),
    "template braces": (("Show the {selected} of all singers.", _SQL), ("Show the name of None.", _SQL)),
    "spaces": (("Show the name  of all singers.", _SQL), ("Show the name , please.", _SQL)),
    "column spelt as in SQL": (
        ("Show the singer_name of all singers.", _SQL),
        ("Show the SingerName of all.", "SELECT SingerName FROM singer"),
    ),
    "final punctuation": (
        ("Show the name of all singers", _SQL),
        ("What are the names of all singers.", _SQL),
        ("Which singers are old? Show their names", _SQL),
    ),
    "lower-case start": (("show the names of all singers.", _SQL), ("which singers are old?", _SQL)),
    ZERO_GROUPS: (
        (
            "How many songs does each singer have?",
            "SELECT T1.name, COUNT(*) FROM singer AS T1 JOIN song AS T2 ON T2.singer_id = T1.id GROUP BY T1.id",
        ),
        (
            "Which singer has the fewest songs?",
            "SELECT singer.name FROM singer JOIN song ON song.singer_id = singer.singer_id GROUP BY singer.name "
            "ORDER BY COUNT(*) LIMIT 1",
        ),
        (
            "Which singers have fewer than 3 songs?",
            "SELECT s.name FROM singer AS s JOIN song AS t ON t.singer_id = s.id GROUP BY s.id HAVING COUNT(*) < 3",
        ),
    ),
    NAMED_ROW: (
        (
            "Who lives in the same city as Ann?",
            "SELECT name FROM singer WHERE city = (SELECT city FROM singer WHERE name = 'Ann')",
        ),
    ),
}
GOOD = (
    ("Which singers are older than 30?", _SQL),
    ("singers from New Paris, by age", _CITY),
    ("Show the name of each singer with the name 'with city of of Rome values'.", _SQL),
    ("Which singers called 'an_a' live in a New Paris suburb?", _CITY),
    ("How many singers are of age 30, or equal the oldest one?", _SQL),
    ("Show the different names of the singers.", _SQL),
    ("How many different species of birds are there?", _SQL),
    ("What are the lowest and highest ages?", _SQL),
    ("Which parcels are fragile? Give the area in hectares.", _SQL),
    ("Show an hourly fee and a university, a European one.", _SQL),
    ("Show a series of a species with an address.", _SQL),
    ("Which singers have at least 1 song?", _SQL),
    ("Which singers have more than 1 radio station in their city?", _SQL),
    ("What are the cities of the museums with more than two collections?", _SQL),
    ("Which singers from the Netherlands have an above-average weight?", _SQL),
    ("How many policemen are there?", _SQL),
    ("Show the highest sale value values.", "SELECT sale_value FROM sale"),
    (
        "How many songs do singers with at least one have?",
        "SELECT T1.name, COUNT(*) FROM singer AS T1 JOIN song AS T2 ON T2.singer_id = T1.id GROUP BY T1.id",
    ),
    (
        "How many songs does each singer have?",
        "SELECT T1.name, COUNT(T2.id) FROM singer AS T1 LEFT JOIN song AS T2 ON T2.singer_id = T1.id GROUP BY T1.id",
    ),
    (
        "How many songs of French singers are there in each genre?",  # of the table that refers: no group is empty
        "SELECT T2.genre, COUNT(*) FROM singer AS T1 JOIN song AS T2 ON T2.singer_id = T1.id GROUP BY T2.genre",
    ),
    (
        "Which singer has the most songs?",
        "SELECT T1.name FROM singer AS T1 JOIN song AS T2 ON T2.singer_id = T1.id GROUP BY T1.id ORDER BY COUNT(*) DESC LIMIT 1",
    ),
    (
        "Which singers have more than 3 songs?",
        "SELECT T1.name FROM singer AS T1 JOIN song AS T2 ON T2.singer_id = T1.id GROUP BY T1.id HAVING COUNT(*) > 3",
    ),
    (
        "Who else lives in the same city as Ann?",
        "SELECT name FROM singer WHERE city = (SELECT city FROM singer WHERE name = 'Ann')",
    ),
    (
        "Who lives in the same city as Ann?",
        "SELECT name FROM singer WHERE city = (SELECT city FROM singer WHERE name = 'Ann') AND name != 'Ann'",
    ),
)


def test_each_class_has_examples():
    assert set(BAD) == set(class_names())
    assert set(TWO_READINGS) < set(BAD)


@pytest.mark.parametrize(("name", "question", "sql"), [(name, *row) for name, rows in BAD.items() for row in rows])
def test_problem(name, question, sql):
    assert problems(question, sql) == [name]


@pytest.mark.parametrize(("question", "sql"), GOOD)
def test_no_problem(question, sql):
    assert problems(question, sql) == []


def test_evidence_may_spell_a_column():
    question = "Which singers have a high gov_score?"
    assert problems(question, _SQL) == ["column spelt as in SQL"]
    assert problems(question, _SQL, "gov_score is the score of the government") == []


@pytest.mark.parametrize(
    "sql", ["", "SELECT", "SELECT name FROM", "GROUP BY JOIN COUNT <", "SELECT a FROM b WHERE", "= ( SELECT FROM"]
)
@pytest.mark.parametrize("question", ["", " ", "§", "What", "same ("])
def test_any_text_can_be_checked(question, sql):
    assert isinstance(problems(question, sql), list)
