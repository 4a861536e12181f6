"""Evidence that an answer belongs to another request: what is a reason for doubt, what is proof, and what means nothing."""

from __future__ import annotations

import logging

import pytest

from pipeline.edges.http.pairing import (
    FREE_REPEATS,
    LEAST_REST_SECONDS,
    MOST_REST_SECONDS,
    REST_EVERY,
    REST_MEANS,
    Doubt,
    Pairing,
    Trust,
    answer_in,
    fingerprint,
)

ADDRESS = "relay.example:443"


def response(body: bytes, status: int = 200) -> bytes:
    return b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body)


def carry(pairing: Pairing, *bodies: bytes, seconds: float = 1.0) -> list[Doubt | None]:
    """Answers on a connection, one after the other."""
    doubts = []
    for body in bodies:
        pairing.requests += 1
        doubts.append(pairing.note(f"row-{pairing.requests}", body, 0.0, seconds))
    return doubts


def distinct(count: int, start: int = 0) -> list[bytes]:
    return [b"answer %d" % number for number in range(start, start + count)]


def test_answers_that_differ_are_believed_at_once() -> None:
    assert carry(Pairing(Trust()), *distinct(REST_EVERY - 1)) == [None] * (REST_EVERY - 1)


def test_rest_is_due_after_many_requests_and_a_clean_one_counts_for_as_many() -> None:
    pairing = Pairing(Trust())

    doubts = carry(pairing, *distinct(REST_EVERY + 1))
    pairing.note_clean()
    later = carry(pairing, *distinct(REST_EVERY - 1, start=10_000))

    assert doubts[-2:] == [Doubt.REST_IS_DUE] * 2
    assert later == [None] * (REST_EVERY - 1)


@pytest.mark.parametrize("between", [0, 1, 15])
def test_repeat_of_a_recent_answer_is_doubted(between: int) -> None:
    pairing = Pairing(Trust())

    doubts = carry(pairing, b"copied", *distinct(between), b"copied")

    assert doubts == [None] * (between + 1) + [Doubt.REPEAT]


def test_long_bodies_that_differ_at_an_end_are_no_repeats() -> None:
    middle = bytes(100_000)

    assert fingerprint(b"a" + middle) != fingerprint(b"b" + middle)
    assert fingerprint(middle + b"a") != fingerprint(middle + b"b")
    assert fingerprint(middle) != fingerprint(middle + b"\0")
    assert fingerprint(b"a" + middle) == fingerprint(b"a" + bytes(100_000))


def test_same_answer_on_two_connections_is_no_repeat() -> None:
    trust = Trust()

    assert carry(Pairing(trust), b"same") == carry(Pairing(trust), b"same") == [None]


def test_provider_that_repeats_itself_is_not_held_up() -> None:
    doubts = carry(Pairing(Trust()), *[b"always"] * 200)

    assert doubts.count(Doubt.REPEAT) <= FREE_REPEATS + 200 / 64 + 1
    assert Doubt.REPEAT not in doubts[50:62]


def test_rest_lasts_as_long_as_answers_take_within_bounds() -> None:
    for seconds, rest in ((0.001, LEAST_REST_SECONDS), (2.0, REST_MEANS * 2.0), (1000.0, MOST_REST_SECONDS)):
        trust = Trust()
        carry(Pairing(trust), *distinct(40), seconds=seconds)

        assert trust.rest_seconds == pytest.approx(rest)


def test_connection_that_was_idle_for_long_enough_is_clean(caplog: pytest.LogCaptureFixture) -> None:
    pairing = Pairing(Trust())
    carry(pairing, *distinct(3), seconds=1.0)

    pairing.note_idle(now=1.5)
    pairing.judge(response(b"foreign"), ADDRESS)
    assert "row-1, row-2, row-3" in caplog.text

    caplog.clear()
    pairing.note_idle(now=1.0 + REST_MEANS + 0.1)
    pairing.judge(response(b"foreign"), ADDRESS)
    assert "row-" not in caplog.text


HARMLESS = {
    "a goodbye": response(b"", 408),
    "an overloaded server": response(b"{}", 503),
    "line breaks": b"\r\n\r\n",
    "garbage": b"\x00\x01",
    "text": b"bye",
}


@pytest.mark.parametrize("name", HARMLESS)
def test_bytes_that_are_no_answer_prove_nothing(name: str, caplog: pytest.LogCaptureFixture) -> None:
    trust = Trust()
    pairing = Pairing(trust)
    carry(pairing, *distinct(3))

    assert answer_in(HARMLESS[name]) is None
    assert pairing.judge(HARMLESS[name], ADDRESS)
    assert pairing.judge(HARMLESS[name], ADDRESS, Doubt.REST_IS_DUE)
    assert not pairing.judge(HARMLESS[name], ADDRESS, Doubt.REPEAT)  # nothing acquits it either
    assert not trust.broken
    assert caplog.text == ""


@pytest.mark.parametrize("cut", [9, 20, 45])
def test_part_of_an_answer_counts_as_one(cut: int) -> None:
    assert answer_in(response(bytes(40))[:cut]) == 0


def test_second_copy_between_two_requests_harms_no_row(caplog: pytest.LogCaptureFixture) -> None:
    trust = Trust()
    pairing = Pairing(trust)
    carry(pairing, *distinct(3))

    assert pairing.judge(response(b"answer 2"), ADDRESS)

    assert "answered a request twice" in caplog.text
    assert "may hold another" not in caplog.text
    assert trust.broken


def test_foreign_answer_names_the_rows_that_may_be_wrong(caplog: pytest.LogCaptureFixture) -> None:
    trust = Trust()
    pairing = Pairing(trust)
    carry(pairing, *distinct(3))

    assert not pairing.judge(response(b"foreign"), ADDRESS, Doubt.REST_IS_DUE)

    assert "these rows may hold another row's answer, so check them or send them again: row-1, row-2;" in caplog.text  # row-3 is sent again
    assert caplog.records[0].levelno == logging.WARNING
    assert trust.broken


def test_answer_behind_a_repeat_proves_the_repeat_wrong_and_no_other_row(caplog: pytest.LogCaptureFixture) -> None:
    pairing = Pairing(Trust())
    carry(pairing, b"first", b"copied", b"copied")

    assert not pairing.judge(response(b"its own"), ADDRESS, Doubt.REPEAT)
    assert "which is sent again" in caplog.text
    assert "may hold another" not in caplog.text


def test_third_copy_does_not_acquit_a_repeat() -> None:
    pairing = Pairing(Trust())
    carry(pairing, b"copied", b"copied")

    assert not pairing.judge(response(b"copied"), ADDRESS, Doubt.REPEAT)


def test_first_answer_of_a_connection_is_always_right(caplog: pytest.LogCaptureFixture) -> None:
    pairing = Pairing(Trust())
    carry(pairing, b"first")

    assert pairing.judge(response(b"foreign"), ADDRESS, Doubt.REST_IS_DUE)
    assert "may hold another" not in caplog.text


def test_endpoint_that_was_caught_gets_one_request_per_connection() -> None:
    trust = Trust()
    old, new = Pairing(trust), Pairing(trust)
    carry(old, *distinct(2))
    assert not old.is_spent()
    assert not old.doubts_all()

    trust.lose("caught")
    carry(new, b"first")

    assert old.is_spent()
    assert old.doubts_all()
    assert new.is_spent()
    assert not new.doubts_all()


def test_warning_of_a_change_is_given_once(caplog: pytest.LogCaptureFixture) -> None:
    trust = Trust()

    trust.lose("caught")
    trust.lose("caught again")

    assert caplog.text.count("one request only") == 1


def test_connection_is_spent_by_as_many_requests_as_configured() -> None:
    pairing = Pairing(Trust(max_requests=2))

    carry(pairing, b"1")
    assert not pairing.is_spent()
    carry(pairing, b"2")
    assert pairing.is_spent()


def ask(pairing: Pairing, own: str, echoed: bytes | None) -> bool:
    pairing.requests += 1
    headers = [(b"content-length", b"2")] + ([(b"x-request-id", echoed)] if echoed is not None else [])
    return pairing.echoes_another(headers, own)


def test_echo_of_another_request_is_proof() -> None:
    pairing = Pairing(Trust())

    assert [ask(pairing, "id-1", b"id-1"), ask(pairing, "id-2", b"id-2"), ask(pairing, "id-3", b"id-2")] == [False, False, True]


@pytest.mark.parametrize("second", [None, b"an id of the provider's own", b"id-2"])
def test_echo_that_is_missing_or_unknown_proves_nothing(second: bytes | None) -> None:
    pairing = Pairing(Trust())

    assert not ask(pairing, "id-1", b"id-1")
    assert not ask(pairing, "id-2", second)


def test_provider_without_an_echo_is_asked_once_for_each_connection() -> None:
    trust = Trust()
    pairing = Pairing(trust)

    assert not ask(pairing, "id-1", None)
    assert not ask(pairing, "id-2", b"id-1")
    assert trust.echo is None
