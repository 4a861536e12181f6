"""Contract tests for components of your own: subclass one, and give it a fixture that makes your component. Needs pytest.

class TestTries(pipeline.ObserverContract):
@pytest.fixture
def observer(self):
return Tries()
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio

from pipeline.config.load import load_config_text
from pipeline.events import AttemptRecord, AttemptResult, LaneBack, LaneOut, PaceChanged, Paused, RunBegan, RunStopping
from pipeline.runs.stream import stream

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.core.rows.lines import RawRow
    from pipeline.ports import Observer, Source

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

    def test_it_bears_attempts_that_say_the_least_and_the_most(self, observer: Observer) -> None:
        """Texts come from strangers, and any figure may be missing or large."""
        least = AttemptRecord(0, "", 1, "", 0, "", 0.0, 0.0, None, None, 0.0, AttemptResult.UNDECIDED)
        most = AttemptRecord(10**9, WORST, 99, WORST, 1, "learned", 1.0, 2.0, 3.0, 4.0, 5.0, AttemptResult.FAILED, 599, "http_599", WORST)
        observer.events([RunBegan(0.0, 1_700_000_000.0)])
        observer.attempts([least, most])
        observer.attempts([])

    def test_it_bears_every_event_and_any_number_of_them(self, observer: Observer) -> None:
        """Events come as they happen, several at once."""
        observer.events(
            [RunBegan(0.0, 1_700_000_000.0), Paused(1.0, 60.0, WORST, "a"), PaceChanged(2.0, None, WORST), PaceChanged(3.0, 0.001, "")]
        )
        observer.events([LaneOut(4.0, WORST, None, "a"), LaneBack(5.0, 1.0, "a"), LaneBack(6.0, 1.0, "never out")])
        observer.events([RunStopping(7.0, WORST, 10**6)])


class SourceContract:
    """What every `Source` must do. `open_source` opens one that has `count` rows, at least three; as often as it is called if it can be."""

    count = 3

    @pytest.fixture
    def open_source(self) -> Callable[[], Source]:
        """Opens the source that is tested."""
        raise NotImplementedError

    def test_each_row_comes_once_whatever_the_groups(self, open_source: Callable[[], Source]) -> None:
        """`take` gives at most so many rows, at least one, and none at the end."""
        source = open_source()
        groups = list(iter(lambda: source.take(2), []))
        source.close()

        assert all(1 <= len(group) <= 2 for group in groups)
        assert sum(map(len, groups)) == self.count
        assert all(row.problem is not None or row.data is not None for group in groups for row in group)

    def test_after_the_end_there_are_no_more(self, open_source: Callable[[], Source]) -> None:
        """The end is the end, also when it is asked again."""
        source = open_source()
        while source.take(100):
            pass

        assert source.take(100) == []
        source.close()

    def test_another_opening_gives_the_same_rows_if_it_says_so(self, open_source: Callable[[], Source]) -> None:
        """A resume reads the input again."""
        source = open_source()
        if source.can_be_reopened:
            again = open_source()
            assert _all(source) == _all(again)
            again.close()
        source.close()

    def test_it_knows_its_length_or_says_that_it_does_not(self, open_source: Callable[[], Source]) -> None:
        """A length is that of all rows; None is not known."""
        source = open_source()
        assert source.length in {None, self.count}
        assert source.name
        source.close()

    def test_closing_it_again_does_no_harm(self, open_source: Callable[[], Source]) -> None:
        """Also before anything was taken."""
        source = open_source()
        source.close()
        source.close()


def _all(source: Source) -> list[object]:
    rows: list[RawRow] = [row for group in iter(lambda: source.take(2), []) for row in group]
    return [row.data for row in rows]
