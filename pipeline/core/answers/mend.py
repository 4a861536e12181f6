"""Finds the JSON text in a body that is not quite one. What can be read is read: the answer was paid for.

Taken care of: a byte order mark, blanks and comments of an event stream before the JSON (OpenRouter, DeepSeek), `[DONE]`
after it, an event stream with one whole answer in it, `NaN` and `Infinity` (Python's json), half a surrogate pair, raw
control characters, bytes that are not UTF-8. An odd value becomes null or U+FFFD; everything around it stays as it came.
"""

from __future__ import annotations

import codecs
import re

import msgspec

from pipeline.core.answers.endless import one_line
from pipeline.patterns import later

BOM = b"\xef\xbb\xbf"
JSON_STARTS = (b"{", b"[")

SLICE_BYTES = 1 << 20
JOINED_PIECES = 10_000

_decode = msgspec.json.Decoder().decode
_check = msgspec.json.Decoder(msgspec.Raw).decode
_COMMENTS = later(rb"(?:\s*:[^\r\n]*(?:[\r\n]+|$))+")
_DONE = later(rb"\s*data:\s*\[DONE\]\s*$")
_FIELD = later(rb"(data|event|id|retry):")
# A stretch in which nothing can be odd, and the token behind it that may be: only for those is any Python run.
_ODD = later(
    rb'((?:[^"NI\-]++|-(?!I)|"[^"\\\x00-\x1f]*+")*+)("[^"\\]*+(?:\\.[^"\\]*+)*+"|-?(?:NaN|Infinity)|[NI\-"]++)?',
    re.DOTALL,
)
_CONTROL = later(rb"[\x00-\x1f]")
# One escape; the group is half a surrogate pair that stands alone.
_ESCAPE = later(rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)", re.DOTALL)


def json_text(body: bytes) -> bytes | None:
    """The JSON of a body, on one line; None if there is none, or more than one."""
    text = body.removeprefix(BOM).strip()
    if not text.startswith(JSON_STARTS):
        text = _out_of_events(text)
    elif text.endswith(b"[DONE]"):
        text = _DONE.sub(b"", text)
    if is_json(text):
        return one_line(text)
    text = _without_odd_values(_as_utf8(text))
    return one_line(text) if is_json(text) else None


def begins_with_event(body: bytes) -> bool:
    """Whether a body begins with a field of an event stream, after comments and blanks."""
    text = body.removeprefix(BOM).lstrip()
    if text.startswith(JSON_STARTS):
        return False
    return _FIELD.match(_after_comments(text)) is not None


def is_json(text: bytes) -> bool:
    """Whether a text is one JSON value in UTF-8. Builds nothing of it."""
    try:
        if not text.isascii():
            text.decode()  # a decoder that skips a string does not look at its bytes
        _check(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True


def _out_of_events(text: bytes) -> bytes:
    """What stands behind the comments of an event stream, or the only event of one."""
    rest = _after_comments(text)
    if rest.startswith(JSON_STARTS):
        return _DONE.sub(b"", rest)
    if not _FIELD.match(rest):
        return rest
    events = [line[5:].strip() for line in rest.splitlines() if line.startswith(b"data:")]
    whole = [event for event in events if event and event != b"[DONE]"]
    return whole[0] if len(whole) == 1 else rest


def _after_comments(text: bytes) -> bytes:
    comments = _COMMENTS.match(text)
    return text[comments.end() :].lstrip() if comments else text


def _as_utf8(text: bytes) -> bytes:
    """A text in UTF-8, whatever it was. In slices: one call over 60 MB would keep every other thread waiting for half a second."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    slices = (decoder.decode(text[at : at + SLICE_BYTES]).encode() for at in range(0, len(text), SLICE_BYTES))
    return b"".join([*slices, decoder.decode(b"", final=True).encode()])


def _without_odd_values(text: bytes) -> bytes:
    """A text with its odd values mended. Joined in between, for the same reason, and because millions of pieces take gigabytes."""
    whole: list[bytes] = []
    fresh: list[bytes] = []
    for match in _ODD.finditer(text):
        fresh.append(_mended(match))
        if len(fresh) == JOINED_PIECES:
            whole.append(b"".join(fresh))
            fresh.clear()
    return b"".join([*whole, *fresh])


def _mended(match: re.Match[bytes]) -> bytes:
    plain, token = match[1], match[2] or b""
    if token.removeprefix(b"-") in (b"NaN", b"Infinity"):
        return plain + b"null"
    if not token.startswith(b'"'):
        return plain + token
    if b"\\u" in token:
        token = _ESCAPE.sub(_mended_escape, token)
    return plain + _CONTROL.sub(_escaped, token)


def _mended_escape(match: re.Match[bytes]) -> bytes:
    return b"\\ufffd" if match[1] else match[0]


def _escaped(match: re.Match[bytes]) -> bytes:
    return b"\\u%04x" % match[0][0]
