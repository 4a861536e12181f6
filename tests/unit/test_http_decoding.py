"""Content codings are undone exactly, in short steps, and never past the cap."""

from __future__ import annotations

import gzip
import itertools
import tracemalloc
import zlib
from functools import partial
from typing import TYPE_CHECKING

import brotli
import pytest
import zstandard

from pipeline.edges.http.decoding import MAX_CODINGS, MAX_MEMBERS, SLICE_BYTES, Decoder
from pipeline.edges.http.response import MalformedResponseError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

TEXT = '{"content": "\u2028 née 水"}'.encode() * 40
CAP = len(TEXT)
STEP_BYTES = 5_000_000  # the most that any step may give


def decode(body: bytes, codings: Sequence[bytes], cap: int, *, cut: int = 1 << 30) -> bytes:
    """Undo codings of a body that comes in pieces of so many bytes."""
    decoder = Decoder(codings, cap)
    decoded = b"".join(piece for at in range(0, len(body), cut) for piece in decoder.feed(body[at : at + cut]))
    decoder.finish()
    return decoded


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


@pytest.mark.parametrize("cut", [1, 7, 1 << 30])
@pytest.mark.parametrize("coding", ENCODERS)
def test_coding_is_undone_however_the_body_is_cut(coding: str, cut: int) -> None:
    assert decode(ENCODERS[coding](TEXT), [coding.encode()], CAP, cut=cut) == TEXT


@pytest.mark.parametrize("coding", ENCODERS)
def test_large_body_is_undone_in_short_steps(coding: str) -> None:
    text = bytes(range(256)) * 20_000 + bytes(4_000_000)

    pieces = list(Decoder([coding.encode()], len(text)).feed(ENCODERS[coding](text)))

    assert b"".join(pieces) == text
    assert coding == "identity" or max(map(len, pieces)) <= (STEP_BYTES if coding == "zstd" else 2 * SLICE_BYTES)


@pytest.mark.parametrize("cut", [1, 1 << 30])
def test_bare_deflate_is_undone(cut: int) -> None:
    assert decode(raw_deflate(TEXT), [b"deflate"], CAP, cut=cut) == TEXT


@pytest.mark.parametrize("size", [SLICE_BYTES - 1, SLICE_BYTES, SLICE_BYTES + 1, 3 * SLICE_BYTES])
@pytest.mark.parametrize("coding", ENCODERS)
def test_output_that_just_fills_a_slice_is_whole(coding: str, size: int) -> None:
    assert decode(ENCODERS[coding](bytes(size)), [coding.encode()], size) == bytes(size)


@pytest.mark.parametrize("cut", [1, 37, 1 << 30])
def test_gzip_of_several_members_is_one_body(cut: int) -> None:
    assert decode(gzip.compress(TEXT[:100]) + gzip.compress(TEXT[100:]), [b"gzip"], CAP, cut=cut) == TEXT


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


def test_more_codings_than_anybody_uses_are_refused() -> None:
    with pytest.raises(MalformedResponseError, match="content codings"):
        decode(gzip.compress(TEXT), [b"gzip"] * (MAX_CODINGS + 1), CAP)


@pytest.mark.parametrize("codings", [[b"utf-8"], [b"none", b"binary"], [b"utf-8", b"gzip"], [b"gzip", b"none"]])
def test_names_of_no_coding_are_passed_over(codings: list[bytes]) -> None:
    assert decode(gzip.compress(TEXT) if b"gzip" in codings else TEXT, codings, CAP) == TEXT


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


def test_nested_members_end_after_few_steps() -> None:
    """15 kB of gzip in gzip held the event loop for hours: every inner member was a decompressor and a copy of all the rest."""
    inner = gzip.compress(b" ", mtime=0) * 300_000
    pieces: list[bytes] = []

    with pytest.raises(MalformedResponseError, match=f"more than {MAX_MEMBERS} members"):
        pieces.extend(Decoder([b"gzip", b"gzip"], 64 << 20).feed(gzip.compress(inner, mtime=0)))

    assert len(pieces) <= 2 * MAX_MEMBERS


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
def test_as_many_members_as_allowed_are_one_body(coding: str) -> None:
    assert decode(ENCODERS[coding](b"x") * MAX_MEMBERS, [coding.encode()], MAX_MEMBERS) == b"x" * MAX_MEMBERS
    with pytest.raises(MalformedResponseError, match="members"):
        decode(ENCODERS[coding](b"x") * (MAX_MEMBERS + 1), [coding.encode()], 2 * MAX_MEMBERS)


def test_what_an_outer_coding_gives_is_bounded_though_the_inner_one_makes_nothing_of_it() -> None:
    nothing = b"\x00\x00\x00\xff\xff" * 1_000_000  # empty blocks, of which bare deflate makes no output

    with pytest.raises(MalformedResponseError, match="once decoded"):
        decode(gzip.compress(nothing), [b"deflate", b"gzip"], 1_000_000)


def test_steps_that_give_nothing_are_steps_all_the_same() -> None:
    """Else whoever counts steps would wait for one for ever."""
    nothing = b"\x00\x00\x00\xff\xff" * 1_000_000
    decoder = Decoder([b"deflate"], 1000)

    pieces = list(itertools.islice(decoder.feed(nothing), 300))

    assert pieces == [b""] * 300
