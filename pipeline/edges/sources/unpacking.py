"""Unpacks a compressed input piece by piece, however many frames it has."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Protocol

from pipeline.patterns import later

if TYPE_CHECKING:
    from collections.abc import Callable

PACKED_BYTES = 1024  # compressed bytes unpacked at a time: the most that they can hide is 32 MiB (zstd), not gigabytes

HEAD_BYTES = 4  # by which a compressed file is known

_padding = later(rb"\0*")  # as tapes and block devices leave it behind a frame


class _ZstdFrame:
    """One frame of Zstandard, which breaks with zlib's error. The library is imported here: 2 ms that other files do not cost."""

    def __init__(self) -> None:
        import zstandard  # noqa: PLC0415

        self._error = zstandard.ZstdError
        self._frame = zstandard.ZstdDecompressor().decompressobj()

    def decompress(self, data: bytes) -> bytes:
        try:
            return self._frame.decompress(data)
        except self._error as error:
            raise zlib.error(str(error)) from error

    @property
    def eof(self) -> bool:
        return self._frame.eof

    @property
    def unused_data(self) -> bytes:
        return self._frame.unused_data


class NotPackedError(ValueError):
    """The first bytes are those of no compressed file."""


class Unpacker(Protocol):
    """What zlib's and zstandard's decompression objects have in common."""

    def decompress(self, data: bytes, /) -> bytes:
        """What these bytes add."""

    @property
    def eof(self) -> bool:
        """The frame has ended."""

    @property
    def unused_data(self) -> bytes:
        """What came after the frame's end."""


class Unpacked:
    """Reads through a compression. Unlike zstandard's own reader it takes a frame that is cut off for an error, not for the end."""

    def __init__(self, read: Callable[[], bytes], start_frame: Callable[[], Unpacker], chunk_bytes: int) -> None:
        self._read = read
        self._start_frame = start_frame
        self._chunk_bytes = chunk_bytes
        self._frame: Unpacker | None = None  # None between frames
        self._packed = b""
        self._at = 0  # how much of that was unpacked
        self._broken: Exception | None = None
        self._started = False

    @property
    def waiting(self) -> int:
        """Compressed bytes that were read and are still to be unpacked."""
        return len(self._packed) - self._at

    def read(self) -> bytes:
        """Some unpacked bytes, none at the end. What cannot be unpacked is told after all that comes before it."""
        if self._broken is not None:
            raise self._broken
        parts: list[bytes] = []
        size = 0
        while size < self._chunk_bytes:
            if self._at == len(self._packed):
                if size:
                    break
                self._packed, self._at = self._read(), 0
                if not self._packed:
                    if self._frame is not None:
                        raise EOFError("the file ends inside a compressed block; it was cut off")
                    break
            try:
                part = self._unpack_some()
            except zlib.error as error:
                if not size:
                    raise
                self._broken = error
                break
            parts.append(part)
            size += len(part)
        return b"".join(parts)

    def _unpack_some(self) -> bytes:
        if self._frame is None:
            padding = _padding.match(self._packed, self._at)
            self._at = padding.end() if padding else self._at
            if self._at == len(self._packed):
                return b""
            self._frame = self._start_frame()
            if not self._started:
                self._see_that_it_is_packed()
        piece = self._packed[self._at : self._at + PACKED_BYTES]
        part = self._frame.decompress(piece)
        self._at += len(piece)
        if self._frame.eof:
            self._at -= len(self._frame.unused_data)
            self._frame = None
        return part

    def _see_that_it_is_packed(self) -> None:
        """Tell a file that is not compressed at all from one that is broken. Raises NotPackedError."""
        self._started = True
        try:
            self._start_frame().decompress(self._packed[self._at : self._at + HEAD_BYTES])
        except zlib.error as error:
            raise NotPackedError("is not compressed as its name says; give it the name of what it is") from error


PACKINGS: dict[str, Callable[[], Unpacker]] = {
    ".gz": lambda: zlib.decompressobj(wbits=31),
    ".zst": _ZstdFrame,
}
