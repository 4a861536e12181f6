"""Tunes how memory is taken from the operating system."""

from __future__ import annotations

LARGE_BLOCK = 8 << 20  # bytes; 4 to 8 MB do the same, 2 MB leaves half of the gain


def keep_large_blocks() -> None:
    """Make glibc keep freed blocks of up to 8 MB instead of giving them back at once.

    By default it maps each request or answer of more than 128 kB and unmaps it again, and the kernel clears its pages every time:
    a quarter of the CPU of a row of 1.5 MB. glibc raises that bound to the size of any mapped block that is freed. The heap may
    keep up to twice this size; other allocators do nothing special with it.
    """
    bytes(LARGE_BLOCK)
