"""Which session a new connection begins by."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest
from attrs import define

from pipeline.edges.http.sessions import MOST_FRUITLESS, ServerSession

if TYPE_CHECKING:
    import ssl


@define(eq=False)
class Session:
    """What is looked at of an `ssl.SSLSession`, which only a handshake can make."""

    has_ticket: bool = True


def session(*, has_ticket: bool = True) -> ssl.SSLSession:
    return cast("ssl.SSLSession", Session(has_ticket))


def test_session_without_a_ticket_is_of_no_use() -> None:
    server = ServerSession()

    assert not server.tell(session(has_ticket=False))
    assert not server.tell(None)
    assert server.offered is None
    assert server.is_wanted


def test_no_other_session_is_wanted_while_one_is_offered() -> None:
    server = ServerSession()
    first = session()

    assert server.tell(first)
    assert server.offered is first
    assert not server.is_wanted


def test_refused_session_is_offered_no_more() -> None:
    server = ServerSession()
    first = session()
    server.tell(first)

    server.failed(first)

    assert server.offered is None
    assert server.is_wanted


def test_session_that_many_connections_began_by_fails_once() -> None:
    server = ServerSession()
    old, new = session(), session()
    server.tell(old)
    for _ in range(100):
        server.failed(old)

    server.tell(new)
    server.failed(old)

    assert server.offered is new


@pytest.mark.parametrize("gives_tickets", [True, False])
def test_server_to_which_sessions_are_of_no_use_is_left_alone(*, gives_tickets: bool) -> None:
    server = ServerSession()
    for _ in range(MOST_FRUITLESS):
        assert server.is_wanted
        told = session() if gives_tickets else None
        server.tell(told)
        server.failed(told)

    assert not server.is_wanted


def test_one_resumed_session_makes_up_for_those_that_failed() -> None:
    server = ServerSession()
    for _ in range(5 * MOST_FRUITLESS):
        told = session()
        server.tell(told)
        server.resumed()
        server.failed(told)

    assert server.is_wanted
