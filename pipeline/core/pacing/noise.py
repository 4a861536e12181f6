"""Refusals that no limit explains: a relay that answers one request in ten with a 429, whatever the pace.

Two questions are asked.

- While no limit is known: do refusals come so close together that it must be one? A limit that is exceeded refuses half of
  what comes, or all of it; noise refuses a share and lets the rest in. The two are weighed against each other with every
  refusal (Wald's sequential test), and until the scales tip the pace stays.
- While one is known: is a refusal possible under it? Between two refusals close together a bucket is empty at both ends, so what
  it let in there is its rate. A refusal at well below that rate, with others let in just before, is not the limit's. After
  two of those noise is believed, and from then on the scales decide as above.

Noise is left to the rows' own retries.
"""

from __future__ import annotations

from collections import deque
from math import inf, log
from typing import TYPE_CHECKING

from msgspec import Struct, field

if TYPE_CHECKING:
    from pipeline.core.pacing.departures import Departures

LIMIT_SHARE = 0.4  # of what comes, that an exceeded limit refuses at least
NOISE_SHARE = 0.09  # that noise refuses, until more is known
MOST_NOISE = 0.3
# e to this: how much likelier a limit must be, and how much more once noise is known. Five refusals in a row, or six. A client that
# believes in a limit too soon takes up to three times as long as one that ignores a relay's refusals; one that believes too late pays two
# refusals more. Where the provider announces limits a refusal is rarely noise, so three and four are enough.
TIPS, TIPS_LATER = 6.5, 8.0
TOLD_TIPS, TOLD_TIPS_LATER = 4.3, 6.5
ISOLATED, TOLD_ISOLATED, ISOLATED_SCORE = 2, 3, 0.8  # refusals with enough let in before each, after which noise is known
FAR_BELOW = 0.8  # of a rate that was measured: a limit does not refuse there
FAR_SLOWER = 0.6  # of the pace at which a limit was met: refusals there were not its doing
BETWEEN = 3  # let in since the refusal before: the limit is not shut
MEASURED = 8  # let in between two refusals: enough to measure by
MEASURED_SECONDS = 0.1  # apart: what is let in within a few milliseconds is no rate
RECENT_SECONDS = 30.0
OFTEN = 3  # tolerated within these
UNEXPLAINED = 2
REACTIONS, CLOSE = 6, 80  # reactions within so many departures do not narrow a limit down; half as many the next time
LOWERED = 4  # times in a row that lowering the pace did not end the refusals: the pace is not their cause


class Noise(Struct, eq=False):
    """How much of what is refused is noise. share: of all attempts; 0 while none is known."""

    share: float = 0.0
    told: bool = False  # the provider announces limits
    score: float = 0.0
    last: float = -inf  # when the last refused attempt left
    measured: float = 0.0  # the highest rate that was measured lately
    _measured_at: float = -inf
    _unexplained: int = 0
    _lowered: int = 0
    _believed: float = 0.0  # the pace that was let in when a limit was believed in first, since noise was last believed in
    _reactions: deque[int] = field(default_factory=lambda: deque(maxlen=REACTIONS))  # by how many had left
    _close: int = CLOSE
    _began: float = -inf
    _tolerated: list[tuple[float, float]] = field(default_factory=list)  # (when, pace)

    def begin(self, now: float) -> None:
        """Nothing is known from here on."""
        if self._began == -inf:
            self._began = now

    def is_limit(self, left: float, pace: float, departures: Departures) -> bool:
        """Weigh a refusal of an attempt that left at `left`; whether it must be a limit's. pace: a second, let in before it."""
        noise = min(MOST_NOISE, max(self.share, NOISE_SHARE))
        between = departures.count_before(max(self.last, self._began), left)
        self.last = max(self.last, left)
        before = max(0.0, self.score - between * log((1 - noise) / (1 - LIMIT_SHARE)))
        self.score = before + log(LIMIT_SHARE / noise)
        later, first = (TOLD_TIPS_LATER, TOLD_TIPS) if self.told else (TIPS_LATER, TIPS)
        if self.score > (later if self.known else first):
            self.score = 0.0
            return True
        if before > ISOLATED_SCORE:
            return False
        self._tolerated.append((left, pace))
        if len(self._tolerated) > self._isolated:
            tried = departures.count(self._began, left) + len(self._tolerated)
            self.share = max(self.share, min(MOST_NOISE, len(self._tolerated) / max(1, tried)))
            del self._tolerated[:-64]
        return False

    def often(self, left: float) -> bool:
        """Whether so many were refused of late that it may be a limit that is exceeded by a little; while no noise is known."""
        return not self.share and sum(at > left - RECENT_SECONDS for at, _ in self._tolerated) >= OFTEN

    @property
    def known(self) -> bool:
        """Whether noise was seen."""
        return self.share > 0 or len(self._tolerated) >= self._isolated

    @property
    def _isolated(self) -> int:
        return TOLD_ISOLATED if self.told else ISOLATED

    def met_limit(self, pace: float) -> None:
        """A limit was met at a pace. What was refused near it was the limit's doing, and no noise."""
        self._believed = max(self._believed, pace - 1.0)
        if sum(slower <= FAR_SLOWER * pace for _, slower in self._tolerated) < UNEXPLAINED:
            self.share = 0.0
        self._tolerated.clear()
        self.measured, self._measured_at, self._unexplained = 0.0, -inf, 0

    def refuted(self) -> None:
        """A slightly lower pace met no refusal at all: what was tolerated was a limit's."""
        self._tolerated.clear()
        self.share = self.score = 0.0

    def unexplained(self, left: float, pace: float, emptied_at: float, departures: Departures) -> bool:
        """Whether a known limit cannot have refused an attempt, for the second time; then noise is believed.

        emptied_at: when the one before was refused, if nothing was paused since.
        """
        between = departures.count(emptied_at, left) if emptied_at > -inf else 0
        if left - self._measured_at > RECENT_SECONDS:
            self.measured = 0.0
        if self.measured and pace <= FAR_BELOW * self.measured and between >= BETWEEN:
            self._unexplained += 1
        elif pace > FAR_BELOW * self.measured:
            self._unexplained = 0
        if between >= MEASURED and left - emptied_at >= MEASURED_SECONDS and (rate := between / (left - emptied_at)) > self.measured:
            self.measured, self._measured_at = rate, left
        if self._unexplained < UNEXPLAINED and self._lowered < LOWERED and not self._too_often():
            return False
        self._reactions.clear()
        self._close //= 2
        self.measured = max(self.measured, self._believed, departures.count(left - RECENT_SECONDS, left) / RECENT_SECONDS)
        self._believed = 0.0
        self.share, self.score, self._unexplained, self._lowered = NOISE_SHARE, 0.0, 0, 0
        self._began = self.last = left
        return True

    def lowered(self) -> None:
        """The pace was lowered because of a refusal."""
        self._lowered += 1

    def reacted(self, departures: int) -> None:
        """There was a reaction to a refusal. departures: how many there have been in all."""
        self._reactions.append(departures)

    def _too_often(self) -> bool:
        """Whether so many reactions came so close together that a limit would have been found by them."""
        reactions = self._reactions
        return len(reactions) == REACTIONS and reactions[-1] - reactions[0] <= self._close

    def calm(self) -> None:
        """A pace was let in for long enough: under a limit that is what lowering it leads to."""
        self._lowered = 0
