"""The headers of a response, parsed when somebody asks. Nothing here decides whether a head is well-formed: the parser has by then.

Most answers are asked for one or two of the twenty headers that providers send, so most of them are never made into objects. A name
is looked for in a copy of the head in lower case; values are cut out of the head as it came.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, overload

if TYPE_CHECKING:
    from collections.abc import Iterator

Pair = tuple[bytes, bytes]


class ResponseHeaders(Sequence[Pair]):
    """Names and values in the order in which they came: names in lower case, values as they were, without white space around them.

    Equal to any sequence of the same pairs.
    """

    __slots__ = ("_head", "_lower", "_pairs")

    def __init__(self, head: bytes = b"", lower: bytes | None = None) -> None:
        """Of a head: its first line, and a line for each header, each ended by CRLF; without the empty line behind them.

        lower: the same in lower case, where the caller has it.
        """
        self._head = head
        self._lower = head.lower() if lower is None else lower
        self._pairs: list[Pair] | None = None

    def first(self, name: bytes) -> bytes | None:
        """The first value of a header (name in lower case), or None."""
        at = self._lower.find(b"\r\n%b:" % name)
        if at < 0:
            return None
        at += len(name) + 3
        return self._head[at : self._head.find(b"\r", at)].strip()

    def every(self, name: bytes) -> list[bytes]:
        """All values of a header (name in lower case), in their order."""
        found = []
        line = b"\r\n" + name + b":"
        at = self._lower.find(line)
        while at >= 0:
            found.append(self._value(at + len(line)))
            at = self._lower.find(line, at + len(line))
        return found

    def mention(self, text: bytes) -> bool:
        """Whether a text (in lower case) is anywhere in them: where it is not, no name holds it."""
        return text in self._lower

    def __len__(self) -> int:
        """How many there are."""
        return len(self._parsed())

    @overload
    def __getitem__(self, index: int) -> Pair: ...
    @overload
    def __getitem__(self, index: slice) -> list[Pair]: ...
    def __getitem__(self, index: int | slice) -> Pair | list[Pair]:
        """One of them, or some."""
        return self._parsed()[index]

    def __iter__(self) -> Iterator[Pair]:
        """Go through all of them."""
        return iter(self._parsed())

    def __eq__(self, other: object) -> bool:
        """Whether the other has the same pairs in the same order."""
        return self._parsed() == list(other) if isinstance(other, Sequence) else NotImplemented

    __hash__ = None  # type: ignore[assignment]  # equal to a list, which has none

    def __repr__(self) -> str:
        """As a list of pairs."""
        return repr(self._parsed())

    def _value(self, start: int) -> bytes:
        return self._head[start : self._head.find(b"\r", start)].strip()

    def _parsed(self) -> list[Pair]:
        if self._pairs is None:
            # The part before the first line break is the first line, the part behind the last one is empty.
            lines = self._head.split(b"\r\n")[1:-1]
            self._pairs = [(name.lower(), value.strip()) for name, _, value in (line.partition(b":") for line in lines)]
        return self._pairs
