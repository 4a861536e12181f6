"""Every exception of a connection or an exchange has a cause and a sentence that says what to do."""

from __future__ import annotations

import errno
import os
import socket
import ssl

import httpx
import pytest

from pipeline.edges.http.causes import connect_cause, connect_message, exchange_cause, exchange_message
from pipeline.edges.http.response import MalformedResponseError
from pipeline.records import FaultCause


def of_errno(number: int) -> OSError:
    return OSError(number, os.strerror(number))


def of_certificate() -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed")
    error.verify_message = "self-signed certificate"
    return error


def wrapped(error: BaseException) -> BaseException:
    """As trio and httpx hand it over: the reason is in a group, behind an exception of their own."""
    outer = httpx.ConnectError("All connection attempts failed")
    outer.__cause__ = OSError("all attempts to connect failed")
    outer.__cause__.__cause__ = BaseExceptionGroup("several", [error])
    return outer


CONNECT: dict[str, tuple[BaseException, FaultCause, str]] = {
    "refused": (of_errno(errno.ECONNREFUSED), FaultCause.REFUSED, "connection refused; is the server running"),
    "no socket file": (of_errno(errno.ENOENT), FaultCause.REFUSED, "no such file or directory; is the server running"),
    "no route": (of_errno(errno.EHOSTUNREACH), FaultCause.UNREACHABLE, "no route to host"),
    "no network": (of_errno(errno.ENETUNREACH), FaultCause.UNREACHABLE, "network is unreachable"),
    "no files left": (of_errno(errno.EMFILE), FaultCause.UNREACHABLE, "too many open files; raise the limit (ulimit -n)"),
    "no answer to SYN": (of_errno(errno.ETIMEDOUT), FaultCause.CONNECT_TIMEOUT, "connection timed out"),
    "reset": (of_errno(errno.ECONNRESET), FaultCause.CLOSED, "connection reset by peer"),
    "unknown name": (socket.gaierror(-2, "Name or service not known"), FaultCause.DNS, "not known; check the host in provider.base_url"),
    "name that IDNA refuses": (UnicodeError("label too long"), FaultCause.DNS, "label too long; check the host"),
    "certificate": (of_certificate(), FaultCause.TLS, "self-signed certificate; if the server is the right one"),
    "handshake": (ssl.SSLError(1, "[SSL] internal error"), FaultCause.TLS_OTHER, "the TLS handshake failed"),
    "closed in the handshake": (ssl.SSLEOFError(8, "EOF occurred"), FaultCause.CLOSED, "EOF occurred"),
}


@pytest.mark.parametrize("name", CONNECT)
@pytest.mark.parametrize("through", [lambda error: error, wrapped], ids=["bare", "wrapped"])
def test_what_prevented_a_connection_is_named_with_what_to_do(name: str, through: object) -> None:
    bare, cause, words = CONNECT[name]
    error = through(bare)  # type: ignore[operator]  # either of the two above

    assert connect_cause(error) is cause
    message = connect_message("api.example.com:443", cause, error)
    assert message.startswith("cannot connect to api.example.com:443: ")
    assert words.lower() in message.lower()
    assert "\n" not in message


def test_certificate_trouble_names_the_key_that_mends_it() -> None:
    assert "provider.tls.ca" in connect_message("a:443", FaultCause.TLS, of_certificate())


def test_plain_http_on_a_tls_address_is_suspected() -> None:
    error = ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number")
    error.reason = "WRONG_VERSION_NUMBER"

    assert "is https:// in provider.base_url right?" in connect_message("a:443", FaultCause.TLS_OTHER, error)


def test_error_without_a_reason_still_has_a_cause() -> None:
    assert connect_cause(OSError()) is FaultCause.UNREACHABLE
    assert connect_message("a:1", FaultCause.UNREACHABLE, OSError()) == "cannot connect to a:1: OSError"


def test_exceptions_that_lead_to_each_other_in_a_circle_are_looked_at_once() -> None:
    first, second = RuntimeError("a"), RuntimeError("b")
    first.__cause__, second.__cause__ = second, first

    assert connect_cause(first) is FaultCause.UNREACHABLE


def test_broken_exchange_has_the_cause_of_its_error() -> None:
    large = MalformedResponseError("too much", FaultCause.TOO_LARGE)

    assert exchange_cause(large) is FaultCause.TOO_LARGE
    assert exchange_cause(MalformedResponseError("junk")) is FaultCause.PROTOCOL
    assert exchange_cause(of_errno(errno.ECONNRESET)) is FaultCause.CLOSED
    assert exchange_message("a:1", large, started=True) == "too much"
    assert exchange_message("a:1", large, started=False) == "a:1 closed the connection without an answer"
    assert exchange_message("a:1", of_errno(errno.ECONNRESET), started=True) == "the connection to a:1 broke: connection reset by peer"
