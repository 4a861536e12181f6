"""Adds up over all holders of a lane how many rows in a row got the same permanent answer. No clock.

Each holder says what it has met since its last success. A success of one lies between what the others had said by then and what they
say later, so what they had said counts no more.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from msgspec import Struct, field

if TYPE_CHECKING:
    from collections.abc import Mapping


class _Said(Struct):
    """What a holder has said. rows: by answer. before: how many of them lie before the latest success of another holder."""

    rows: Mapping[str, int] = field(default_factory=dict)
    before: Mapping[str, int] = field(default_factory=dict)
    succeeded: int = 0

    def after(self) -> Counter[str]:
        """Rows by answer, since the latest success of all."""
        return Counter(self.rows) - Counter(self.before)


class Alike(Struct):
    """One lane's. stop_after: rows in a row that stop the run, None for never. left: by answer, of holders that have ended."""

    stop_after: int | None
    said: dict[str, _Said] = field(default_factory=dict)
    left: Counter[str] = field(default_factory=Counter)

    def hear(self, name: str, rows: Mapping[str, int], succeeded: int) -> None:
        """Take what a holder says: rows since its last success by answer, and how often it has succeeded in all."""
        said = self.said.setdefault(name, _Said())
        if succeeded > said.succeeded:
            for other in self.said.values():
                other.before = other.rows
            said.before = {}
            self.left.clear()
        said.rows, said.succeeded = rows, succeeded

    def forget(self, name: str) -> None:
        """A holder has ended. If enough rows got the same answer it ends for that, and the others must not think otherwise meanwhile."""
        enough = self.are_enough
        said = self.said.pop(name, None)
        if enough and said is not None:
            self.left += said.after()

    def beside(self, name: str) -> dict[str, int]:
        """What a holder is to add to its own count: what others met, less what it met itself before another one succeeded."""
        beside = self._all()
        beside.subtract(self.said[name].rows)
        return {answer: rows for answer, rows in beside.items() if rows}

    @property
    def are_enough(self) -> bool:
        """Whether so many rows got the same answer that the run is to stop."""
        return self.stop_after is not None and max(self._all().values(), default=0) >= self.stop_after

    def _all(self) -> Counter[str]:
        together = Counter(self.left)
        for said in self.said.values():
            if said.rows:
                together.update(said.after())
        return together
