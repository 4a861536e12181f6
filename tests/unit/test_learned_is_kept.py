"""What was found out about a provider's limits survives the process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.core.pacing.lane import Lane, Learned
from pipeline.core.pacing.lane_state import LaneState
from pipeline.core.pacing.lanes import Lanes
from pipeline.edges.store.journal import Journal
from pipeline.edges.store.journal_schema import State

if TYPE_CHECKING:
    from pathlib import Path


def test_journal_keeps_what_was_learned_of_each_lane(tmp_path: Path) -> None:
    learned = {"a": Learned(540.0, "sliding", 60.0), "b": Learned(None, "in_flight", None, 12)}
    journal = Journal.open(tmp_path / "run.journal", {"a": "b"})
    journal.commit([], State(learned=learned))
    journal.close()

    again = Journal.open(tmp_path / "run.journal", {"a": "b"})

    assert again.state.learned == learned
    again.close()


def test_journal_of_an_earlier_version_has_learned_nothing() -> None:
    assert State().learned == {}


def test_lane_that_goes_on_says_what_it_was_told() -> None:
    lane = Lane.from_limits(learn=True, max_in_flight=100)
    learned = Learned(540.0, "fixed", 10.0)

    lane.restore(learned, 1000.0)

    assert lane.learned == learned


def test_lanes_are_told_apart_by_their_names() -> None:
    learned = {"a": Learned(540.0, "bucket"), "gone": Learned(10.0, "bucket")}
    lanes = Lanes([LaneState(Lane.from_limits(learn=True, max_in_flight=9), 9, index=place, name=name) for place, name in enumerate("ab")])

    lanes.recall(learned, 1000.0)

    assert lanes.learned() == {"a": Learned(540.0, "bucket")}
