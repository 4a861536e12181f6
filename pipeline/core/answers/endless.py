"""Turns integers that Python's json refuses to read (more than 4,300 digits) into strings of the same digits.

An answer that holds one was paid for, and a reader of the output must be able to load its line.
Source: Python's documentation, "Integer string conversion length limitation" (`sys.int_info.default_max_str_digits`).
"""

from __future__ import annotations

import re

from pipeline.patterns import later

SLICE_BYTES = 1 << 20
MOST_DIGITS = 4300
PROBE = 64  # digits in a row that no number has which somebody means

_BLANKS = bytes.maketrans(b"\r\n", b"  ")
# What comes before an endless integer: anything but texts and numbers, texts, numbers with a fraction or an exponent, short integers.
# Every repetition is possessive, so that no text makes it look twice at a place.
_before = later(
    rb'(?:[^"0-9]++|"(?:[^"\\]++|\\.)*+"|[0-9]++(?:\.[0-9]++(?:[eE][-+]?[0-9]++)?|[eE][-+]?[0-9]++)|[0-9]{1,%d}+(?![0-9]))*+' % MOST_DIGITS,
    re.DOTALL,
)
_digits = later(rb"[0-9]*+")


def without_endless_integers(text: bytes) -> bytes:
    """A JSON text that Python's json can load: 0.5 µs for each 4,300 bytes where there is no such integer."""
    if len(text) <= MOST_DIGITS or not _may_have_one(text):
        return text
    parts: list[bytes] = []
    at = 0
    while at < len(text):
        start = _end_of(_before.match(text, at))
        end = _end_of(_digits.match(text, start))
        if end == start:  # the end of the text
            parts.append(text[at:])
            break
        start -= text[start - 1 : start] == b"-"
        parts += text[at:start], b'"', text[start:end], b'"'
        at = end
    return b"".join(parts)


def _may_have_one(text: bytes) -> bool:
    """A run of that many digits covers one of the places that are looked at, and at least half of it is on one side."""
    for at in range(MOST_DIGITS, len(text), MOST_DIGITS):
        if 48 <= text[at] <= 57 and (text[at : at + PROBE].isdigit() or text[at - PROBE : at].isdigit()):
            return True
    return False


def _end_of(match: re.Match[bytes] | None) -> int:
    assert match is not None  # both patterns match nothing, too
    return match.end()


def one_line(text: bytes) -> bytes:
    """A JSON text without line breaks, which can stand only between its tokens, and without integers that no reader can load."""
    if len(text) <= MOST_DIGITS:
        return text.replace(b"\n", b" ").replace(b"\r", b" ")
    if b"\n" in text or b"\r" in text:  # in slices, because no other thread runs during a call
        text = b"".join([text[at : at + SLICE_BYTES].translate(_BLANKS) for at in range(0, len(text), SLICE_BYTES)])
    return without_endless_integers(text)
