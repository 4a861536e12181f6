"""What one reply means for its row and for the gate, field by field."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pipeline.core.answers.classify import Result, Trouble, classify, classify_fault
from pipeline.core.answers.expect import Expectation
from pipeline.core.answers.fitting import AnswerRules, what_it_says
from pipeline.core.answers.meaning import CheckError
from pipeline.core.answers.retry import BOUGHT, RetryPolicy
from pipeline.core.answers.secrets import Secrets
from pipeline.core.answers.verdict import verdict
from pipeline.messages import FailedAttempt, Report, Ticket
from pipeline.records import Answer, Arrival, Failure, FailureKind, Fault, FaultCause, Job, Outcome, Scope, Success, Usage

URL = "/v1/chat/completions"
REQUEST = b'{"model":"m","max_tokens":10,"messages":[{"role":"user","content":"hi"}]}'
HEADERS = [(b"x-request-id", b"req-7"), (b"retry-after", b"3")]
EARLIER = Usage(10, 20, 30)


def ticket_of(**changes: Any) -> Ticket:
    ticket = Ticket(Job(4, "row-4", "POST", URL, REQUEST, 25, 5, 10), 2, None, lane_name="eu", rejected=1, wasted=EARLIER)
    for name, value in changes.items():
        setattr(ticket, name, value)
    return ticket


def answer_of(content: Any = "yes", finish: str = "stop", status: int = 200, **message: Any) -> Answer:
    body = {"choices": [{"message": {"role": "assistant", "content": content, **message}, "finish_reason": finish}]}
    body["usage"] = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}  # type: ignore[assignment]  # of another type
    return Answer(status, HEADERS, json.dumps(body).encode(), sent_at=100.5, arrival=Arrival(101.0, 0.25))


def judged(
    reply: Answer | Fault, rules: AnswerRules | None = None, secrets: Secrets | None = None, **changes: Any
) -> tuple[Outcome | None, Report]:
    meaning: Result | Trouble = classify(reply, now_utc=0.0, url=URL) if isinstance(reply, Answer) else classify_fault(reply)
    policy = RetryPolicy(3, 0.5, 60.0)
    ticket = ticket_of(**changes)
    return verdict(ticket, reply, meaning, policy, secrets or Secrets(), 2.0, 1e9, lambda: 0.5, rules=rules, started=100.0)


def test_an_answer_is_the_rows_success_with_all_that_is_known_of_it() -> None:
    outcome, report = judged(answer_of())

    assert isinstance(outcome, Success)
    assert (outcome.index, outcome.custom_id, outcome.status_code, outcome.request_id) == (4, "row-4", 200, "req-7")
    assert json.loads(outcome.body)["choices"][0]["message"]["content"] == "yes"
    assert (outcome.usage, outcome.attempts, outcome.latency_seconds, outcome.finish_reason) == (Usage(1, 2, 3), 2, 2.0, "stop")
    assert (outcome.rejected, outcome.wasted, outcome.lane) == (1, EARLIER, "eu")
    assert (outcome.first_token_seconds, outcome.longest_gap_seconds) == (1.0, 0.25)
    assert report.answered
    assert (report.status, report.usage, report.seconds, report.sent_at, report.now_utc) == (200, Usage(1, 2, 3), 2.0, 100.5, 1e9)
    assert (report.headers, report.rejected, report.wasted, report.code, report.failure) == (HEADERS, 1, EARLIER, "", None)
    assert report.response_bytes == len(answer_of().body)


def test_a_failure_holds_what_is_written_if_it_is_the_rows_own() -> None:
    body = b'{"error":{"message":"slow down","code":"rate_limit_exceeded"}}'
    outcome, report = judged(Answer(429, HEADERS, body, sent_at=100.5))

    assert outcome is None
    failure = report.failure
    assert isinstance(failure, Failure)
    assert (failure.index, failure.custom_id, failure.kind) == (4, "row-4", FailureKind.RETRIES_EXHAUSTED)
    assert failure.message.endswith("slow down (after 2 attempts)")
    assert (failure.status_code, failure.request_id, failure.attempts, failure.latency_seconds) == (429, "req-7", 2, 2.0)
    assert json.loads(failure.body or b"") == json.loads(body)
    assert (failure.rejected, failure.wasted, failure.lane) == (1, EARLIER, "eu")
    assert not report.answered
    assert (report.code, report.scope, report.retryable, report.limited, report.wait_seconds) == (
        "http_429",
        Scope.THROTTLE,
        True,
        True,
        3.0,
    )
    assert (report.status, report.seconds, report.sent_at, report.headers, report.now_utc) == (429, 2.0, 100.5, HEADERS, 1e9)
    assert report.response_bytes == len(body)
    assert report.throttled
    assert report.delay >= 3.0


def test_a_first_attempt_counts_no_attempts_in_its_message() -> None:
    _, report = judged(Answer(400, [], b'{"error":{"message":"no"}}'), attempt=1)

    assert report.failure is not None
    assert "attempts" not in report.failure.message
    assert report.failure.kind is FailureKind.HTTP
    assert report.failure.request_id is None


def test_a_fault_is_told_with_its_cause_and_whether_it_may_have_been_billed() -> None:
    _, report = judged(Fault(FailureKind.TIMEOUT, "late", maybe_sent=True, cause=FaultCause.IDLE_TIMEOUT, sent_at=100.5))

    assert (report.code, report.cause, report.maybe_sent, report.status) == ("timeout", FaultCause.IDLE_TIMEOUT, True, None)
    assert (report.sent_at, report.headers, report.response_bytes, report.throttled) == (100.5, None, 0, False)
    assert report.failure is not None
    assert (report.failure.kind, report.failure.message) == (FailureKind.TIMEOUT, "late (after 2 attempts)")
    assert (report.failure.body, report.failure.status_code) == (None, None)


def test_a_later_failure_of_a_row_waits_longer() -> None:
    again = tuple(FailedAttempt(0, number, Scope.SERVER) for number in range(3))

    assert judged(Answer(500, [], b"{}"), failed=again)[1].delay > judged(Answer(500, [], b"{}"))[1].delay


@pytest.mark.parametrize("failures", [0, 1, 2, 3])
def test_the_wait_doubles_with_each_failure_of_a_row_from_the_base_on(failures: int) -> None:
    failed = tuple(FailedAttempt(0, number, Scope.SERVER) for number in range(failures))

    assert judged(Answer(500, [], b"{}"), failed=failed)[1].delay == 0.5 * 0.5 * 2**failures  # the draw, and the base


def test_a_key_is_shown_in_no_failure() -> None:
    body = b'{"error":{"message":"bad key sk-hush"}}'
    _, report = judged(Answer(400, [(b"x-request-id", b"sk-hush-1")], body), secrets=Secrets(("sk-hush",)))

    assert report.failure is not None
    shown = f"{report.message}{report.failure.message}{report.failure.body!r}{report.failure.request_id}"
    assert "hush" not in shown
    assert "***" in shown


def test_a_200_that_holds_no_answer_is_bought_a_bounded_number_of_times() -> None:
    empty = Answer(200, [], b'{"choices": null, "usage": {"prompt_tokens": 5, "completion_tokens": 0, "total_tokens": 5}}')
    first, last = judged(empty, rejected=0)[1], judged(empty, rejected=BOUGHT - 1)[1]

    assert (first.retryable, last.retryable) == (True, False)
    assert (first.rejected, last.rejected) == (1, BOUGHT)
    assert first.wasted == EARLIER + Usage(5, 0, 5)
    assert first.failure is not None
    assert first.failure.wasted == first.wasted


# ---- answers that do not fit ---------------------------------------------------------------------------------------

JSON_ONLY = AnswerRules(Expectation(json=True), asks=3)


def test_an_answer_that_does_not_fit_is_asked_for_again() -> None:
    outcome, report = judged(answer_of("no json"), JSON_ONLY)

    assert outcome is None
    assert report.answered
    assert report.ask_again is not None
    assert (report.ask_again.index, report.ask_again.body) == (4, REQUEST)
    assert (report.code, report.rejected, report.wasted) == ("unexpected_answer", 2, EARLIER + Usage(1, 2, 3))
    assert report.message


def test_the_last_answer_that_does_not_fit_is_the_rows_failure_and_is_kept() -> None:
    outcome, report = judged(answer_of("no json"), JSON_ONLY, rejected=2)

    assert isinstance(outcome, Failure)
    assert report.ask_again is None
    assert (outcome.index, outcome.custom_id, outcome.kind) == (4, "row-4", FailureKind.UNEXPECTED_ANSWER)
    assert outcome.message.endswith("(after 3 answers)")
    assert (outcome.status_code, outcome.request_id, outcome.attempts, outcome.latency_seconds) == (200, "req-7", 2, 2.0)
    assert b"no json" in (outcome.body or b"")
    assert (outcome.rejected, outcome.wasted, outcome.lane) == (3, EARLIER + Usage(1, 2, 3), "eu")


def test_feedback_shows_the_answer_and_the_reason_behind_the_first_request() -> None:
    first = Job(4, "row-4", "POST", URL, REQUEST, 25, 5, 10)
    other = Job(4, "row-4", "POST", URL, b'{"messages":[]}', 25, 5, 10)
    rules = AnswerRules(Expectation(json=True), asks=5, feedback=True)
    _, report = judged(answer_of("no json"), rules, job=other, original=first)

    assert report.ask_again is not None
    said = [message["content"] for message in json.loads(report.ask_again.body)["messages"]]
    assert said[:2] == ["hi", "no json"]
    assert report.message in said[2]
    assert report.ask_again.tokens > 25


def test_a_cut_answer_is_asked_for_again_with_more_room_as_far_as_that_is_allowed() -> None:
    rules = AnswerRules(Expectation(), asks=5, grow_to=15)
    _, report = judged(answer_of("ye", "length"), rules)

    assert report.ask_again is not None
    assert json.loads(report.ask_again.body)["max_tokens"] == 15
    assert report.ask_again.output_tokens == 15
    outcome, _ = judged(answer_of("ye", "length"), AnswerRules(Expectation(), asks=5))
    assert isinstance(outcome, Failure)
    assert outcome.kind is FailureKind.TRUNCATED


def test_the_users_check_is_shown_the_answer_and_the_rows_request() -> None:
    seen: list[dict[str, Any]] = []

    def check(content: Any, request: Any) -> bool:
        seen.append({"content": content, "body": request["body"], **request})
        return True

    outcome, _ = judged(answer_of("yes"), AnswerRules(Expectation(check=check)))

    assert isinstance(outcome, Success)
    assert seen == [{"content": "yes", "body": json.loads(REQUEST), "custom_id": "row-4", "index": 4, "url": URL}]


def test_a_check_that_is_broken_stops_the_run_and_writes_nothing() -> None:
    def check(content: Any, request: Any) -> bool:
        raise CheckError("the check is broken")

    outcome, report = judged(answer_of(), AnswerRules(Expectation(check=check)))

    assert outcome is None
    assert report.stop is not None
    assert "the check is broken" in report.stop


@pytest.mark.parametrize(
    "body, declined",
    [
        (answer_of(None, refusal="I will not").body, True),
        (answer_of("a refusal is a word").body, False),
        (answer_of("yes", refusal=None).body, False),
        (b'{"type":"message","content":[{"type":"text","text":"no"}],"stop_reason":"refusal"}', True),
        (b'{"object":"response","output":[{"type":"message","content":[{"type":"refusal","refusal":"no"}]}]}', True),
        (b'{"object":"response","output":[{"type":"message","content":[{"type":"output_text","text":"refusal"}]}]}', False),
    ],
)
def test_a_model_that_declines_is_recognised_in_every_shape(body: bytes, *, declined: bool) -> None:
    assert what_it_says(body).refused is declined
