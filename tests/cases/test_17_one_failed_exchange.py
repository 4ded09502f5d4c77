"""An endpoint refuses one single prompt, or fails at one single answer.

drnic/groq-ruby #12 and build-with-groq/g1 #23 (HTTP 400 json_validate_failed), vibrantlabsai/ragas #649, stanford-crfm/helm #3327
and microsoft/semantic-kernel #4802 (HTTP 400 content_filter). Right: that draft is dropped and counted with its reason, and the
run goes on. A rerun asks nothing twice and does not stop there.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.endpoint import Reply, chat_reply, error_reply, good_teacher
from tests.killed import file_changes, run_until_killed
from tests.llm_runs import chat_seed, digests, run_llm, seed_dataset

GOOD = good_teacher()
FILTERED = error_reply(
    400,
    "The response was filtered due to the prompt triggering Azure OpenAI's content management policy. Please modify your prompt.",
    type=None,
    param="prompt",
    code="content_filter",
)
NO_JSON = error_reply(
    400, "Failed to generate JSON. See 'failed_generation'.", code="json_validate_failed", failed_generation='{"domain": "seed'
)


def teacher_without(reply: Reply, index: int = 2) -> Callable[[dict[str, Any]], Reply]:
    """A good teacher that gives `reply` to one prompt, however often it is asked."""
    return lambda request: reply if request["seed"] == chat_seed(index) else GOOD(request)


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (FILTERED, "content filter"),
        (NO_JSON, "JSON mode failed"),
        (chat_reply(None, refusal="I cannot help with that."), "declined"),
        (chat_reply("", "content_filter"), "content filter"),
        ((200, {}, {"id": "x", "object": "chat.completion", "choices": []}), "empty answer"),
        ((200, {}, {"error": {"message": "Provider returned error", "code": 502}}), "HTTP 502"),
        ((500, {}, "the grammar cannot be compiled"), "HTTP 500"),
        (error_reply(400, "I'd rather not", code="new_in_2030"), "HTTP 400"),
        (chat_reply('{"domain": "bell foundry", "sch', "length"), "cut off"),
    ],
)
def test_one_failed_exchange_is_one_dropped_draft(reply, reason, tmp_path: Path):
    run = run_llm(teacher_without(reply), tmp_path)
    assert run.message == ""
    assert run.metrics["funnel"] == {"asked": 7, "kept": 6, "dropped": {reason: 1}}
    assert len(run.requests) == 7


def test_a_rerun_gets_past_the_draft_without_asking_for_it_again(tmp_path: Path):
    undisturbed = run_llm(teacher_without(FILTERED), tmp_path / "undisturbed")
    answer = teacher_without(FILTERED)
    calls: list[str] = []

    def breaks_off(request: dict[str, Any]) -> Reply:
        calls.append(request["seed"])
        return answer(request) if len(calls) <= 4 else (401, {}, "the key has expired")

    broken = run_llm(breaks_off, tmp_path / "broken")
    assert "set SENSE_API_KEY" in broken.message
    again = run_llm(GOOD, tmp_path / "broken")
    assert again.metrics == undisturbed.metrics
    assert digests(tmp_path / "broken") == digests(tmp_path / "undisturbed")
    assert len(again.requests) == 3


@pytest.mark.parametrize("moment", [2, 9, 20, 31])
def test_killed_at_any_moment_the_run_ends_as_if_undisturbed(moment, tmp_path: Path):
    answer = teacher_without(FILTERED)
    undisturbed = run_llm(answer, tmp_path / "undisturbed")
    work = tmp_path / "killed"
    seed_dataset(work / "seed")
    assert not run_until_killed(lambda: run_llm(answer, work), moment, file_changes(work))
    assert run_llm(answer, work).metrics == undisturbed.metrics
    assert digests(work) == digests(tmp_path / "undisturbed")
