"""The exact sliding log of one limit: how much left in the last period, in fixed memory, whatever the rate.

Time is cut into cells of a 4,000th of the period, held in a ring; a departure is an amount in its cell. So a departure
can be corrected in O(1) with nothing but its time, and no object per request is kept. No clock: `now` is an argument.
"""

from __future__ import annotations

from math import ceil

CELLS_PER_PERIOD = 4000  # 0.25 ms of a second, 15 ms of a minute: the grain costs at most 0.025 %, 32 kB a limit
# 0.45 % of the period: absorbs 4.5 ms of jitter per second between us and a server that counts too. With 0.25 % a server that took
# 300 a second counted 302 or 303 by its own clock; with this 300, at 0.996 attained.
MARGIN_CELLS = 18
SEND_SLACK_CELLS = 5  # of the margin, what may pass between ticket and send uncorrected; the rest is the network's
WINDOW_CELLS = CELLS_PER_PERIOD + MARGIN_CELLS
MARGIN = MARGIN_CELLS / CELLS_PER_PERIOD
WINDOW_SECONDS_PER_PERIOD = WINDOW_CELLS / CELLS_PER_PERIOD
RING = 4096  # a power of two above WINDOW_CELLS, so that the place in the ring is one `&`
MASK = RING - 1
NUDGE = 0.001  # of a cell: above float noise up to a clock of 10⁸ s, so that `free_at` is never "now" again


class SlidingLog:
    """What left in the last `period * (1 + MARGIN)`, in the limit's own unit (requests or tokens).

    A departure counts from the start of its cell, at most one cell (of the margin's eighteen) too early.
    total: the amount that counts at the `now` of the last `advance`.
    """

    __slots__ = ("_cell", "_cells_per_second", "_ring", "_tail", "period", "total")

    def __init__(self, period: float) -> None:
        self.period = period
        self._cells_per_second = CELLS_PER_PERIOD / period
        self._ring = [0] * RING
        self._cell = 0  # the newest that `advance` has seen
        self._tail = 0  # the oldest that may still hold something
        self.total = 0

    def cell(self, at: float) -> int:
        """The cell that a time falls in."""
        return int(at * self._cells_per_second + NUDGE)

    def departure_cell(self, left: float, sent: float) -> int:
        """The cell of a departure: its ticket's, or its send's less the slack if the send was much later."""
        return max(self.cell(left), self.cell(sent) - SEND_SLACK_CELLS)

    def advance(self, now: float) -> None:
        """Forget what left more than a period ago."""
        cell = int(now * self._cells_per_second + NUDGE)
        if cell <= self._cell:
            return
        self._cell = cell
        end = cell - WINDOW_CELLS + 1
        if not self.total or end - self._tail >= RING:
            self._forget_all()
            self._tail = max(self._tail, end)
            return
        ring = self._ring
        for old in range(self._tail, end):
            if amount := ring[old & MASK]:
                self.total -= amount
                ring[old & MASK] = 0
        self._tail = max(self._tail, end)

    def take(self, amount: int) -> None:
        """Log a departure at the `now` of the last `advance`."""
        self._ring[self._cell & MASK] += amount
        self.total += amount

    def correct(self, old_cell: int, old: int, new_cell: int, new: int) -> None:
        """Put `new` into `new_cell`, not later than now, for the `old` in `old_cell`; what has left the window stays out.

        Of the old departure less may be left here, if others hold its permits now (`hand_over`).
        """
        if old_cell >= self._tail:
            old = min(old, self._ring[old_cell & MASK])
            self._ring[old_cell & MASK] -= old
            self.total -= old
        if new_cell >= self._tail:
            self._ring[new_cell & MASK] += new
            self.total += new

    def free_at(self, amount: float) -> float:
        """When at least `amount` of what counts now will have left the window; later than `now`, or inf if it never holds so much."""
        freed = 0
        ring = self._ring
        for cell in range(self._tail, self._cell + 1):
            freed += ring[cell & MASK]
            if freed >= amount:
                return (cell + WINDOW_CELLS) / self._cells_per_second
        return float("inf")

    # ---- shared limits: permits that change hands ------------------------------------------------------------------

    def ages(self, steps: int, before: float) -> list[tuple[float, int]]:
        """(clock until which they count, how many) of what left before that clock, rounded to later, in at most so many steps and one."""
        step = -(-WINDOW_CELLS // steps)
        ages: dict[int, int] = {}
        for cell, amount in self._filled(before):
            end = -(-(cell + WINDOW_CELLS) // step) * step
            ages[end] = ages.get(end, 0) + amount
        return [(end / self._cells_per_second, amount) for end, amount in ages.items()]

    def hand_over(self, amount: int, before: float) -> list[tuple[float, int]]:
        """Forget at most so much of what left before that clock, spread evenly over its ages; (clock until which it counts, how much)."""
        cells = self._filled(before)
        total = sum(here for _, here in cells)
        amount = min(amount, total)
        handed: list[tuple[float, int]] = []
        passed = 0
        for cell, here in cells:
            already = passed * amount // total
            passed += here
            if part := passed * amount // total - already:
                self._ring[cell & MASK] -= part
                handed.append(((cell + WINDOW_CELLS) / self._cells_per_second, part))
        self.total -= amount
        return handed

    def set_aside(self, cell: int, amount: int) -> None:
        """Forget at most so much in a cell: it is counted elsewhere until it is known when it leaves."""
        if cell >= self._tail:
            amount = min(amount, self._ring[cell & MASK])
            self._ring[cell & MASK] -= amount
            self.total -= amount

    def put(self, cell: int, amount: int) -> None:
        """Count so much in a cell, not later than now."""
        if cell >= self._tail:
            self._ring[cell & MASK] += amount
            self.total += amount

    def take_over(self, until: float, amount: int) -> None:
        """Count what another has used, until this clock, at most a window from now."""
        cell = min(ceil(until * self._cells_per_second - NUDGE) - WINDOW_CELLS, self._cell)
        if cell > self._cell - WINDOW_CELLS:
            self._ring[cell & MASK] += amount
            self._tail = min(self._tail, cell)
            self.total += amount

    def _filled(self, before: float) -> list[tuple[int, int]]:
        """The cells that hold something that left before that clock, with how much. A slice is ten times as fast as cell by cell."""
        if not self.total:
            return []
        end = self._cell + 1 if before >= self._cell / self._cells_per_second else max(self._tail, self.cell(max(0.0, before)))
        first, last = self._tail & MASK, end & MASK
        ring = self._ring
        cells = ring[first:last] if end - self._tail < RING - first else ring[first:] + ring[:last]
        return [(cell, amount) for cell, amount in enumerate(cells, self._tail) if amount]

    def _forget_all(self) -> None:
        if self.total:
            self._ring = [0] * RING
            self.total = 0
