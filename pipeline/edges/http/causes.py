"""Why a connection or an exchange failed: the exception of whatever library raised it, as a FaultCause and a sentence.

Everything that knows which exception means what stands here. Nothing here waits or sends.
"""

from __future__ import annotations

import errno
import os
import socket
import ssl
from typing import TYPE_CHECKING

from pipeline.edges.http.response import MalformedResponseError
from pipeline.records import FailureKind, Fault, FaultCause

if TYPE_CHECKING:
    from collections.abc import Iterator

_BY_ERRNO = {
    errno.ECONNREFUSED: FaultCause.REFUSED,
    errno.ENOENT: FaultCause.REFUSED,  # a Unix socket that nobody has made
    errno.ECONNRESET: FaultCause.CLOSED,
    errno.ECONNABORTED: FaultCause.CLOSED,
    errno.EPIPE: FaultCause.CLOSED,
    errno.ETIMEDOUT: FaultCause.CONNECT_TIMEOUT,
}
_ADVICE = {
    FaultCause.REFUSED: "is the server running, and is provider.base_url right?",
    FaultCause.DNS: "check the host in provider.base_url, and the network",
    FaultCause.TLS: "if the server is the right one, name the certificate of its authority in provider.tls.ca",
}
NOT_LEFT = Fault(
    FailureKind.CONNECTION,
    "others had this process's share of the limits before the request could leave",
    maybe_sent=False,
    cause=FaultCause.NOT_LEFT,
)
_OUT_OF_FILES = frozenset((errno.EMFILE, errno.ENFILE))
_PLAIN_HTTP = frozenset(("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG", "RECORD_LAYER_FAILURE"))

# How OpenSSL calls the alerts that are about a client's certificate.
_OF_CERTIFICATES = (
    "CERTIFICATE",
    "CERTIFICATE_REQUIRED",
    "CERTIFICATE_REVOKED",
    "CERTIFICATE_EXPIRED",
    "CERTIFICATE_UNKNOWN",
    "UNKNOWN_CA",
)


def connect_cause(error: BaseException) -> FaultCause:
    """Why a connection could not be made. error: what was raised, with the exceptions that led to it attached."""
    for each in _chain(error):
        if isinstance(each, ssl.SSLCertVerificationError):
            return FaultCause.TLS
        if isinstance(each, (ssl.SSLEOFError, ssl.SSLZeroReturnError)):
            return FaultCause.CLOSED
        if isinstance(each, ssl.SSLError):
            return FaultCause.TLS_OTHER
        if isinstance(each, (socket.gaierror, UnicodeError)):
            return FaultCause.DNS
        if isinstance(each, OSError) and each.errno is not None:
            return _BY_ERRNO.get(each.errno, FaultCause.UNREACHABLE)
    return FaultCause.UNREACHABLE


def connect_message(address: str, cause: FaultCause, error: BaseException) -> str:
    """Why a connection could not be made and what to do about it, in one line. address: host and port, or a path."""
    origin = _origin(error)
    advice = _ADVICE.get(cause)
    if isinstance(origin, OSError) and origin.errno in _OUT_OF_FILES:
        advice = "raise the limit (ulimit -n), or lower limits.max_in_flight"
    elif isinstance(origin, OSError) and origin.errno == errno.ENOENT:
        advice = "is the server running, and is provider.unix_socket right?"
    elif isinstance(origin, ssl.SSLError) and _openssl_reason(origin) in _PLAIN_HTTP:
        advice = "the server seems to speak plain http there; is https:// in provider.base_url right?"
    message = f"cannot connect to {address}: {_reason(origin)}"
    return f"{message}; {advice}" if advice else message


def exchange_cause(error: BaseException) -> FaultCause:
    """Why an exchange on an open connection failed."""
    if isinstance(error, MalformedResponseError):
        return error.cause
    return FaultCause.TLS_OTHER if refuses_our_certificate(error) else FaultCause.CLOSED


def refuses_our_certificate(error: BaseException) -> bool:
    """Whether the server ended the handshake over our certificate, or for want of one; it has read no request then.

    In TLS 1.3 we learn of it only behind the first request, which leaves with the end of our handshake.
    """
    reason = (_openssl_reason(error) or "") if isinstance(error, ssl.SSLError) else ""
    return "_ALERT_" in reason and reason.endswith(_OF_CERTIFICATES)


def exchange_message(address: str, error: BaseException, *, started: bool) -> str:
    """The same in one line. started: a part of the response had come."""
    if not isinstance(error, MalformedResponseError):
        return f"the connection to {address} broke: {_reason(error)}"
    if not started:
        return f"{address} closed the connection without an answer"
    return str(error)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An exception, and what it was raised from. trio and httpx put the operating system's error there, trio in a group."""
    seen: set[int] = set()
    following: BaseException | None = error
    while following is not None and id(following) not in seen:
        seen.add(id(following))
        if isinstance(following, BaseExceptionGroup):
            following = following.exceptions[0]
            continue
        yield following
        following = following.__cause__ or following.__context__


def _origin(error: BaseException) -> BaseException:
    """The exception of the chain that says most: the last one that the operating system or OpenSSL gave a reason for."""
    origin = error
    for each in _chain(error):
        if isinstance(each, UnicodeError) or (isinstance(each, OSError) and each.errno is not None):
            return each
        origin = each if str(each) else origin
    return origin


def _reason(error: BaseException) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate does not verify: {getattr(error, 'verify_message', None) or error}"
    if isinstance(error, ssl.SSLError):
        reason = _openssl_reason(error) or error.strerror or str(error)
        return f"the TLS handshake failed: {reason.replace('_', ' ').lower()}"
    if isinstance(error, OSError) and error.strerror:
        # trio puts the address into strerror, so ask the system again; a resolver's numbers are its own.
        known = not isinstance(error, socket.gaierror) and error.errno in errno.errorcode
        reason = os.strerror(error.errno or 0) if known else error.strerror
        return reason[:1].lower() + reason[1:]
    return str(error) or type(error).__name__


def _openssl_reason(error: ssl.SSLError) -> str | None:
    """OpenSSL's name for the reason. An SSLError that Python code raised has none, not even the attribute."""
    return getattr(error, "reason", None)
