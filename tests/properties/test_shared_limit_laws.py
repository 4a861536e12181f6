"""Law 4 for processes of one machine: whatever they do, no sliding window holds more than the limit that they share."""

from __future__ import annotations

import tempfile
from itertools import count
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.pacing.lane import Bound, Limit
from pipeline.core.pacing.leased import LeasedLane
from pipeline.core.pacing.permits import GivenUpError
from pipeline.edges.leases.machine import MachineLease
from tests.fakes.leases import Clock, Process
from tests.fakes.limited import fullest_window

limits = st.builds(
    Limit,
    bound=st.just(Bound.REQUESTS_PER_SECOND),
    amount=st.integers(1, 60),
    period=st.sampled_from([0.5, 1.0, 5.0]),
    burst=st.none() | st.just(20),
)
# which process, what it does, and how much time passes afterwards
steps = st.tuples(
    st.integers(0, 2), st.sampled_from(["send", "send", "report", "report", "leave", "die"]), st.sampled_from([0.0, 0.003, 0.05, 0.3, 2.5])
)


@settings(deadline=None, max_examples=40)
@given(limits, st.lists(steps, min_size=20, max_size=150))
def test_no_window_holds_more_than_the_limit_whoever_joins_leaves_sleeps_and_dies(limit: Limit, life: list[tuple[int, str, float]]) -> None:
    """A process that is not looked at for 2.5 seconds is one that was suspended."""
    clock, departures = Clock(), []
    with tempfile.TemporaryDirectory() as folder:
        names = count()

        def join() -> Process:
            next(names)
            return Process(clock, MachineLease(Path(folder), "key", LeasedLane([limit]).shared, clock=clock), limit)

        processes = [join() for _ in range(3)]
        for which, does, passes in life:
            process = processes[which]
            if does == "send":
                departures.append((clock.now, process.send(200)))
            elif does == "report":
                try:
                    process.report()
                except GivenUpError:
                    process.report()  # joins anew
            elif does == "leave":
                process.lease.leave(process.lane.give_all_back(clock.now))
                processes[which] = join()
            else:
                processes[which] = join()
            clock.now += passes

    assert fullest_window([(at, cost) for at, cost in departures if cost], limit.period) <= limit.amount
