"""Takes the keys that a run was given out of what a provider says about a failure.

Providers quote what they refuse ("Incorrect API key provided: …"), and a failure's message and body are written to the output, the
journal, logs and the screen. Only failures are looked at, so a result costs nothing.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.core.answers.classify import Trouble

HIDDEN = "***"

_decode = msgspec.json.Decoder(msgspec.Raw).decode


class Secrets:
    """The texts that must not be shown. Holds them: never log, never print."""

    __slots__ = ("_in_body", "_in_text", "_texts")

    def __init__(self, texts: Sequence[str] = ()) -> None:
        self._texts: set[str] = set()
        self.add(texts)

    def add(self, texts: Sequence[str]) -> None:
        """Hide these too, from now on."""
        self._texts.update(texts)
        longest_first = sorted(self._texts, key=len, reverse=True)
        self._in_text = re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")
        self._in_body = re.compile(b"|".join(map(_as_json, longest_first)) or rb"(?!)")

    def hidden(self, trouble: Trouble) -> Trouble:
        """The same trouble without the secrets. Changes it in place, because it was just made."""
        trouble.message = self.hidden_in(trouble.message)
        if trouble.body is not None:
            trouble.body = self._hidden_in_json(trouble.body)
        return trouble

    def hidden_in(self, text: str) -> str:
        """A text without the secrets."""
        return self._in_text.sub(HIDDEN, text)

    def _hidden_in_json(self, body: bytes) -> bytes:
        without, found = self._in_body.subn(HIDDEN.encode(), body)
        if not found:
            return body
        try:
            _decode(without)
        except msgspec.DecodeError:  # the match began within an escape
            return msgspec.json.encode(HIDDEN)
        return without


def _as_json(text: str) -> bytes:
    r"""A pattern for a text as any JSON encoder writes it: each character as it is, as `\u0041`, or after a backslash."""
    return b"".join(rb"(?:\\?%s|\\u(?i:%04x))" % (re.escape(character).encode(), ord(character)) for character in text)
