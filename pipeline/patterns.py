"""Regular expressions that are compiled when they are first used.

A pattern takes 50 to 500 µs to compile. Most runs never use most of ours: they read wrong configs and answers of failures. So a module
writes `later(...)` where it would write `re.compile(...)`. Patterns that every row needs are compiled by `re` itself.
"""

from __future__ import annotations

import re
from typing import Any, AnyStr

METHODS = ("findall", "finditer", "fullmatch", "match", "pattern", "search", "split", "sub")


def later(pattern: AnyStr, flags: int = 0) -> re.Pattern[AnyStr]:
    """A pattern that is compiled when its first method is called."""
    return _Later(pattern, flags)  # type: ignore[return-value]  # it has the methods of one


def later_where(pieces: tuple[str, ...], pattern: str, flags: int = 0) -> re.Pattern[str]:
    """The same of a pattern that no text matches in which, in lower case, none of these pieces is: such a text needs no pattern at all."""
    return _LaterWhere(pieces, pattern, flags)  # type: ignore[return-value]  # it has the methods of one


class _Later:
    """Stands for a pattern. The first look at a method fills the slots with all of them, so later calls go to the pattern directly."""

    __slots__ = ("_source", *METHODS)

    def __init__(self, pattern: Any, flags: int) -> None:
        self._source = (pattern, flags)

    def __getattr__(self, name: str) -> object:
        if name not in METHODS:
            raise AttributeError(name)
        compiled: re.Pattern[Any] = re.compile(*self._source)
        for method in METHODS:
            setattr(self, method, getattr(compiled, method))
        return getattr(compiled, name)


class _LaterWhere:
    """The same, which looks for the pieces until there is a text that has one."""

    __slots__ = ("_pattern", "_pieces")

    def __init__(self, pieces: tuple[str, ...], pattern: str, flags: int) -> None:
        self._pieces = pieces
        self._pattern = later(pattern, flags)

    def search(self, text: str) -> re.Match[str] | None:
        return self._pattern.search(text) if self._may_match(text) else None

    def fullmatch(self, text: str) -> re.Match[str] | None:
        return self._pattern.fullmatch(text) if self._may_match(text) else None

    def _may_match(self, text: str) -> bool:
        if not text.isascii():  # whose cases are not one to one: an expression may take a long s for an s
            return True
        lower = text.lower()
        return any(piece in lower for piece in self._pieces)
