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
