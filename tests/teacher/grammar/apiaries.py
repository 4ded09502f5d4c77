"""A small invented database for the tests of the grammar: keepers run apiaries, apiaries contain hives, a keeper has a mentor."""

from sense.teacher.grammar.database import GrammarColumn, GrammarTable, Link
from sense.teacher.grammar.domains import ColumnSpec


def column(name, kind="category", words=None, values=(), **spec):
    """A column; what the kind needs besides is filled in."""
    needs = {"category": {"of": ("a", "b")}, "title": {"parts": (("a", "b"),)}, "code": {"form": "##"}}
    if kind in ("integer", "measure", "price", "rating", "year", "date"):
        needs[kind] = {"low": 1900, "high": 2030} if kind in ("year", "date") else {"low": 1, "high": 100}
    return GrammarColumn(
        name, words or name.replace("_", " "), (), ColumnSpec(kind=kind, **{**needs.get(kind, {}), **spec}), tuple(values)
    )


def key(name, values=(1, 2, 3)):
    return GrammarColumn(name, name.replace("_", " "), (), None, tuple(values))


KEEPER_ID, NAME = key("id"), column("name", "person", values=("Ada", "Bo", "Cy"))
AGE = column(
    "age",
    "integer",
    more=("older",),
    less=("younger",),
    most=("oldest",),
    least=("youngest",),
    how="how old",
    values=(30, 40, 50),
)
CERTIFIED = column(
    "certified", "flag", yes=("certified {table}",), no=("{table} that are not certified",), values=("yes", "no", "yes")
)
COUNTRY = column("country", "country", noun_phrases=("{table} from {value}",), values=("France", "Spain", "France"))
HIRED = column("hired", "date", when="hired", values=("2020-03-05", "2021-01-01", "2019-07-08"))
KEEPER = GrammarTable(
    "keeper",
    "keeper",
    "keepers",
    (),
    (KEEPER_ID, NAME, AGE, CERTIFIED, COUNTRY, HIRED, key("mentor_id")),
    KEEPER_ID,
    NAME,
    ("id",),
)

APIARY_ID, TITLE = key("id"), column("title", "title", values=("Hill", "Meadow", "Grove"))
REGION = column("region", noun_phrases=("{table} in the {value}",), of=("north", "south"), values=("north", "south", "north"))
ALTITUDE = column("altitude", "integer", unit="metres", values=(100, 500, 900))
APIARY = GrammarTable(
    "apiary", "apiary", "apiaries", (), (APIARY_ID, TITLE, REGION, ALTITUDE, key("keeper_id")), APIARY_ID, TITLE, ("id",)
)

HIVE_ID, CODE = key("id"), column("code", "code", values=("H1", "H2", "H3"))
FRAMES = column("frames", "integer", countable="frames", values=(8, 10, 12))
HIVE = GrammarTable("hive", "hive", "hives", (), (HIVE_ID, CODE, FRAMES, key("apiary_id")), HIVE_ID, CODE, ("id",))

RUNS = Link("apiary", "keeper_id", "keeper", "id", "run", "run by")
CONTAINS = Link("hive", "apiary_id", "apiary", "id", "contain", "in")
MENTOR = Link("keeper", "mentor_id", "keeper", "id", "teach", "taught by", "mentor")
