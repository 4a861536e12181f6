"""For how long a lane has not worked, and how long to wait for it. Pure: `now` is an argument."""

from __future__ import annotations

from math import inf


class Trouble:
    """The time since a lane answered last.

    patience: seconds to wait while nothing works, a fifth of it before the first answer. since: clock of the first failure
    after the last good answer, None while nothing is wrong. told_until: the provider asked for no attempt before.
    worked: the lane gave a result at least once.
    """

    __slots__ = ("_asked_until", "_from", "_last", "_patience", "since", "told_until", "worked")

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self.worked = False
        self.since: float | None = None
        self.told_until = -inf
        self._asked_until = -inf  # the same, as far as it puts off the deadline
        self._from = -1  # number of the attempt with which it began
        self._last = -inf  # clock of the latest failure

    def failed(self, number: int, now: float, wait: float | None) -> None:
        """Note a failure. wait: what the provider asks for, in seconds."""
        self._last = now
        if self.since is None:
            self.since, self._from = now, number
            self._asked_until = -inf
        if wait is not None:
            self.told_until = max(self.told_until, now + wait)
            if now < self._base(self.since):
                self._asked_until = max(self._asked_until, now + wait + 1.0)

    def answered(self, number: int) -> None:
        """Note an answer. One to an attempt that left before the trouble began does not end it."""
        if number > self._from:
            self.since = None

    @property
    def deadline(self) -> float:
        """Until when to wait for the lane; inf while it works.

        A wait that the provider asked for in time is kept to, but not one after the other.
        """
        return inf if self.since is None else max(self._base(self.since), self._asked_until)

    def expired(self, now: float, oldest: float) -> bool:
        """Whether the lane has not worked for too long.

        oldest: when the oldest of the attempts in flight left; one that left before the trouble began may still be answered.
        """
        deadline = self.deadline
        if self.since is None or now < deadline:
            return False
        return oldest >= self.since or self._last >= deadline

    def _base(self, since: float) -> float:
        return since + (self._patience if self.worked else self._patience / 5)
