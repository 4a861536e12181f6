"""No row ever gets the answer of a different request, and what is not dedupe never makes one sample of two."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from pipeline.core.answers.expect import Expectation
from pipeline.core.answers.fitting import AnswerRules
from pipeline.core.bookkeeping.requests import occurrence_key, request_digest
from pipeline.core.rows.ids import MemoryStore
from pipeline.core.rows.jobs import JobMaker
from pipeline.core.rows.lines import RawRow
from pipeline.core.rows.templates import Template
from pipeline.durability.reuse import AnswerReuse, CountedJobs
from pipeline.edges.store.cache import AnswerCache
from pipeline.edges.store.seen import OccurrencesOnDisk
from pipeline.records import Failure, FailureKind, Job, Outcome, Success, Usage

if TYPE_CHECKING:
    from collections.abc import Sequence

prompts = st.lists(st.sampled_from("abc"), max_size=20)
cuts = st.lists(st.integers(1, 4), min_size=20, max_size=20)


def job(index: int, prompt: str, url: str = "/v1/x") -> Job:
    return Job(index, f"row-{index}", "POST", url, prompt.encode(), 1, index + 1)


class Provider:
    """Answers each request with its prompt and a number that no other answer has. Never asked, it has sold nothing."""

    def __init__(self) -> None:
        self.sold = 0

    def answer(self, job: Job) -> Success:
        self.sold += 1
        return Success(job.index, job.custom_id, 200, None, job.body + b" %d" % self.sold, Usage(1, 2, 3), 1, 0.5)


async def run(
    reuse: AnswerReuse, made: Sequence[Job], cuts: list[int], provider: Provider, done: frozenset[int] = frozenset()
) -> list[Outcome]:
    """What a flow does with a reuse: slices are read, and those that were sent are answered some time later."""
    outcomes: list[Outcome] = []
    sent: list[Job] = []
    start = 0
    for size in cuts:
        items, _ = reuse.begin(made[start : start + size], done)
        start += size
        outcomes += [item for item in items if not isinstance(item, Job)]
        sent += [item for item in items if isinstance(item, Job)]
        answered, sent = sent[: size // 2], sent[size // 2 :]
        group: list[Outcome] = [provider.answer(item) for item in answered]
        outcomes += group + await reuse.finished(group)
    rest: list[Outcome] = [provider.answer(item) for item in sent]
    return sorted([*outcomes, *rest, *await reuse.finished(rest)], key=lambda outcome: outcome.index)


def text(outcome: Outcome) -> str:
    assert isinstance(outcome, Success)
    return outcome.body.decode()


@settings(deadline=None)
@given(prompts, cuts, cuts)
def test_a_cached_run_buys_nothing_and_each_row_gets_its_own_sample(words: list[str], first: list[int], second: list[int]) -> None:
    async def main() -> None:
        made = [job(index, word) for index, word in enumerate(words)]
        provider = Provider()
        with closing(AnswerCache(None)) as cache:
            bought = await run(AnswerReuse(cache, b"p", OccurrencesOnDisk(), lambda: 0.0), made, first, provider)
            reused = await run(AnswerReuse(cache, b"p", OccurrencesOnDisk(), lambda: 0.0), made, second, provider)

        assert provider.sold == len(words)
        assert [text(outcome).split()[0] for outcome in bought] == words
        assert [text(outcome) for outcome in reused] == [text(outcome) for outcome in bought]
        assert len({text(outcome) for outcome in bought}) == len(words)
        assert all(outcome.attempts == 0 for outcome in reused)

    trio.run(main)


@settings(deadline=None)
@given(prompts, cuts)
def test_dedupe_buys_each_request_once_and_gives_every_row_its_answer(words: list[str], cuts: list[int]) -> None:
    async def main() -> None:
        made = [job(index, word) for index, word in enumerate(words)]
        provider = Provider()
        with closing(AnswerCache(None)) as cache:
            outcomes = await run(AnswerReuse(cache, b"p", None, lambda: 0.0), made, cuts, provider)

        assert provider.sold == len(set(words))
        assert [outcome.index for outcome in outcomes] == list(range(len(words)))
        assert [outcome.custom_id for outcome in outcomes] == [f"row-{index}" for index in range(len(words))]
        assert [text(outcome).split()[0] for outcome in outcomes] == words
        assert sum(outcome.attempts for outcome in outcomes) == provider.sold

    trio.run(main)


@settings(deadline=None)
@given(prompts, cuts, st.integers(0, 20))
def test_a_resumed_run_counts_the_rows_that_it_skips(words: list[str], cuts: list[int], cut: int) -> None:
    rows = [RawRow(number, 0, b'{"prompt":"%b"}' % word.encode()) for number, word in enumerate(words, 1)]
    template = Template.compile({"prompt": "{prompt}"})

    def maker() -> JobMaker:
        return JobMaker(template, seen=MemoryStore())

    async def main() -> None:
        provider = Provider()
        made = [item for item in maker().make_jobs(rows, 0) if isinstance(item, Job)]
        with closing(AnswerCache(None)) as cache:
            bought = await run(AnswerReuse(cache, b"p", OccurrencesOnDisk(), lambda: 0.0), made, cuts, provider)
            reuse = AnswerReuse(cache, b"p", OccurrencesOnDisk(), lambda: 0.0)
            CountedJobs(maker(), reuse).claim(rows[: cut // 2], 0)
            text_of_rows = b"".join(row.data + b"\n" for row in rows[cut // 2 : cut] if isinstance(row.data, bytes))
            if text_of_rows:
                CountedJobs(maker(), reuse).claim_lines(text_of_rows, cut // 2, cut - cut // 2, all_good=True)
            resumed = await run(reuse, made[cut:], cuts, provider)

        assert [text(outcome) for outcome in resumed] == [text(outcome) for outcome in bought[cut:]]
        assert provider.sold == len(words)

    trio.run(main)


@given(st.lists(st.tuples(st.binary(max_size=3), st.sampled_from(["/a", "/b", "/"]), st.sampled_from([b"", b"p", b"p/"])), unique=True))
def test_two_requests_that_differ_anywhere_have_different_keys(requests: list[tuple[bytes, str, bytes]]) -> None:
    digests = [request_digest(scope, Job(0, "x", "POST", url, body, 1, 1)) for body, url, scope in requests]
    keys = {occurrence_key(digest, occurrence) for digest in digests for occurrence in (1, 2, 11)}

    assert len(set(digests)) == len(requests)
    assert len(keys) == 3 * len(requests)


def test_a_failure_is_shared_by_equal_rows_and_never_kept() -> None:
    async def main() -> None:
        with closing(AnswerCache(None)) as cache:
            reuse = AnswerReuse(cache, b"p", None, lambda: 0.0)
            items, waiting = reuse.begin([job(0, "a"), job(1, "a")], ())
            assert (items, waiting) == ([items[0]], 1)

            (shared,) = await reuse.finished([Failure(0, "row-0", FailureKind.HTTP, "no", attempts=2)])

            assert isinstance(shared, Failure)
            assert (shared.index, shared.custom_id, shared.attempts) == (1, "row-1", 0)
            assert reuse.begin([job(2, "a")], ())[1] == 0
            assert cache.get([request_digest(b"p", job(2, "a"))], 0.0) == [None]

    trio.run(main)


def test_a_row_that_is_done_is_counted_and_not_worked_on() -> None:
    with closing(AnswerCache(None)) as cache:
        reuse = AnswerReuse(cache, b"p", OccurrencesOnDisk(), lambda: 0.0)
        first, second = job(0, "a"), job(1, "a")
        cache.put([(occurrence_key(request_digest(b"p", second), 2), b"\x94\xcc\xc8\xc0\xc4\x02{}\x80")], 0.0)

        (found,), waiting = reuse.begin([first, second], {0})

    assert isinstance(found, Success)
    assert (found.index, found.status_code, waiting) == (1, 200, 0)


def test_an_answer_that_was_cut_is_not_kept() -> None:
    async def main() -> None:
        with closing(AnswerCache(None)) as cache:
            reuse = AnswerReuse(cache, b"p", None, lambda: 0.0)
            reuse.begin([job(0, "whole"), job(1, "cut")], ())
            whole = Success(0, "a", 200, None, b"{}", Usage(), 1, 0.1, "stop")
            await reuse.finished([whole, replace(whole, index=1, finish_reason="length")])

            items, _ = reuse.begin([job(2, "whole"), job(3, "cut")], ())

        assert [type(item) for item in items] == [Success, Job]

    trio.run(main)


def test_a_kept_answer_that_is_not_expected_now_is_asked_for_again() -> None:
    def answer(text: str) -> bytes:
        return b'{"choices":[{"message":{"content":"%b"},"finish_reason":"stop"}]}' % text.encode()

    async def main() -> None:
        with closing(AnswerCache(None)) as cache:
            rules = AnswerRules(Expectation(pattern=lambda text: None if text == "yes" else "is not yes"))
            reuse = AnswerReuse(cache, b"p", None, lambda: 0.0)
            reuse.begin([job(0, "a"), job(1, "b")], ())
            success = Success(0, "a", 200, None, answer("yes"), Usage(), 1, 0.1, "stop")
            await reuse.finished([success, replace(success, index=1, body=answer("maybe"))])

            items, _ = AnswerReuse(cache, b"p", None, lambda: 0.0, rules=rules).begin([job(2, "a"), job(3, "b")], ())

        assert [type(item) for item in items] == [Success, Job]

    trio.run(main)
