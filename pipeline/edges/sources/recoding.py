"""Makes UTF-8 of a text in another encoding as it is read, and sees when a text is none of what it is said to be."""

from __future__ import annotations

import codecs
from typing import TYPE_CHECKING

from pipeline.patterns import later

if TYPE_CHECKING:
    from collections.abc import Callable

UTF8_MARK = b"\xef\xbb\xbf"
UTF8 = "utf-8"
_UTF16 = "; convert it to UTF-8 (iconv -f UTF-16 -t UTF-8), or set source.encoding: "
# First bytes that no row has, and what to do about them.
FOREIGN = {
    b"\x1f\x8b": "is compressed by gzip; give it a name that ends in .gz (or pipe it through zcat)",
    b"\x28\xb5\x2f": "is compressed by zstd; give it a name that ends in .zst (or pipe it through zstdcat)",
    b"\xff\xfe\0\0": "is UTF-32; convert it to UTF-8 (iconv -f UTF-32 -t UTF-8), or set source.encoding: utf-32",
    b"\0\0\xfe\xff": "is UTF-32; convert it to UTF-8 (iconv -f UTF-32 -t UTF-8), or set source.encoding: utf-32",
    b"\xff\xfe": f"is UTF-16{_UTF16}utf-16",
    b"\xfe\xff": f"is UTF-16{_UTF16}utf-16",
}
# What a text is really in that is said to be in the first: the same with the characters that Windows adds. Source: WHATWG, Encoding, 4.2.
WIDER = {"shift_jis": "cp932", "euc_kr": "cp949", "gb2312": "gb18030"}
# What cp932 makes of bytes that no text has; here they are bytes that it does not know.
_NO_TEXT = {0xF8F0: 0xDCA0, 0xF8F1: 0xDCFD, 0xF8F2: 0xDCFE, 0xF8F3: 0xDCFF}
LOOKED_AT = 4096  # bytes at the start that show a text without a mark to be UTF-16
_little_end = later(rb"[\r\n]\0|^(?:[ -~]\0){4}")
_big_end = later(rb"\0[\r\n]|^(?:\0[ -~]){4}")


class Recoded:
    """Reads text through another encoding. Bytes that it does not know stay as they are, so that their row is told as not UTF-8."""

    def __init__(self, read: Callable[[], bytes], encoding: str) -> None:
        self._read = read
        self._encoding = encoding
        wider = WIDER.get(codecs.lookup(encoding).name, encoding)
        self._is_cp932 = wider == "cp932"
        self._decoder = codecs.getincrementaldecoder(wider)("surrogateescape")

    def read(self) -> bytes:
        """Some bytes of UTF-8, none at the end. Raises EOFError for a text that breaks off, or that is not in this encoding."""
        try:
            while chunk := self._read():
                text = self._decoder.decode(chunk)
                if text:
                    return self._bytes_of(text)
            return self._bytes_of(self._decoder.decode(b"", final=True))
        except UnicodeError as error:
            raise EOFError(f"the text is not {self._encoding}: {error}") from error

    def _bytes_of(self, text: str) -> bytes:
        return (text.translate(_NO_TEXT) if self._is_cp932 else text).encode(errors="surrogateescape")


def foreign(head: bytes) -> str | None:
    """What these first bytes of a text that should be UTF-8 show it to be, with a way out; None if nothing."""
    for mark, advice in FOREIGN.items():
        if head.startswith(mark):
            return advice
    start = head[:LOOKED_AT]
    for ends, encoding in ((_little_end, "utf-16-le"), (_big_end, "utf-16-be")):
        pairs = sum(found.start() % 2 == 0 for found in ends.finditer(start)) if b"\0" in start else 0
        if pairs and 2 * pairs >= start.count(b"\n"):  # a NUL or two within other text are not enough
            return f"is UTF-16 without a mark{_UTF16}{encoding}"
    return None
