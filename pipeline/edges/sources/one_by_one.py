"""What the sources have in common whose rows come from a generator, and not from a text."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.core.rows.lines import RawRow
    from pipeline.errors import InputError


class RowsOneByOne:
    """Half of a `Source`. rows: all of them; it sets `_error` before it raises that, for a generator that has raised is at its end."""

    can_be_reopened = True

    def __init__(self, name: str, rows: Iterator[RawRow]) -> None:
        self.name = name
        self._rows = rows
        self._error: InputError | None = None

    def take(self, most: int) -> list[RawRow]:
        """See `Source`."""
        if self._error is not None:
            raise self._error
        return list(islice(self._rows, most))

    def text_before(self, line: int, offset: int) -> None:
        """See `Source`. There is no text."""
        del line, offset
