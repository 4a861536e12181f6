"""What a run tells of itself: its progress, and its summary. Frozen records, which a user holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import field

from pipeline.values import Record

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class FailedRow(Record, frozen=True):
    """One row that failed. index: its place in the input, from 0."""

    index: int
    custom_id: str
    message: str


class FailureGroup(Record, frozen=True):
    """Rows that failed alike. example: the one that failed last."""

    count: int
    example: FailedRow


class LaneSummary(Record, frozen=True):
    """What one lane did in this run.

    learned_per_minute: requests that the provider was found to allow, None if nothing was found. kind: of its limit, such as
    "sliding", "bucket" or "in_flight". out_seconds: for how long it took no rows. out: why it is used no longer, None while it
    may be. learned_in_flight: requests at once that it was found to allow, None if it is not known to cap them. limited_by, attained:
    as in `Summary`, of this lane alone; `standby` is time in which rows went to other lanes.
    """

    name: str
    attempts: int
    succeeded: int
    throttled: int
    learned_per_minute: float | None = None
    kind: str | None = None
    out_seconds: float = 0.0
    out: str | None = None
    learned_in_flight: int | None = None
    limited_by: Mapping[str, float] = field(default_factory=dict)
    attained: float | None = None


class Summary(Record, frozen=True):
    """What a run did; the same keys as `--json` prints.

    prompt_tokens, output_tokens: of all answers, those included that were rejected. cost: in the currency of the configured
    prices, None without prices or where one is not known. unpriced: models of answers for which no price is known. limited_by:
    share of the waiting time that each bound held the gate back, by name. attained: attempts that left, as a share of what the limits
    on requests allowed meanwhile, None without such limits. digest: SHA-256 over the bytes that were written, in
    hex. from_cache: successes that cost no attempt. finish_reasons: answers by why they ended. rejected: answers under a success
    status that were none. failures: rows that failed in this run, by code; those of earlier runs are in `failed` alone. stopped:
    why the run ended before its input, None if it did not. waiting: of the rows that have an outcome, those whose line is not in the output
    yet, because an earlier row has none; they are in the journal.

    latency_seconds: p50, p95 and p99 of the answered attempts of this run. Of those that came as a stream: first_token_seconds,
    longest_gap_seconds (between two events after the first token) and tokens_per_second (after the first token).
    """

    total: int = 0
    succeeded: int = 0
    failed: int = 0
    skipped_resumed: int = 0
    attempts: int = 0
    retries: int = 0
    throttled: int = 0
    unknown_outcome: int = 0
    duration_seconds: float = 0.0
    requests_per_second: float = 0.0
    prompt_tokens: int = 0
    output_tokens: int = 0
    cost: float | None = None
    limited_by: Mapping[str, float] = field(default_factory=dict)
    digest: str = ""
    from_cache: int = 0
    finish_reasons: Mapping[str, int] = field(default_factory=dict)
    rejected: int = 0
    unpriced: Sequence[str] = ()
    failures: Mapping[str, FailureGroup] = field(default_factory=dict)
    stopped: str | None = None
    lanes: tuple[LaneSummary, ...] = ()
    attained: float | None = None
    latency_seconds: Mapping[str, float] = field(default_factory=dict)
    first_token_seconds: Mapping[str, float] = field(default_factory=dict)
    longest_gap_seconds: Mapping[str, float] = field(default_factory=dict)
    tokens_per_second: Mapping[str, float] = field(default_factory=dict)
    waiting: int = 0


class LaneProgress(Record, frozen=True):
    """Where one lane stands. allowed: requests a second that the config allows. pace: the most that leave now; None for no bound.

    out_seconds: for how long it has taken no rows; None while it takes them. bound: what holds it back now. limited_by, attained: as in
    `LaneSummary`, up to now. out: why it is used no longer, "" while it may be. succeeded: attempts that were answered.
    """

    name: str
    attempts: int
    throttled: int
    in_flight: int
    allowed: float | None = None
    pace: float | None = None
    out_seconds: float | None = None
    bound: str = ""
    limited_by: Mapping[str, float] = field(default_factory=dict)
    attained: float | None = None
    out: str = ""
    succeeded: int = 0


class WorkersProgress(Record, frozen=True):
    """The workers of a run by several processes. alive: of them, out of `wanted`. done: shards that are whole, out of `shards`.

    again: shards that another worker had to go on with. each: rows done by each worker that is alive, by its name. missing: why not all
    workers are there, "" while they are or it is not known.
    """

    alive: int
    wanted: int
    done: int
    shards: int
    again: int = 0
    each: Mapping[str, int] = field(default_factory=dict)
    missing: str = ""


class Progress(Record, frozen=True):
    """Where a run stands, as of one moment.

    rows_total: None when the input's length is not known. waiting: rows that wait for a retry. bound: what holds the
    gate back just now ("" if nothing). rows_expected: about how many rows there are, by the bytes that were read of those
    that there are; None where that cannot be told either. rows_resumed, tokens_resumed: of rows_done and the tokens, what
    earlier runs did. cost: None without prices. failures: as in `Summary`. waits_for: what the run waits for while nothing works,
    and for how long at most, "" while something does. lanes: each of them, one with an empty name where there is only one provider.
    latency_seconds, first_token_seconds, limited_by, attained: as in `Summary`, up to now. workers: where several processes do the run.
    """

    rows_read: int
    rows_done: int
    rows_failed: int
    rows_total: int | None
    attempts: int
    retries: int
    throttled: int
    in_flight: int
    waiting: int
    elapsed_seconds: float
    bound: str
    rows_expected: int | None = None
    rows_resumed: int = 0
    tokens_resumed: int = 0
    prompt_tokens: int = 0
    output_tokens: int = 0
    cost: float | None = None
    failures: Mapping[str, FailureGroup] = field(default_factory=dict)
    waits_for: str = ""
    lanes: tuple[LaneProgress, ...] = ()
    latency_seconds: Mapping[str, float] = field(default_factory=dict)
    first_token_seconds: Mapping[str, float] = field(default_factory=dict)
    workers: WorkersProgress | None = None
    limited_by: Mapping[str, float] = field(default_factory=dict)
    attained: float | None = None
