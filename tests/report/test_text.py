"""Numbers and untrusted text as the reports print them."""

from sense.report import text


def test_numbers_as_text():
    assert [text.percent(value) for value in (0, 0.12345, 1, None)] == ["0.0%", "12.3%", "100.0%", "–"]
    assert [text.percentage_points(value) for value in (0.0432, -0.005, 0.0001, None)] == ["+4.3", "−0.5", "0.0", "–"]
    assert [text.number(value) for value in (1234567, 0.03125, None)] == ["1,234,567", "0.0312", "–"]
    assert [text.p_value(value) for value in (0.0001, 0.035, 0.5512, None)] == ["< 0.001", "0.035", "0.55", "–"]
    assert text.drop_counts({"too_long": 3, "none": 0}) == "3 too long"


def test_untrusted_text_has_no_control_characters_and_is_cut():
    assert text.printable("a\u202eb\x00c\nd") == "a\ufffdb\ufffdc\nd"
    assert text.printable("x" * 3000) == "x" * 2000 + " … (3,000 characters)"
