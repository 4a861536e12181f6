"""Undoes content codings. The output never grows past its cap, whatever the input promises."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

from pipeline.edges.http.response import MalformedResponseError
from pipeline.records import FaultCause

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

MAX_CODINGS = 4  # more than one is already unheard of
ZSTD_WINDOW = 8 << 20  # RFC 9659: the most that a zstd content coding may ask for
_ZSTD_STEP = 512  # input per step: 3 bytes of zstd can make 128 KiB, so one step overshoots the cap by 22 MiB at worst


def decode(body: bytes, codings: Sequence[bytes], cap: int) -> bytes:
    """The body with its codings undone, last first. Raises MalformedResponseError; so does more than `cap` bytes."""
    if len(codings) > MAX_CODINGS:
        raise MalformedResponseError(f"{len(codings)} content codings")
    for coding in reversed(codings):
        undo = _DECODERS.get(coding)
        if undo is None:
            raise MalformedResponseError(f"content coding {coding!r}")
        body = undo(body, cap) if body else body
    return body


def _grown(cap: int) -> MalformedResponseError:
    return MalformedResponseError(f"a body of more than {cap} bytes once decoded", FaultCause.TOO_LARGE)


def _broken(coding: str, reason: object) -> MalformedResponseError:
    return MalformedResponseError(f"a broken {coding} body: {reason}")


def _identity(body: bytes, cap: int) -> bytes:
    del cap  # what was received is within it
    return body


def _inflate(body: bytes, cap: int, wbits: int) -> tuple[bytes, bytes]:
    """One zlib stream, and what comes after it."""
    stream = zlib.decompressobj(wbits)
    decoded = stream.decompress(body, cap + 1)
    if len(decoded) > cap:
        raise _grown(cap)
    if not stream.eof:
        raise zlib.error("cut short")
    return decoded, stream.unused_data


def _gzip(body: bytes, cap: int) -> bytes:
    members: list[bytes] = []
    try:
        while body:
            member, body = _inflate(body, cap - sum(map(len, members)), 16 + zlib.MAX_WBITS)
            members.append(member)
    except zlib.error as error:
        raise _broken("gzip", error) from None
    return b"".join(members)


def _deflate(body: bytes, cap: int) -> bytes:
    # RFC 9110 means zlib's format; some servers send the bare one. zlib's first byte has 8 in its low half.
    wrapped = body[0] & 0x0F == 8 and len(body) > 1 and int.from_bytes(body[:2], "big") % 31 == 0
    try:
        return _inflate(body, cap, zlib.MAX_WBITS if wrapped else -zlib.MAX_WBITS)[0]
    except zlib.error as error:
        raise _broken("deflate", error) from None


def _zstd(body: bytes, cap: int) -> bytes:
    try:
        import zstandard  # noqa: PLC0415  8 ms that few runs need
    except ImportError:
        raise _broken("zstd", "zstandard is not installed") from None
    maker = zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW)
    frame = maker.decompressobj()
    out: list[bytes] = []
    size = 0
    try:
        for start in range(0, len(body), _ZSTD_STEP):
            rest = body[start : start + _ZSTD_STEP]
            while rest:
                if frame.eof:
                    frame = maker.decompressobj()
                out.append(frame.decompress(rest))
                rest = frame.unused_data
                size += len(out[-1])
                if size > cap:
                    raise _grown(cap)
    except zstandard.ZstdError as error:
        raise _broken("zstd", error) from None
    if not frame.eof:
        raise _broken("zstd", "cut short")
    return b"".join(out)


def _brotli(body: bytes, cap: int) -> bytes:
    try:
        import brotli  # noqa: PLC0415  an extra
    except ImportError:
        raise _broken("br", "brotli is not installed") from None
    stream = brotli.Decompressor()
    try:
        decoded: bytes = stream.process(body, output_buffer_limit=cap + 1)
        while len(decoded) <= cap and not stream.is_finished():
            more = stream.process(b"", output_buffer_limit=cap + 1 - len(decoded))
            if not more:
                raise _broken("br", "cut short")
            decoded += more
    except brotli.error as error:
        raise _broken("br", error) from None
    if len(decoded) > cap:
        raise _grown(cap)
    return decoded


_DECODERS: dict[bytes, Callable[[bytes, int], bytes]] = {
    b"": _identity,
    b"identity": _identity,
    b"gzip": _gzip,
    b"x-gzip": _gzip,
    b"deflate": _deflate,
    b"zstd": _zstd,
    b"br": _brotli,
}
