import pytest

from sense.sql.parse import fingerprint


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("select name from pets", "SELECT  Name\nFROM Pets ; -- all"),
        ("select name from pets", "SELECT T1.name FROM pets AS T1"),
        ("select name from pets", "SELECT pets.name FROM `pets`"),
        ("select name from pets", 'SELECT [name] FROM "pets"'.replace("[name]", "pets.[name]")),
        ("select a.x, b.y from a join b on a.i = b.i", "SELECT T1.x, T2.y FROM a AS T1 INNER JOIN b AS T2 ON T1.i = T2.i"),
        ("select a.x from a left join b on a.i = b.i", "select a.x from a left outer join b on a.i = b.i"),
        ("select count(*) as n from t", "SELECT COUNT( * ) FROM t"),
        ("select a from t order by a asc", "select a from t order by a"),
        ("select a from t where b <> 1", "select a from t where b != 1"),
        ("gibberish   FROM nowhere (", "GIBBERISH from\nNowhere ("),
    ],
)
def test_writing_does_not_matter(one, other):
    assert fingerprint(one) == fingerprint(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("select a from t", "select b from t"),
        ("select a from t where b = 'x'", "select a from t where b = 'X'"),
        ('select a from t where b = "Dog"', 'select a from t where b = "dog"'),
        ("select a from t order by a desc", "select a from t order by a"),
        ("select count(*) as n from t group by a order by n", "select count(*) from t group by a order by a"),
        ("select a.x from a join b on a.i = b.i", "select b.x from a join b on a.i = b.i"),
        ("select x.a from t x join t y on x.i = y.j", "select y.a from t x join t y on x.i = y.j"),
        ("select a from t union select a from u", "select a from t union all select a from u"),
        ("select a from t limit 1", "select a from t limit 2"),
    ],
)
def test_meaning_does(one, other):
    assert fingerprint(one) != fingerprint(other)
