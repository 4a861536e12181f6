"""What a fault does on the wire: turns a reply's bytes into steps for the socket. Pure: bytes in, steps out."""

from __future__ import annotations

import re
from enum import Enum, auto
from typing import TYPE_CHECKING

from msgspec import Struct

from pipeline.simulate.faults import Fault

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.simulate.streams import Stream


class Send(Struct, frozen=True):
    """Send these bytes."""

    data: bytes


class Repeat(Struct, frozen=True):
    """Send these bytes again and again until the client goes. every_seconds: 0 for as fast as it reads."""

    data: bytes
    every_seconds: float


class Pause(Struct, frozen=True):
    """Send nothing for a while."""

    seconds: float


class End(Enum):
    """A step that ends the connection."""

    CLOSE = auto()
    RESET = auto()
    HANG = auto()  # keep it open in silence until the client goes


Step = Send | Repeat | Pause | End
Steps = tuple[Step, ...]

LENGTH = re.compile(rb"content-length: \d+\r\n", re.IGNORECASE)
CHUNK_BYTES = 1000
DOUBLED_SECONDS = 0.003  # a busy client has sent its next request by then
FLOOD = b"10000\r\n" + b" " * 65_536 + b"\r\n"
EARLY = b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </style.css>; rel=preload\r\n\r\n"
CLOSE = b"connection: close"
CHUNKED = b"transfer-encoding: chunked"


def steps_for(fault: Fault | None, head: bytes, body: bytes, drip_seconds: float) -> Steps:
    """The steps that put a reply on the wire. head: status line and headers, with a content-length, up to the empty line."""
    if fault is Fault.DRIP:
        return Send(_framed(head, b"content-length: 1000000000")), Repeat(b" ", drip_seconds)
    if fault is Fault.DRIP_HEADERS:
        return Send(head[:-2] + b"x-drip: "), Repeat(b".", drip_seconds)
    if fault is None or fault not in WIRE:
        return (Send(head + body),)
    return WIRE[fault](head, body)


def stream_steps(stream: Stream, head: bytes, at_once: int, pause_seconds: float, drip_seconds: float) -> Steps:
    """The steps that put a stream on the wire, a chunk for each write. at_once: frames in one write. pause_seconds: between two writes."""
    writes = [b"".join(stream.frames[at : at + at_once]) for at in range(0, len(stream.frames), at_once)]
    steps: list[Step] = [Send(_framed(head, CHUNKED))]
    for number, data in enumerate(writes):
        if number and pause_seconds > 0:
            steps.append(Pause(pause_seconds))
        steps.append(Send(b"%x\r\n%b\r\n" % (len(data), data)))
    if stream.then is None:
        return *steps, Send(b"0\r\n\r\n")
    if stream.then is Fault.STREAM_STALL:
        return *steps, End.HANG
    return *steps, Repeat(b"%x\r\n%b\r\n" % (len(stream.ping), stream.ping), drip_seconds)


def ends_before(steps: Steps) -> int:
    """The step before which the server counts the request as answered; len(steps) where only the client can end it.

    It is the last that sends, or else the first: the client may see the end of an answer, and send its next request, before
    the server is told that the bytes have left.
    """
    if isinstance(steps[-1], Repeat) or steps[-1] is End.HANG:
        return len(steps)
    if len(steps) > 1 and steps[0] == steps[-1]:
        return 0  # an answer that comes twice: the first one ends the request
    return max((index for index, step in enumerate(steps) if isinstance(step, Send)), default=0)


def _half(head: bytes, body: bytes) -> Send:
    return Send(head + body[: len(body) // 2])


def _framed(head: bytes, framing: bytes) -> bytes:
    """The head with another header in place of the content-length."""
    return LENGTH.sub(framing + b"\r\n", head, count=1)


def _added(head: bytes, header: bytes) -> bytes:
    return head[:-2] + header + b"\r\n\r\n"


def _chunks(body: bytes) -> bytes:
    """The body in chunks with extensions, without the last one."""
    parts = [body[at : at + CHUNK_BYTES] for at in range(0, len(body), CHUNK_BYTES)]
    return b"".join(b'%x;part="%d"\r\n%b\r\n' % (len(part), number, part) for number, part in enumerate(parts))


def _trickle(head: bytes, body: bytes) -> Steps:
    """The head and the start of the body byte by byte, the rest at once."""
    whole, alone = head + body, len(head) + 16
    return *(Send(whole[at : at + 1]) for at in range(alone)), Send(whole[alone:])


WIRE: dict[Fault, Callable[[bytes, bytes], Steps]] = {
    Fault.CUT_BODY: lambda head, body: (_half(head, body), End.CLOSE),
    Fault.CUT_CHUNKED: lambda head, body: (Send(_framed(head, CHUNKED) + _chunks(body[: len(body) // 2])), End.CLOSE),
    Fault.RESET_BEFORE: lambda _head, _body: (End.RESET,),
    Fault.RESET_IN_BODY: lambda head, body: (_half(head, body), End.RESET),
    Fault.CLOSE_BEFORE: lambda _head, _body: (End.CLOSE,),
    Fault.STALL: lambda _head, _body: (End.HANG,),
    Fault.STALL_IN_BODY: lambda head, body: (_half(head, body), End.HANG),
    Fault.ENDLESS: lambda head, _body: (Send(_framed(head, CHUNKED)), Repeat(FLOOD, 0.0)),
    Fault.GARBAGE: lambda _head, _body: (Send(b"\x16\x03\x01 this is not HTTP\r\n\r\n"), End.CLOSE),
    Fault.HUGE_HEADER: lambda head, body: (Send(_added(head, b"x-huge: " + b"h" * 2**20) + body), End.CLOSE),
    Fault.TWO_LENGTHS: lambda head, body: (Send(_added(head, b"content-length: %d" % (len(body) + 1)) + body), End.CLOSE),
    Fault.CHUNKED: lambda head, body: (
        Send(_framed(head, CHUNKED + b"\r\ntrailer: x-checksum") + _chunks(body) + b"0;last\r\nx-checksum: 0\r\n\r\n"),
    ),
    Fault.INFORMATIONAL: lambda head, body: (Send(EARLY + head + body),),
    Fault.CLOSE_UNANNOUNCED: lambda head, body: (Send(head + body), End.CLOSE),
    Fault.CLOSE_ANNOUNCED: lambda head, body: (Send(_added(head, CLOSE) + body), End.CLOSE),
    Fault.CLOSE_DELIMITED: lambda head, body: (Send(_framed(head, CLOSE) + body), End.CLOSE),
    Fault.HTTP10: lambda head, body: (Send(_framed(head, CLOSE).replace(b"HTTP/1.1", b"HTTP/1.0", 1) + body), End.CLOSE),
    Fault.TRICKLE: _trickle,
    Fault.DOUBLED: lambda head, body: (Send(head + body), Pause(DOUBLED_SECONDS), Send(head + body)),
    Fault.EXTRA_BYTES: lambda head, body: (Send(head + body + b"\r\nextra"),),
}
ON_THE_WIRE = frozenset({*WIRE, Fault.DRIP, Fault.DRIP_HEADERS})
