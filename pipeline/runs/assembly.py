"""Makes the parts of a flow out of a config: what `run` and `stream` have in common."""

from __future__ import annotations

import random
import time
import uuid
from functools import partial
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING, Any

import msgspec

from pipeline.config.answers import Feedback, Length
from pipeline.core.answers.secrets import Secrets
from pipeline.core.rows.jobs import JobMaker
from pipeline.core.rows.templates import Template
from pipeline.durability.resume import SIMULATED
from pipeline.edges.sources.opening import is_pattern, open_source
from pipeline.edges.store.seen import OccurrencesOnDisk, SeenOnDisk
from pipeline.errors import CacheError, InputError, UsageError
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
    from pipeline.ports import LaneKeeper, LimitLease, Observer, OpenSender, OpenSource, Reuse, Source, Store
    from pipeline.records import Failure, Job
    from pipeline.runs.pricing import LanePrices

    MakeJobs = Callable[[list[RawRow], int], Sequence[Job | Failure]]


class Extent(msgspec.Struct, frozen=True, eq=False):
    """The part of the input that a run goes through: one of several that are run on their own and put together later.

    open_source: gives the rows of that part. first: index of its first row in the whole input. taken: which of its rows use the id of
    an earlier row of the whole input; see `JobMaker`. identity: what must be the same when it goes on, besides the config.
    """

    open_source: OpenSource
    first: int
    taken: Mapping[int, int | None]
    identity: Mapping[str, str]


MIN_WINDOW = 1024  # rows: some 4 MB with 2 kB prompts and their answers
WINDOW_PER_WORKER = 4  # a row may take four times as long as its neighbours before they wait for it


def job_maker(config: Config, extent: Extent | None = None, *, count_tokens: bool = True) -> JobMaker:
    """What makes jobs of the configured input's rows. extent: the part of it that is read; None is all of it.

    count_tokens: see `JobMaker`.
    """
    request = config.request
    template = None if request is None or request.body is None else Template.compile(request.body, token_hex())
    return JobMaker(
        template,
        None if request is None else request.url,
        seen=SeenOnDisk(),
        id_field=config.source.id,
        body_field=None if request is None else request.body_field,
        one_file=isinstance(config.source.path, str) and not is_pattern(config.source.path),
        base=0 if extent is None else extent.first,
        taken=None if extent is None else extent.taken,
        count_tokens=count_tokens,
    )


def source_opener(config: Config, also: Sequence[str] = ()) -> OpenSource:
    """What opens the configured input, as often as it can be read. also: fields that are asked for besides those that the config uses.

    What it raises, the opener raises: InputError.
    """
    source = config.source
    used, needed = {*used_of(config), *also}, needed_of(config)
    open_rows = partial(open_source, source.path, encoding=source.encoding, delimiter=source.delimiter, used=used, needed=needed)
    return lambda: looking_at_files(config, open_rows())


def looking_at_files(config: Config, source: Source) -> Source:
    """A source whose rows' files are looked at, if the config sends any. Owns the source. Raises InputError."""
    request = config.request
    if request is None or request.body is None or request.files is None:
        return source
    from pipeline.edges.attachments.folder import Folder  # noqa: PLC0415  few runs send files
    from pipeline.edges.attachments.looking import RowsWithFiles  # noqa: PLC0415

    try:
        folder = Folder(request.files.root, request.files.max_bytes)
    except InputError:
        source.close()
        raise
    return RowsWithFiles(source, folder, [hole.name for hole in Template.compile(request.body).files])


def used_of(config: Config) -> set[str]:
    """The fields of a row that the config asks for."""
    request = config.request
    fields = () if request is None or request.body is None else Template.compile(request.body).fields
    names = {"custom_id", config.source.id, None if request is None else request.body_field, *fields, *config.sink.keep}
    return {part for name in names if name for part in (name, name.partition(".")[0])}


def needed_of(config: Config) -> dict[str, str]:
    """The columns that a table must have, and which key of the config asks for each."""
    request = config.request
    needed = dict.fromkeys(config.sink.keep, "sink.keep")
    if request is not None and request.body is not None:
        needed |= dict.fromkeys(Template.compile(request.body).required, "request.body")
    if request is not None and request.body_field is not None:
        needed[request.body_field] = "request.body_field"
    return needed | ({config.source.id: "source.id"} if config.source.id is not None else {})


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


def identity_of(config: Config, extent: Extent | None = None) -> dict[str, str]:
    """The parts of a config that change answers or how they are written: a run goes on only where they are the same."""
    request, provider = config.request, config.provider
    where = "(several)" if config.providers else provider.base_url or SIMULATED  # which lanes there are changes no answer
    return {
        "provider.base_url": where,
        **({} if config.providers or provider.model is None else {"provider.model": provider.model}),
        "request.url": "" if request is None else request.url,
        "request.body": "" if request is None else msgspec.json.encode(request.body, order="sorted").decode(),
        **({} if request is None or request.body_field is None else {"request.body_field": request.body_field}),
        **({} if config.source.id is None else {"source.id": config.source.id}),
        **_expected(config),
        "sink.order": config.sink.order.value,
        "sink.shape": config.sink.shape.value,
        **({"sink.keep": msgspec.json.encode(config.sink.keep).decode()} if config.sink.keep else {}),
        **({} if extent is None else extent.identity),
    }


def _expected(config: Config) -> dict[str, str]:
    """What is expected of answers, as far as it decides which ones count. A schema in a file counts by what is in it."""
    expect = config.answers.expect
    if expect is None:
        return {}
    from pipeline.config.expectations import load_schema  # noqa: PLC0415  few runs expect anything

    told = {**msgspec.structs.asdict(expect), "schema": load_schema(expect.schema), "length": config.answers.length.value}
    return {"answers.expect": msgspec.json.encode(told, order="sorted").decode()}


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
