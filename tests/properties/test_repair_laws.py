"""Whatever is edited between two runs: nothing is sent that has a valid answer, nothing is kept that the input no longer says, and
else there is one clear refusal that leaves all as it was and names the command that goes on."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, event, example, given, settings
from hypothesis import strategies as st

import pipeline
from tests.fakes.edited import BROKEN, ROWS, STATUS, STEPS, Edit, Result, Row, Step, World


def see_that_a_refusal_is_one(world: World, before: bytes | None, *, fresh: bool) -> None:
    """It sent nothing, left the output as it was, and says in words which command goes on."""
    told = str(world.refusal)
    assert not world.sent
    assert (world.output.read_bytes() if world.output.exists() else None) == before
    assert len(told) > 20, told
    if fresh:
        assert not world.rows, told
    else:
        assert "--fresh" in told or not world.rows, told


def see_that_the_named_command_goes_on(world: World, flags: dict[str, Any], limit: int | None) -> dict[str, Any]:
    """Run again as the refusal says, until a run is not refused; the flags of that run."""
    for flag in ("accept_changes", "fresh"):
        if world.refusal is not None and f"--{flag.replace('_', '-')}" in str(world.refusal) and not flags.get(flag):
            flags = {**flags, flag: True} if flag == "accept_changes" else {"fresh": True}
            world.run(flags, limit)
    return flags


def chosen(choice: object, status: int) -> bool:
    """Whether `--retry-failed=choice` takes a failure with this status."""
    return choice == "all" or (choice is True and status == 500) or str(status) in str(choice).split(",")


def see_what_is_kept(world: World, now: list[Result], limit: int | None) -> None:
    rows = world.rows
    assert len({result.row for result in now}) == len(now)
    for result in now:
        row = rows[result.row]
        assert result.said in (None, row.prompt), "an answer is kept to a text that is gone"
        assert row.name in ("", result.custom_id) or row.prompt == BROKEN, "a result is kept under another id"
        if world.keep and world.shape == "flat" and row.prompt != BROKEN:
            assert str(result.note) == str(row.note), "a kept field is not the row's"
    found = pipeline.verify(world.config)
    assert set(found.counts) <= ({"missing"} if limit is not None or world.stopped else set()), found.problems


def see_what_was_paid(world: World, answered: Counter[Row], now: list[Result], before: set[int], *, fresh: bool) -> None:
    """answered: the rows that had an answer before. before: the numbers of all answers that were somewhere."""
    bought = Counter(prompt for prompt in world.sent if prompt not in STATUS)
    needed = Counter(world.rows) if fresh else Counter(world.rows) - answered
    assert bought <= Counter(row.prompt for row in needed.elements()), "a row was paid for that had its answer"
    assert before <= world.all_numbers(), "an answer that was there is nowhere any more"
    if not world.stopped:
        assert {result.number for result in now} >= world.numbers, "an answer that was paid for is not in the output"


def see_what_failed_was_sent(world: World, failed: list[Result], rows_before: list[Row], choice: object, *, exact: bool) -> None:
    """failed: what had failed before and was not edited by hand. exact: nothing else was changed, and nothing stops the run."""
    same = [result for result in failed if world.rows[result.row : result.row + 1] == rows_before[result.row : result.row + 1]]
    for prompt, status in STATUS.items():
        stay = sum(result.status == status and not chosen(choice, status) for result in same)
        sent = world.sent.count(prompt)
        assert sent <= sum(row.prompt == prompt for row in world.rows) - stay, "a failure was sent again that nobody asked for"
        if exact and choice:
            assert sent >= sum(result.status == status and chosen(choice, status) for result in same), "a failure was not sent again"


@pytest.mark.parametrize("order", ["input", "completion"])
@settings(max_examples=25, phases=[Phase.explicit, Phase.generate])  # shrinking takes minutes
@example(
    kind="jsonl",
    shape="batch",
    rows=[Row("a", "good one", 0), Row("b", "long", 0)],
    steps=[Step([], {}), Step([Edit("put", 1, Row("b", "good two", 0))], {})],
)
@example(  # the hashes are written again where the rows are what they were
    kind="jsonl",
    shape="batch",
    rows=[Row("a", "good one", 0), Row("b", "good one", 0)],
    steps=[Step([Edit("no_side_file", 1)], {}), Step([Edit("drop", 0)], {})],
)
@example(
    kind="jsonl",
    shape="batch",
    rows=[Row("a", "good one", 0), Row("a", "good two", 0)],
    steps=[Step([Edit("no_side_file", 1)], {}), Step([Edit("drop", 0)], {})],
)
@example(  # else it cannot be told which answers are still good
    kind="jsonl",
    shape="batch",
    rows=[Row("a", "good one", 0), Row("b", "good two", 0)],
    steps=[Step([Edit("no_side_file", 1), Edit("lines", 1), Edit("put", 0, Row("a", "good three", 0))], {})],
)
@given(
    kind=st.sampled_from(["jsonl", "two", "csv"]),
    shape=st.sampled_from(["batch", "flat"]),
    rows=st.lists(ROWS, min_size=1, max_size=6),
    steps=STEPS,
)
def test_edits_between_runs(order: str, kind: str, shape: str, rows: list[Row], steps: list[Step]) -> None:
    with tempfile.TemporaryDirectory() as name:
        world = World(Path(name), kind, order, shape, list(rows))
        world.run({}, 3)
        for edits, asked, limit in steps:
            flags = asked
            settings_before, rows_before = world.settings(), list(world.was)
            for edit in edits:
                world.edit(edit)
            results = list({result.row: result for result in world.results() if result.row < len(rows_before)}.values())
            answered = world.keys([result for result in results if result.said is not None])
            failed = [result for result in results if result.status in STATUS.values()]
            numbers = world.all_numbers()
            before = world.output.read_bytes() if world.output.exists() else None

            if not world.run(flags, limit):
                event("refused")
                see_that_a_refusal_is_one(world, before, fresh=flags.get("fresh", False))
                flags = see_that_the_named_command_goes_on(world, flags, limit)
                assert world.refusal is None or not world.rows, world.refusal
                if world.refusal is not None:
                    continue

            fresh = flags.get("fresh", False)
            now = world.results()
            see_what_is_kept(world, now, limit)
            see_what_was_paid(world, answered, now, numbers, fresh=fresh)
            if not fresh and world.settings() == settings_before:
                exact = not edits and limit is None and not world.stopped
                see_what_failed_was_sent(world, failed, rows_before, flags.get("retry_failed"), exact=exact)
