"""Remembers which ids were used, in memory that does not grow with the input.

An id that ends in a number (`request-17`) is a bit in a page of its prefix; the others go as digests to a store that the caller
brings, on disk for a long input. What becomes of an id is settled when its page or prefix is first seen and never changes.
The digest is Python's own: 64 bits of SipHash, keyed by the process, and free where blake2b costs 0.7 µs. Two of ten million
ids meet by chance once in 370,000 runs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

PAGE_BITS = 13  # ids per page: 8,192, so 1 KiB
PAGE_MASK = (1 << PAGE_BITS) - 1
MAX_PAGES = 4096  # 4 MiB for up to 33 million ids in sequence; numbers that lie far apart fill it sooner and then go to the store
MAX_PREFIXES = 64  # random ids that end in digits by chance must not take all pages
MAX_DIGITS = 18  # fits a machine word
DIGITS = "0123456789"


def run_of(ids: Sequence[str]) -> tuple[str, int | None]:
    """The prefix and the first number of ids that count on by one; no number if they do not. Zeros in front belong to the prefix."""
    prefix = ids[0].rstrip(DIGITS)
    digits = ids[0][len(prefix) :]
    if not digits or len(digits) > MAX_DIGITS:
        return prefix, None
    first = int(digits)
    prefix = ids[0].removesuffix(str(first))
    if ids[-1] != f"{prefix}{first + len(ids) - 1}":
        return prefix, None
    return prefix, first if ids == [f"{prefix}{number}" for number in range(first, first + len(ids))] else None


class DigestStore(Protocol):
    """Keeps digests, each with the number that came with it first."""

    def add(self, entries: Sequence[tuple[int, int]]) -> list[int]:
        """Keep (digest, number) pairs; the number that is kept for each, which is another where the digest was there before."""

    def close(self) -> None:
        """Forget everything."""


class MemoryStore:
    """A store for short inputs and tests."""

    def __init__(self) -> None:
        self._numbers: dict[int, int] = {}

    def add(self, entries: Sequence[tuple[int, int]]) -> list[int]:
        """Keep (digest, number) pairs; the number that is kept for each."""
        return [self._numbers.setdefault(digest, number) for digest, number in entries]

    def close(self) -> None:
        """Forget everything."""
        self._numbers.clear()


class SeenIds:
    """The ids that were claimed so far."""

    def __init__(self, store: DigestStore) -> None:
        self._store = store
        self._prefixes: dict[str, dict[int, bytearray]] = {}
        self._pages = 0

    def claim(self, ids: Sequence[str], numbers: Sequence[int]) -> dict[int, int | None]:
        """Claim ids for rows. Gives those that were taken: position in `ids` -> number of the first claim, None if not known.

        numbers: different for each row; its line, say.
        """
        taken: dict[int, int | None] = {}
        others: list[tuple[int, int]] = []
        positions: list[int] = []
        for position, name in enumerate(ids):
            known = self._claim_number(name)
            if known is None:
                others.append((hash(name), numbers[position]))
                positions.append(position)
            elif known:
                taken[position] = None
        if others:
            kept = self._store.add(others)
            taken |= {at: first for at, (_, number), first in zip(positions, others, kept, strict=True) if first != number}
        return taken

    def claim_new_run(self, ids: Sequence[str]) -> bool:
        """Claim ids that count on by one, all at once. False, and nothing is claimed, if they do not, or one of them may have been used."""
        prefix, first = run_of(ids)
        if first is None or (first | PAGE_MASK) < first + len(ids) - 1:
            return False  # few runs go over the end of a page
        pages = self._prefixes.get(prefix)
        page = (pages.get(first >> PAGE_BITS) if pages else None) or self._new_page(prefix, first >> PAGE_BITS)
        if page is None:
            return False
        low = (first & PAGE_MASK) >> 3
        high = ((first & PAGE_MASK) + len(ids) + 7) >> 3
        wanted = (1 << len(ids)) - 1 << (first & 7)
        bits = int.from_bytes(page[low:high], "little")
        if bits & wanted:
            return False
        page[low:high] = (bits | wanted).to_bytes(high - low, "little")
        return True

    def claim_run(self, prefix: str, first: int, count: int) -> None:
        """Claim `PREFIX<first>`, `PREFIX<first + 1>` … for rows that nobody asks about. prefix: ends in no digit."""
        end = first + count
        while first < end:
            stop = min(end, (first | PAGE_MASK) + 1)
            pages = self._prefixes.get(prefix)
            page = (pages.get(first >> PAGE_BITS) if pages else None) or self._new_page(prefix, first >> PAGE_BITS)
            if page is None:
                self._store.add([(hash(f"{prefix}{number}"), number + 1) for number in range(first, stop)])
            else:
                low, high = first & PAGE_MASK, ((stop - 1) & PAGE_MASK) + 1
                bits = int.from_bytes(page, "little") | (1 << high) - (1 << low)
                page[:] = bits.to_bytes(len(page), "little")
            first = stop

    def _claim_number(self, name: str) -> bool | None:
        """Whether an id that ends in a number was there before; None if it has no page."""
        prefix = name.rstrip(DIGITS)
        digits = name[len(prefix) :]
        if not digits or len(digits) > MAX_DIGITS:
            return None
        number = int(digits)
        if digits[0] == "0":  # "a-07" and "a-7" differ: leading zeros belong to the prefix
            prefix = name[: len(name) - len(str(number))]
        pages = self._prefixes.get(prefix)
        page = pages.get(number >> PAGE_BITS) if pages else None
        if page is None:
            page = self._new_page(prefix, number >> PAGE_BITS)
            if page is None:
                return None
        at = (number & PAGE_MASK) >> 3
        bits = page[at]
        page[at] = bits | 1 << (number & 7)
        return page[at] == bits

    def _new_page(self, prefix: str, at: int) -> bytearray | None:
        if self._pages >= MAX_PAGES or (prefix not in self._prefixes and len(self._prefixes) >= MAX_PREFIXES):
            return None
        self._pages += 1
        page = self._prefixes.setdefault(prefix, {})[at] = bytearray(1 << (PAGE_BITS - 3))
        return page
