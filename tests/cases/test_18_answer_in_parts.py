"""The content of an answer is a list of parts, some with thoughts and some with text.

microsoft/agent-framework #6978, mistralai/client-python #252, simonw/llm-mistral #39. Right: the text parts are the answer.
"""

from pathlib import Path
from typing import Any

from tests.endpoint import Reply, answer_text, chat_reply, good_teacher
from tests.llm_runs import digests, run_llm

GOOD = good_teacher()


def in_parts(request: dict[str, Any]) -> Reply:
    text = answer_text(GOOD(request))
    thoughts = {"type": "thinking", "thinking": [{"type": "text", "text": "Let me think: {}"}]}
    return chat_reply([thoughts, {"type": "text", "text": text[:40]}, {"type": "text", "text": text[40:]}])


def test_the_text_parts_are_the_answer(tmp_path: Path):
    run = run_llm(in_parts, tmp_path / "parts")
    assert run.metrics["funnel"] == {"asked": 6, "kept": 6, "dropped": {}}
    assert len(run.requests) == 6
    assert run_llm(GOOD, tmp_path / "plain").metrics == run.metrics
    assert digests(tmp_path / "plain") == digests(tmp_path / "parts")
