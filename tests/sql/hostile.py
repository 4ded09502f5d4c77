"""Statements that attack, by family, each with the outcomes that are right for it; and the database they attack.

An outcome is a verdict, or `result`: the statement does no harm within the limits, so it is executed and its rows count.
Several outcomes are joined by "or": which limit is hit first depends on the machine. A third text is for the modes that
do as the original evaluations do: they execute whatever SQLite takes for one statement, not SELECTs alone.
`{folder}` stands for the database's folder, `{size}` for nearly half the bytes that a value may have.
"""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from sense.config import ExecutionConfig
from tests.sql.conftest import SCRIPT

LIMITS = ExecutionConfig(timeout_s=0.25, max_rows=1000, max_bytes=1_000_000, max_steps=2_000_000, workers=2)
PLAIN = "SELECT name FROM pet WHERE id = 1"  # no attack below returns its result

N = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)"
TEXT = "hex(zeroblob({size}))"
# Right, and fast the first time; but one time in ten it is one long C call.
SLY = f"{PLAIN} AND (abs(random()) % 10 > 0 OR instr({TEXT}, hex(zeroblob({{size}} / 2)) || '1') = 0)"


class Hostile(NamedTuple):
    """One attack and the outcomes that are right: of a SELECT's execution, and where whatever SQLite takes is executed."""

    family: str
    name: str
    sql: str
    select: frozenset[str]
    official: frozenset[str]


def _rows(count: int) -> str:
    return f"({N} SELECT i FROM n LIMIT {count})"


def _chain(count: int, link: str) -> str:
    """CTEs each of which reads the one before it."""
    links = "".join(f",a{number} AS({link.replace('@', f'a{number - 1}')})" for number in range(1, count))
    return f"WITH a0 AS(SELECT 1 x){links} SELECT x FROM a{count - 1}"


def _spread(item: str, count: int, between: str = ",") -> str:
    return between.join([item] * count)


_RECURSION = {
    "endless count": (f"{N} SELECT count(*) FROM n", "timeout"),
    "endless rows": (f"{N} SELECT i FROM n", "too_large"),
    "endless in IN": (f"SELECT name FROM pet WHERE id IN ({N} SELECT -i FROM n)", "timeout"),
    "endless in EXISTS": (f"SELECT EXISTS ({N} SELECT 1 FROM n WHERE i < 0)", "timeout"),
    "endless as a value": (f"SELECT ({N} SELECT max(i) FROM n)", "timeout"),
    "endless per row": (f"SELECT name FROM pet WHERE ({N} SELECT count(*) FROM n WHERE i > pet.id) > 0", "timeout"),
    "endless, materialised": (f"{N}, m AS MATERIALIZED (SELECT i FROM n) SELECT a.i FROM m a, m b", "timeout or too_large"),
    "endless, filtered away": (f"{N} SELECT i FROM n WHERE i < 0", "timeout"),
    "endless, limited to none": (f"{N} SELECT i FROM n WHERE i < 0 LIMIT 1 OFFSET 9223372036854775807", "timeout"),
    "endless, joined to itself": (f"{N} SELECT count(*) FROM n a JOIN n b USING (i)", "timeout or too_large"),
    "endless, sorted as it goes": (
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n ORDER BY 1 DESC) SELECT count(*) FROM n",
        "timeout",
    ),
    "endless, distinct": (
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION SELECT i + 1 FROM n) SELECT count(*) FROM n",
        "timeout or too_large",
    ),
    "twice as many each time": (
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i FROM n UNION ALL SELECT i FROM n) SELECT count(*) FROM n",
        "timeout or too_large",
    ),
    "twice as long each time": (
        "WITH RECURSIVE n(s) AS (SELECT 'ab' UNION ALL SELECT s || s FROM n) SELECT max(s) FROM n",
        "too_large",
    ),
    "mutual": ("WITH RECURSIVE a(i) AS (SELECT i FROM b), b(i) AS (SELECT i FROM a) SELECT i FROM a", "error"),
    "of itself alone": ("WITH RECURSIVE a(i) AS (SELECT i FROM a) SELECT i FROM a", "error"),
    "a recursion per step": (
        f"WITH RECURSIVE m(j) AS (SELECT 1 UNION ALL SELECT j + (SELECT count(*) FROM {_rows(999)}) FROM m) SELECT max(j) FROM m",
        "timeout",
    ),
    "a chain of CTEs": (_chain(2000, "SELECT x FROM @"), "result or timeout"),
    "a chain of CTEs nested in expressions": (_chain(2000, "SELECT (SELECT x FROM @) x"), "error or timeout"),
    "a chain of CTEs that cannot be merged": (_chain(2000, "SELECT DISTINCT x FROM @"), "result or timeout"),
    "CTEs that double": (_chain(40, "SELECT a.x FROM @ a, @ b"), "timeout or too_large or error"),
    "CTEs that double by UNION": (_chain(40, "SELECT x FROM @ UNION ALL SELECT x FROM @"), "timeout or too_large or error"),
}

_JOINS = {
    "cross join": ("SELECT count(*) FROM " + ",".join(f"pet p{number}" for number in range(20)), "timeout"),
    "cross join of rows": (f"SELECT a.i FROM {_rows(1000)} a, {_rows(1000)} b", "too_large"),
    "self join with aggregates": (
        f"SELECT max(a.i * b.i), count(DISTINCT a.i || ':' || b.i) FROM {_rows(3000)} a JOIN {_rows(3000)} b ON a.i <> b.i",
        "timeout or too_large",
    ),
    "self join on an inequality": (f"SELECT sum(a.i) FROM {_rows(5000)} a JOIN {_rows(5000)} b ON a.i < b.i", "timeout"),
    "outer joins that match nothing": (
        f"SELECT count(*) FROM {_rows(3000)} a LEFT JOIN {_rows(3000)} b ON a.i + b.i < 0 FULL JOIN {_rows(99)} c ON a.i < -c.i",
        "timeout",
    ),
    "65 tables": ("SELECT count(*) FROM " + ",".join(f"pet p{number}" for number in range(65)), "error"),
    "60 natural joins": (
        "SELECT count(*) FROM pet " + " ".join(f"NATURAL JOIN pet p{number}" for number in range(60)),
        "result or timeout",
    ),
    "63 tables to order": (
        "SELECT count(*) FROM "
        + ",".join(f"pet p{number}" for number in range(63))
        + " WHERE "
        + " AND ".join(f"p{one}.id=p{other}.owner_id" for one in range(63) for other in range(max(0, one - 12), one)),
        "result or timeout",
    ),
    "ORs over 60 tables": (
        "SELECT count(*) FROM "
        + ",".join(f"pet p{number}" for number in range(60))
        + " WHERE "
        + " OR ".join(f"(p{number % 60}.id={number} AND p{number * 7 % 60}.id={number})" for number in range(900)),
        "timeout",
    ),
}

_MEMORY = {
    "sort": (f"{N} SELECT {TEXT} || i FROM n ORDER BY 1", "too_large or timeout"),
    "sort of small rows": (f"{N} SELECT i FROM n ORDER BY -i", "timeout or too_large"),
    "distinct": (f"{N} SELECT count(DISTINCT {TEXT} || i) FROM n", "too_large or timeout"),
    "group by": (f"{N} SELECT count(*) FROM n GROUP BY {TEXT} || i", "too_large or timeout"),
    "union": (f"{N} SELECT {TEXT} || i FROM n UNION SELECT 1", "too_large or timeout"),
    "intersect": (f"{N} SELECT {TEXT} || i FROM n INTERSECT SELECT {TEXT} || -i FROM n", "too_large or timeout"),
    "window": (f"{N} SELECT sum(length({TEXT} || i)) OVER () FROM n", "too_large or timeout"),
    "window over rows": (
        f"SELECT max(s) FROM (SELECT sum(i) OVER (ORDER BY i ROWS BETWEEN 999 PRECEDING AND 9 FOLLOWING) s FROM {_rows(99999)})",
        "timeout or too_large",
    ),
    "window that collects text": (
        f"SELECT max(length(s)) FROM (SELECT group_concat({TEXT}) OVER (ORDER BY i) s FROM {_rows(1000)})",
        "too_large or timeout",
    ),
    "many windows": (
        "SELECT 1 FROM pet ORDER BY " + ",".join(f"sum(id) OVER (ORDER BY id ROWS {number} PRECEDING)" for number in range(900)),
        "timeout or result",
    ),
    "group_concat": (f"SELECT length(group_concat(hex(zeroblob(1000)))) FROM {_rows(5000)}", "too_large"),
    "group_concat, distinct": (f"SELECT length(group_concat(DISTINCT {TEXT} || i)) FROM {_rows(5000)}", "too_large or timeout"),
    "materialised text": (
        f"WITH m AS MATERIALIZED (SELECT {TEXT} || i t FROM {_rows(9999)}) SELECT count(*) FROM m a, m b",
        "too_large or timeout",
    ),
    "automatic index": (
        f"SELECT count(*) FROM {_rows(50000)} a JOIN {_rows(50000)} b ON {TEXT} || a.i = {TEXT} || b.i",
        "too_large or timeout",
    ),
    "huge rows": (f"{N} SELECT {TEXT} FROM n", "too_large"),
    "one huge row": ("SELECT " + _spread("t", 1900) + f" FROM (SELECT {TEXT} AS t LIMIT 1)", "too_large or timeout"),
    "huge column names": (
        'WITH a AS (SELECT 1 AS "' + "\U0001f600" * 10_000 + '") SELECT ' + _spread("a.*", 1900) + " FROM a",
        "result or too_large or timeout",
    ),
    "a huge error message": (f"SELECT json_extract('{{}}', {TEXT})", "error"),
    "a huge identifier": ("SELECT x" + "y" * 90_000, "error"),
}

_FUNCTIONS = {
    "printf width": ("SELECT printf('%.*c', 999999999, 'x')", "too_large or timeout"),
    "printf precision": ("SELECT printf('%.2147483647f', 1.5)", "too_large or timeout or result"),
    "printf negative width": ("SELECT printf('%*d', -2147483648, 1)", "too_large or timeout or result"),
    "printf without arguments": ("SELECT printf('" + "%s%n%p%d" * 5000 + "')", "result"),
    "format, nested": (f"SELECT format('%s%s%s', t, t, t) FROM (SELECT {TEXT} AS t)", "result or too_large"),
    "zeroblob": ("SELECT zeroblob(999999999)", "too_large"),
    "zeroblob of a negative size": ("SELECT zeroblob(-9223372036854775808)", "result"),
    "zeroblob of too many bits": ("SELECT zeroblob(9223372036854775807)", "too_large"),
    "randomblob": ("SELECT hex(randomblob(999999999))", "too_large"),
    "replace": (f"SELECT replace(replace({TEXT}, '0', 'aaaaaaaaaa'), 'a', 'aaaaaaaaaa')", "too_large"),
    "replace, one long C call": (f"SELECT length(replace({TEXT}, substr({TEXT}, 1, {{size}}) || '1', ''))", "timeout"),
    "instr, one long C call": (f"SELECT instr({TEXT}, hex(zeroblob({{size}} / 2)) || '1')", "timeout"),
    "instr of blobs": ("SELECT instr(zeroblob({size} * 2), zeroblob({size}) || x'01')", "timeout or result"),
    "trim, one long C call": (f"SELECT trim({TEXT}, replace(substr({TEXT}, 1, 80000), '0', '1') || '0')", "timeout"),
    "substr from the far end": (f"SELECT substr({TEXT}, -9223372036854775808, 9223372036854775807)", "result"),
    "quote": (f"SELECT quote(replace({TEXT}, '0', ''''))", "too_large"),
    "hex of hex": ("SELECT hex(hex(hex(hex(zeroblob({size})))))", "too_large"),
    "char": ("SELECT char(" + _spread("1114111", 100) + ")", "result"),
    "char of no character": ("SELECT char(-1, 0, 55296, 57343, 1114112, 9223372036854775807)", "result", "result or error"),
    "unicode over a huge text": (f"SELECT sum(unicode(substr(t, i))) FROM (SELECT {TEXT} t), {_rows(9999)}", "timeout or result"),
    "upper of lower, again and again": (
        f"SELECT sum(length(upper(lower(t)) || i)) FROM (SELECT {TEXT} t), {_rows(99999)}",
        "timeout",
    ),
    "concatenation": ("SELECT " + _spread(TEXT, 200, " || "), "too_large"),
    "bytes that are no text": (
        f"SELECT CAST(replace({TEXT}, '0', 'ff') AS TEXT), CAST(x'fffe00ff' AS TEXT)",
        "result or too_large",
    ),
    "bytes in an error message": ("SELECT json_extract('{}', CAST(x'ff' AS TEXT))", "error"),
    "readfile": ("SELECT readfile('/etc/passwd')", "error or rejected"),
    "writefile": ("SELECT writefile('{folder}/new.txt', 'x')", "error or rejected"),
    "edit": ("SELECT edit('x', 'touch {folder}/new.txt')", "error or rejected"),
    "load_extension": ("SELECT load_extension('libc.so.6', 'system')", "rejected"),
    "load_extension, spelt otherwise": ("SELECT \"LOAD_Extension\"('libc.so.6')", "rejected"),
    "tokenizer pointer": ("SELECT hex(fts3_tokenizer('simple'))", "rejected"),
    "tokenizer pointer set": ("SELECT fts3_tokenizer('simple', x'4141414141414141')", "rejected"),
    "sqlite_log": ("SELECT sqlite_log(1, 'x')", "result or error or rejected"),
    "a function of an index": ("SELECT rtreenode(2, zeroblob(900000)), rtreedepth(zeroblob(1))", "result or error"),
    "a pointer from nothing": ("SELECT fts5(x'00'), matchinfo(1), offsets(1), snippet(1), bm25(1)", "error"),
    "generate_series": ("SELECT count(*) FROM generate_series(1, 9223372036854775807)", "error"),
    "regexp": ("SELECT 'a' REGEXP '(((('", "error"),
    "match without an index": ("SELECT 'a' MATCH 'b'", "error"),
}

_PATTERNS = {
    "LIKE, one long C call": (f"SELECT {TEXT} LIKE '%" + "0%" * 400 + "1'", "result or timeout"),
    "LIKE of many underscores": (f"SELECT {TEXT} LIKE '%" + "_%" * 400 + "1'", "result or timeout"),
    "LIKE with ESCAPE": (f"SELECT {TEXT} LIKE '%" + "00000000%" * 100 + "x%1' ESCAPE 'x'", "result or timeout"),
    "LIKE with a long ESCAPE": ("SELECT 'a' LIKE 'b' ESCAPE 'cc'", "error"),
    "LIKE with a long pattern": ("SELECT 'a' LIKE '" + "%" * 2000 + "'", "error"),
    "LIKE as a function": (f"SELECT like('%' || substr({TEXT}, 1, 900) || '%1', {TEXT}, '\\')", "result or timeout"),
    "GLOB of ranges": (f"SELECT {TEXT} GLOB '*" + "[0-9]*" * 100 + "a'", "result or timeout"),
    "GLOB of a long set": (f"SELECT {TEXT} GLOB '*[" + "a" * 900 + "]'", "result or timeout"),
    "GLOB left open": (f"SELECT {TEXT} GLOB '*[" + "*[" * 400 + "'", "result or timeout"),
    "LIKE per row": (f"SELECT count(*) FROM {_rows(9999)} WHERE {TEXT} || i LIKE '%1%2%3%4%x'", "timeout or result"),
}

_SHAPE = {
    "deep parentheses": ("SELECT " + "(" * 5000 + "1" + ")" * 5000, "error"),
    "deep parentheses, left open": ("SELECT " + "(" * 90_000, "error"),
    "deep parentheses, never opened": ("SELECT 1" + ")" * 90_000, "error"),
    "deep function calls": ("SELECT " + "abs(" * 2000 + "1" + ")" * 2000, "error"),
    "deep subqueries": ("SELECT " + "(SELECT " * 3000 + "1" + ")" * 3000, "error"),
    "deep subqueries in FROM": ("SELECT 1 FROM " + "(SELECT * FROM " * 3000 + "pet" + ")" * 3000, "error"),
    "deep EXISTS": ("SELECT 1 WHERE " + "EXISTS (SELECT 1 WHERE " * 1000 + "1" + ")" * 1000, "error"),
    "deep CASE": ("SELECT " + "CASE WHEN 1 THEN " * 1500 + "1" + " END" * 1500, "error"),
    "deep NOT": ("SELECT " + "NOT " * 20_000 + "1", "error"),
    "deep minus": ("SELECT " + "- " * 40_000 + "1", "error"),
    "deep COLLATE": ("SELECT 1 " + "COLLATE a " * 9_900, "result or error"),
    "deep ISNULL": ("SELECT 1 " + "ISNULL " * 10_000, "error"),
    "deep joins": ("SELECT 1 FROM " + "(" * 60 + "pet" + " JOIN owner)" * 60, "error"),
    "deep WITH": ("WITH a AS (" * 500 + "SELECT 1" + ") SELECT 1" * 500, "error"),
    "deep brackets": ("SELECT " + "[" * 90_000, "error"),
    "many terms": ("SELECT " + _spread("1", 2000, "+"), "error"),
    "many compound selects": ("SELECT 1" + " UNION ALL SELECT 1" * 600, "error"),
    "many rows of VALUES": ("SELECT count(*) FROM (VALUES (1)" + ",(1)" * 20_000 + ")", "result"),
    "many columns": ("SELECT " + _spread("1", 2500), "error"),
    "many columns to sort by": ("SELECT 1 FROM pet ORDER BY " + _spread("id", 2500), "error"),
    "many arguments": ("SELECT max(" + _spread("1", 120) + ")", "error"),
    "many CASE arms": ("SELECT CASE id " + "WHEN 1 THEN 2 " * 6000 + "END FROM pet", "result"),
    "many CTEs": (
        "WITH " + ",".join(f"a{number} AS(SELECT {number})" for number in range(4000)) + " SELECT 1",
        "result or timeout",
    ),
    "IN list of 48,000": ("SELECT 1 IN (" + "1," * 48_000 + "1)", "result"),
    "IN list of 100,000": ("SELECT 1 IN (" + "1," * 100_000 + "1)", "rejected"),
    "IN list of columns": ("SELECT count(*) FROM pet WHERE id IN (" + "id," * 30_000 + "1)", "result"),
    "parameters": ("SELECT ?1, :a, @b, $c", "error"),
    "a high parameter": ("SELECT ?250000", "error"),
    "a parameter too high": ("SELECT ?2147483648", "error"),
}

_TEXTS = {
    "empty": ("", "rejected", "result or rejected"),
    "spaces": (" \t\r\n " * 1000, "rejected", "result or rejected"),
    "semicolons": (";" * 50_000, "rejected", "result or rejected"),
    "100,000 characters": ("SELECT '" + "x" * 99_991 + "'", "result"),
    "a megabyte": ("SELECT '" + "x" * 1_000_000 + "'", "rejected"),
    "a megabyte of nonsense": ("SELECT " + "(%!" * 350_000, "rejected"),
    "ten megabytes": ("SELECT 1 --" + "\U0001f600" * 10_000_000, "rejected"),
    "NUL": ("SELECT 1\0; DROP TABLE pet", "rejected", "error"),
    "NUL in a string": ("SELECT 'a\0b'", "rejected", "error"),
    "half a character": ("SELECT '\ud800'", "error"),
    "half a character as a name": ("SELECT \udfff FROM pet", "error"),
    "half a character, first": ("\ud800SELECT 1", "rejected", "error"),
    "byte order mark": ("\ufeffSELECT name FROM pet", "rejected or result"),
    "byte order mark inside": ("SELECT\ufeffname FROM\ufeffpet", "error or result"),
    "spaces that are none": ("SELECT\u00a0name\u2003FROM\u3000pet", "error or rejected"),
    "a line separator": ("SELECT 1 --\u2028; DROP TABLE pet", "result"),
    "a carriage return in a comment": ("SELECT 1 -- a\rDROP TABLE pet", "result"),
    "letters that look alike": ("ЅELECT name FROM pet", "rejected", "error"),
    "control characters in a name": ('SELECT "\x1b[2J\x07\x7f" FROM cow', "error"),
    "right-to-left override": ("SELECT '\u202e' || name FROM pet; \u202eteP ELBAT PORD", "rejected", "result or rejected"),
    "string that never ends": ("SELECT 'a ; DROP TABLE pet", "error"),
    "a quote in a quote": ('SELECT "a""; DROP TABLE pet; --"', "result or error"),
    "dot command": (".shell touch {folder}/new.txt", "rejected", "error"),
    "dot command behind": ("SELECT 1\n.shell touch {folder}/new.txt", "error"),
}

_COMMENTS = {
    "hidden by a comment": ("/* SELECT */ DROP TABLE pet --", "rejected"),
    "hidden by a line": ("-- SELECT 1\nDROP TABLE pet", "rejected"),
    "hidden by a nested comment": ("/* /* */ DROP TABLE pet /* */ SELECT 1 */", "rejected", "error"),
    "hidden in the words": ("DR/**/OP TABLE pet", "rejected", "error"),
    "behind a comment": ("SELECT 1 /* */ ; /* */ DROP TABLE pet", "rejected", "result or rejected"),
    "comment that never ends": ("SELECT 1 /* ; DROP TABLE pet", "result"),
    "comment that ends at once": ("SELECT 1 /*/ ; DROP TABLE pet", "result"),
    "only a comment": ("/* SELECT 1 */ -- SELECT 2", "rejected", "result"),
    "many comments": ("SELECT " + "/**/" * 20_000 + "1", "result"),
    "many quotes": ("SELECT " + "''" * 40_000, "result"),
    "many openings of a comment": ("SELECT 1 " + "/*" * 40_000, "error"),
    "many semicolons behind": ("SELECT 1" + ";" * 50_000, "result or error or rejected"),
}

_STATEMENTS = {
    "second statement": ("SELECT 1; DROP TABLE pet", "rejected", "result or rejected"),
    "many statements": ("SELECT 1;" * 10_000, "rejected", "result or rejected"),
    "attach": ("ATTACH DATABASE '{folder}/new.sqlite' AS other", "rejected"),
    "attach memory": ("ATTACH ':memory:' || 'x' AS other", "rejected"),
    "attach behind a select": ("SELECT 1 FROM (ATTACH '{folder}/new.sqlite' AS other)", "error"),
    "detach": ("DETACH DATABASE main", "rejected"),
    "vacuum": ("VACUUM", "rejected"),
    "vacuum into": ("VACUUM INTO '{folder}/copy.sqlite'", "rejected"),
    "drop": ("DROP TABLE pet", "rejected"),
    "drop what is not there": ("DROP TABLE IF EXISTS cow", "rejected", "result or rejected"),
    "alter": ("ALTER TABLE pet RENAME TO gone", "rejected"),
    "create table": ("CREATE TABLE t(a)", "rejected"),
    "create what is there": ("CREATE TABLE IF NOT EXISTS pet(a)", "rejected", "result or rejected"),
    "create temporary table": ("CREATE TEMP TABLE t AS SELECT * FROM pet", "rejected"),
    "create view": ("CREATE TEMP VIEW v AS SELECT 1", "rejected"),
    "create trigger": ("CREATE TEMP TRIGGER t AFTER INSERT ON pet BEGIN SELECT 1; END", "rejected"),
    "create virtual table": ("CREATE VIRTUAL TABLE temp.v USING fts5(a)", "rejected"),
    "create index": ("CREATE INDEX i ON pet(name)", "rejected"),
    "insert": ("INSERT INTO pet(id) VALUES (99)", "rejected"),
    "insert or replace": ("REPLACE INTO pet(id) VALUES (1)", "rejected"),
    "insert behind with": ("WITH x(a) AS (SELECT 99) INSERT INTO pet(id) SELECT a FROM x", "rejected"),
    "insert into a full-text index": ("INSERT INTO note(note) VALUES ('delete-all')", "rejected"),
    "update": ("UPDATE pet SET name = 'x'", "rejected"),
    "update returning": ("UPDATE pet SET name = 'x' RETURNING name", "rejected"),
    "update behind with": ("WITH x AS (SELECT 1) UPDATE pet SET name = 'x' RETURNING name", "rejected"),
    "delete": ("DELETE FROM pet", "rejected"),
    "delete behind with": ("WITH x AS (SELECT 1) DELETE FROM pet", "rejected"),
    "delete behind with, in disguise": ("WITH [SELECT](a) AS (SELECT 1) /* SELECT */ DELETE FROM pet RETURNING id", "rejected"),
    "write within a select": ("SELECT * FROM (DELETE FROM pet RETURNING id)", "error"),
    "write in a CTE": ("WITH x AS (DELETE FROM pet RETURNING id) SELECT * FROM x", "error or rejected"),
    "write behind a union": ("SELECT 1 UNION DELETE FROM pet", "error or rejected"),
    "raise": ("SELECT RAISE(ROLLBACK, 'x')", "error"),
    "index that is not there": ("SELECT name FROM pet INDEXED BY cow", "error"),
    "begin": ("BEGIN EXCLUSIVE", "rejected"),
    "commit": ("COMMIT", "rejected"),
    "rollback": ("ROLLBACK", "rejected"),
    "savepoint": ("SAVEPOINT s", "rejected"),
    "release": ("RELEASE s", "rejected"),
    "reindex": ("REINDEX", "rejected"),
    "analyze": ("ANALYZE", "rejected"),
    "explain a write": ("EXPLAIN DELETE FROM pet", "rejected"),
    "explain query plan": ("EXPLAIN QUERY PLAN SELECT * FROM pet", "rejected", "result"),
    "values": ("VALUES (1)", "rejected", "result"),
    "select into": ("SELECT * INTO copy FROM pet", "error"),
    "select for update": ("SELECT name FROM pet FOR UPDATE", "error"),
}

_SYSTEM = (
    {
        "schema table": ("SELECT sql FROM sqlite_master", "result"),
        "schema table changed": ("UPDATE sqlite_master SET sql = ''", "rejected", "error or rejected"),
        "temporary schema": ("SELECT * FROM sqlite_temp_master", "result"),
        "pages": ("SELECT data FROM sqlite_dbpage", "error or rejected"),
        "data version": ("PRAGMA data_version", "rejected", "result or rejected"),
        "page statistics": ("SELECT name FROM dbstat", "error or rejected or result"),
        "statements": ("SELECT sql FROM sqlite_stmt", "error or rejected or result"),
        "shadow table": ("SELECT block FROM note_data", "result"),
        "full-text write in a select": ("SELECT optimize(old) FROM old", "error or rejected"),
        "rtree check": ("SELECT rtreecheck('main', 'box')", "result or rejected or error"),
        "tokenizer as a table": ("SELECT token FROM fts3tokenize WHERE input = 'a b'", "result or rejected or error"),
    }
    | {
        f"pragma {name}": (f"PRAGMA {name}", "rejected")
        for name in (
            "writable_schema = ON",
            "journal_mode = DELETE",
            "mmap_size = 99999999999",
            "temp_store_directory = '{folder}'",
            "data_store_directory = '{folder}'",
            "case_sensitive_like = ON",
            "hard_heap_limit = 0",
            "soft_heap_limit = 1",
            "query_only = OFF",
            "trusted_schema = ON",
            "cache_size = -99999999",
            "integrity_check",
            "user_version = 7",
            "wal_checkpoint(TRUNCATE)",
            "table_info(pet)",
        )
    }
    | {
        f"pragma_{name}": (f"SELECT * FROM pragma_{name}", "rejected")
        for name in (
            "journal_mode('delete')",
            "table_info('pet')",
            "integrity_check",
            "function_list",
            "query_only('off')",
            "hard_heap_limit(0)",
            "database_list",
        )
    }
)

_FULL_TEXT = {
    "MATCH of many ORs": (
        "SELECT count(*) FROM note WHERE note MATCH '" + _spread("w*", 5000, " OR ") + "'",
        "result or error or timeout",
    ),
    "MATCH of deep parentheses": ("SELECT count(*) FROM note WHERE note MATCH '" + "(" * 9000 + "w1" + ")" * 9000 + "'", "error"),
    "MATCH of deep NOTs": (
        "SELECT count(*) FROM note WHERE note MATCH '" + _spread("w1", 4000, " NOT ") + "'",
        "result or error",
    ),
    "MATCH of NEAR": (
        "SELECT count(*) FROM note WHERE note MATCH 'NEAR(" + "w1 w2 " * 5000 + ", 999999999)'",
        "result or error or timeout",
    ),
    "MATCH of a huge text": (f"SELECT count(*) FROM note WHERE note MATCH {TEXT}", "result or error"),
    "MATCH of nonsense": ("SELECT count(*) FROM note WHERE note MATCH '\"((^*:{-'", "error"),
    "MATCH of bytes": ("SELECT count(*) FROM note WHERE note MATCH CAST(x'ff00fe' AS TEXT)", "result or error"),
    "rank of one's own": ("SELECT body FROM note WHERE note MATCH 'w1' AND rank MATCH 'load_extension(1)'", "result or error"),
    "highlight": (f"SELECT highlight(note, 0, {TEXT}, {TEXT}) FROM note WHERE note MATCH 'w1 OR w2'", "too_large"),
    "FTS4 of many ORs": ("SELECT count(*) FROM old WHERE old MATCH '" + _spread("w*", 5000, " OR ") + "'", "error or result"),
    "FTS4 matchinfo": (
        "SELECT matchinfo(old, '" + "x" * 50_000 + "') FROM old WHERE old MATCH 'w1'",
        "result or too_large or timeout",
    ),
    "FTS4 error message": (f"SELECT count(*) FROM old WHERE old MATCH {TEXT} || ' \"'", "error"),
    "FTS4 snippet": (
        "SELECT snippet(old, '<', '>', '.', -1, 64) FROM old, pet, pet p, pet q WHERE old MATCH 'w1'",
        "result or timeout or too_large",
    ),
}

_JSON = {
    "deep array": ("SELECT json('" + "[" * 40_000 + "]" * 40_000 + "')", "error"),
    "deep tree": ("SELECT count(*) FROM json_tree('" + "[" * 1900 + "]" * 1900 + "')", "result or timeout or error"),
    "deep objects": ("SELECT json_valid('" + '{"a":' * 15_000 + "1" + "}" * 15_000 + "')", "result or error"),
    "paths of a deep tree": (
        "SELECT max(length(fullkey)) FROM json_tree('" + "[" * 1900 + "]" * 1900 + "')",
        "result or timeout or error",
    ),
    "huge array": (f"SELECT sum(value) FROM json_each('[' || replace({TEXT}, '00', '0,') || '0]')", "result or timeout"),
    "huge array, again and again": (
        f"SELECT count(*) FROM {_rows(9999)} n, json_each('[' || replace({TEXT}, '00', '0,') || n.i || ']')",
        "timeout",
    ),
    "twice as large each time": (
        "WITH RECURSIVE j(v) AS (SELECT '[]' UNION ALL SELECT json_array(json(v), json(v)) FROM j) SELECT max(v) FROM j",
        "too_large or error",
    ),
    "collected": (f"SELECT json_group_array({TEXT}) FROM {_rows(1000)}", "too_large or timeout"),
    "collected over a window": (
        f"SELECT max(length(s)) FROM (SELECT json_group_array(i) OVER (ORDER BY i ROWS 5000 PRECEDING) s FROM {_rows(99999)})",
        "timeout",
    ),
    "patched": (
        "SELECT json_patch('" + '{"a":' * 900 + "1" + "}" * 900 + "', '" + '{"a":' * 900 + "2" + "}" * 900 + "')",
        "result or error",
    ),
    "set at many paths": ("SELECT json_set('[]'" + ",'$[#]',1" * 49 + ")", "result"),
    "a path that is none": ("SELECT json_extract('[1]', '$[99999999999999999999]', '$[#-99999999999]', '$')", "result or error"),
}

_NUMBERS = {
    "integer overflow": ("SELECT abs(-9223372036854775807 - 1)", "error"),
    "sum overflow": ("SELECT sum(a) FROM (SELECT 9223372036854775807 a UNION ALL SELECT 1)", "error"),
    "total of infinities": ("SELECT total(a) FROM (SELECT 9e999 a UNION ALL SELECT -9e999)", "result"),
    "division of the least integer": ("SELECT (-9223372036854775807 - 1) / -1, (-9223372036854775807 - 1) % -1", "result"),
    "division by zero": ("SELECT 1 / 0, 1 % 0, 1.0 / 0", "result"),
    "shift too far": ("SELECT 1 << 9223372036854775807, -1 >> -9223372036854775807", "result"),
    "digits": ("SELECT " + "9" * 90_000, "result"),
    "digits behind the point": ("SELECT 0." + "1" * 90_000 + "e-99999", "result"),
    "exponent": ("SELECT 1e" + "9" * 5000 + ", -1e999, 1e-999", "result"),
    "cast of a long number": (
        f"SELECT CAST(replace({TEXT}, '0', '9') AS INTEGER), CAST(replace({TEXT}, '0', '9') AS REAL)",
        "result",
    ),
    "round to many places": ("SELECT round(1e308, 2147483647), round(-0.5, -2147483648)", "result"),
    "logarithm of nothing": ("SELECT ln(0), sqrt(-1), pow(10, 999), acos(2), log(-1)", "result"),
    "limit and offset": ("SELECT id FROM pet LIMIT 9223372036854775807 OFFSET 9223372036854775807", "result"),
    "limit too large": ("SELECT id FROM pet LIMIT 99999999999999999999", "error"),
    "limit of text": ("SELECT id FROM pet LIMIT 'many'", "error"),
    "ntile of none": ("SELECT ntile(0) OVER (), nth_value(id, 0) OVER () FROM pet", "error"),
    "lag from the far end": ("SELECT lag(id, -9223372036854775808) OVER () FROM pet", "result"),
    "a frame before the start": ("SELECT sum(id) OVER (ROWS BETWEEN -1 PRECEDING AND 1 FOLLOWING) FROM pet", "error"),
    "date out of range": ("SELECT date('now', '+999999999999 years'), julianday(1e300), datetime(-1e18, 'unixepoch')", "result"),
    "date arithmetic": (
        "SELECT count(date('0000-01-01', '+' || (i * 1000) || ' days', 'start of year', 'weekday 6')) FROM " + _rows(200_000),
        "timeout",
    ),
    "date with many modifiers": ("SELECT date('now'" + ",'+1 day'" * 98 + ")", "result"),
    "date format": ("SELECT length(strftime('" + "%Y%J%s" * 10_000 + "', 'now'))", "result"),
    "dates one by one": (
        "WITH RECURSIVE d(x) AS (SELECT '0000-01-01' UNION ALL SELECT date(x, '+1 day') FROM d) SELECT count(*) FROM d",
        "timeout",
    ),
}

FAMILIES = {
    "recursion": _RECURSION,
    "joins": _JOINS,
    "memory": _MEMORY,
    "functions": _FUNCTIONS,
    "patterns": _PATTERNS,
    "shape": _SHAPE,
    "texts": _TEXTS,
    "comments": _COMMENTS,
    "statements": _STATEMENTS,
    "system": _SYSTEM,
    "full text": _FULL_TEXT,
    "json": _JSON,
    "numbers": _NUMBERS,
}


def statements(folder: Path, size: int = 450_000) -> list[Hostile]:
    """Every attack, the placeholders filled in."""
    return [
        Hostile(
            family,
            name,
            fill_placeholders(sql, folder, size),
            *(frozenset(each.split(" or ")) for each in (outcomes[0], outcomes[-1])),
        )
        for family, attacks in FAMILIES.items()
        for name, (sql, *outcomes) in attacks.items()
    ]


def fill_placeholders(sql: str, folder: Path, size: int) -> str:
    """The text with its placeholders filled in."""
    return sql.replace("{folder}", str(folder)).replace("{size}", str(size))


def build(folder: Path) -> Path:
    """Makes the database that is attacked, alone in a folder of its name; returns its path."""
    path = folder / "attacked" / "attacked.sqlite"
    path.parent.mkdir(parents=True)
    texts = [" ".join(f"w{row * number % 97}" for number in range(60)) for row in range(300)]
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(SCRIPT)
        connection.executescript(
            "CREATE VIRTUAL TABLE note USING fts5(body); CREATE VIRTUAL TABLE old USING fts4(body);"
            "CREATE VIRTUAL TABLE box USING rtree(id, low, high); INSERT INTO box VALUES (1, 0, 5);"
        )
        for table in ("note", "old"):
            connection.executemany(f"INSERT INTO {table} VALUES (?)", [(text,) for text in texts])
        connection.commit()
    return path
