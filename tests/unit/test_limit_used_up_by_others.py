"""A limit that somebody else has used up when a run begins says nothing of what it allows."""

from __future__ import annotations

from pipeline.core.pacing.growing import Mode
from pipeline.core.pacing.learned import Finder
from pipeline.messages import Grant

ANSWERED_AFTER = 0.05


def run_until(finder: Finder, now: float, end: float, *, open_from: float) -> tuple[float, int]:
    """Let attempts leave as the finder allows; those before `open_from` are refused. Gives the clock and how many were let in."""
    let_in = 0
    while now < end:
        due = finder.due(now, 0)
        if due > now:
            now = min(due, end)
            continue
        grant = Grant(now, now, 1)
        finder.departed(grant, now)
        now += ANSWERED_AFTER
        if grant.left < open_from:
            finder.refused(grant, now, None)
        else:
            finder.admitted(grant, now)
            let_in += 1
    return now, let_in


def test_the_search_goes_on_after_an_outage_before_which_nothing_was_let_in() -> None:
    finder = Finder(16)

    now, let_in = run_until(finder, 0.0, 29.9, open_from=30.0)
    assert let_in == 0
    _, let_in = run_until(finder, now, 65.0, open_from=30.0)

    assert finder.mode in (Mode.RAMP, Mode.OPEN)
    assert let_in > 200


def test_what_was_let_in_before_an_outage_is_still_learned_from() -> None:
    finder = Finder(16)
    now, _ = run_until(finder, 0.0, 5.0, open_from=0.0)
    for _ in range(8):
        grant = Grant(now, now, 1)
        finder.departed(grant, now)
        finder.refused(grant, now + 0.05, 30.0)
        now += 0.1

    run_until(finder, now, now + 35.0, open_from=0.0)

    assert finder.span.estimate is not None
