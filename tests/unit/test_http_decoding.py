"""Content codings are undone exactly, and never past the cap."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib
from functools import partial
from typing import TYPE_CHECKING

import brotli
import pytest
import zstandard

from pipeline.edges.http.decoding import MAX_CODINGS, decode
from pipeline.edges.http.response import MalformedResponseError

if TYPE_CHECKING:
    from collections.abc import Callable

TEXT = '{"content": "\u2028 née 水"}'.encode() * 40
CAP = len(TEXT)


def raw_deflate(data: bytes) -> bytes:
    stream = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return stream.compress(data) + stream.flush()


def zstd(data: bytes) -> bytes:
    return zstandard.ZstdCompressor(write_content_size=False).compress(data)


ENCODERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": partial(brotli.compress, quality=1),
    "zstd": zstd,
    "identity": bytes,
}


@pytest.mark.parametrize("coding", ENCODERS)
def test_coding_is_undone(coding: str) -> None:
    assert decode(ENCODERS[coding](TEXT), [coding.encode()], CAP) == TEXT


def test_bare_deflate_is_undone() -> None:
    assert decode(raw_deflate(TEXT), [b"deflate"], CAP) == TEXT


def test_gzip_of_several_members_is_one_body() -> None:
    assert decode(gzip.compress(TEXT[:100]) + gzip.compress(TEXT[100:]), [b"gzip"], CAP) == TEXT


@pytest.mark.parametrize("size", [100, 1000])
def test_zstd_of_several_frames_is_one_body(size: int) -> None:
    assert decode(b"".join(zstd(TEXT[at : at + size]) for at in range(0, len(TEXT), size)), [b"zstd"], CAP) == TEXT


def test_codings_are_undone_last_first() -> None:
    assert decode(zstd(brotli.compress(gzip.compress(TEXT))), [b"gzip", b"br", b"", b"zstd"], CAP) == TEXT


@pytest.mark.parametrize("coding", ENCODERS)
def test_no_body_needs_no_decoding(coding: str) -> None:
    assert decode(b"", [coding.encode()], CAP) == b""


@pytest.mark.parametrize("coding", sorted(ENCODERS.keys() - {"identity"}))
def test_body_cut_short_is_refused(coding: str) -> None:
    whole = ENCODERS[coding](TEXT)

    for cut in (1, len(whole) // 2, len(whole) - 1):
        with pytest.raises(MalformedResponseError, match="broken"):
            decode(whole[:cut], [coding.encode()], CAP)


@pytest.mark.parametrize("coding", sorted(ENCODERS.keys() - {"identity"}))
def test_garbage_is_refused(coding: str) -> None:
    with pytest.raises(MalformedResponseError, match="broken"):
        decode(b"<html>not that</html>", [coding.encode()], CAP)


@pytest.mark.parametrize("codings", [[b"compress"], [b"gzip"] * (MAX_CODINGS + 1)])
def test_codings_that_nobody_offered_are_refused(codings: list[bytes]) -> None:
    with pytest.raises(MalformedResponseError, match="content coding"):
        decode(gzip.compress(TEXT), codings, CAP)


@pytest.mark.parametrize("coding", sorted(ENCODERS.keys() - {"identity"}))
def test_body_of_one_byte_over_the_cap_is_refused(coding: str) -> None:
    with pytest.raises(MalformedResponseError, match="once decoded"):
        decode(ENCODERS[coding](TEXT), [coding.encode()], CAP - 1)


@pytest.mark.parametrize("coding", sorted(ENCODERS.keys() - {"identity"}))
def test_bomb_is_never_inflated_past_the_cap(coding: str) -> None:
    bomb = ENCODERS[coding](bytes(40_000_000))

    tracemalloc.start()
    with pytest.raises(MalformedResponseError, match="once decoded"):
        decode(bomb, [coding.encode()], 1_000_000)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert peak < 30_000_000


def test_bomb_within_a_bomb_stops_at_the_cap() -> None:
    bomb = gzip.compress(gzip.compress(bytes(50_000_000)))

    with pytest.raises(MalformedResponseError, match="once decoded"):
        decode(bomb, [b"gzip", b"gzip"], 1_000_000)
