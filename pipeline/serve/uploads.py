"""An upload on its way to the disk: a multipart form whose file may be larger than the memory and may come before its purpose."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Self

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from pipeline.core.batches.asked import MOST_NAME
from pipeline.core.batches.errors import ApiError, missing, wrong_value
from pipeline.edges.store.files import MODE

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

PURPOSES = ("assistants", "batch", "batch_output", "evals", "fine-tune", "user_data", "vision")
MOST_FIELD = 4096  # bytes of a form field that is no file
MOST_PARTS = 32
FILE = "file"
DAMAGED = "The upload is damaged: its multipart form does not end as it should. Send it again."


class Upload:
    """Takes the body of a request in pieces. Nothing is left on the disk unless `take_file` was called.

    place: where the file goes. most: its bytes at most, None for no bound. size: its bytes so far.
    """

    def __init__(self, content_type: str, place: Path, most: int | None) -> None:
        kind, options = parse_options_header(content_type)
        boundary = options.get(b"boundary")
        if kind != b"multipart/form-data" or not boundary:
            raise ApiError(400, "A file is uploaded as multipart/form-data, with 'file' and 'purpose'.", code="invalid_content_type")
        self.size = 0
        self.fields: dict[str, str] = {}
        self.filename: str | None = None
        self._place = place
        self._most = most
        self._descriptor = -1
        self._taken = False
        self._ended = False
        self._parts = 0
        self._header = (b"", b"")
        self._headers: dict[bytes, bytes] = {}
        self._name: str | None = None
        self._value = bytearray()
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._begin_part,
                    "on_header_field": self._take_header_field,
                    "on_header_value": self._take_header_value,
                    "on_header_end": self._end_header,
                    "on_headers_finished": self._end_headers,
                    "on_part_data": self._take_data,
                    "on_part_end": self._end_part,
                    "on_end": self._end,
                },
            )
        except FormParserError as error:
            raise ApiError(400, f"{DAMAGED} ({error})", code="invalid_multipart") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
        if not self._taken:
            self._place.unlink(missing_ok=True)

    def feed(self, data: bytes) -> None:
        """Take a piece of the body. Blocks. Raises ApiError, OSError."""
        try:
            self._parser.write(data)
        except FormParserError as error:
            raise ApiError(400, f"{DAMAGED} ({error})", code="invalid_multipart") from None

    def take_file(self) -> Path:
        """Where the whole file is; it is the caller's from now on. Raises ApiError if the form is not whole, or lacks something."""
        self._require_end()
        if self._descriptor < 0:
            raise missing(FILE)
        self._taken = True
        return self._place

    @property
    def purpose(self) -> str:
        """What the file is for. Raises ApiError, also if the form is not whole."""
        self._require_end()
        purpose = self.fields.get("purpose")
        if not purpose:
            raise missing("purpose")
        if purpose not in PURPOSES:
            known = ", ".join(f"'{name}'" for name in PURPOSES)
            raise wrong_value("purpose", f"Invalid value: '{purpose[:100]}'. Supported values are: {known}.")
        return purpose

    def _require_end(self) -> None:
        if not self._ended:
            raise ApiError(400, DAMAGED, code="invalid_multipart")

    # ---- what the parser says ------------------------------------------------------------------------------------

    def _begin_part(self) -> None:
        self._parts += 1
        if self._parts > MOST_PARTS:
            raise ApiError(400, f"The form has more than {MOST_PARTS} parts.", code="invalid_multipart")
        self._headers, self._name, self._value = {}, None, bytearray()

    def _take_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header = (self._header[0] + data[start:end], self._header[1])

    def _take_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header = (self._header[0], self._header[1] + data[start:end])

    def _end_header(self) -> None:
        name, value = self._header
        self._headers[name.lower()] = value
        self._header = (b"", b"")

    def _end_headers(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition"))
        self._name = options.get(b"name", b"").decode(errors="replace")
        if self._name == FILE:
            if self._descriptor >= 0:
                raise ApiError(400, "An upload holds one file; send each by itself.", param=FILE, code="invalid_multipart")
            self.filename = _plain_name(options.get(b"filename", b"upload"))
            self._descriptor = os.open(self._place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, MODE)

    def _take_data(self, data: bytes, start: int, end: int) -> None:
        if self._name == FILE:
            self.size += end - start
            if self._most is not None and self.size > self._most:
                raise ApiError(413, f"The file is larger than {self._most:,} bytes, the most here.", param=FILE, code="file_too_large")
            piece = memoryview(data)[start:end]
            while piece:
                piece = piece[os.write(self._descriptor, piece) :]
        elif len(self._value) + end - start > MOST_FIELD:
            raise ApiError(400, f"A field of the form is longer than {MOST_FIELD} bytes.", param=self._name, code="string_above_max_length")
        else:
            self._value += data[start:end]

    def _end_part(self) -> None:
        if self._name and self._name != FILE:
            self.fields[self._name] = self._value.decode(errors="replace")

    def _end(self) -> None:
        self._ended = True


def _plain_name(raw: bytes) -> str:
    """A file name without folders, control characters, and what is too long; it is only ever shown."""
    try:
        name = raw.decode("latin-1").encode("latin-1").decode()
    except UnicodeDecodeError:
        name = raw.decode("latin-1")
    name = re.split(r"[/\\]", name)[-1]
    return re.sub(r"[\x00-\x1f\x7f]", "", name)[:MOST_NAME] or "upload"
