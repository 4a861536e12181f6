"""The checksum of everything that is kept: CRC-32 as zlib computes it, so that any tool can check a file.

Each byte of a row is summed two or three times on its way. zlib needs 440 µs for a row of 1.5 MB; ISA-L, which uses the
processor's own instructions for it, needs 26 and gives the same sums. Where there is no build of it, zlib does.
"""

from __future__ import annotations

try:
    from isal.isal_zlib import crc32
except ImportError:
    from zlib import crc32

__all__ = ["crc32"]
