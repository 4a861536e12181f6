"""The ledger's counts."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.bookkeeping.ledger import Ledger, usage_of
from pipeline.records import NO_USAGE, Failure, FailureKind, Outcome, Success, Usage


def test_a_ledger_counts_rows_by_their_end_and_tokens() -> None:
    ledger = Ledger()

    ledger.add([Success(0, "a", 200, None, b"{}", Usage(3, 4, 7), 1, 0.1), Failure(1, "b", FailureKind.TIMEOUT, "")])
    ledger.add([Success(2, "c", 200, None, b"{}", Usage(1, 1, 2), 2, 0.1)])

    assert (ledger.succeeded, ledger.failed, ledger.total) == (2, 1, 3)
    assert (ledger.prompt_tokens, ledger.output_tokens) == (4, 5)


def failed(index: int, kind: FailureKind, status: int | None = None) -> Failure:
    return Failure(index, f"row-{index}", kind, f"message {index}", status_code=status)


def test_failures_are_counted_by_their_code_and_shown_by_the_last_one() -> None:
    ledger = Ledger()

    ledger.add([failed(0, FailureKind.HTTP, 400), failed(1, FailureKind.TIMEOUT), failed(2, FailureKind.HTTP, 404)])
    ledger.add([failed(3, FailureKind.HTTP, 400), failed(4, FailureKind.HTTP, 400)])

    assert {code: (group.count, group.example.index, group.example.message) for code, group in ledger.failures.items()} == {
        "http_400": (3, 4, "message 4"),
        "timeout": (1, 1, "message 1"),
        "http_404": (1, 2, "message 2"),
    }


def test_code_names_the_status_only_where_the_response_says_it_all() -> None:
    exhausted = failed(0, FailureKind.RETRIES_EXHAUSTED, 429)

    assert [one.error_code for one in (failed(0, FailureKind.REFUSED, 401), failed(0, FailureKind.HTTP), exhausted)] == [
        "http_401",
        "http_error",
        "retries_exhausted",
    ]


def test_reasons_to_end_are_counted() -> None:
    ledger = Ledger()

    ledger.add(
        [Success(n, "a", 200, None, b"{}", Usage(1, 1, 2), 1, 0.1, finish_reason=end) for n, end in enumerate(("stop", "length", "stop"))]
    )
    ledger.add([Success(4, "b", 200, None, b"{}", Usage(1, 1, 2), 1, 0.1)])

    assert ledger.finish_reasons == {"stop": 2, "length": 1}


def test_tokens_of_rejected_answers_count_and_those_of_answers_that_were_there_do_not() -> None:
    used, wasted = Usage(1, 2, 3), Usage(10, 20, 30)
    success = Success(0, "a", 200, None, b"{}", used, 2, 0.1, rejected=1, wasted=wasted)
    failure = Failure(1, "b", FailureKind.TRUNCATED, "", attempts=2, rejected=2, wasted=wasted)
    from_cache = Success(2, "c", 200, None, b"{}", used, 0, 0.0, rejected=5)
    ledger = Ledger()

    ledger.add([success, failure, from_cache])

    assert usage_of(success) == Usage(11, 22, 33)
    assert usage_of(failure) == wasted
    assert usage_of(from_cache) == Usage()
    assert (ledger.prompt_tokens, ledger.output_tokens, ledger.rejected, ledger.from_cache) == (21, 42, 3, 1)


def test_cost_is_the_sum_of_what_is_known() -> None:
    ledger = Ledger()
    ledger.price = lambda outcome, usage: None if outcome.index else usage.output_tokens

    ledger.add([Success(index, "a", 200, None, b"{}", Usage(1, 7, 8), 1, 0.1) for index in range(2)])

    assert ledger.cost == 7


def test_the_pace_of_a_stream_needs_more_than_one_token() -> None:
    ledger = Ledger()

    ledger.add([Success(0, "a", 200, None, b"{}", Usage(1, 1, 2), 1, 2.0, first_token_seconds=1.0, longest_gap_seconds=0.5)])

    assert ledger.first_token.shown()
    assert ledger.pace.shown() == {}


def any_outcomes() -> st.SearchStrategy[Outcome]:
    """Answers that came, were there already, streamed, or were bought twice; and failures."""
    tokens = st.builds(Usage, st.integers(0, 9), st.integers(0, 9), st.integers(0, 9))
    wasted = st.just(NO_USAGE) | tokens
    seconds = st.none() | st.floats(0.001, 9)
    successes = st.builds(
        lambda attempts, usage, reason, rejected, lost, first, gap: Success(
            0, "a", 200, None, b"{}", usage, attempts, 10.0, reason, rejected, lost, first_token_seconds=first, longest_gap_seconds=gap
        ),
        st.integers(0, 2), tokens, st.sampled_from([None, "stop", "length"]), st.integers(0, 3), wasted, seconds, seconds,
    )  # fmt: skip
    failures = st.builds(
        lambda kind, attempts, rejected, lost: Failure(1, "b", kind, "no", attempts=attempts, rejected=rejected, wasted=lost),
        st.sampled_from([FailureKind.TIMEOUT, FailureKind.INVALID_ROW]), st.integers(0, 2), st.integers(0, 3), wasted,
    )  # fmt: skip
    return st.one_of(successes, successes, failures)


def figures(ledger: Ledger) -> object:
    quantities = (ledger.latency, ledger.first_token, ledger.longest_gap, ledger.pace)
    counts = (ledger.succeeded, ledger.failed, ledger.prompt_tokens, ledger.output_tokens, ledger.rejected, ledger.from_cache, ledger.cost)
    return counts, ledger.finish_reasons, ledger.failures, [each.shown() for each in quantities]


@given(st.lists(any_outcomes(), max_size=12))
def test_a_group_counts_as_its_rows_one_by_one(outcomes: list[Outcome]) -> None:
    together, apart = Ledger(), Ledger()
    together.price = apart.price = lambda _, usage: usage.total_tokens

    together.add(outcomes)
    for outcome in outcomes:
        apart.add([outcome])

    assert figures(together) == figures(apart)
    asked = [outcome for outcome in outcomes if outcome.attempts]
    answered = [outcome for outcome in asked if isinstance(outcome, Success)]
    spent = sum((outcome.usage + outcome.wasted for outcome in answered), NO_USAGE)
    spent += sum((outcome.wasted for outcome in asked if isinstance(outcome, Failure)), NO_USAGE)
    assert (together.prompt_tokens, together.output_tokens) == (spent.prompt_tokens, spent.output_tokens)
    assert together.rejected == sum(outcome.rejected for outcome in asked)
    assert together.from_cache == sum(isinstance(outcome, Success) and not outcome.attempts for outcome in outcomes)


def test_a_stream_without_a_second_event_has_no_gap() -> None:
    ledger = Ledger()

    ledger.add([Success(0, "a", 200, None, b"{}", Usage(1, 1, 2), 1, 3.0, first_token_seconds=1.0)])

    assert max(ledger.longest_gap.shown().values()) < 0.001
