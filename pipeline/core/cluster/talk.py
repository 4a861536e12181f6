"""What the workers of a run and its coordinator say to each other: one message and its answer. Plain values, sent as MessagePack.

A worker sends `Poll` and gets `Told`. Everything in them is a state, not an event, as far as that is possible: which shards run,
which are done, what is in force. So a message that is lost or repeated does no harm. Permits are the exception: they change hands.
A worker whose message got no answer begins anew under other names (`Poll.holders`), and the coordinator gives the old ones up.

Times are remaining seconds. No clock is compared with another one, and a message that is late makes things later, never earlier.
"""

from __future__ import annotations

from msgspec import Struct, field

from pipeline.core.pacing.findings import Learned  # noqa: TC001  msgspec reads the annotations
from pipeline.core.pacing.permits import Demand, Permits, Reply  # noqa: TC001  likewise
from pipeline.summaries import FailureGroup  # noqa: TC001  msgspec reads the annotations


class SharedLane(Struct, frozen=True):
    """What a run shares of one lane. limits: of each, amount, seconds, whether it counts tokens. slots: attempts in flight.

    stop_after: rows in a row with the same permanent answer that stop the run, None for never.
    """

    name: str
    limits: list[tuple[int, float, bool]]
    slots: int
    stop_after: int | None = None


class LaneNews(Struct):
    """What a holder has found out about a lane by itself; not what it was told.

    pause: seconds for which nothing may leave, because the provider asks for it. held: why the lane does not work just now, ""
    while it does. shut: a limit has let nothing in for a while, and this holder probes when it opens. out: why the lane is used no
    longer. learned: of the provider's limits, as far as this holder meets them. alike: rows in a row with the same permanent answer, by
    answer. succeeded: results so far. worked: the lane has given a result at least once, to this holder or to one before it.
    """

    pause: float = 0.0
    held: str = ""
    shut: bool = False
    out: str = ""
    learned: Learned | None = None
    alike: dict[str, int] = field(default_factory=dict)
    succeeded: int = 0
    worked: bool = False


class LaneReport(Struct):
    """What a holder says of one lane. slots: attempts in flight that it allows itself now. in_flight: that there are.

    joins: it was never answered under this name, so it holds nothing.
    """

    demand: Demand
    joins: bool = False
    slots: int = 0
    in_flight: int = 0
    news: LaneNews = field(default_factory=LaneNews)


class LaneAnswer(Struct):
    """What a holder is told of one lane. slots: in flight from now on. The rest as in `LaneNews`, from the others.

    held, shut: another one probes the lane for all. learned: a pace to go on from; None leaves the present one. share: its part of
    what the provider announces, which is for all holders together. alike: rows to add to its own. in_doubt: they are too few
    to stop the run, or others have attempts in flight that may still succeed. key_in_doubt: not all others have said yet whether
    the key is refused to them too. key_refused: it is, for so many rows in a row that it is for all.
    """

    reply: Reply
    slots: int
    pause: float = 0.0
    held: str = ""
    shut: bool = False
    out: str = ""
    learned: Learned | None = None
    share: float = 1.0
    alike: dict[str, int] = field(default_factory=dict)
    in_doubt: bool = True
    key_in_doubt: bool = False
    key_refused: bool = False
    worked: bool = False


class LaneCounts(Struct):
    """What one lane did in a shard. held: seconds for which it waited, by cause. bound: what holds it back now.

    allowed: requests a second that the config allows to the whole run; pace: the most that leave now; None for no bound.
    out_seconds: for how long it has taken no rows, None while it takes them. out: why it is used no longer, "" while it may be.
    """

    attempts: int = 0
    succeeded: int = 0
    throttled: int = 0
    in_flight: int = 0
    held: dict[str, float] = field(default_factory=dict)
    bound: str = ""
    allowed: float | None = None
    pace: float | None = None
    out_seconds: float | None = None
    out: str = ""


class ShardCounts(Struct):
    """How far a shard is, or was at its end. resumed: rows that were done before this process began. bound: what holds it back.

    seconds: for which it was run. held: of these, for how long something held it back, by cause. lanes: each of them, in their order.
    """

    rows: int = 0
    failed: int = 0
    resumed: int = 0
    attempts: int = 0
    retries: int = 0
    throttled: int = 0
    in_flight: int = 0
    waiting: int = 0
    unknown: int = 0
    prompt_tokens: int = 0
    output_tokens: int = 0
    cost: float = 0.0
    bound: str = ""
    waits_for: str = ""
    seconds: float = 0.0
    held: dict[str, float] = field(default_factory=dict)
    lanes: list[LaneCounts] = field(default_factory=list)
    failures: dict[str, FailureGroup] = field(default_factory=dict)


class Poll(Struct):
    """What a worker says. worker: a name that no other process ever has. number: counts its messages, which may overtake one another.

    holders: its reports, one for each lane, by a name for each flow that it runs. left: flows that have ended, with all permits
    that they held. last: of those that go on under no other name, what they had found by then. running: shards, with how far they are.
    done: shards that are whole, until the coordinator knows it. back: shards that it cannot go on with now, with how far it came.
    wants: whether it could begin another one now. stop: why the whole run must stop, "" if it need not.
    """

    worker: str
    holders: dict[str, list[LaneReport]] = field(default_factory=dict)
    left: dict[str, list[list[Permits]]] = field(default_factory=dict)
    last: dict[str, list[LaneNews]] = field(default_factory=dict)
    running: dict[int, ShardCounts] = field(default_factory=dict)
    done: dict[int, ShardCounts] = field(default_factory=dict)
    back: dict[int, ShardCounts] = field(default_factory=dict)
    wants: bool = False
    stop: str = ""
    number: int = 0


class Told(Struct):
    """What a worker is told.

    epoch: of the coordinator; one that was begun later has a higher one, and knows nothing of the answers of the one before.
    given_up: names of holders that are dead to the others; they must stop and begin anew. shards: all that this worker is to
    run. stop: why nothing more may leave, None while it may. finished: whether nothing is left to do, for anybody. stale: there was
    a later message, whose answer counts. dead: it was given up, and must stop. cut_off: even what is in flight.
    """

    epoch: int = 0
    lanes: dict[str, list[LaneAnswer]] = field(default_factory=dict)
    given_up: list[str] = field(default_factory=list)
    shards: list[int] = field(default_factory=list)
    stop: str | None = None
    finished: bool = False
    stale: bool = False
    dead: bool = False
    cut_off: bool = False
