"""Evidence that an answer belongs to another request: what is a reason for doubt, what is proof, and what means nothing."""

from __future__ import annotations

import logging

import pytest

from pipeline.edges.http.pairing import (
    ASK_AGAIN,
    FREE_REPEATS,
    LEAST_REST_SECONDS,
    MOST_REST_SECONDS,
    REST_EVERY,
    REST_EVERY_SECONDS,
    REST_MEANS,
    Doubt,
    Pairing,
    Trust,
    answer_in,
    fingerprint,
)
from pipeline.heads import ResponseHeaders

ADDRESS = "relay.example:443"
LATER = REST_EVERY_SECONDS + 1


def pairing_of(trust: Trust) -> Pairing:
    return Pairing(trust, 0.0)


def response(body: bytes, status: int = 200) -> bytes:
    return b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body)


def carry(pairing: Pairing, *bodies: bytes) -> None:
    """Answers on a connection, one after the other, as senders keep them."""
    for body in bodies:
        pairing.rows.append(f"row-{len(pairing.rows) + 1}")
        pairing.before, pairing.last = pairing.last, fingerprint(body)


def distinct(count: int) -> list[bytes]:
    return [b"answer %d" % number for number in range(count)]


def test_rest_is_due_after_many_requests_and_some_time() -> None:
    pairing = pairing_of(Trust())
    carry(pairing, *distinct(REST_EVERY - 1))
    assert not pairing.rest_is_due(LATER)

    carry(pairing, b"one more")

    assert not pairing.rest_is_due(REST_EVERY_SECONDS - 1)
    assert pairing.room == REST_EVERY + ASK_AGAIN
    assert pairing.rest_is_due(LATER)


def test_clean_rest_starts_both_counts_anew() -> None:
    pairing = pairing_of(Trust())
    carry(pairing, *distinct(REST_EVERY + 7))

    pairing.note_clean(LATER)
    assert (pairing.rows, pairing.room) == ([], REST_EVERY)
    carry(pairing, *distinct(REST_EVERY))

    assert not pairing.rest_is_due(2 * LATER - 2)
    assert pairing.rest_is_due(2 * LATER)


def test_bodies_that_differ_in_length_or_beginning_are_no_repeats() -> None:
    middle = bytes(100_000)

    assert fingerprint(b"a" + middle) != fingerprint(b"b" + middle)
    assert fingerprint(middle) != fingerprint(middle + b"\0")
    assert fingerprint(b"a" + middle) == fingerprint(b"a" + bytes(100_000))


def test_provider_that_repeats_itself_is_soon_not_minded() -> None:
    trust = Trust()

    minded = [trust.minds_repeat() for _ in range(100)]
    trust.count(6400)
    again = [trust.minds_repeat() for _ in range(100)]

    assert minded == [True] * FREE_REPEATS + [False] * (100 - FREE_REPEATS)
    assert again.count(True) == FREE_REPEATS  # 108 of them in 6,400 answers, and 100 were there before


def test_rest_lasts_as_long_as_answers_take_within_bounds() -> None:
    for seconds, rest in ((0.001, LEAST_REST_SECONDS), (2.0, REST_MEANS * 2.0), (1000.0, MOST_REST_SECONDS)):
        trust = Trust()
        for _ in range(40):
            trust.took(seconds)

        assert trust.rest_seconds == pytest.approx(rest)


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
    pairing = pairing_of(trust)
    carry(pairing, *distinct(3))

    assert answer_in(HARMLESS[name]) is None
    assert pairing.judge(HARMLESS[name], ADDRESS)
    assert pairing.judge(HARMLESS[name], ADDRESS, Doubt.REST_IS_DUE)
    assert not pairing.judge(HARMLESS[name], ADDRESS, Doubt.REPEAT)  # nothing acquits it either
    assert not trust.broken
    assert caplog.text == ""


@pytest.mark.parametrize("cut", [9, 20, 45])
def test_part_of_an_answer_counts_as_one(cut: int) -> None:
    assert answer_in(response(bytes(40))[:cut]) == b""


def test_second_copy_between_two_requests_harms_no_row(caplog: pytest.LogCaptureFixture) -> None:
    trust = Trust()
    pairing = pairing_of(trust)
    carry(pairing, *distinct(3))

    assert pairing.judge(response(b"answer 2"), ADDRESS)

    assert "answered a request twice" in caplog.text
    assert "may hold another" not in caplog.text
    assert trust.broken


def test_foreign_answer_names_the_rows_that_may_be_wrong(caplog: pytest.LogCaptureFixture) -> None:
    trust = Trust()
    pairing = pairing_of(trust)
    carry(pairing, *distinct(3))

    assert not pairing.judge(response(b"foreign"), ADDRESS, Doubt.REST_IS_DUE)

    assert "these rows may hold another row's answer, so check them or send them again: row-1, row-2;" in caplog.text  # row-3 is sent again
    assert caplog.records[0].levelno == logging.WARNING
    assert trust.broken


def test_answer_behind_a_repeat_proves_the_repeat_wrong_and_no_other_row(caplog: pytest.LogCaptureFixture) -> None:
    pairing = pairing_of(Trust())
    carry(pairing, b"first", b"copied", b"copied")

    assert not pairing.judge(response(b"its own"), ADDRESS, Doubt.REPEAT)
    assert "which is sent again" in caplog.text
    assert "may hold another" not in caplog.text


def test_third_copy_does_not_acquit_a_repeat() -> None:
    pairing = pairing_of(Trust())
    carry(pairing, b"copied", b"copied")

    assert not pairing.judge(response(b"copied"), ADDRESS, Doubt.REPEAT)


def test_first_answer_of_a_connection_is_always_right(caplog: pytest.LogCaptureFixture) -> None:
    pairing = pairing_of(Trust())
    carry(pairing, b"first")

    assert pairing.judge(response(b"foreign"), ADDRESS, Doubt.REST_IS_DUE)
    assert "may hold another" not in caplog.text


def test_endpoint_that_was_caught_gets_one_request_per_connection() -> None:
    trust = Trust()
    old, new = pairing_of(trust), pairing_of(trust)
    carry(old, *distinct(2))
    assert not old.is_spent
    assert not old.doubts_all

    trust.lose("caught")
    carry(new, b"first")

    assert old.is_spent
    assert old.doubts_all
    assert new.is_spent
    assert not new.doubts_all
    assert trust.alert


def test_warning_of_a_change_is_given_once(caplog: pytest.LogCaptureFixture) -> None:
    trust = Trust()

    trust.lose("caught")
    trust.lose("caught again")

    assert caplog.text.count("one request only") == 1


def test_connection_is_spent_by_as_many_requests_as_configured() -> None:
    pairing = pairing_of(Trust(max_requests=2))
    assert not pairing.has_carried

    carry(pairing, b"1")
    assert pairing.has_carried
    assert not pairing.is_spent
    carry(pairing, b"2")
    assert len(pairing.rows) >= pairing.room
    assert pairing.is_spent


def test_bound_on_requests_holds_across_a_clean_rest() -> None:
    pairing = pairing_of(Trust(max_requests=REST_EVERY + 2))
    carry(pairing, *distinct(REST_EVERY))
    pairing.note_clean(LATER)

    assert pairing.room == 2
    carry(pairing, *distinct(2))
    assert pairing.is_spent


def ask(pairing: Pairing, own: str, echoed: bytes | None) -> bool:
    pairing.rows.append("row")
    headers = [(b"content-length", b"2")] + ([(b"x-request-id", echoed)] if echoed is not None else [])
    return pairing.echoes_another(headers, own)


def test_echo_of_another_request_is_proof() -> None:
    pairing = pairing_of(Trust())

    assert [ask(pairing, "id-1", b"id-1"), ask(pairing, "id-2", b"id-2"), ask(pairing, "id-3", b"id-2")] == [False, False, True]


@pytest.mark.parametrize("value, echo", [(b"Id-1", b"x-request-id"), (b"id-1", None), (b"another", None)])
def test_echo_is_found_in_a_head_that_nobody_has_parsed(value: bytes, echo: bytes | None) -> None:
    trust = Trust()
    pairing = pairing_of(trust)
    pairing.rows.append("row")

    assert not pairing.echoes_another(ResponseHeaders(b"HTTP/1.1 200 OK\r\nX-Request-Id: %b\r\n" % value), "Id-1")
    assert trust.echo == echo


def test_head_without_the_id_is_not_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first answer of each connection is asked, and there are thousands of connections."""
    pairing = pairing_of(Trust())
    pairing.rows.append("row")
    monkeypatch.setattr(ResponseHeaders, "__iter__", None)

    assert not pairing.echoes_another(ResponseHeaders(b"HTTP/1.1 200 OK\r\nX-Request-Id: another\r\n"), "id-1")


@pytest.mark.parametrize("second", [None, b"an id of the provider's own", b"id-2"])
def test_echo_that_is_missing_or_unknown_proves_nothing(second: bytes | None) -> None:
    pairing = pairing_of(Trust())

    assert not ask(pairing, "id-1", b"id-1")
    assert not ask(pairing, "id-2", second)


def test_provider_without_an_echo_is_asked_once_for_each_connection() -> None:
    trust = Trust()
    pairing = pairing_of(trust)

    assert not ask(pairing, "id-1", None)
    assert not ask(pairing, "id-2", b"id-1")
    assert trust.echo is None
