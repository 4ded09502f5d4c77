"""The table at the end of a stage: many counts are one line. The lines of a bar where there is no terminal."""

import pytest

from sense import console
from sense.console import _table_rows


def rows(value):
    return list(_table_rows("", value))


def test_what_was_asked_for_and_kept_is_one_line():
    assert rows({"funnel": {"units": {"asked": 9, "kept": 7}}}) == [("funnel.units", "7 kept, 9 asked for")]


def test_of_many_those_of_which_the_fewest_were_kept_are_named():
    counts = {f"f{number:02}": {"asked": number, "kept": 20} for number in range(12)}
    counts["LIKE"] = {"asked": 8, "kept": 2}
    (row,) = rows({"feature": counts})
    assert row == ("feature", "12 asked for, fewest kept: LIKE (2 of 8), f11 (20 of 11), f10 (20 of 10)")


def test_of_many_counts_the_largest_are_named():
    assert rows({"domains": {f"d{number:02}": number for number in range(12)}}) == [
        ("domains", "12, most often d11 (11), d10 (10), d09 (9)")
    ]


def test_a_models_accuracy_is_one_line_with_its_interval_and_what_else_was_scored_follows():
    interval = {"ex": 0.5, "ex_low": 0.4, "ex_high": 0.6}
    domains = {"zoo": {"n": 3, **interval}, "bank": {"n": 7, **interval}}
    vote = {"k": 5, "temperature": 0.8, "n": 10, **interval, "wins": 4}
    model = {"n": 10, **interval, "executable": 0.9, "verdicts": {"match": 5}, "domains": domains, "vote": vote}
    assert rows({"models": {"sft": model | {"modes": {"bird-ex@1": {"n": 10, **interval}}}}}) == [
        ("models.sft", "50.0% of 10 (40.0% to 60.0%)"),
        ("models.sft.modes.bird-ex@1", "50.0% of 10 (40.0% to 60.0%)"),
        ("models.sft.vote", "50.0% of 10 (40.0% to 60.0%)"),
    ]


@pytest.fixture
def clock(monkeypatch):
    """The seconds that the console reads, as a list of one number."""
    seconds = [0.0]
    monkeypatch.setattr(console.time, "monotonic", lambda: seconds[0])
    return seconds


def test_without_a_terminal_a_bar_is_a_line_every_30_seconds(clock, capsys):
    with console.bar("sft", 556) as bar:
        for _ in range(120):
            clock[0] += 0.5
            bar.advance(note="sft  loss 0.446")
    assert capsys.readouterr() == ("", "sft  loss 0.446: 60 of 556\nsft  loss 0.446: 120 of 556\n")
    with console.bar("databases", None) as bar:
        bar.advance()
        clock[0] += 31
        bar.advance()
    assert capsys.readouterr().err == "databases: 2\n"


def test_no_line_for_what_is_quiet_or_quick(clock, capsys, monkeypatch):
    with console.bar("sft", 2) as bar:
        clock[0] += 29
        bar.advance()
    monkeypatch.setattr(console, "_quiet", True)
    with console.bar("sft", 2) as bar:
        clock[0] += 31
        bar.advance()
    assert capsys.readouterr() == ("", "")
