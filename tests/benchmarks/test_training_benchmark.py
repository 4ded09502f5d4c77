"""What `benchmarks.training` compares: the same rows, and ratios to TRL's trainer of the same kind."""

from benchmarks.training import SHARED, Timing, seed_rows, table


def test_ratios_are_to_the_first_of_the_kind():
    rows = table([Timing("SFT, TRL", 10, 1000, 4.0), Timing("SFT, SENSE", 10, 1000, 2.0), Timing("DPO, TRL", 5, 100, 1.0)])
    assert [row["times TRL"] for row in rows] == [1.0, 2.0, 1.0]
    assert [row["tokens/s"] for row in rows] == [250, 500, 100]


def test_rows_of_one_sequence_have_one_schema(tmp_path):
    rows = seed_rows(tmp_path, 400)
    assert len(rows) == 400
    groups: dict[str, list[dict[str, str]]] = {}
    for row in rows:
        assert row["prompt"].startswith(row["schema"])
        groups.setdefault(row["sequence"], []).append(row)
    assert max(map(len, groups.values())) == SHARED
    assert all(len({row["schema"] for row in group}) == 1 for group in groups.values())
