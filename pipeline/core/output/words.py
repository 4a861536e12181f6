"""How numbers read: durations, counts, money and shares, in as few characters as they need."""

from __future__ import annotations

import math
import unicodedata
from itertools import accumulate, takewhile

DAY_SECONDS = 86_400


def duration(seconds: float) -> str:
    """Seconds as people say them: 4.2 s, 41 s, 3 min 05 s, 2 h 07 min, 3.5 days."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    if seconds < 59.5:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours:,} h {minutes:02} min" if hours < 48 else f"{seconds / DAY_SECONDS:,.1f} days"


def amount(number: float) -> str:
    """A figure with three digits that matter: 4.2, 164, 8,000, 45 k, 1.16 M."""
    if number >= 999_500:
        return f"{number / 1e6:,.2f} M"
    if number >= 9_999.5:
        return f"{number / 1e3:,.0f} k"
    return f"{number:,.0f}" if number >= 99.95 else f"{number:.1f}".removesuffix(".0")


def money(value: float) -> str:
    """An amount of the currency of the configured prices, which has no name here."""
    return f"{value:,.2f}" if value >= 0.1 or value == 0 else f"{value:.4f}"


def share(part: float) -> str:
    """A part of 1 as a percentage; everything but the whole stays below 100%."""
    return f"{min(part, 0.99) if part < 1 else 1:.0%}"


def three_digits(number: float) -> int:
    """A number rounded to three digits, so that an estimate does not change at every look."""
    if number < 1000:
        return round(number)
    size: int = 10 ** (math.floor(math.log10(number)) - 2)
    return round(number / size) * size


def title(code: str) -> str:
    """An error code as a heading: `http_400` is HTTP 400."""
    return f"HTTP {code.removeprefix('http_')}" if code.startswith("http_") and code[5:].isdigit() else code


def many(count: int, one: str, several: str | None = None) -> str:
    """A count with its noun: 1 row, 2 rows."""
    return f"{count:,} {one if count == 1 else several or one + 's'}"


def columns(text: str) -> int:
    """How wide a terminal shows a text: an ideograph takes two columns, a combining mark none."""
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.combining(each) else 2 if unicodedata.east_asian_width(each) in "WF" else 1 for each in text)


def cut(text: str, width: int, sign: str = "…") -> str:
    """A text on one line of at most this many columns, without anything that a terminal would take for a command."""
    text = "".join(each if each.isprintable() else " " for each in text)
    if columns(text) <= width:
        return text
    ends = accumulate(map(columns, text))
    kept = sum(1 for _ in takewhile(lambda end: end <= width - len(sign), ends))
    return text[:kept] + sign[: max(0, width)]
