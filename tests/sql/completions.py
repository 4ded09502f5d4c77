"""How models write the SQL that they are asked for, collected from their chats, and SQL laid out as formatters and people do."""

import html
import json
import re

from sense.sql.parse import tokens

STATEMENTS = [
    "SELECT 1",
    "SELECT * FROM pet",
    "SELECT count(*) FROM pet WHERE age > 4 AND name LIKE '%a; b%'",
    'SELECT name , weight FROM pet WHERE kind = "dog. Or cat" ORDER BY weight DESC LIMIT 1',
    "SELECT T1.name FROM pet AS T1 JOIN owner AS T2 ON T1.owner_id = T2.id WHERE T2.age BETWEEN 20 AND 30 GROUP BY T1.name",
    "SELECT kind FROM pet GROUP BY kind HAVING count(*) >= 2",
    "SELECT name FROM pet WHERE id NOT IN (SELECT pet_id FROM visit) UNION SELECT name FROM owner",
    "SELECT name FROM pet EXCEPT SELECT name FROM owner WHERE city IS NOT NULL",
    "WITH old AS (SELECT id, name FROM pet WHERE age > 9), named AS (SELECT name FROM old) SELECT count(*) AS n FROM named",
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5) SELECT i FROM n",
    "SELECT CASE WHEN age > 9 THEN 'old' ELSE 'young' END AS how, avg(weight) FROM pet GROUP BY 1 ORDER BY 2 COLLATE NOCASE ASC",
    "SELECT p.* FROM pet p, owner o WHERE p.owner_id = o.id AND o.name = 'O''Brien'",
    "SELECT name, rank() OVER (PARTITION BY kind ORDER BY weight DESC) FROM pet",
    "SELECT name FROM pet WHERE EXISTS (SELECT 1 FROM visit v WHERE v.pet_id = pet.id)",
    "SELECT CAST(count(*) AS REAL) / (SELECT count(*) FROM pet) FROM pet WHERE `kind` = 'cat' OR [kind] = 'dog'",
]

_KEYWORDS = {
    "SELECT",
    "FROM",
    "WHERE",
    "GROUP",
    "BY",
    "ORDER",
    "AND",
    "LIMIT",
    "DESC",
    "ASC",
    "JOIN",
    "ON",
    "AS",
    "DISTINCT",
    "IN",
}
_BLANKS = [" ", " ", " ", "\n", "\n\n", "\n\n", "\n    ", "\t", "\n \n", " \r\n", " -- it's; a note\n", " /* one; two */ "]


def reformat(sql, rng):
    """`sql` with other blanks, comments and capitals between its tokens."""
    pieces = []
    for token in tokens(sql):
        if token.kind == "space":
            pieces.append(rng.choice(_BLANKS))
        elif token.text.upper() in _KEYWORDS and rng.random() < 0.2:
            pieces.append(token.text.swapcase())
        elif token.text == ",":
            pieces.append(rng.choice([",", ",\n", ",\n\n", ", "]))
        elif token.text == "(":
            pieces.append(rng.choice(["(", "(\n\n"]))
        elif token.text == ")":
            pieces.append(rng.choice([")", "\n\n)"]))
        else:
            pieces.append(token.text)
    return "".join(pieces)


def misspell(sql, rng):
    """`sql` with one of its keywords gone wrong."""
    pieces = list(tokens(sql))
    keywords = [number for number, token in enumerate(pieces) if number and token.text.upper() in _KEYWORDS]
    if not keywords:
        return sql + " FORM"
    number = rng.choice(keywords)
    word = pieces[number].text
    wrong = rng.choice([word[:-1], word[0] + word[2:], word[::-1], word + "X", ""])
    return "".join(wrong if place == number else token.text for place, token in enumerate(pieces))


def without_layout(sql):
    """`sql` without comments, final semicolons and differences in blanks."""
    pieces = [" " if token.kind in ("space", "comment") else token.text for token in tokens(sql)]
    return re.sub(r"\s+", " ", "".join(pieces)).strip(" ;")


_TABLE = "| name | age |\n|------|-----|\n| Ann  | 31  |"
COMPLETIONS = {
    "bare": "{sql}",
    "semicolon": "{sql};",
    "two semicolons": "{sql} ;;\n",
    "byte order mark": "\ufeff{sql}",
    "comment before": "-- all of them; it's simple\n{sql}",
    "fence": "```sql\n{sql}\n```",
    "fence with semicolon": "```sql\n{sql};\n```\n",
    "fence without language": "```\n{sql}\n```",
    "fence in capitals": "```SQL\n{sql}\n```",
    "fence on one line": "```sqlite {sql}```",
    "fence of tildes": "~~~sql\n{sql}\n~~~",
    "fence of four": "````sql\n{sql}\n````",
    "fence never closed": "```sql\n{sql}",
    "fence of Windows": "Here:\r\n```sql\r\n{sql}\r\n```\r\n",
    "fence in a list": "1. The query:\n   ```sql\n   {sql}\n   ```\n",
    "fence with comments": "```sql\n-- all of them; it's simple\n{sql};\n-- the end\n```",
    "fence and prose": "Sure! Here is the query:\n\n```sqlite\n{sql};\n```\n\nThis query returns the rows; it's simple.",
    "fence and result": "```sql\n{sql}\n```\nOutput:\n```\nname\n----\nAnn\n```",
    "fence of another language": "```python\nquery = 'SELECT 1'\n```\n```sql\n{sql}\n```",
    "tag": "<sql>{sql}</sql>",
    "tag with an attribute": '<sql dialect="sqlite">\n{sql}\n</sql>',
    "tag with CDATA": "<sql><![CDATA[{sql}]]></sql>",
    "LangChain": "SQLQuery: {sql}\nSQLResult: [(1,)]\nAnswer: 1",
    "other statement behind": "{sql}\nCREATE TABLE visit (id INTEGER)",
    "answer": "I think so.\n<answer>\n{sql}\n</answer>",
    "answer with fence": "<answer>\n```sql\n{sql}\n```\n</answer>",
    "answer with tag": "<answer><sql>{sql};</sql></answer>",
    "code": "<code>{sql};</code> is it.",
    "page": "<pre><code>{sql}</code></pre>",
    "brackets": "[SQL]{sql}[/SQL]",
    "bold": "**SQL:** {sql}",
    "bold on its line": "**SQL Query:**\n\n{sql}\n\n**Explanation:** it lists all.",
    "label": "SQL: {sql}",
    "label on its line": "Question: How many?\nSQL:\n{sql}",
    "prompt": "sqlite> {sql};",
    "quotation": "> {sql}",
    "bullet": "- {sql}",
    "in backticks": "The answer is `{sql}`, I think.",
    "in parentheses": "The query ({sql}) lists them.",
    "boxed": "The final answer is $\\boxed{{{sql}}}$",
    "after a sentence": "Select the names of all pets:\n\n{sql}",
    "after prose": "To answer this we select from the table.\n{sql}",
    "mark of Qwen": "{sql}<|im_end|>",
    "mark of Llama 2": " {sql}</s>",
    "mark of Llama 3": "{sql};<|eot_id|>",
    "mark of GPT": "{sql}<|endoftext|>Human: next",
    "mark of Mistral": "{sql} [/INST]",
    "mark of DeepSeek": "{sql}<\uff5cend\u2581of\u2581sentence\uff5c>",
    "mark of Gemma": "{sql}<end_of_turn>\n",
    "prose behind": "{sql}\n\nThis query counts the rows in the table, and it's all.",
    "note behind": "{sql}\n\nExplanation: the filter is a > 4.",
    "headings behind": "{sql}\n\n### Explanation\n- it lists\n- all",
    "line behind": "{sql}\nThis query counts the rows in the table.",
    "sentence behind": "{sql}; This counts. It's simple; really.",
    "table behind": "{sql}\n\n" + _TABLE,
    "table behind semicolon": "{sql};\n" + _TABLE,
    "result behind": "{sql}\n\nResult: 5",
    "next question behind": "{sql}\n\nquestion: How many?\nsql: SELECT 1",
    "next statement behind": "{sql};\nSELECT 1 FROM visit",
    "next turn behind": "Assistant: {sql}\nHuman: thanks",
    "draft before": "First:\n```sql\nSELECT * FROM pet LIMIT 5\n```\nThat is not it. Final:\n```sql\n{sql}\n```",
    "draft in prose before": "Let me look first: SELECT * FROM pet LIMIT 5;\nFinal query: {sql}",
    "correction": "SELECT * FROM pet;\n\nThat lists all.\n\n**Corrected SQL:**\n```sql\n{sql}\n```",
    "script": "```sql\n-- look first\nSELECT * FROM pet LIMIT 5;\n-- then the answer\n{sql};\n```",
    "other way behind": "```sql\n{sql}\n```\nAlternatively:\n```sql\nSELECT 2\n```",
    "thoughts": "<think>\nSELECT 1\n</think>\n{sql}",
    "thoughts never opened": "Let me see.\n```sql\nSELECT 1\n```\n</think>\n```sql\n{sql}\n```",
    "thinking": "<thinking>SELECT 1 FROM pet</thinking>{sql}",
    "reasoning": "<reasoning>\nSELECT name would list them\n</reasoning>\n\n{sql}",
    "thoughts of Mistral": "[THINK]SELECT 1[/THINK]{sql}",
    "thoughts of Kimi": "\u25c1think\u25b7SELECT 1\u25c1/think\u25b7{sql}",
    "channels": "<|channel|>analysis<|message|>SELECT 1?<|end|><|start|>assistant<|channel|>final<|message|>{sql}<|return|>",
    "channels without marks": "analysisWe need SELECT 1.assistantfinal{sql}",
}
_OBJECTS = {
    "JSON": lambda sql: json.dumps({"sql": sql}),
    "JSON with more": lambda sql: json.dumps({"explanation": "It's a SELECT of names: simple", "sql": sql + ";", "n": 1}),
    "JSON in a fence": lambda sql: "```json\n" + json.dumps({"SQL": sql}, indent=1) + "\n```",
    "JSON in prose": lambda sql: "The answer:\n" + json.dumps({"query": sql}) + "\nDone.",
    "JSON list": lambda sql: json.dumps([{"sql_query": sql}]),
    "JSON in JSON": lambda sql: json.dumps({"result": {"sql": sql, "confidence": 0.9}}),
    "JSON cut short": lambda sql: json.dumps({"sql": sql, "explanation": "it lists all of"})[:-2],
    "JSON in an answer": lambda sql: f"<think>SELECT 1</think><answer>{json.dumps({'sql': sql})}</answer>",
    "XML": lambda sql: f"<sql>{html.escape(sql)}</sql>",
    "arguments of a tool": lambda sql: json.dumps({"name": "run_sql", "arguments": json.dumps({"query": sql})}),
    "YAML": lambda sql: "sql: |\n  " + sql.replace("\n", "\n  "),
}
NAMES = sorted([*COMPLETIONS, *_OBJECTS])


def completion(name, sql):
    """The completion of that name around `sql`."""
    return _OBJECTS[name](sql) if name in _OBJECTS else COMPLETIONS[name].format(sql=sql)
