"""Finds the JSON text in a body that is not quite one. What can be read is read: the answer was paid for.

Taken care of: a byte order mark, blanks and comments of an event stream before the JSON (OpenRouter, DeepSeek), `[DONE]`
after it, an event stream with one whole answer in it, `NaN` and `Infinity` (Python's json), half a surrogate pair, raw
control characters, bytes that are not UTF-8. An odd value becomes null or U+FFFD; everything around it stays as it came.
"""

from __future__ import annotations

import codecs

import msgspec

from pipeline.core.answers.endless import one_line
from pipeline.patterns import later

BOM = b"\xef\xbb\xbf"
JSON_STARTS = (b"{", b"[")
BLANKS = b" \t\r\n\v\f\0"  # around a body; some servers send all of a buffer that is filled with zeros

UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)  # what a decoder may raise

SLICE_BYTES = 1 << 20
JOINED_PIECES = 10_000

_decode = msgspec.json.Decoder().decode
_check = msgspec.json.Decoder(msgspec.Raw).decode
_COMMENTS = later(rb"(?:\s*:[^\r\n]*(?:[\r\n]+|$))+")
_DONE = later(rb"\s*data:\s*\[DONE\]\s*$")
_FIELD = later(rb"(data|event|id|retry):")
# A call of one of these looks at 1 MB at most, because no other thread runs meanwhile. Every repetition is possessive.
# Outside of texts: a stretch in which nothing is odd, short texts included; then many odd values at once, where a text begins, or what
# no JSON has there.
_OUTSIDE = later(
    rb'((?:[^"NI\-]{1,4096}+|-(?![NI])|"[^"\\\x00-\x1f]{0,4096}+"){0,256}+)'
    rb'((?:-?(?:NaN|Infinity)[,:\[\]{}\s]{0,64}+){1,4096}+|["NI\-])?'
)
# Within a text: a stretch as it should be; then halves of surrogate pairs, raw control characters, its end, or a stray backslash.
_HIGH, _LOW = rb"\\u[dD][89abAB][0-9a-fA-F]{2}", rb"\\u[dD][c-fC-F][0-9a-fA-F]{2}"
_WITHIN = later(
    rb'((?:[^"\\\x00-\x1f]{1,4096}+|\\["\\/bfnrt]|\\u(?![dD][89a-fA-F])[0-9a-fA-F]{4}|%b%b){0,256}+)'
    rb'((?:%b(?!%b)|%b){1,4096}+|[\x00-\x1f]{1,4096}+|"|\\(?!["\\/bfnrt]|u[0-9a-fA-F]{4}))?' % (_HIGH, _LOW, _HIGH, _LOW, _LOW)
)
_HALF_BYTES = len(b"\\ud800")
_ESCAPED = {code: f"\\u{code:04x}" for code in range(0x20)}


def json_text(body: bytes) -> bytes | None:
    """The JSON of a body, on one line; None if there is none, or more than one."""
    text = body.removeprefix(BOM).strip(BLANKS)
    if text.startswith(b'"') and (inner := _out_of_text(text)) and (found := json_text(inner)) is not None:
        return found
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
    return _FIELD.match(after_comments(text)) is not None


def is_json(text: bytes) -> bool:
    """Whether a text is one JSON value in UTF-8. Builds nothing of it."""
    try:
        if not text.isascii():
            text.decode()  # a decoder that skips a string does not look at its bytes
        _check(text)
    except UNREADABLE:
        return False
    return True


def _out_of_text(text: bytes) -> bytes:
    """What seems to be JSON that was encoded once more, as one text (functions behind AWS API Gateway); else nothing."""
    try:
        inner = _decode(text)
    except UNREADABLE:
        return b""
    return inner.strip().encode("utf-8", "replace") if isinstance(inner, str) and inner.lstrip().startswith(("{", "[")) else b""


def _out_of_events(text: bytes) -> bytes:
    """What stands behind the comments of an event stream, or the only event of one."""
    rest = after_comments(text)
    if rest.startswith(JSON_STARTS):
        return _DONE.sub(b"", rest)
    if not _FIELD.match(rest):
        return rest
    events = [line[5:].strip() for line in rest.splitlines() if line.startswith(b"data:")]
    whole = [event for event in events if event and event != b"[DONE]"]
    return whole[0] if len(whole) == 1 else rest


def after_comments(text: bytes) -> bytes:
    """What stands behind the comments with which a body begins."""
    comments = _COMMENTS.match(text)
    return text[comments.end() :].lstrip() if comments else text


def _as_utf8(text: bytes) -> bytes:
    """A text in UTF-8, whatever it was. In slices: one call over 60 MB would keep every other thread waiting for half a second."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    slices = (decoder.decode(text[at : at + SLICE_BYTES]).encode() for at in range(0, len(text), SLICE_BYTES))
    return b"".join([*slices, decoder.decode(b"", final=True).encode()])


def _without_odd_values(text: bytes) -> bytes:
    """A text with its odd values mended; nothing, if it cannot become JSON."""
    pieces = _Pieces()
    at = 0
    while at < len(text):
        found = _OUTSIDE.match(text, at)
        assert found is not None  # it matches nothing, too
        odd = found[2] or b""
        if odd == b'"':
            pieces.add(found[1] + odd)
            at = _mend_text(text, found.end(), pieces)
        elif odd in (b"N", b"I"):
            return b""
        else:
            pieces.add(found[1] + _odd_to_null(odd))
            at = found.end()
    return pieces.joined()


def _odd_to_null(odd: bytes) -> bytes:
    """Many odd values at once, with what stands between them. A minus alone stays: a number may be cut behind it."""
    for value in (b"-NaN", b"NaN", b"-Infinity", b"Infinity"):
        odd = odd.replace(value, b"null")
    return odd


def _mend_text(text: bytes, at: int, pieces: _Pieces) -> int:
    """Mend one text from behind its first quote on; where it ends."""
    while at < len(text):
        found = _WITHIN.match(text, at)
        assert found is not None
        at = found.end()
        odd = found[2] or b""
        if odd.startswith(b"\\u"):
            odd = b"\\ufffd" * (len(odd) // _HALF_BYTES)
        elif odd[:1] < b" ":
            odd = odd.decode("latin-1").translate(_ESCAPED).encode("latin-1")
        pieces.add(found[1] + odd)
        if odd == b'"':
            break
    return at


class _Pieces:
    """Pieces of a text, joined in between, because millions of them take gigabytes."""

    def __init__(self) -> None:
        self._whole: list[bytes] = []
        self._fresh: list[bytes] = []

    def add(self, piece: bytes) -> None:
        """Add one at the end."""
        self._fresh.append(piece)
        if len(self._fresh) == JOINED_PIECES:
            self._whole.append(b"".join(self._fresh))
            self._fresh.clear()

    def joined(self) -> bytes:
        """All of them in one."""
        return b"".join([*self._whole, *self._fresh])
