"""What the code that directs a run asks of a kind of engine: `Work` in, `Ended` out.

An engine runs shards with `run_shard`, wherever and however many at once, until each has its part listed as done, or until it is told
to stop. It opens no input, writes no output and collects nothing: what is done stands in the run directory, and is read from there.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from attrs import frozen

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import trio

    from pipeline.config import Config
    from pipeline.core.cluster.plan import Plan, Shard
    from pipeline.core.pacing.findings import Learned
    from pipeline.engines.rundir import Done, RunDirectory
    from pipeline.summaries import Progress


@frozen
class Work:
    """What is to be done.

    config: of the run, for `run_shard`. directory: locked by the caller. shards: those without a whole part, in their order; limits: how
    many rows of one of them are to be run, where that is not all. done: the parts that are whole already, by number.

    stop: set when nothing more may leave; what is in flight finishes. give_up: set when that is to be cut off, too. tell: called about
    twice a second with the progress of all workers together, rows that were done before included; `Progress.workers` is set.
    """

    config: Config
    directory: RunDirectory
    plan: Plan
    shards: Sequence[Shard]
    limits: Mapping[int, int]
    done: Mapping[int, Done]
    stop: trio.Event
    give_up: trio.Event
    tell: Callable[[Progress], None]


@frozen
class Ended:
    """How the work has ended. stopped: why not every shard is done; None if each is, or was run up to its limit.

    interrupted: because of `stop`. progress: of this run, the last one that was told. learned: of each of its lanes, what was found
    that the provider allows to all workers.
    """

    stopped: str | None
    progress: Progress
    interrupted: bool = False
    learned: Sequence[Learned | None] = ()


# Does the work. Raises UsageError where it cannot begin. Cancellation: attempts in flight are lost, everything that was answered is kept.
Engine = Callable[[Work], Awaitable[Ended]]
