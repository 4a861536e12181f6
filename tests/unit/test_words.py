"""How numbers read."""

from __future__ import annotations

import pytest

from pipeline.core.output.words import amount, columns, cut, duration, many, money, share, three_digits, title


@pytest.mark.parametrize(
    "seconds, text",
    [
        (0.04, "0.0 s"), (9.94, "9.9 s"), (9.96, "10 s"), (59.4, "59 s"), (59.5, "1 min 00 s"), (59.6, "1 min 00 s"), (185, "3 min 05 s"),
        (3599.6, "1 h 00 min"), (90_000, "25 h 00 min"), (48 * 3600, "2.0 days"), (9e6, "104.2 days"),
    ],
)  # fmt: skip
def test_duration_reads_as_people_say_it(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    "number, text",
    [
        (0, "0"), (4.24, "4.2"), (4.0, "4"), (99.94, "99.9"), (99.95, "100"), (8000, "8,000"), (9_999, "9,999"), (9_999.5, "10 k"),
        (45_123, "45 k"), (999_499, "999 k"), (999_500, "1.00 M"), (1_160_000, "1.16 M"), (25_000_000_000, "25,000.00 M"),
    ],
)  # fmt: skip
def test_amount_has_the_digits_that_matter(number: float, text: str) -> None:
    assert amount(number) == text


def test_money_has_no_currency_and_small_sums_have_digits() -> None:
    assert [money(value) for value in (0, 0.0042, 0.1, 1234.5)] == ["0.00", "0.0042", "0.10", "1,234.50"]


def test_share_is_the_whole_only_when_it_is() -> None:
    assert [share(part) for part in (0, 0.504, 0.9999, 1.0)] == ["0%", "50%", "99%", "100%"]


def test_estimate_is_rounded_to_three_digits() -> None:
    assert [three_digits(number) for number in (0, 12.4, 999.6, 1234, 98_765, 1_234_567)] == [0, 12, 1000, 1230, 98_800, 1_230_000]


def test_count_agrees_with_its_noun() -> None:
    assert [many(count, "row") for count in (0, 1, 2000)] == ["0 rows", "1 row", "2,000 rows"]
    assert many(2, "entry", "entries") == "2 entries"


def test_status_is_a_title_and_other_codes_are_themselves() -> None:
    assert [title(code) for code in ("http_400", "http_error", "timeout")] == ["HTTP 400", "http_error", "timeout"]


@pytest.mark.parametrize(
    "text, width, kept",
    [
        ("short", 5, "short"),
        ("longer than", 6, "longe…"),
        ("日本語の文", 10, "日本語の文"),
        ("日本語の文", 9, "日本語の…"),
        ("日本語の文", 8, "日本語…"),
        ("a\x1b[31m\nb", 20, "a [31m b"),
        ("e\u0301" * 9, 9, "e\u0301" * 9),
        ("e\u0301" * 9, 6, "e\u0301" * 5 + "…"),
        ("\uff37\uff37\uff37", 5, "\uff37\uff37…"),
        ("abc", 1, "…"),
        ("abc", 0, ""),
    ],
)
def test_text_is_cut_by_the_columns_that_it_takes(text: str, width: int, kept: str) -> None:
    assert cut(text, width) == kept
    assert columns(kept) <= width
