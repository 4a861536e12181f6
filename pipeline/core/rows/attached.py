"""Files that requests carry: `{photo!data}` in a template stands for the content of the file that the row's field `photo` names.

A job holds the name, size and time of each file, and a marker in its body. The content takes the marker's place when an attempt leaves, so
that a window of images is never in memory. A marker holds a token that no input can know, and so no row can write one.
"""

from __future__ import annotations

import re
from binascii import b2a_base64
from typing import TYPE_CHECKING, Protocol

from pipeline.core.bookkeeping.sums import crc32
from pipeline.core.rows.templates import FileError
from pipeline.patterns import later
from pipeline.records import Attachment

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pipeline.core.rows.templates import FileHole
    from pipeline.records import FileFound

# Source of the media types: IANA. Those that chat APIs take: images, documents, speech.
HEAD_BYTES = 16  # of a file, by which its type is told
KNOWN_TYPES = "PNG, JPEG, GIF, WebP, PDF, WAV and MP3"
ENCODE_BYTES = 3 << 20  # made base64 at once: a multiple of 3, so that the pieces join without padding

_types = (
    (later(rb"\x89PNG\r\n\x1a\n"), "image/png"),
    (later(rb"\xff\xd8\xff"), "image/jpeg"),
    (later(rb"GIF8[79]a"), "image/gif"),
    (later(rb"RIFF....WEBP", re.DOTALL), "image/webp"),
    (later(rb"%PDF-\d"), "application/pdf"),
    (later(rb"RIFF....WAVE", re.DOTALL), "audio/wav"),
    (later(rb"ID3[\x02-\x04][\x00-\xfe]|\xff[\xf2\xf3\xfa\xfb][\x10-\xef]"), "audio/mpeg"),  # a tag, or a frame of layer III
)


class Attached(Protocol):
    """Something with a body that files go into: a job."""

    body: bytes
    files: tuple[Attachment, ...]


def media_type(head: bytes) -> str | None:
    """The type of a file that begins so, None if it is none that may be sent."""
    return next((name for beginning, name in _types if beginning.match(head)), None)


def attachments(holes: Sequence[FileHole], body: bytes, files: Mapping[str, FileFound | str] | None) -> tuple[Attachment, ...]:
    """The files that go into a rendered body. files: what was found, by field. Raises FileError."""
    found = []
    for hole in holes:
        if hole.marker not in body:
            continue  # a field that may be missing is
        file = (files or {}).get(hole.name, "names a file, and none are read here")
        if isinstance(file, str):
            raise FileError(f"field {hole.name!r} {file}")
        found.append(Attachment(hole.marker, hole.conversion, file))
    return tuple(found)


def with_files(digest: int, files: Mapping[str, FileFound | str]) -> int:
    """The digest of a row together with that of its files, or with what is wrong with them. digest: of the row alone."""
    for name, file in sorted(files.items()):
        told = file if isinstance(file, str) else f"{file.size}:{file.mtime_ns}:{file.mime}"
        digest = crc32(f"{name}={told};".encode("utf-8", "surrogatepass"), digest)
    return digest


def filled(job: Attached, content_of: Callable[[FileFound], bytes]) -> bytes:
    """The body with the content of its files. content_of: reads one; each is read once."""
    read: dict[str, list[bytes]] = {}

    def parts(attachment: Attachment) -> list[bytes]:
        mime = attachment.file.mime.encode()
        if attachment.conversion == "mime":
            return [mime]
        path = attachment.file.path
        if path not in read:
            read[path] = _base64(content_of(attachment.file))
        return read[path] if attachment.conversion == "base64" else [b"data:%b;base64," % mime, *read[path]]

    return _replaced(job.body, job.files, parts)


def identity(job: Attached) -> bytes:
    """The body with the identity of its files, by which equal requests are found."""
    return _replaced(
        job.body, job.files, lambda each: [f"{each.conversion}:{each.file.size}:{each.file.mtime_ns}:{each.file.path}".encode()]
    )


def shown(job: Attached) -> bytes:
    """The body for people."""

    def told(each: Attachment) -> list[bytes]:
        file = each.file
        if each.conversion == "mime":
            return [file.mime.encode()]
        start = f"data:{file.mime};base64," if each.conversion == "data" else ""
        return [f"{start}<{file.size:,} bytes of {file.path}>".encode("utf-8", "replace")]

    return _replaced(job.body, job.files, told)


def _replaced(body: bytes, files: Sequence[Attachment], parts_of: Callable[[Attachment], list[bytes]]) -> bytes:
    pieces: list[bytes] = []
    rest = body
    for attachment in sorted(files, key=lambda each: body.find(each.marker)):
        before, marker, behind = rest.partition(attachment.marker)
        if marker:
            pieces += [before, *parts_of(attachment)]
            rest = behind
    return b"".join([*pieces, rest])


def _base64(content: bytes) -> list[bytes]:
    view = memoryview(content)
    return [b2a_base64(view[at : at + ENCODE_BYTES], newline=False) for at in range(0, len(content), ENCODE_BYTES)]
