"""How often a row whose stream breaks off is sent: as often as after a lost connection, unless the same bytes come again."""

from __future__ import annotations

import json

from pipeline.core.answers.classify import classify, classify_fault
from pipeline.core.answers.retry import RetryPolicy
from pipeline.core.answers.secrets import Secrets
from pipeline.core.answers.verdict import verdict
from pipeline.core.pacing.again import another_attempt
from pipeline.messages import Report, Ticket
from pipeline.records import Answer, FailureKind, Fault, FaultCause, Job

JOB = Job(0, "row-0", "POST", "/v1/chat/completions", b'{"stream": true}', 1, 1)
POLICY = RetryPolicy(attempts=6, base_seconds=0.5, cap_seconds=60.0)


def report_of(body: bytes, before: Report | None) -> Report:
    """What the gate is told of an answer, after the attempt before."""
    ticket = Ticket(JOB, 1, None) if before is None else another_attempt(before, ())
    answer = Answer(200, [], body)
    _, report = verdict(ticket, answer, classify(answer, now_utc=0.0, url=JOB.url), POLICY, Secrets(()), 0.1, 0.0, lambda: 0.5)
    return report


def stream_of(text: str, *, name: str) -> bytes:
    event = {"id": name, "object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {"content": text}}]}
    return b"data: " + json.dumps(event).encode() + b"\n\n"


def retryable(*bodies: bytes) -> list[bool]:
    reports: list[Report] = []
    for body in bodies:
        reports.append(report_of(body, reports[-1] if reports else None))
    return [report.retryable for report in reports]


def test_streams_that_break_off_differently_are_asked_for_again() -> None:
    assert retryable(*(stream_of("a", name=f"chat-{number}") for number in range(5))) == [True] * 5


def test_a_stream_that_breaks_off_twice_with_the_same_bytes_would_do_so_a_third_time() -> None:
    assert retryable(stream_of("a", name="chat-0"), stream_of("a", name="chat-0")) == [True, False]


def test_another_malformed_answer_is_asked_for_twice_only_whatever_it_says() -> None:
    assert retryable(b'{"id": 1, "choices": null}', b'{"id": 2, "choices": null}') == [True, False]


def test_another_failure_between_them_makes_two_equal_streams_no_less_alike() -> None:
    first = report_of(stream_of("a", name="chat-0"), None)
    ticket = another_attempt(first, ())
    lost = Fault(FailureKind.CONNECTION, "closed", maybe_sent=True, cause=FaultCause.CLOSED)
    _, second = verdict(ticket, lost, classify_fault(lost), POLICY, Secrets(()), 0.1, 0.0, lambda: 0.5)

    assert [second.retryable, report_of(stream_of("a", name="chat-0"), second).retryable] == [True, False]
