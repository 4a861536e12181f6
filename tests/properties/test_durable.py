"""Law 7: what was recorded survives a process that dies at any point, and the finished output is an undisturbed run's."""

from __future__ import annotations

import json
import mmap
import tempfile
from collections import Counter
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trio
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline.core.output.lines import encode_batch
from pipeline.core.rows.jobs import JobMaker
from pipeline.core.rows.templates import Template
from pipeline.durability import keeping
from pipeline.durability.catch_up import KnownRows, catch_up
from pipeline.durability.paths import Paths
from pipeline.durability.resume import Kind, open_durable
from pipeline.edges.sources.file import FileSource
from pipeline.edges.store import spool
from pipeline.edges.store.hashes import RowHashes
from pipeline.edges.store.seen import SeenOnDisk
from pipeline.errors import JournalError
from pipeline.records import Failure, FailureKind, Job, Outcome, Success, Usage

if TYPE_CHECKING:
    from pipeline.durability.entries import Entry
    from pipeline.durability.store import DurableStore

ROWS = 24
IDENTITY = {"sink.order": "input"}
SEGMENT = mmap.ALLOCATIONGRANULARITY
LENGTHS = (10, SEGMENT // 3, 10, 10, SEGMENT // 3, 2 * SEGMENT)  # of answers: a segment of the spool holds a few; the last are long lines


@pytest.fixture(autouse=True)
def small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "SEGMENT_BYTES", SEGMENT)
    monkeypatch.setattr(keeping, "LONG_BYTES", SEGMENT // 2)


def outcome_of(index: int, name: str) -> Outcome:
    if index % 5 == 3:
        return Failure(index, name, FailureKind.TIMEOUT, "late")
    reason, text = "length" if index % 3 else "stop", "a" * LENGTHS[index % len(LENGTHS)]
    body = b'{"choices":[{"text":"%s","finish_reason":"%s"}],"usage":{"prompt_tokens":1,"completion_tokens":2}}'
    return Success(index, name, 200, None, body % (text.encode(), reason.encode()), Usage(1, 2, 3), 1, 0.5, reason)


class Life:
    """One process on a run's files: answers rows in an order that a plan gives, and dies where the plan says."""

    def __init__(self, folder: Path, *, in_order: bool) -> None:
        self.in_order = in_order
        self.open_source = partial(FileSource.open, folder / "in.jsonl")
        paths = Paths(folder / "out.jsonl", folder / "out.jsonl.journal")
        self.jobs = JobMaker(Template.compile({"p": "{p}"}), seen=SeenOnDisk())
        self.source = self.open_source()
        self.durable: DurableStore = open_durable(paths, Kind(encode_batch, in_order, power=False), IDENTITY)
        self.hashes = RowHashes.open(paths.hashes)
        known = KnownRows(self.source.name, self.source.can_be_reopened, self.durable, self.hashes)
        assert catch_up(self.open_source, self.source, self.jobs, self.durable, known) is None
        self.make_jobs = known.making(self.jobs.make_jobs)
        self.index = self.durable.first_index
        self.waiting: dict[int, Entry] = {}
        self.held = self.durable.held
        self.next = self.durable.first_index

    def read(self, most: int) -> list[int]:
        rows = self.source.take(most)
        made = self.make_jobs(rows, self.index)
        done = self.durable.begin(rows, self.index)
        self.index += len(rows)
        new = [item for item in made if item.index not in done]
        for item in new:
            if isinstance(item, Job):
                self.durable.left(item.index)
        return [item.index for item in new]

    def keep(self, index: int) -> None:
        self.durable.keep(outcome_of(index, f"row-{index}"))

    async def record(self, indexes: list[int]) -> None:
        entries = await self.durable.record([outcome_of(index, f"row-{index}") for index in indexes])
        if self.in_order:
            self.waiting.update({entry.index: entry for entry in entries})
        else:
            self.waiting.update({entry.place: entry for entry in entries})
            self.next = min(self.waiting, default=self.next)

    async def emit(self) -> None:
        ready = []
        while True:
            if count := self.held.take(self.next, 3):
                ready += await self.durable.read_back(self.next, count)
                self.next += count
            elif self.next in self.waiting:
                ready.append(self.waiting.pop(self.next))
                self.next += 1
            else:
                break
        if ready:
            await self.durable.write(ready)

    def spill(self) -> None:
        for index in self.waiting:
            self.held.add(index, index + 1)
        self.waiting.clear()

    def die(self) -> None:
        """What the kernel does: descriptors close, nothing is committed."""
        self.durable.close()
        self.hashes.close()
        self.source.close()
        self.jobs.close()


@st.composite
def plans(draw: st.DrawFn) -> list[list[tuple[str, int]]]:
    """Lives, each a list of steps. The number of a step draws which rows it is about."""
    kinds = ["read", "keep", "keep", "fail", "record", "record", "emit", "emit", "spill", "tear", "full"]
    step = st.tuples(st.sampled_from(kinds), st.integers(0, 2**16))
    return draw(st.lists(st.lists(step, max_size=20), min_size=1, max_size=6))


async def live(
    folder: Path, steps: list[tuple[str, int]], sent: Counter[int], answered: set[int], *, in_order: bool, to_the_end: bool
) -> None:
    life = Life(folder, in_order=in_order)
    open_rows: list[int] = []
    channel: list[int] = []

    def end_some(number: int, *, kept: bool) -> None:
        for index in [index for at, index in enumerate(open_rows) if number >> at % 16 & 1]:
            open_rows.remove(index)
            channel.append(index)
            if kept:
                life.keep(index)
                answered.add(index)

    async def record(most: int) -> None:
        chosen = [channel.pop(0) for _ in range(min(most, len(channel)))]
        await life.record(chosen)
        answered.update(chosen)

    try:
        for kind, number in [*steps, *[("end", 0)] * to_the_end]:
            if kind == "read":
                rows = life.read(1 + number % 5)
                assert not answered & set(rows), "a row was sent again although its outcome was there"
                open_rows += rows
                sent.update(rows)
            elif kind in ("keep", "fail"):
                end_some(number, kept=kind == "keep")
            elif kind == "record":
                await record(1 + number % 8)
            elif kind == "emit":
                await life.emit()
            elif kind == "spill" and in_order:
                life.spill()
            elif kind == "full" and channel and number % 4 == 0:
                life.durable.commits.journal.close()  # it takes no more
                with pytest.raises(JournalError):
                    await record(ROWS)
                return
            elif kind == "end":
                while rows := life.read(7):
                    open_rows += rows
                while life.index < ROWS:
                    open_rows += life.read(7)
                end_some(-1, kept=True)
                await record(ROWS)
                await life.emit()
                life.durable.finish(ROWS)
            elif kind == "tear" and life.waiting:  # the next line is half written when the process dies
                first = life.waiting.get(life.next)
                if first is not None:
                    with (folder / "out.jsonl").open("ab") as file:
                        line = first.text()
                        file.write(line[: number % len(line)])
                    return
    finally:
        life.die()


@settings(max_examples=150)
@example(lives=[[("read", 2), ("keep", 7), ("record", 0), ("record", 0), ("spill", 0), ("emit", 0)]], in_order=True)
@example(lives=[[("read", 2), ("keep", 1), ("fail", 7), ("record", 7), ("emit", 0)], [("read", 4), ("record", 7)]], in_order=False)
@given(lives=plans(), in_order=st.booleans())
def test_whatever_dies_when_the_finished_output_is_an_undisturbed_runs(lives: list[list[tuple[str, int]]], in_order: bool) -> None:  # noqa: FBT001
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "in.jsonl").write_text("".join(json.dumps({"p": index}) + "\n" for index in range(ROWS)))
        sent: Counter[int] = Counter()
        answered: set[int] = set()

        for steps in lives:
            trio.run(lambda steps=steps: live(folder, steps, sent, answered, in_order=in_order, to_the_end=False))  # type: ignore[misc]
        trio.run(lambda: live(folder, [], sent, answered, in_order=in_order, to_the_end=True))

        lines = (folder / "out.jsonl").read_bytes().splitlines(keepends=True)
        expected = [encode_batch(outcome_of(index, f"row-{index}")) for index in range(ROWS)]
        assert (lines if in_order else sorted(lines)) == expected
        with closing(
            open_durable(Paths(folder / "out.jsonl", folder / "out.jsonl.journal"), Kind(encode_batch, in_order, power=False), IDENTITY)
        ) as again:
            state = again.state
        failed = len([index for index in range(ROWS) if index % 5 == 3])
        assert (state.written, state.succeeded, state.failed) == (ROWS, ROWS - failed, failed)
        assert (state.prompt_tokens, state.output_tokens, state.rows) == (ROWS - failed, 2 * (ROWS - failed), ROWS)
        assert state.finish_reasons == Counter("length" if index % 3 else "stop" for index in range(ROWS) if index % 5 != 3)
