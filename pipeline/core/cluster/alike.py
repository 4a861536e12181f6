"""Adds up over all holders of a lane how many rows in a row got the same permanent answer. No clock.

Each holder says what it has met since its last success. A success of one lies between what the others had said by then and what they
say later, so what they had said counts no more. What a holder had met when it ended, because its shard was over, goes on counting.

A refused key is the run's after as few rows as in one process (`IN_A_ROW`). Another holder may have met it too, or have succeeded, and
not have told it yet. So nothing is certain before each of them has said something since.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from msgspec import Struct, field

from pipeline.core.pacing.refusals import IN_A_ROW, KEY

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
    """One lane's. stop_after: rows in a row that stop the run, None for never; a refused key is not asked about that.

    left: by answer, of holders that have ended. keys: rows whose key was refused, when they became more for the last time; unheard:
    holders that have said nothing since.
    """

    stop_after: int | None
    said: dict[str, _Said] = field(default_factory=dict)
    left: Counter[str] = field(default_factory=Counter)
    keys: int = 0
    unheard: set[str] = field(default_factory=set)

    def hear(self, name: str, rows: Mapping[str, int], succeeded: int) -> None:
        """Take what a holder says: rows since its last success by answer, and how often it has succeeded in all."""
        said = self.said.setdefault(name, _Said())
        if succeeded > said.succeeded:
            for other in self.said.values():
                other.before = other.rows
            said.before = {}
            self.left.clear()
        said.rows, said.succeeded = rows, succeeded
        self._look(name)

    def end(self, name: str) -> None:
        """A holder has sent all that it had to send."""
        said = self.said.pop(name, None)
        if said is not None:
            self.left += said.after()
        self._look(name)

    def forget(self, name: str) -> None:
        """A holder is there no more, and others send its rows again.

        If enough rows got the same answer it ends for that, and the others must not think otherwise meanwhile.
        """
        if self.are_enough or self.keys >= IN_A_ROW:
            self.end(name)
        else:
            self.said.pop(name, None)
            self._look(name)

    def beside(self, name: str) -> dict[str, int]:
        """What a holder is to add to its own count: what others met, less what it met itself before another one succeeded."""
        beside = self._all()
        beside.subtract(self.said[name].rows)
        return {answer: rows for answer, rows in beside.items() if rows}

    @property
    def are_enough(self) -> bool:
        """Whether so many rows got the same answer that the run is to stop."""
        if self.stop_after is None:
            return False
        return max((rows for answer, rows in self._all().items() if answer != KEY), default=0) >= self.stop_after

    @property
    def is_key_refused(self) -> bool:
        """Whether the key was refused for so many rows, and no success lies between, that it is refused for all."""
        return self.keys >= IN_A_ROW and not self.unheard

    def is_key_in_doubt(self, name: str) -> bool:
        """Whether a holder whose key was refused is to wait for what the others say."""
        return bool(self.unheard) and KEY in self.said[name].rows

    def _look(self, name: str) -> None:
        """Look whether more rows were refused for their key. name: who has just said something, or has ended."""
        keys = self._all()[KEY]
        if keys > self.keys:
            self.unheard = set(self.said)
        elif not keys:
            self.unheard.clear()
        self.keys = keys
        self.unheard.discard(name)

    def _all(self) -> Counter[str]:
        together = Counter(self.left)
        for said in self.said.values():
            if said.rows:
                together.update(said.after())
        return together
