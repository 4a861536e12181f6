"""What a written line says of a failure, and which failures are chosen to be sent again."""

from __future__ import annotations

import tracemalloc

import pytest

from pipeline.core.output.flat_lines import encode_flat
from pipeline.core.output.lines import encode_batch
from pipeline.core.output.read_lines import moved_line, read_line
from pipeline.core.output.written import EVERY_FAILURE, NO_FAILURES, FailureChoice, Written
from pipeline.records import NO_USAGE, Failure, FailureKind, Success, Usage

SHAPES = [encode_batch, encode_flat]


def failure(kind: FailureKind, status: int | None = None, code: str = "", message: str = "no") -> Failure:
    body = None if status is None else b'{"error":{"message":"%s","code":"%s"}}' % (message.encode(), code.encode())
    return Failure(3, "a", kind, "said", status, None, body, 0 if status is None else 1, 0.1)


def written(outcome: Failure | Success, shape: int = 0) -> Written:
    told = read_line(SHAPES[shape](outcome))
    assert told is not None
    return told


@pytest.mark.parametrize("shape", [0, 1])
@pytest.mark.parametrize(
    "outcome, transient",
    [
        (failure(FailureKind.TIMEOUT), True),
        (failure(FailureKind.CONNECTION), True),
        (failure(FailureKind.MALFORMED_RESPONSE), True),
        (failure(FailureKind.RETRIES_EXHAUSTED, 500), True),
        (failure(FailureKind.RETRIES_EXHAUSTED, 429), True),
        (failure(FailureKind.REFUSED, 401, "invalid_api_key"), True),
        (failure(FailureKind.REFUSED, 403), True),
        (failure(FailureKind.QUOTA, 429, "insufficient_quota"), True),
        (failure(FailureKind.HTTP, 404, "model_not_found"), True),
        (failure(FailureKind.HTTP, 400, "x", "insufficient balance"), True),  # told by the words alone
        (failure(FailureKind.HTTP, 429, "x", "insufficient balance"), True),
        (failure(FailureKind.HTTP, 400, "context_length_exceeded"), False),
        (failure(FailureKind.HTTP, 500), False),  # the provider said that it is final
        (failure(FailureKind.HTTP, 503), False),
        (failure(FailureKind.HTTP, 429), False),
        (failure(FailureKind.INVALID_ROW), False),
        (failure(FailureKind.TOO_LARGE), False),
    ],
)
def test_a_failure_is_transient_as_it_was_judged_when_it_happened(outcome: Failure, shape: int, *, transient: bool) -> None:
    told = written(outcome, shape)

    assert (told.index, told.custom_id, told.succeeded, told.transient) == (3, "a", False, transient)
    assert told.never_sent == (outcome.kind in (FailureKind.INVALID_ROW, FailureKind.TOO_LARGE))
    assert told.is_invalid == (outcome.kind is FailureKind.INVALID_ROW)


@pytest.mark.parametrize("shape", [0, 1])
@pytest.mark.parametrize(
    "outcome, codes",
    [
        (failure(FailureKind.TIMEOUT), {"timeout"}),
        (failure(FailureKind.HTTP, 400, "Too_Long"), {"400", "too_long"}),
        (failure(FailureKind.RETRIES_EXHAUSTED, 500), {"500", "retries_exhausted"}),
    ],
)
def test_a_failure_can_be_chosen_by_its_codes(outcome: Failure, codes: set[str], shape: int) -> None:
    told = written(outcome, shape)

    assert codes <= told.codes
    assert all(FailureChoice.parse(code.upper()).takes(told) for code in codes)
    assert not FailureChoice.parse("other").takes(told)
    assert EVERY_FAILURE.takes(told)
    assert not NO_FAILURES.takes(told)


@pytest.mark.parametrize("message, read", [('"slow"', "slow"), ("5", None), ("null", None), ('{"a":1}', None)])
def test_a_message_of_a_line_is_a_text_or_none(message: str, read: str | None) -> None:
    told = read_line(
        b'{"index":3,"custom_id":"a","status":"error","status_code":500,"error":{"code":"x","message":%s}}\n' % message.encode()
    )

    assert told is not None
    assert (told.message, told.code, told.codes) == (read, "x", frozenset({"x", "500"}))


def test_a_success_is_never_chosen() -> None:
    told = written(Success(3, "a", 200, None, b'{"choices":[]}', NO_USAGE, 1, 0.1))

    assert not any(FailureChoice.parse(text).takes(told) for text in ("all", "transient", "200"))


@pytest.mark.parametrize(
    "text, choice",
    [
        ("transient", FailureChoice(transient=True)),
        ("all", FailureChoice(codes=None)),
        ("429, Timeout", FailureChoice(codes=frozenset({"429", "timeout"}))),
        ("transient,400", FailureChoice(transient=True, codes=frozenset({"400"}))),
        ("400,all", FailureChoice(codes=None)),
    ],
)
def test_a_choice_is_read_as_it_is_written(text: str, choice: FailureChoice) -> None:
    assert FailureChoice.parse(text) == choice


@pytest.mark.parametrize("text", ["", " ", "429,", ",", "a,,b"])
def test_a_choice_with_nothing_in_it_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match='must be "transient", "all", or codes'):
        FailureChoice.parse(text)


def test_a_line_with_a_list_of_very_many_objects_does_not_build_them() -> None:
    body = b"[%s]" % b",".join([b"{}"] * 300_000)
    outcome = Failure(3, "a", FailureKind.HTTP, "said", 400, None, body, 1, 0.1)
    tracemalloc.start()
    try:
        line = encode_batch(outcome)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert body in line
    assert peak < 8 * len(body)


@pytest.mark.parametrize("shape", [0, 1])
@pytest.mark.parametrize("place", [b"yes", b'"a"'])
def test_a_line_that_is_no_utf8_is_no_line_of_results(shape: int, place: bytes) -> None:
    line = SHAPES[shape](Success(3, "a", 200, None, b'{"choices":[{"message":{"content":"yes"}}]}', NO_USAGE, 1, 0.1))

    assert read_line(line) is not None
    assert place in line
    assert read_line(line.replace(place, place[:-1] + b"\xff" + place[-1:])) is None


@pytest.mark.parametrize("shape", [0, 1])
@pytest.mark.parametrize("custom_id, name", [("row-3", "row-70000"), ("a", "a")])
def test_the_line_of_a_row_that_has_moved_is_that_of_its_new_place(shape: int, custom_id: str, name: str) -> None:
    body = b'{"choices":[{"message":{"content":"yes"},"finish_reason":"stop"}]}'

    def line(index: int, of: str) -> bytes:
        return SHAPES[shape](Success(index, of, 200, "req", body, Usage(1, 2, 3), 1, 0.25))

    assert moved_line(line(3, custom_id), 70_000, name) == line(70_000, name)


def test_a_flat_line_says_why_an_answer_ended_and_when_its_first_token_came() -> None:
    body = b'{"choices":[{"message":{"content":"yes"},"finish_reason":"stop"}]}'
    success = Success(3, "a", 200, None, body, NO_USAGE, 1, 0.25, finish_reason="stop", first_token_seconds=0.123456789)
    told = read_line(encode_flat(success))

    assert told is not None
    assert told.reason == "stop"
    assert b'"first_token_seconds":0.123457,' in encode_flat(success)
