"""Makes the parts of a flow out of a config: what `run` and `stream` have in common."""

from __future__ import annotations

import random
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.config.answers import Feedback, Length
from pipeline.core.answers.secrets import Secrets
from pipeline.edges.store.seen import OccurrencesOnDisk
from pipeline.errors import CacheError, UsageError
from pipeline.runs.inputs import identity_of
from pipeline.runs.lanes import lanes_of, retry_policy
from pipeline.runs.leasing import by_lane, leases_of
from pipeline.stages.fetch import FetchSettings
from pipeline.stages.flow import FlowSettings

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    import trio

    from pipeline.config import Config
    from pipeline.core.answers.fitting import AnswerRules
    from pipeline.core.pacing.account import Accounts
    from pipeline.core.rows.lines import RawRow
    from pipeline.durability.reuse import AnswerReuse
    from pipeline.messages import Change
    from pipeline.ports import LaneKeeper, LimitLease, Observer, OpenSender, Reuse, Store
    from pipeline.records import Failure, Job
    from pipeline.runs.pricing import LanePrices

    MakeJobs = Callable[[list[RawRow], int], Sequence[Job | Failure]]


MIN_WINDOW = 1024  # rows: some 4 MB with 2 kB prompts and their answers
WINDOW_PER_WORKER = 4  # a row may take four times as long as its neighbours before they wait for it


def reuse_of(config: Config, dedupe_path: Path | None) -> AnswerReuse:
    """The answers that need not be bought, for a config with `cache` or `dedupe`. Blocks.

    dedupe_path: where a run keeps its own answers for equal rows; None is a temporary file. Raises UsageError.
    """
    from pipeline.durability.reuse import AnswerReuse  # noqa: PLC0415  few runs reuse answers
    from pipeline.edges.store.cache import AnswerCache  # noqa: PLC0415

    cache = config.cache
    path = dedupe_path if cache is None else Path(cache.path)
    try:
        answers = AnswerCache(path, max_age_seconds=None if cache is None else cache.max_age_seconds)
    except CacheError as error:
        raise UsageError(str(error)) from error
    identity = identity_of(config)
    scope = " ".join(identity[key] for key in ("provider.base_url", "provider.model") if key in identity).encode()
    return AnswerReuse(answers, scope, None if config.dedupe else OccurrencesOnDisk(), time.time, rules=rules_of(config))


def rules_of(config: Config) -> AnswerRules | None:
    """What the config expects of answers; None if it takes every one. Its schema and check were found usable when it was made."""
    answers = config.answers
    expect = answers.expect
    if expect is None:
        return None
    from pipeline.config.expectations import load_check, load_schema  # noqa: PLC0415  few runs expect anything
    from pipeline.core.answers.expect import Expectation  # noqa: PLC0415
    from pipeline.core.answers.fitting import AnswerRules  # noqa: PLC0415
    from pipeline.core.answers.schemas import pattern_check, schema_check  # noqa: PLC0415

    expectation = Expectation(
        json=expect.json,
        schema=None if expect.schema is None else schema_check(load_schema(expect.schema)),
        pattern=None if expect.regex is None else pattern_check(expect.regex),
        check=None if expect.check is None else load_check(expect.check),
        finish=frozenset(expect.finish),
        cut_fits=answers.length is Length.ACCEPT,
        empty_fits=expect.empty,
    )
    grow_to = answers.max_tokens if answers.length is Length.GROW else None
    return AnswerRules(expectation, answers.asks, answers.feedback is Feedback.REASON, grow_to)


def flow_settings(
    config: Config,
    take_rows: Callable[[int], Awaitable[list[RawRow]]],
    make_jobs: MakeJobs,
    open_senders: Sequence[OpenSender],
    store: Store[Any],
    *,
    limit: int | None = None,
    secrets: Secrets | None = None,
    observers: Sequence[Observer] = (),
    pricing: LanePrices | None = None,
    reuse: Reuse | None = None,
    accounts: Accounts | None = None,
    changes: trio.MemoryReceiveChannel[Change] | None = None,
    leases: Mapping[int, LimitLease | LaneKeeper] | None = None,
) -> FlowSettings:
    """The flow that a config describes, between the given ends.

    secrets: what no failure may show. pricing: for the observers' records. leases: see `leases_of`; None opens them.
    """
    leases = leases_of(config) if leases is None else leases
    lanes = lanes_of(config, accounts, leased=leases)
    tag = uuid.uuid4().hex[:12]
    return FlowSettings(
        take_rows=take_rows,
        make_jobs=make_jobs,
        lanes=lanes,
        fetch=FetchSettings(
            open_senders,
            retry_policy(config),
            draw=random.random,
            utc=time.time,
            name_attempt=lambda index, attempt: f"headrace-{tag}-{index}-{attempt}",
            secrets=secrets or Secrets(),
            rules=rules_of(config),
        ),
        store=store,
        observers=tuple(observers),
        cost_of=None if pricing is None else pricing.cost_of_attempt,
        window=config.limits.window or max(MIN_WINDOW, WINDOW_PER_WORKER * lanes.most_in_flight),
        window_bytes=config.limits.window_bytes,
        in_order=config.sink.order.value == "input",
        limit=limit,
        reuse=reuse,
        changes=changes,
        leases=by_lane(leases, lanes),
    )
