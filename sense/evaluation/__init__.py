"""Predictions judged against the gold: execution accuracy, the scoreboard of `sense score`, intervals and tests."""
