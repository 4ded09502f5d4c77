"""Which version the gate lets become champion."""

import re

import pytest

from sense.registry import gate


def score(version, digest, ex, mode="strict@2"):
    return gate.VersionScore(version, digest, ex, mode=mode)


@pytest.mark.parametrize(
    ("champion", "promoted", "alias", "reason"),
    [
        (None, True, "champion", "no champion yet"),
        (score("2", "aaa", 0.5), True, "champion", "EX 60.0% on dev against 50.0%"),
        (score("2", "aaa", 0.6), True, "champion", "60.0%"),  # as good is enough
        (score("2", "aaa", 0.6002), False, "challenger", r"EX 60\.000% on dev against 60\.020%"),
        (score("2", "aaa", 0.61), False, "challenger", "EX 60.0% on dev against 61.0%"),
        (score("2", "bbb", 0.1), False, "challenger", "digest aaa.*version 2.*bbb.*sense models promote 3 --force"),
        (
            score("2", "aaa", 0.1, "strict@1"),
            False,
            "challenger",
            "scored under strict@2, the champion, version 2, under strict@1; .*mode",
        ),
        (score("2", None, None), False, "challenger", "version 2, carries no EX on dev"),
        (score("3", "aaa", 0.6), False, "champion", "this version is the champion already"),
    ],
)
def test_the_gate(champion, promoted, alias, reason):
    decision = gate.decide(score("3", "aaa", 0.6), champion, "dev")
    assert (decision.promoted, decision.alias) == (promoted, alias)
    assert re.search(reason, decision.reason)
    assert decision.champion == (champion.version if champion else None)


def test_a_score_survives_its_tags_exactly():
    third = 1 / 3
    tags = gate.score_tags(
        {"dev": gate.VersionScore("1", "aaa", third, 0.1, 2 / 3, "strict@2"), "heldout": score("1", "bbb", None)}
    )
    assert gate.score_from_tags("1", tags, "dev") == gate.VersionScore("1", "aaa", third, 0.1, 2 / 3, "strict@2")
    assert gate.score_from_tags("1", tags, "heldout") == score("1", "bbb", None)
    assert (
        gate.score_from_tags("1", {}, "dev")
        == gate.score_from_tags("1", {"sense.eval.dev.digest": ""}, "dev")
        == score("1", None, None, "strict@1")
    )
    early = {name: value for name, value in tags.items() if not name.endswith(".mode")}
    assert gate.score_from_tags("1", early, "dev").mode == "strict@1"  # versions registered before there was another
