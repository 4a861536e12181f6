"""Undoes content codings piece by piece: every step is short, and no output grows past its cap.

A server controls every byte here, so nothing may depend on what it promises. Four things bound the work. A step takes little
input and gives little output, so that the event loop can breathe between two steps (`Decoder.feed` is a generator for that).
Each coding counts what it has given and stops at the cap; with several codings this holds for each of them, because what lies
between two of them costs time although nobody keeps it. A body may consist of several gzip members or zstd frames, but only of
so many: each one costs a decompressor, however little is in it. And nothing is looked at twice.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any, Protocol

from pipeline.edges.http.response import MalformedResponseError
from pipeline.records import FaultCause

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

MAX_CODINGS = 4  # more than one is already unheard of
MAX_MEMBERS = 4096  # gzip members or zstd frames of a body; BGZF needs 1,024 for 64 MiB
SLICE_BYTES = 256 * 1024  # the most that a step gives; zstd's steps give up to 4 MiB
ZSTD_WINDOW = 8 << 20  # RFC 9659: the most that a zstd content coding may ask for

_INPUT_BYTES = 16 * 1024  # input per step: zlib copies the unused rest of it after every member
# zstandard's decompressor has no bound on its output. 3 bytes of input can make 128 KiB, so a step makes at most 5 MiB.
_ZSTD_INPUT_BYTES = 128


class Decoder:
    """Undoes the content codings of one body, last first. Raises MalformedResponseError when there are too many.

    A name that nobody knows (`utf-8`, `none`) is passed over, as servers send them over bodies that are not coded at all. Where one
    is, the body is not JSON, and its reader says so.
    """

    __slots__ = ("_stages",)

    def __init__(self, codings: Sequence[bytes], cap: int) -> None:
        if len(codings) > MAX_CODINGS:
            raise MalformedResponseError(f"{len(codings)} content codings")
        self._stages: list[_Stage] = []
        for coding in reversed(codings):
            make = _STAGES.get(coding)
            if make is not None:
                self._stages.append(make(cap))

    def feed(self, data: bytes) -> Iterator[bytes]:
        """What a piece of the body gives, in slices; some are empty. Raises MalformedResponseError, more than `cap` bytes included."""
        return _through(self._stages, 0, data)

    def finish(self) -> None:
        """The body has ended. Raises MalformedResponseError if a coding has not."""
        for stage in self._stages:
            stage.finish()


class _Stage(Protocol):
    """One coding of one body."""

    def feed(self, data: bytes) -> Iterator[bytes]: ...

    def finish(self) -> None: ...


def _through(stages: Sequence[_Stage], at: int, data: bytes) -> Iterator[bytes]:
    if at == len(stages):
        yield data
        return
    for piece in stages[at].feed(data):
        if piece:
            yield from _through(stages, at + 1, piece)
        else:
            yield piece  # a step without output is a step all the same


class _Count:
    """How much a coding has given and in how many members, against its caps."""

    __slots__ = ("_cap", "_members", "_name", "_size", "begun")

    def __init__(self, name: str, cap: int) -> None:
        self._name = name
        self._cap = cap
        self._members = self._size = 0
        self.begun = False  # an empty body needs no decoding

    def add(self, piece: bytes) -> bytes:
        """Count a piece of output."""
        self._size += len(piece)
        if self._size > self._cap:
            raise MalformedResponseError(f"a body of more than {self._cap} bytes once decoded", FaultCause.TOO_LARGE)
        return piece

    def add_member(self) -> None:
        """Count one more member or frame."""
        self.begun = True
        self._members += 1
        if self._members > MAX_MEMBERS:
            raise MalformedResponseError(f"a {self._name} body of more than {MAX_MEMBERS} members", FaultCause.TOO_LARGE)

    def broken(self, reason: object) -> MalformedResponseError:
        """An error that names the coding."""
        return MalformedResponseError(f"a broken {self._name} body: {reason}")


class _Gzip:
    __slots__ = ("_count", "_stream")

    def __init__(self, cap: int) -> None:
        self._count = _Count("gzip", cap)
        self._stream: Any = None

    def feed(self, data: bytes) -> Iterator[bytes]:
        for given in _pieces(data, _INPUT_BYTES):
            rest = given
            while rest:
                if self._stream is None or self._stream.eof:
                    self._count.add_member()
                    self._stream = zlib.decompressobj(16 + zlib.MAX_WBITS)
                yield from _inflate(self._stream, rest, self._count)
                rest = self._stream.unused_data

    def finish(self) -> None:
        if self._count.begun and not self._stream.eof:
            raise self._count.broken("cut short")


class _Deflate:
    """RFC 9110 means zlib's format; some servers send the bare one. The first two bytes tell which."""

    __slots__ = ("_count", "_first", "_stream")

    def __init__(self, cap: int) -> None:
        self._count = _Count("deflate", cap)
        self._first = b""
        self._stream: Any = None

    def feed(self, data: bytes) -> Iterator[bytes]:
        if self._stream is None:
            self._first += data
            if len(self._first) < 2:
                return
            data, self._count.begun = self._first, True
            wrapped = data[0] & 0x0F == 8 and int.from_bytes(data[:2], "big") % 31 == 0
            self._stream = zlib.decompressobj(zlib.MAX_WBITS if wrapped else -zlib.MAX_WBITS)
        for rest in _pieces(data, _INPUT_BYTES):
            if self._stream.eof:
                return  # what is behind the end means nothing
            yield from _inflate(self._stream, rest, self._count)

    def finish(self) -> None:
        if self._first and (self._stream is None or not self._stream.eof):
            raise self._count.broken("cut short")


class _Zstd:
    __slots__ = ("_count", "_error", "_frame", "_maker")

    def __init__(self, cap: int) -> None:
        self._count = _Count("zstd", cap)
        try:
            import zstandard  # noqa: PLC0415  8 ms that few runs need
        except ImportError:
            raise self._count.broken("zstandard is not installed") from None
        self._error = zstandard.ZstdError
        self._maker = zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW)
        self._frame: Any = None

    def feed(self, data: bytes) -> Iterator[bytes]:
        for given in _pieces(data, _ZSTD_INPUT_BYTES):
            rest = given
            while rest:
                if self._frame is None or self._frame.eof:
                    self._count.add_member()
                    self._frame = self._maker.decompressobj()
                try:
                    piece = self._frame.decompress(rest)
                except self._error as error:
                    raise self._count.broken(error) from None
                rest = self._frame.unused_data
                yield self._count.add(piece)

    def finish(self) -> None:
        if self._count.begun and not self._frame.eof:
            raise self._count.broken("cut short")


class _Brotli:
    __slots__ = ("_count", "_error", "_stream")

    def __init__(self, cap: int) -> None:
        self._count = _Count("br", cap)
        try:
            import brotli  # noqa: PLC0415  an extra
        except ImportError:
            raise self._count.broken("brotli is not installed") from None
        self._error = brotli.error
        self._stream: Any = brotli.Decompressor()

    def feed(self, data: bytes) -> Iterator[bytes]:
        self._count.begun = self._count.begun or bool(data)
        for given in _pieces(data, _INPUT_BYTES):
            rest = given
            while True:
                try:
                    piece = self._stream.process(rest, output_buffer_limit=SLICE_BYTES)
                except self._error as error:
                    raise self._count.broken(error) from None
                yield self._count.add(piece)
                # That it can take more input does not mean that it has given all its output.
                if self._stream.is_finished() or not piece:
                    break
                rest = b""

    def finish(self) -> None:
        if self._count.begun and not self._stream.is_finished():
            raise self._count.broken("cut short")


def _inflate(stream: Any, rest: bytes, count: _Count) -> Iterator[bytes]:
    """What a zlib stream makes of a piece of input, up to its end."""
    try:
        while True:
            piece = stream.decompress(rest, SLICE_BYTES)
            yield count.add(piece)
            rest = stream.unconsumed_tail
            # A full slice may have left output behind although all input is taken.
            if stream.eof or not (rest or len(piece) == SLICE_BYTES):
                return
    except zlib.error as error:
        raise count.broken(error) from None


def _pieces(data: bytes, size: int) -> Iterator[bytes]:
    if len(data) <= size:
        yield data
        return
    for start in range(0, len(data), size):
        yield data[start : start + size]


_STAGES: dict[bytes, Callable[[int], _Stage]] = {
    b"gzip": _Gzip,
    b"x-gzip": _Gzip,
    b"deflate": _Deflate,
    b"zstd": _Zstd,
    b"br": _Brotli,
}
