"""Runs over shards and a run directory, with the plainest engine: a part for each shard, put together as one process writes it."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import time
from hashlib import sha256
from typing import TYPE_CHECKING

import pytest
import trio
from attrs import evolve

import pipeline
from pipeline.core.bookkeeping.going import Going, LaneWait
from pipeline.edges.store.files import BusyError
from pipeline.engines.collect import collect
from pipeline.engines.in_turn import in_turn, progress_before
from pipeline.engines.plan import see_that_input_is_planned
from pipeline.engines.run import run_on
from pipeline.engines.shard import Place, ShardResult, opened_providers, run_shard
from pipeline.engines.work import Ended, Work
from pipeline.errors import ConfigError, InputError, OutputChangedError, OutputExistsError, RunChangedError, RunInterrupted, UsageError
from pipeline.inspect.status import status
from pipeline.inspect.verify import verify
from pipeline.summaries import WorkersProgress
from tests.fakes.engines import ROWS, Case
from tests.fakes.processes import ROOT, Campaign, campaign, wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.summaries import Progress


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return Case(tmp_path)


def test_parts_together_are_what_one_process_writes(case: Case) -> None:
    case.rows[9] = {"custom_id": "c-2", "prompt": "an id of another shard"}
    case.rows[13] = {"prompt": "no id"}
    case.rows[17] = {"custom_id": "c-17"}

    summary = case.run()
    plain = case.run(plain=True)

    assert case.output == (case.folder / "plain.jsonl").read_bytes()
    assert (summary.digest, summary.total, summary.succeeded, summary.failed) == (plain.digest, ROWS, ROWS - 2, 2)
    assert (summary.attempts, summary.prompt_tokens, summary.output_tokens) == (plain.attempts, plain.prompt_tokens, plain.output_tokens)
    assert summary.failures == plain.failures
    assert summary.finish_reasons == plain.finish_reasons
    assert sum(summary.limited_by.values()) == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize("shards_run", [0, 1])
def test_an_engine_that_cannot_begin_leaves_no_plan_and_one_that_did_loses_nothing(case: Case, shards_run: int) -> None:
    async def engine(work: Work) -> Ended:
        if shards_run:
            await in_turn(evolve(work, shards=work.shards[:shards_run]))
        raise UsageError("the cluster cannot be reached")

    with pytest.raises(UsageError, match="cannot be reached"):
        case.run(engine=engine)

    assert case.directory.path.exists() == bool(shards_run)
    assert case.run().succeeded == ROWS


def test_progress_counts_over_all_shards(case: Case) -> None:
    case.run()

    last = case.told[-1]
    assert (last.rows_done, last.rows_total, last.attempts) == (ROWS, ROWS, ROWS)
    assert [each.cost for each in case.told] == [None] * len(case.told)
    assert last.workers is not None
    assert (last.workers.done, last.workers.shards) == (3, 4)
    assert [each.rows_done for each in case.told] == sorted(each.rows_done for each in case.told)


def test_status_of_a_run_by_workers_is_what_the_process_that_directs_it_has_saved(case: Case) -> None:
    case.run(limit=8)
    lanes = (LaneWait("eu", "in_flight", None, {"in_flight": 1.0}, 0.5), LaneWait("us", "lane_out", 3.0))
    case.directory.save_going(Going(16, 5, 2, 4.0, "in_flight", {"in_flight": 0.7}, 0.4, lanes), time.time())

    before = status(case.config())
    with case.directory.locked():
        found = status(case.config())
        case.directory.save_going(Going(rows_per_second=9.0), time.time() - 100)
        late = status(case.config())

    assert (before.running, before.rows_per_second, before.bound) == (False, None, "")
    assert (found.rows_per_second, found.in_flight, found.waiting_to_retry, found.eta_seconds) == (4.0, 5, 2, 2.0)
    assert (found.bound, found.limited_by, found.attained, found.lanes) == ("in_flight", {"in_flight": 0.7}, 0.4, lanes)
    assert (late.running, late.rows_per_second) == (True, None)


def test_a_run_of_the_first_rows_alone_is_told_to_end_with_them(case: Case) -> None:
    case.run(limit=8)
    first = {each.rows_total for each in case.told}
    case.told.clear()

    case.run(limit=15)

    assert (first, {each.rows_total for each in case.told}) == ({8}, {15})


def test_a_shard_uses_the_connections_of_the_one_before(case: Case) -> None:
    case.latency = 0.05  # so all rows of a shard are in flight together

    case.run()

    assert case.connections <= 6


def test_a_shard_goes_on_with_what_the_one_before_has_learned_of_the_limits(case: Case) -> None:
    learners = []

    async def engine(work: Work) -> Ended:
        async with opened_providers(work.config) as opened:
            for shard in work.shards:
                await run_shard(work.config, shard, Place(work.directory, work.plan), leases={}, stop=work.stop, opened=opened)
                assert opened.providers.lanes is not None
                learners.append(opened.providers.lanes.states[0].limits._learner)
        return Ended(None, progress_before(work, WorkersProgress(1, 1, 0, len(work.shards))))

    case.run(engine=engine)

    assert len(learners) > 1
    assert learners[0] is not None
    assert all(each is learners[0] for each in learners)


def test_costs_are_summed_over_the_shards_of_all_processes(case: Case) -> None:
    case.sections = {"prices": {"prompt_per_million": 1_000_000, "output_per_million": 0}}
    first = case.run(limit=8)

    summary = case.run()

    assert (first.cost, summary.cost) == (first.prompt_tokens, summary.prompt_tokens)
    assert case.told[-1].cost == summary.cost


def test_a_run_that_is_stopped_goes_on_and_sends_nothing_twice(case: Case) -> None:
    def stop_in_second_shard(progress: Progress, stop: trio.Event) -> None:
        if progress.rows_done >= 6:
            stop.set()

    with pytest.raises(RunInterrupted) as stopped:
        case.run(at=stop_in_second_shard)
    before = case.sent
    assert stopped.value.summary is not None
    assert stopped.value.summary.total == before
    assert not (case.folder / "out.jsonl").exists()

    summary = case.run()

    assert (before + case.sent, summary.skipped_resumed, summary.total) == (ROWS, before, ROWS)
    assert case.ids() == [f"c-{at}" for at in range(ROWS)]


def test_a_finished_run_sends_nothing_and_leaves_its_output(case: Case) -> None:
    case.run()
    before = case.output

    summary = case.run()

    assert (case.sent, summary.skipped_resumed, summary.attempts) == (0, ROWS, 0)
    assert case.output == before
    assert sorted(path.name for path in case.folder.glob("out.jsonl*")) == ["out.jsonl", "out.jsonl.run"]


def test_failed_rows_of_all_parts_are_sent_again(case: Case) -> None:
    case.script = {"2": "http_400", "15": "http_400"}
    assert case.run().failed == 2
    before = case.output
    case.script = {}

    summary = case.run(retry_failed="all")

    assert (case.sent, summary.failed, summary.succeeded, summary.skipped_resumed) == (2, 0, ROWS, ROWS - 2)
    assert case.ids() == [f"c-{at}" for at in range(ROWS)]
    assert (case.folder / "out.jsonl.1").read_bytes() == before


def test_a_limit_takes_the_first_rows_and_may_grow(case: Case) -> None:
    first = case.run(limit=8)
    assert (first.total, case.sent) == (8, 8)
    assert not (case.folder / "out.jsonl").exists()

    again = case.run(limit=8)
    assert (again.total, case.sent) == (8, 0)

    assert case.run().total == ROWS
    assert case.sent == ROWS - 8
    assert case.ids() == [f"c-{at}" for at in range(ROWS)]


def test_fresh_moves_all_that_is_there_aside(case: Case) -> None:
    case.run()
    before = case.output

    summary = case.run(fresh=True)

    assert (case.sent, summary.skipped_resumed) == (ROWS, 0)
    assert (case.folder / "out.jsonl.1").read_bytes() == before
    assert (case.folder / "out.jsonl.run.1" / "manifest.json").exists()


def test_an_empty_input_is_a_finished_run(case: Case) -> None:
    case.rows = []

    summary = case.run()

    assert (summary.total, case.output) == (0, b"")


def test_a_changed_input_is_refused(case: Case) -> None:
    case.run(limit=8)
    case.rows[0]["prompt"] = "prompt 9"

    with pytest.raises(InputError, match="has changed since the run was planned"):
        case.run()


def test_an_input_that_cannot_be_read_leaves_nothing_behind(case: Case) -> None:
    case.source = "in.jsonl.gz"
    whole = gzip.compress(b'{"prompt": "a"}\n' * 100)
    (case.folder / case.source).write_bytes(whole[:-20])

    with pytest.raises(InputError, match="cut off"):
        trio.run(run_on, in_turn, case.config())

    assert not list(case.folder.glob("out.jsonl*"))


def test_a_changed_config_is_refused(case: Case) -> None:
    case.run(limit=8)
    case.sections = {"sink": {"shape": "flat"}}

    with pytest.raises(RunChangedError, match=r"sink\.shape"):
        case.run()


def test_an_output_of_one_process_is_not_taken_over(case: Case) -> None:
    case.sections = {"sink": {"path": "plain.jsonl"}}
    case.run(plain=True)

    with pytest.raises(OutputExistsError, match="one process"):
        case.run()


def test_a_fresh_run_by_one_process_is_the_one_that_is_looked_at(case: Case) -> None:
    case.run(limit=8)
    case.sections = {"sink": {"path": "plain.jsonl"}}
    case.run(limit=8)
    case.run(plain=True, fresh=True)

    found = status(case.config())

    assert (found.recorded, found.shards, verify(case.config()).ok) == (ROWS, None, True)


def test_a_run_by_workers_is_not_begun_anew_by_one_process(case: Case) -> None:
    case.run(limit=8)
    before = {path: path.read_bytes() for path in case.directory.path.iterdir()}

    async def main() -> None:
        await pipeline.run(case.config())

    with pytest.raises(UsageError, match="--engine ray"):
        trio.run(main)
    assert {path: path.read_bytes() for path in case.directory.path.iterdir()} == before


def test_an_edited_part_is_not_collected(case: Case) -> None:
    case.collect = "parts"
    case.run()
    part = case.directory.part(1)
    part.write_bytes(part.read_bytes().replace(b"prompt 7", b"prompt 8"))

    with pytest.raises(OutputChangedError, match="part-00001"):
        collect(case.directory, case.folder / "out.jsonl")
    assert sorted(path.name for path in case.folder.glob("out.jsonl*")) == ["out.jsonl.run"]


def test_what_needs_one_process_is_told_at_once(case: Case) -> None:
    case.sections = {"sink": {"order": "completion"}, "budget": {"seconds": 5}, "metrics": {"log": "log.jsonl"}}

    with pytest.raises(ConfigError) as refused:
        case.run()

    assert [problem.key for problem in refused.value.problems] == ["sink.order", "metrics.log", "budget.seconds"]
    assert not case.directory.path.exists()


def test_a_run_that_goes_on_names_the_input_that_it_was_planned_for(case: Case) -> None:
    """The rows of another file were not looked at, and those of the first one were sent."""
    case.run(limit=8)
    (case.folder / "other.jsonl").write_bytes((case.folder / "in.jsonl").read_bytes())
    (case.folder / "link.jsonl").symlink_to(case.folder / "in.jsonl")
    case.source = "other.jsonl"

    with pytest.raises(InputError, match=r"other\.jsonl: the run was planned for .*in\.jsonl; --fresh"):
        case.run()
    case.source = "link.jsonl"
    assert case.run().succeeded == ROWS


def test_a_file_that_came_to_a_pattern_after_the_plan_was_made_is_told(case: Case) -> None:
    case.run(limit=8)
    plan, pattern = case.directory.manifest().plan, str(case.folder / "in*.jsonl")
    (case.folder / "in-2.jsonl").write_bytes(b'{"prompt": "new"}\n')

    with pytest.raises(InputError, match=r"in-2\.jsonl: the run was planned for .*in\.jsonl"):
        see_that_input_is_planned(plan, pattern)
    with pytest.raises(InputError, match=r"in-2\.jsonl: the run was planned without that file"):
        see_that_input_is_planned(plan, [str(case.folder / "in.jsonl"), str(case.folder / "in-2.jsonl")])
    (case.folder / "in-2.jsonl").unlink()
    see_that_input_is_planned(plan, pattern)


def test_only_one_process_directs_a_run(case: Case) -> None:
    case.run(limit=8)

    with case.directory.locked(), pytest.raises(BusyError):
        case.run()


def test_a_part_whose_journal_is_lost_keeps_its_lines(case: Case) -> None:
    case.run(limit=8)
    for path in case.directory.path.glob("part-00001.jsonl.journal*"):
        path.unlink()

    summary = case.run()

    assert (case.sent, summary.total) == (ROWS - 8, ROWS)
    assert case.ids() == [f"c-{at}" for at in range(ROWS)]


def shards_in(case: Case, scratch: Path, *numbers: int, stop_at: int | None = None) -> list[ShardResult]:
    """Run some shards of a planned run as a machine does that has its journals on a disk of its own. stop_at: rows done in a shard."""

    async def run_all(config: pipeline.Config) -> list[ShardResult]:
        place = Place(case.directory, case.directory.manifest().plan, scratch)
        results = []
        for number in numbers:
            stop = trio.Event()

            def tell(progress: Progress, stop: trio.Event = stop) -> None:
                if stop_at is not None and progress.rows_done >= stop_at:
                    stop.set()

            results.append(await run_shard(config, place.plan.shards[number], place, leases={}, stop=stop, events=tell))
        return results

    return case.serving(run_all)


def test_a_shard_goes_from_machine_to_machine(case: Case, tmp_path: Path) -> None:
    case.latency = 0.3
    case.sections = {"limits": {"max_in_flight": 1}}
    case.run(limit=1)
    first, second = tmp_path / "first", tmp_path / "second"

    (cut,) = shards_in(case, first, 1, stop_at=1)
    sent = case.sent
    (again,) = shards_in(case, second, 1, stop_at=3)
    sent += case.sent
    (whole,) = shards_in(case, first, 1)  # whose journal knows nothing of what the second has done

    assert cut.interrupted
    assert again.interrupted
    assert whole.done is not None
    assert (whole.done.rows, sent + case.sent) == (6, 6)
    assert [json.loads(line)["custom_id"] for line in case.directory.part(1).read_bytes().splitlines()] == [
        f"c-{at}" for at in range(6, 12)
    ]
    assert not list(case.directory.path.glob("part-00001.jsonl.journal*"))


def test_what_is_on_other_machines_is_counted_by_its_lines(case: Case, tmp_path: Path) -> None:
    case.script = {"8": "http_400"}
    case.run(limit=1)

    shards_in(case, tmp_path / "other", 1, stop_at=3)

    found = status(case.config())
    lines = case.directory.part(1).read_bytes().count(b"\n")
    assert (found.recorded, found.failed) == (1 + lines, 1)


# ---- shards of one process that dies ---------------------------------------------------------------------------------

RUN = """
import sys, trio
from pipeline import load_config
from pipeline.engines.in_turn import in_turn, progress_before
from pipeline.engines.run import run_on

summary = trio.run(run_on, in_turn, load_config(sys.argv[1]))
print(summary.digest)
"""


def test_a_killed_shard_goes_on_and_sends_only_what_was_in_flight_again(tmp_path: Path) -> None:
    engine = {"ray": {"shard_rows": 30}}
    with campaign(
        tmp_path, 60, {"latency.median_seconds": 0.02, "script": {"40": "15s"}}, limits={"max_in_flight": 4}, engine=engine
    ) as runs:
        second = tmp_path / "out.jsonl.run" / "part-00001.jsonl"
        process = run_shards(runs)
        wait_until(lambda: second.exists() and second.read_bytes().count(b"\n") == 10 and runs.sent() >= 60, process)
        process.kill()
        process.communicate()
        assert (second.with_name("part-00000.jsonl.done").exists(), second.with_name("part-00001.jsonl.done").exists()) == (True, False)

        said, _ = run_shards(runs).communicate(timeout=60)

        assert runs.lines() == runs.names()
        assert said.strip() == sha256(runs.output.read_bytes()).hexdigest()
        assert 61 <= runs.sent() <= 64
        assert runs.undisturbed() == runs.output.read_bytes()


def run_shards(runs: Campaign) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", RUN, str(runs.folder / "c.yaml")], cwd=ROOT, stdout=subprocess.PIPE, text=True)
