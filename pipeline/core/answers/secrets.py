"""Takes the keys that a run was given out of what a provider says about a failure.

Providers quote what they refuse ("Incorrect API key provided: …"), and a failure's message and body are written to the output, the
journal, logs and the screen. Only failures are looked at, so a result costs nothing.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from pipeline.patterns import later

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pipeline.core.answers.classify import Trouble

HIDDEN = "***"
SLICE_BYTES = 256 * 1024  # one search through 1 MiB of escapes takes 30 ms
ESCAPED_BYTES = 6  # of a character, as `\u0041`

_decode = msgspec.json.Decoder(msgspec.Raw).decode


class Secrets:
    """The texts that must not be shown. Holds them: never log, never print."""

    __slots__ = ("_in_body", "_in_text", "_longest", "_texts")

    def __init__(self, texts: Sequence[str] = ()) -> None:
        self._texts: set[str] = set()
        self.add(texts)

    def add(self, texts: Sequence[str]) -> None:
        """Hide these too, from now on."""
        self._texts.update(texts)
        longest_first = sorted(self._texts, key=len, reverse=True)
        self._longest = max((len(text) * ESCAPED_BYTES for text in self._texts), default=0)
        self._in_text = later("|".join(map(re.escape, longest_first)) or r"(?!)")
        self._in_body = later(b"|".join(map(_as_json, longest_first)) or rb"(?!)")

    def hidden(self, trouble: Trouble) -> Trouble:
        """The same trouble without the secrets. Changes it in place, because it was just made."""
        trouble.message = self.hidden_in(trouble.message)
        if trouble.body is not None:
            trouble.body = self._hidden_in_json(trouble.body)
        return trouble

    def hidden_in(self, text: str) -> str:
        """A text without the secrets."""
        return self._in_text.sub(HIDDEN, text)

    def _spans_in(self, body: bytes) -> Iterator[tuple[int, int]]:
        """Where the secrets stand. In slices: one search through 60 MB would keep every other thread waiting for a second."""
        at = 0
        for start in range(0, len(body), SLICE_BYTES):
            at = max(at, start)
            while (match := self._in_body.search(body, at, start + SLICE_BYTES + self._longest)) and match.start() < start + SLICE_BYTES:
                yield match.span()
                at = match.end()

    def _hidden_in_json(self, body: bytes) -> bytes:
        spans = list(self._spans_in(body))
        if not spans:
            return body
        ends = [0, *(end for _, end in spans)]
        without = HIDDEN.encode().join(
            body[end:start] for end, start in zip(ends, [*(start for start, _ in spans), len(body)], strict=True)
        )
        try:
            _decode(without)
        except msgspec.DecodeError:  # the match began within an escape
            return msgspec.json.encode(HIDDEN)
        return without


def _as_json(text: str) -> bytes:
    r"""A pattern for a text as any JSON encoder writes it: each character as it is, as `\u0041`, or after a backslash."""
    return b"".join(rb"(?:\\?%s|\\u(?i:%04x))" % (re.escape(character).encode(), ord(character)) for character in text)
