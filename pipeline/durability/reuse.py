"""Answers that need not be bought: the cache over runs, and dedupe within one.

Theory of operation. Every request has a key (`core/bookkeeping/requests`). With a cache, the key also says how many identical
requests came before it in the input, so that five equal rows stay five samples, and a second run over the same input finds all
five. With dedupe it does not, so that equal rows are one question.

A row is looked up when it is read. If its answer is there, the row is finished and never reaches the gate. If dedupe is on and an
identical row is on its way, the row waits here and gets whatever becomes of that row, success or failure. Otherwise it is sent.
When its outcome comes to be recorded, a success is stored under its key, and the rows that waited for it go on with it.

Occurrences must be counted over the whole input: a resume that skips finished rows counts them as well (`CountedJobs`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import trio
from attrs import define, field
from msgspec.structs import replace

from pipeline.core.answers.meaning import CheckError
from pipeline.core.bookkeeping.requests import occurrence_key, request_digest
from pipeline.records import Job, Success, Usage

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from pipeline.core.answers.fitting import AnswerRules
    from pipeline.core.rows.jobs import JobMaker
    from pipeline.core.rows.lines import RawRow
    from pipeline.edges.store.cache import AnswerCache
    from pipeline.edges.store.seen import OccurrencesOnDisk
    from pipeline.records import Failure, Outcome


UNFINISHED = frozenset({"length", "content_filter"})  # ends that may be another time's accident


class _Kept(msgspec.Struct, array_like=True):
    """An answer as the cache keeps it. usage: the fields of a Usage, by name. Caches of old have no finish_reason."""

    status_code: int
    request_id: str | None
    body: bytes
    usage: dict[str, int]
    finish_reason: str | None = None


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Kept).decode


@define(eq=False)
class AnswerReuse:
    """What a flow asks before it sends a row, and informs afterwards. Implements `Reuse`. Owns its cache; close it.

    scope: which provider is asked; part of every key. occurrences: None for dedupe, where equal rows are one question.
    rules: what answers must be; one that was kept and does not fit is asked for again. Only an answer that came to a good end
    answers other rows.
    """

    cache: AnswerCache
    scope: bytes
    occurrences: OccurrencesOnDisk | None
    utc: Callable[[], float]
    rules: AnswerRules | None = None
    _keys: dict[int, bytes] = field(factory=dict, init=False)  # of rows that were sent and have no outcome yet
    _waiting: dict[bytes, list[Job]] = field(factory=dict, init=False)  # by the key of the row that they wait for

    def begin(self, made: Sequence[Job | Failure], done: Collection[int]) -> tuple[list[Job | Outcome], int]:
        """Look rows up. Raises CacheError."""
        keys = self.keys_of([item for item in made if isinstance(item, Job)])
        wanted = [key for index, key in keys.items() if index not in done and key not in self._waiting]
        found = dict(zip(wanted, self.cache.get(wanted, self.utc()), strict=True))
        ready: list[Job | Outcome] = []
        waiting = 0
        for item in made:
            if item.index in done:
                continue
            key = keys.get(item.index)
            if not isinstance(item, Job) or key is None:
                ready.append(item)
            elif self.occurrences is None and key in self._waiting:
                self._waiting[key].append(item)
                waiting += 1
            elif (kept := found.get(key)) and self._fits(item, success := _success(item, kept)):
                ready.append(success)
            else:
                self._keys[item.index] = key
                if self.occurrences is None:
                    self._waiting[key] = []
                ready.append(item)
        return ready, waiting

    async def finished(self, outcomes: list[Outcome]) -> list[Outcome]:
        """Keep answers, and give the outcomes of the rows that waited for them. Raises CacheError."""
        keyed = [(outcome, key) for outcome in outcomes if (key := self._keys.pop(outcome.index, None)) is not None]
        answers = [
            (key, _kept(outcome)) for outcome, key in keyed if isinstance(outcome, Success) and outcome.finish_reason not in UNFINISHED
        ]
        if answers:
            await trio.to_thread.run_sync(self.cache.put, answers, self.utc())
        return [_same_for(job, outcome) for outcome, key in keyed for job in self._waiting.pop(key, ())]

    def _fits(self, job: Job, success: Success) -> bool:
        """Whether a kept answer is what is expected now. A check that breaks is told when the row is sent."""
        try:
            return self.rules is None or self.rules.judge(success.body, job, job, 1) is None
        except CheckError:
            return False

    def keys_of(self, jobs: Sequence[Job]) -> dict[int, bytes]:
        """The key of each job by its index. Counts occurrences: every job of an input must pass here once, in order."""
        digests = [request_digest(self.scope, job) for job in jobs]
        if self.occurrences is None:
            return {job.index: digest for job, digest in zip(jobs, digests, strict=True)}
        times = self.occurrences.count(digests)
        return {job.index: occurrence_key(digest, count) for job, digest, count in zip(jobs, digests, times, strict=True)}

    def close(self) -> None:
        """Give the files back."""
        self.cache.close()
        if self.occurrences is not None:
            self.occurrences.close()


@define(eq=False)
class CountedJobs:
    """A job maker that counts the requests of rows that are skipped, so that later ones keep their occurrence."""

    jobs: JobMaker
    reuse: AnswerReuse

    def claim(self, rows: Sequence[RawRow], first_index: int) -> None:
        """Skip rows that are done. Raises CacheError, InputError."""
        self.reuse.keys_of([item for item in self.jobs.make_jobs(rows, first_index) if isinstance(item, Job)])

    def claim_lines(self, text: bytes, first_index: int, count: int, *, all_good: bool) -> None:
        """Skip this many whole lines of JSON, none of them blank. Raises CacheError, InputError."""
        del count, all_good  # every request is counted, so each line is read
        self.claim(self.jobs.rows_in(text, first_index), first_index)


def _kept(success: Success) -> bytes:
    usage = {name: getattr(success.usage, name) for name in _USAGE_FIELDS}
    return _encode(_Kept(success.status_code, success.request_id, success.body, usage, success.finish_reason))


_USAGE_FIELDS = tuple(Usage.__annotations__)


def _success(job: Job, kept: bytes) -> Success:
    answer = _decode(kept)
    usage = Usage(**{name: count for name, count in answer.usage.items() if name in _USAGE_FIELDS})
    names = (job.index, job.custom_id, answer.status_code, answer.request_id)
    return Success(*names, answer.body, usage, 0, 0.0, finish_reason=answer.finish_reason)


def _same_for(job: Job, outcome: Outcome) -> Outcome:
    """Another row's outcome as this row's own, which cost nothing."""
    timed: dict[str, Any] = {"first_token_seconds": None, "longest_gap_seconds": None} if isinstance(outcome, Success) else {}
    return replace(outcome, index=job.index, custom_id=job.custom_id, attempts=0, latency_seconds=0.0, **timed)
