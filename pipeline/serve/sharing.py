"""Many batches in one flow: what the flow takes for one source and one store.

The flow numbers rows as it likes; here a row's index says which batch it belongs to (`Running.base`) and where it stands there.
Every call goes on to the batch whose row it is. Rows are dealt in turns (`core/batches/sharing.py`), and few wait ahead of the gate.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import trio
from attrs import define, field
from msgspec import Struct
from msgspec.structs import replace

from pipeline.core.batches.sharing import Ahead, Shares
from pipeline.core.bookkeeping.intervals import Intervals
from pipeline.durability.entries import size_of
from pipeline.errors import InputError
from pipeline.records import Job
from pipeline.serve.running import INDEX_BITS, INDEX_MASK, Running

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from pipeline.core.rows.lines import RawRow
    from pipeline.durability.entries import Entry
    from pipeline.records import Failure, Outcome

LINGER_SECONDS = 0.05  # as for one run (`durability/store.py`)
SETTLE_SECONDS = 0.5  # what a batch has under way is stored by then, though other batches keep the recorder busy
MOST_TURN = 32  # rows of one batch in a row
MOST_ENDING = 128  # rows of a batch that is ending, among those of others


class Recorded(Struct, frozen=True):
    """A finished row and its batch."""

    running: Running
    entry: Entry

    @property
    def index(self) -> int:
        """Of the row in the flow."""
        return self.running.base + self.entry.index


@define(eq=False)
class SharedRuns:
    """A `Store` and the source of a flow, made of batches that come and go.

    most_ahead: rows that may wait in front of the gate at most. written: called with each batch whose last row was written; it is
    not part of this any more then. broken: called with a batch whose input cannot be read, and why.
    """

    most_ahead: int
    written: Callable[[Running], None]
    broken: Callable[[Running, str], None]
    held: Intervals = field(factory=Intervals, init=False)
    first_index: int = field(default=0, init=False)
    has_room: bool = field(default=False, init=False)
    linger_seconds: float = field(default=LINGER_SECONDS, init=False)
    lingers: int = field(default=1, init=False)
    open: dict[int, Running] = field(factory=dict, init=False)  # by slot
    ahead: Ahead = field(init=False)
    _shares: Shares = field(factory=Shares, init=False)
    _turns: deque[tuple[Running, int]] = field(factory=deque, init=False)  # whose rows were given and are not made into jobs yet
    _made: list[tuple[Running, int, list[RawRow], list[Job | Failure]]] = field(factory=list, init=False)
    _not_left: set[int] = field(factory=set, init=False)
    _kept: dict[int, Outcome] = field(factory=dict, init=False)  # as their batches know them
    _last_kept: Running | None = field(default=None, init=False)
    _unsettled: dict[Running, float] = field(factory=dict, init=False)  # batches with something under way, and since when
    _call: trio.Event = field(factory=trio.Event, init=False)
    _low: int = field(default=0, init=False)  # the reader is called when so few wait ahead

    def __attrs_post_init__(self) -> None:
        self.ahead = Ahead(self.most_ahead)

    async def add(self, running: Running) -> None:
        """Take a batch in. Raises SinkError, JournalError."""
        self.open[running.slot] = running
        await running.write([])  # an earlier process may have left rows whose turn it is
        if not self._is_over(running):
            self._shares.join(running.slot)
            self.call()

    def call(self) -> None:
        """Have the reader look again."""
        self._call.set()

    def remove(self, running: Running) -> None:
        """Take a batch out, none of whose rows is on its way."""
        self.open.pop(running.slot, None)
        self._shares.leave(running.slot)
        self._unsettled.pop(running, None)

    def _is_over(self, running: Running) -> bool:
        if not running.is_written:
            return False
        if running.slot in self.open:
            self.remove(running)
            self.written(running)
        return True

    # ---- the source ----------------------------------------------------------------------------------------------

    async def take_rows(self, most: int) -> list[RawRow]:
        """The next rows, as soon as the gate needs some. Never ends.

        Cancellation: rows that were taken and not given are lost to this flow.
        """
        while True:
            self._call = trio.Event()
            rows = await self._rows_of_ending(min(most, MOST_ENDING))
            room = min(most - len(rows), self.ahead.room(trio.current_time()))
            rows += await self._deal(room)
            if rows:
                return rows
            self._low = self.ahead.waiting // 2
            await self._call.wait()

    async def _rows_of_ending(self, most: int) -> list[RawRow]:
        """Rows that will not be sent, so that the gate's pace does not hold them up."""
        rows: list[RawRow] = []
        for running in list(self.open.values()):
            if running.ending is not None and not running.exhausted and len(rows) < most:
                rows += await self._rows_of(running, most - len(rows))
        return rows

    async def _deal(self, room: int) -> list[RawRow]:
        rows: list[RawRow] = []
        able = {slot for slot, running in self.open.items() if running.ending is None and not running.exhausted}
        while room > len(rows) and able:
            slot = self._shares.next(able)
            turn = max(1, min(MOST_TURN, (room - len(rows)) // len(able)))
            taken = await self._rows_of(self.open[slot], turn)
            if not taken:
                able.discard(slot)
            able &= self.open.keys()  # one may have ended meanwhile
            self._shares.gave(slot, len(taken))
            rows += taken
        return rows

    async def _rows_of(self, running: Running, most: int) -> list[RawRow]:
        try:
            taken = await running.take(most)
        except InputError as error:
            running.exhausted = True
            self.broken(running, str(error))
            taken = []
        if taken:
            self._turns.append((running, len(taken)))
        else:
            self._shares.leave(running.slot)
        return taken

    def make_jobs(self, rows: list[RawRow], first: int) -> list[Job | Failure]:
        """The jobs of rows that `take_rows` gave, in that order."""
        del first
        self._made = []
        made: list[Job | Failure] = []
        at = 0
        while at < len(rows):
            running, count = self._turns.popleft()
            part = rows[at : at + count]
            if len(part) < count:
                self._turns.appendleft((running, count - len(part)))
            local, placed = running.make(part)
            self._made.append((running, local, part, placed))
            made += placed
            at += len(part)
        return made

    # ---- the store -----------------------------------------------------------------------------------------------

    def begin(self, rows: Sequence[RawRow], first: int) -> Collection[int]:
        """Note the rows that were made into jobs last; the indexes of those that are done already."""
        del rows, first
        all_done: set[int] = set()
        for running, local, part, placed in self._made:
            done = {running.base + index for index in running.durable.begin(part, local)}
            new = [item.index for item in placed if isinstance(item, Job) and item.index not in done]
            self._not_left.update(new)
            self.ahead.give(len(new))
            running.out += len(part) - len(done)
            all_done |= done
        self._made = []
        return all_done

    def left(self, index: int) -> None:
        """Note that an attempt for a row is about to leave."""
        if index in self._not_left:
            self._not_left.remove(index)
            self.ahead.leave(trio.current_time())
            if self.ahead.waiting <= self._low:
                self.call()
        self.open[index >> INDEX_BITS].durable.left(index & INDEX_MASK)

    def cleared(self, index: int) -> None:
        """Note that the attempt has ended without an outcome."""
        self.open[index >> INDEX_BITS].durable.cleared(index & INDEX_MASK)

    def keep(self, outcome: Outcome) -> Outcome:
        """Save an outcome from the death of the process."""
        running = self._last_kept = self.open[outcome.index >> INDEX_BITS]
        own = replace(outcome, index=outcome.index & INDEX_MASK)
        kept = running.durable.keep(own)
        self._kept[outcome.index] = kept
        return outcome if kept is own else replace(kept, index=outcome.index)

    @property
    def is_behind(self) -> bool:
        """Whether the outcome that was just kept could not be saved and is not recorded yet."""
        return self._last_kept is not None and self._last_kept.durable.is_behind

    async def catch_up(self) -> None:
        """Wait until it is."""
        assert self._last_kept is not None
        await self._last_kept.durable.catch_up()

    async def record(self, outcomes: list[Outcome]) -> list[Recorded]:
        """Make outcomes durable, batch by batch; an item for each, in the order of their batches.

        Cancellation: takes effect before anything is done, or not at all.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        now = trio.current_time()
        groups = self._by_batch(outcomes)
        for running, since in self._unsettled.items():
            if not outcomes or now - since > SETTLE_SECONDS:
                groups.setdefault(running, [])
        recorded: list[Recorded] = []
        with trio.CancelScope(shield=True):
            for running, group in groups.items():
                entries = await running.record(group)
                recorded += [Recorded(running, entry) for entry in entries]
                self._unsettled.pop(running, None)
                if group and running.slot in self.open:
                    self._unsettled[running] = now
        return recorded

    def record_now(self, outcomes: list[Outcome]) -> None:
        """Make outcomes durable without waiting."""
        for running, group in self._by_batch(outcomes).items():
            running.durable.record_now(group)
            running.count(group)

    def _by_batch(self, outcomes: Sequence[Outcome]) -> dict[Running, list[Outcome]]:
        groups: dict[Running, list[Outcome]] = {}
        for outcome in outcomes:
            index = outcome.index
            own = self._kept.pop(index, None)
            if own is None:
                own = replace(outcome, index=index & INDEX_MASK)
            if index in self._not_left:
                self._not_left.remove(index)
                self.ahead.drop()
            groups.setdefault(self.open[index >> INDEX_BITS], []).append(own)
        if self.ahead.waiting <= self._low:
            self.call()
        return groups

    async def read_back(self, first: int, count: int) -> list[Recorded]:
        """Raises LookupError: each batch reads back for itself."""
        raise LookupError(f"rows {first} to {first + count - 1} were not left here")

    def size_of(self, items: Sequence[Recorded]) -> int:
        """Bytes of memory that items take."""
        return size_of([item.entry for item in items])

    async def write(self, items: list[Recorded]) -> None:
        """Hand rows to their batches, to be written when it is their turn. Raises SinkError, JournalError."""
        groups: dict[Running, list[Entry]] = {}
        for item in items:
            groups.setdefault(item.running, []).append(item.entry)
        for running, entries in groups.items():
            await running.write(entries)
            self._is_over(running)
