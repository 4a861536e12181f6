"""What the server says of itself: batches as they stand now, and the state that the page shows. Nothing of it holds a key."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Any

import msgspec
from attrs import define, field

from pipeline.core.batches.records import FailureExample, Status
from pipeline.version import VERSION

if TYPE_CHECKING:
    from pipeline.core.batches.records import Batch
    from pipeline.core.pacing.lane_state import LaneState
    from pipeline.serve.engine import Engine

PACE_SECONDS = 20.0  # over which the rate is told


@define(eq=False)
class Teller:
    """Tells. May be called from any thread; it only reads."""

    engine: Engine
    _seen: deque[tuple[float, int]] = field(factory=deque, init=False)  # when, and how many attempts had left by then

    def shown(self, batch: Batch) -> dict[str, Any]:
        """A batch object, with what is known of it at this moment."""
        running = self.engine.running.get(batch.id) or self.engine.finishing.get(batch.id)
        extra: dict[str, Any] = {"name": (batch.metadata or {}).get("description") or batch.input_name, "reason": self._reason(batch)}
        cost, failures = batch.cost, batch.failures
        if running is not None and not batch.status.is_final:
            batch = msgspec.structs.replace(batch, completed=running.completed, failed=running.failed)
            ledger = running.ledger
            failures = {
                code: FailureExample(group.count, group.example.custom_id, group.example.message) for code, group in ledger.failures.items()
            }
            extra |= {"input_tokens": ledger.prompt_tokens, "output_tokens": ledger.output_tokens}
            cost = None if ledger.price is None else ledger.cost / 1e12
        extra |= {"cost": cost, "failures": failures}
        return batch.shown(extra)

    def _reason(self, batch: Batch) -> str | None:
        """Why a batch does not get on."""
        if batch.status.is_final:
            return None
        reason = self.engine.troubles.get(batch.id) or (self.engine.reason if batch.status is not Status.VALIDATING else "")
        return self.without_place(reason) or None

    def without_place(self, text: str) -> str:
        """A message without the place of the data folder, which clients need not know."""
        return text.replace(f"{self.engine.folder.root}/", "")

    def state(self) -> dict[str, Any]:
        """What the page shows of the whole server."""
        engine = self.engine
        course, settings = engine.course, engine.settings
        gate = None if course is None else course.tallies.gate
        pace = self._pace(0 if gate is None else gate.attempts)
        return {
            "version": VERSION,
            "now": time.time(),
            "reason": self.without_place(engine.reason),
            "limited_by": "" if gate is None or not engine.running else gate.bound,
            "in_flight": 0 if gate is None else gate.in_flight,
            "waiting": 0 if gate is None else gate.waiting,
            "requests_per_second": pace,
            "free_bytes": engine.folder.free_bytes(),
            "lanes": [] if settings is None else [_lane(state) for state in settings.lanes.states],
        }

    def _pace(self, attempts: int) -> float:
        now = time.monotonic()
        if self._seen and self._seen[-1][1] > attempts:
            self._seen.clear()  # another session
        self._seen.append((now, attempts))
        while len(self._seen) > 2 and self._seen[0][0] < now - PACE_SECONDS:
            self._seen.popleft()
        (then, before), (last, after) = self._seen[0], self._seen[-1]
        return round((after - before) / (last - then), 3) if last - then > 0.5 else 0.0


def _lane(state: LaneState) -> dict[str, Any]:
    learned = state.limits.learned
    found = None if learned is None or learned.requests_per_minute is None else round(learned.requests_per_minute, 1)
    return {
        "name": state.name,
        "host": state.host,
        "attempts": state.attempts,
        "succeeded": state.succeeded,
        "throttled": state.throttled,
        "limit_per_minute": None if state.allowed is None else round(state.allowed * 60, 3),
        "found_per_minute": found,
        "most_in_flight": state.workers,
    }
