"""What every `Observer` must do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio

from pipeline.config.load import load_config_text
from pipeline.events import AttemptRecord, AttemptResult, LaneBack, LaneOut, PaceChanged, Paused, RunBegan, RunStopping
from pipeline.runs.stream import stream

if TYPE_CHECKING:
    from pipeline.events import RunEvent
    from pipeline.ports import Observer

ROWS = 60
IN_TROUBLE = """
source: {path: unused}
request: {url: /v1/chat/completions, body: {model: m, messages: [{role: user, content: "{prompt}"}]}}
provider: {simulate: {faults: {http_500: 0.1, http_429: 0.1, http_400: 0.1, reset_before: 0.05}, retry_after_seconds: 0.01}}
retry: {base_seconds: 0.01, stop_after: null}
limits: {max_in_flight: 5}
sink: {path: unused.jsonl}
"""
WORST = "two\nlines </script> \u2028 \x00 ü"
LEAST = AttemptRecord(0, "", 1, "", 0, "", 0.0, 0.0, None, None, 0.0, AttemptResult.UNDECIDED)
MOST = AttemptRecord(
    10**9, WORST, 99, WORST, 10**9, "learned", 1e9, 1e9, 1e9, 1e9, 1e9, AttemptResult.RETRIED, 599, "http_599",
    WORST, "ü" * 512, 1e6, 1e6, True, True, 10**8, 10**8, 10**8, 10**8, 1e6, 10**9, 10**9,
)  # fmt: skip


class ObserverContract:
    """What every `Observer` must do. `observer` gives a fresh one."""

    @pytest.fixture
    def observer(self) -> Observer:
        """The observer that is tested."""
        raise NotImplementedError

    def test_a_run_in_trouble_that_it_observes_has_every_outcome(self, observer: Observer) -> None:
        """It neither raises nor waits, whatever the provider does."""

        async def main() -> int:
            prompts, config = [f"row {number}" for number in range(ROWS)], load_config_text(IN_TROUBLE, "contract")
            return len([each async for each in stream(config, prompts, observers=(observer,))])

        assert trio.run(main) == ROWS

    def test_it_accepts_records_with_the_least_and_the_most_in_them(self, observer: Observer) -> None:
        """Texts come from strangers, and any figure may be missing or large."""
        observer.events([RunBegan(0.0, 1_700_000_000.0)])
        observer.attempts([LEAST, MOST])
        observer.attempts((MOST,))

    def test_it_accepts_every_event_and_any_number_of_them(self, observer: Observer) -> None:
        """Events come as they happen, several at once."""
        observer.events(
            [RunBegan(0.0, 1_700_000_000.0), Paused(1.0, 60.0, WORST, "a"), PaceChanged(2.0, None, WORST), PaceChanged(3.0, 0.001, "")]
        )
        observer.events([LaneOut(4.0, WORST, None, "a"), LaneBack(5.0, 1.0, "a"), LaneBack(6.0, 1.0, "never out")])
        observer.events([RunStopping(7.0, WORST, 10**6)])

    def test_it_changes_nothing_that_it_is_given(self, observer: Observer) -> None:
        """All observers of a run are given the same."""
        records = [LEAST, MOST]
        events: list[RunEvent] = [RunBegan(0.0, 0.0), LaneBack(5.0, 1.0, "a")]

        observer.events(events)
        observer.attempts(records)

        assert records == [LEAST, MOST]
        assert events == [RunBegan(0.0, 0.0), LaneBack(5.0, 1.0, "a")]
