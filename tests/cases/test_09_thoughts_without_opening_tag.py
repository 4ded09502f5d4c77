"""The SQL of a draft inside a reasoning model's thoughts was executed.

Reports: deepseek-ai/DeepSeek-R1 #352, vllm-project/vllm #13125, ggml-org/llama.cpp #12107 (templates that open the thought
themselves: the completion holds the closing tag alone), vanna-ai/vanna #882 (other tags). Right is the statement behind them.
"""

import pytest

from sense.sql.extract import extract

ANSWER = "SELECT count(*) FROM crew"


@pytest.mark.parametrize(
    "completion",
    [
        f"A number. First\n```sql\nSELECT name FROM crew\n```\nlists them, so count.\n</think>\n\n```sql\n{ANSWER}\n```",
        f"<thinking>\nPerhaps\n```sql\nSELECT name FROM crew\n```\n</thinking>\n```sql\n{ANSWER}\n```",
        f"<reasoning>\nSELECT name FROM crew would list them\n</reasoning>\n{ANSWER}",
        f"SELECT name FROM crew? No: count them.\n</reasoning>\n{ANSWER}",
        f"<think>\n```sql\nSELECT name FROM crew\n```\n</think>\n```sql\n{ANSWER}\n```",
        f"<|channel|>analysis<|message|>SELECT name FROM crew?<|end|><|start|>assistant<|channel|>final<|message|>{ANSWER}",
        f"analysisSELECT name FROM crew? No.assistantfinal{ANSWER}",
        f"[THINK]SELECT name FROM crew[/THINK]{ANSWER}",
        f"<|begin_of_thought|>SELECT name FROM crew<|end_of_thought|>\n<answer>{ANSWER}</answer>",
    ],
)
def test_the_statement_behind_the_thoughts_answers(completion):
    assert extract(completion) == ANSWER


@pytest.mark.parametrize("tag", ["think", "thinking", "reasoning", "thought"])
def test_thoughts_that_never_end_are_no_answer(tag):
    assert extract(f"<{tag}>Perhaps SELECT name FROM crew, or") == ""
