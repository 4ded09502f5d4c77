"""Requests and their SQL, written by hand."""

import pytest

from sense.teacher.grammar import meaning as m
from sense.teacher.grammar.sql.queries import request_tree
from sense.teacher.grammar.sql.text import sql_text
from sense.teacher.grammar.sql.values import date_part_start
from tests.teacher.grammar import apiaries as a

NAME, AGE, HIRED = (m.Attribute(a.KEEPER, column) for column in (a.NAME, a.AGE, a.HIRED))
TITLE, REGION, ALTITUDE = (m.Attribute(a.APIARY, column) for column in (a.TITLE, a.REGION, a.ALTITUDE))
CODE, FRAMES = (m.Attribute(a.HIVE, column) for column in (a.CODE, a.FRAMES))
KEEPER_OF_APIARY = m.Attribute(a.KEEPER, a.NAME, (a.RUNS,))
NORTH = m.Comparison(REGION, "=", ("north",))
OLD = m.Comparison(AGE, ">", (35,))


def listing(table, filters, *items, **rest):
    return m.Listing(m.Entity(table, filters), items, **rest)


REQUESTS = {
    "SELECT name FROM keeper WHERE age > 35 AND certified = 'yes'": listing(
        a.KEEPER, (OLD, m.Comparison(m.Attribute(a.KEEPER, a.CERTIFIED), "=", ("yes",))), NAME
    ),
    "SELECT * FROM keeper WHERE age > 35 OR age < 20": listing(a.KEEPER, (m.Either(OLD, m.Comparison(AGE, "<", (20,))),)),
    "SELECT DISTINCT region FROM apiary": listing(a.APIARY, (), REGION, distinct=True),
    "SELECT name FROM keeper ORDER BY age DESC LIMIT 1 OFFSET 1": listing(
        a.KEEPER, (), NAME, order=(m.OrderKey(AGE, True),), limit=1, offset=1
    ),
    "SELECT apiary.title, keeper.name FROM apiary JOIN keeper ON apiary.keeper_id = keeper.id": listing(
        a.APIARY, (), TITLE, KEEPER_OF_APIARY
    ),
    "SELECT hive.code FROM hive JOIN apiary ON hive.apiary_id = apiary.id JOIN keeper ON apiary.keeper_id = keeper.id"
    " WHERE keeper.age > 35": listing(
        a.HIVE,
        (m.OfParent(a.CONTAINS, m.Entity(a.APIARY, (m.OfParent(a.RUNS, m.Entity(a.KEEPER, (OLD,)), "join"),)), "join"),),
        CODE,
    ),
    "SELECT title FROM apiary WHERE keeper_id NOT IN (SELECT id FROM keeper WHERE age > 35)": listing(
        a.APIARY, (m.OfParent(a.RUNS, m.Entity(a.KEEPER, (OLD,)), "in", True),), TITLE
    ),
    "SELECT keeper.name FROM keeper WHERE NOT EXISTS(SELECT 1 FROM apiary WHERE apiary.keeper_id = keeper.id AND"
    " apiary.region = 'north')": listing(a.KEEPER, (m.WithChildren(a.RUNS, m.Entity(a.APIARY, (NORTH,)), "exists", True),), NAME),
    "SELECT keeper.name FROM keeper WHERE (SELECT COUNT(*) FROM apiary WHERE apiary.keeper_id = keeper.id) > 2": listing(
        a.KEEPER, (m.WithChildren(a.RUNS, m.Entity(a.APIARY), "in", False, ">", 2),), NAME
    ),
    "SELECT name FROM keeper WHERE age > (SELECT AVG(age) FROM keeper WHERE country = 'Spain')": listing(
        a.KEEPER,
        (
            m.AgainstAggregate(
                AGE, ">", "AVG", m.Entity(a.KEEPER, (m.Comparison(m.Attribute(a.KEEPER, a.COUNTRY), "=", ("Spain",)),))
            ),
        ),
        NAME,
    ),
    "SELECT title FROM apiary WHERE region = (SELECT region FROM apiary WHERE title = 'Hill') AND title != 'Hill'": listing(
        a.APIARY, (m.AgainstNamed(REGION, "=", "Hill"),), TITLE
    ),
    "SELECT title FROM apiary WHERE region = (SELECT region FROM apiary GROUP BY region ORDER BY COUNT(*) DESC LIMIT 1)": listing(
        a.APIARY, (m.OfCommonest(REGION),), TITLE
    ),
    "SELECT id FROM keeper EXCEPT SELECT keeper_id FROM apiary": m.Combining(
        "EXCEPT",
        listing(a.KEEPER, (), m.Attribute(a.KEEPER, a.KEEPER_ID)),
        listing(a.APIARY, (), m.Attribute(a.APIARY, a.APIARY.column("keeper_id"))),
        a.RUNS,
    ),
    "SELECT t1.name, t2.name FROM keeper AS t1 JOIN keeper AS t2 ON t1.mentor_id = t2.id WHERE t1.age > t2.age": listing(
        a.KEEPER, (m.AgainstParent(AGE, ">", a.MENTOR),), NAME, m.Attribute(a.KEEPER, a.NAME, (a.MENTOR,))
    ),
    "SELECT name FROM keeper WHERE STRFTIME('%Y', hired) = '2020'": listing(
        a.KEEPER, (m.Comparison(m.Attribute(a.KEEPER, a.HIRED, (), "year"), "=", (2020,)),), NAME
    ),
    "SELECT name FROM keeper WHERE CAST(STRFTIME('%Y', hired) AS INTEGER) > 2020": listing(
        a.KEEPER, (m.Comparison(m.Attribute(a.KEEPER, a.HIRED, (), "year"), ">", (2020,)),), NAME
    ),
    "SELECT name, CASE WHEN age > 40 THEN 'high' ELSE 'low' END FROM keeper": listing(
        a.KEEPER, (), NAME, m.Classed(AGE, 40, "high", "low")
    ),
    "SELECT UPPER(name), name || ', ' || country FROM keeper": listing(
        a.KEEPER, (), m.Changed("upper", NAME), m.Joined(NAME, m.Attribute(a.KEEPER, a.COUNTRY), ", ")
    ),
    "SELECT title, RANK() OVER (PARTITION BY region ORDER BY altitude DESC) FROM apiary": listing(
        a.APIARY, (), TITLE, m.Ranked(ALTITUDE, True, REGION)
    ),
    "SELECT COUNT(*), AVG(age) FROM keeper": m.Measuring(m.Entity(a.KEEPER), (m.Count(), m.Aggregate("AVG", AGE))),
    "SELECT MAX(age) - MIN(age) FROM keeper": m.Measuring(m.Entity(a.KEEPER), (m.Spread(AGE),)),
    "SELECT 100.0 * SUM(CASE WHEN age > 35 THEN 1 ELSE 0 END) / COUNT(*) FROM keeper": m.Measuring(
        m.Entity(a.KEEPER), (m.CountIf(OLD, True),)
    ),
    "SELECT COUNT(DISTINCT keeper.id) FROM keeper JOIN apiary ON apiary.keeper_id = keeper.id": m.Measuring(
        m.Entity(a.KEEPER, (m.WithChildren(a.RUNS, m.Entity(a.APIARY), "join"),)), (m.Count(m.Attribute(a.KEEPER, a.KEEPER_ID)),)
    ),
    "SELECT region FROM apiary GROUP BY region HAVING COUNT(*) >= 2": m.Grouping(
        m.Entity(a.APIARY), (REGION,), (), having=m.Having(m.Count(), ">=", 2)
    ),
    "SELECT keeper.name, COUNT(*) FROM apiary JOIN keeper ON apiary.keeper_id = keeper.id WHERE apiary.region = 'north'"
    " GROUP BY keeper.id ORDER BY COUNT(*) DESC LIMIT 1": m.Grouping(
        m.Entity(a.APIARY, (NORTH,)),
        (KEEPER_OF_APIARY,),
        (m.Count(),),
        identity=True,
        order=(m.OrderKey(m.Count(), True),),
        limit=1,
    ),
    "SELECT keeper.name, COUNT(apiary.keeper_id) FROM keeper LEFT JOIN apiary ON apiary.keeper_id = keeper.id AND"
    " apiary.region = 'north' GROUP BY keeper.id": m.Grouping(
        m.Entity(a.APIARY, (NORTH,)), (NAME,), (m.Count(),), identity=True, outer=a.RUNS
    ),
    "SELECT region FROM apiary WHERE altitude > 300 EXCEPT SELECT region FROM apiary WHERE title LIKE 'H%'": m.Combining(
        "EXCEPT",
        listing(a.APIARY, (m.Comparison(ALTITUDE, ">", (300,)),), REGION),
        listing(a.APIARY, (m.Comparison(TITLE, "starts", ("H",)),), REGION),
    ),
    "WITH ranked AS (SELECT region, title, RANK() OVER (PARTITION BY region ORDER BY altitude DESC) AS position FROM apiary)"
    " SELECT region, title FROM ranked WHERE position = 1": m.BestOfGroup(
        m.Entity(a.APIARY), (TITLE,), REGION, ALTITUDE, True, True
    ),
    "SELECT apiary.region, apiary.title FROM apiary WHERE apiary.altitude = (SELECT MAX(u1.altitude) FROM apiary AS u1"
    " WHERE u1.region = apiary.region)": m.BestOfGroup(m.Entity(a.APIARY), (TITLE,), REGION, ALTITUDE, True, False),
    "WITH per_group AS (SELECT region, COUNT(*) AS amount FROM apiary GROUP BY region) SELECT region FROM per_group WHERE"
    " amount > (SELECT AVG(amount) FROM per_group)": m.AboveMeanGroups(m.Entity(a.APIARY), REGION, m.Count(), ">", False),
    "SELECT (SELECT COUNT(*) FROM apiary WHERE region = 'north') - (SELECT COUNT(*) FROM apiary)": m.Contrast(
        m.Count(), m.Entity(a.APIARY, (NORTH,)), m.Entity(a.APIARY)
    ),
    "SELECT t1.title, t2.title FROM apiary AS t1 JOIN apiary AS t2 ON t1.region = t2.region AND t1.id < t2.id": m.Twins(
        m.Entity(a.APIARY), TITLE, REGION
    ),
}


@pytest.mark.parametrize("sql", REQUESTS)
def test_the_sql_of_a_request(sql):
    assert sql_text(request_tree(REQUESTS[sql])) == sql


def test_a_number_stored_as_text_is_cast_and_odd_names_are_quoted():
    price = a.GrammarColumn("unit price", "price", (), a.FRAMES.spec, ("8", "10", "12"), number_as_text=True)
    order = a.GrammarTable("order", "order", "orders", (), (price,), None, None)
    attribute = m.Attribute(order, price)
    request = m.Listing(
        m.Entity(order, (m.Comparison(attribute, ">", (9,)),)), (attribute,), order=(m.OrderKey(attribute, False),)
    )
    text = 'SELECT "unit price" FROM "order" WHERE CAST("unit price" AS INTEGER) > 9 ORDER BY CAST("unit price" AS INTEGER) ASC'
    assert sql_text(request_tree(request)) == text


@pytest.mark.parametrize(
    ("date_format", "year", "month"), [("%d/%m/%Y", 7, 4), ("%m/%d/%Y", 7, 1), ("%Y%m%d", 1, 5), ("%d.%m.%Y", 7, 4)]
)
def test_where_the_parts_of_a_date_begin(date_format, year, month):
    assert [date_part_start(date_format, part) for part in ("%Y", "%m")] == [year, month]
