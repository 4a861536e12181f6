"""What one row of the input becomes by itself: a `Job`, or a `Failure` that takes its place and says what is wrong in which line.

A body goes out byte for byte as it came. It is checked as a whole but decoded only as far as needed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from pipeline.core.rows.asked import ASKED, read_body, says_nothing_of_streams, streams_unasked
from pipeline.core.rows.estimate import MEDIA_TOKENS, estimate_tokens
from pipeline.core.rows.formats import CHAT_URL, METHOD, Line, decode_line, is_whole_request, read_request, request_in, usual_request
from pipeline.core.rows.lines import LONG_LINE
from pipeline.core.rows.names import CUSTOM_ID, all_are_plain, check_name, given_name, name_of, numbered, readable_name
from pipeline.core.rows.templates import OUT_OF_RANGE, FileError, RowError
from pipeline.core.rows.urls import url_problem
from pipeline.records import Failure, FailureKind, Job

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pipeline.core.rows.formats import WholeRequest
    from pipeline.core.rows.lines import RawRow
    from pipeline.core.rows.templates import JSON, Template
    from pipeline.records import Attachment

KNOWN_URLS = 64  # a file names a handful
DEFAULT_URL = CHAT_URL

NO_LINE = Line()
_decode_any = msgspec.json.Decoder().decode
_decode_parts = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_encode = msgspec.json.Encoder().encode


class RowMaker:
    """Makes jobs of rows, each by itself: what it makes of one does not depend on any other. Its arguments are those of `JobMaker`."""

    def __init__(
        self, template: Template | None, url: str | None, *, id_field: str | None, body_field: str | None, base: int, count_tokens: bool
    ) -> None:
        problem = None if url is None else url_problem(url)
        if problem is not None:
            raise ValueError(problem)
        self._template = template
        self._url = url
        self._id_field = id_field
        self._name_field = id_field or CUSTOM_ID
        self._body_field = body_field
        self._base = base
        self._count_tokens = count_tokens
        self._is_simple = template is None and id_field is None and body_field is None and not count_tokens
        # What every body of the template asks for, where that is the same for all rows: it need not be read from each.
        self._asked = None if template is None or template.varying & ASKED else read_body(template.constant, url or DEFAULT_URL)[1:]
        self._urls: dict[str, str] = {}  # those found good, so that each is checked and kept once
        self._simple_urls: dict[str, str] = {}  # of endpoints that stream only if they are asked to, by what the row says

    def made(self, rows: Sequence[RawRow], first_index: int) -> list[Job | Failure]:
        """The job or failure of each row."""
        if self._is_simple:
            return self._simple_jobs(rows, first_index)
        return [self.make(row, index) for index, row in enumerate(rows, first_index)]

    def make(self, row: RawRow, index: int) -> Job | Failure:
        """The job or failure of a row."""
        try:
            if isinstance(row.data, bytes):
                return self._from_json(row.data, row, index)
            if row.data is not None:
                return self._from_fields(row.data, row, index)
            problem = row.problem or "is empty"
        except (RowError, FileError, msgspec.DecodeError, UnicodeError, RecursionError) as error:
            from pipeline.core.rows.explained import explained  # noqa: PLC0415  few inputs have a row that cannot be sent

            problem = explained(error, row.data, has_template=self._template is not None)
        return self.failure(row, index, self.own_name(row.data) or readable_name(row.data) or self.numbered(index), problem)

    def own_name(self, data: bytes | Mapping[str, JSON] | None) -> str | None:
        """The id that a row gives itself, None if it has none."""
        return name_of(data, self._name_field)

    def numbered(self, index: int) -> str:
        """The id of a row that gives itself none."""
        return numbered(self._base + index)

    def failure(self, row: RawRow, index: int, name: str, problem: str) -> Failure:
        """The outcome of a row that cannot be sent."""
        number = self._base + index
        place = row.place if row.line else f"{row.file}, row {number}" if row.file is not None else f"row {number}"
        return Failure(index, name, FailureKind.INVALID_ROW, f"{place}: {problem}")

    def _simple_jobs(self, rows: Sequence[RawRow], first_index: int) -> list[Job | Failure]:
        """The same for lines of a batch file. A line that is not of the simplest form is made by `make`.

        One loop for all: a call for each part of a row would cost as much again.
        """
        made: list[Job | Failure] = []
        for index, row in enumerate(rows, first_index):
            data = row.data
            if type(data) is bytes and len(data) <= LONG_LINE and data.isascii():
                try:
                    line = decode_line(data)
                except (msgspec.DecodeError, RecursionError):
                    line = NO_LINE
                name, url, raw = line.custom_id, self._simple_urls.get(line.url), line.body
                if url is not None and type(name) is str and line.method == METHOD and type(raw) is msgspec.Raw:
                    body = bytes(raw)
                    if body[:1] == b"{" and says_nothing_of_streams(body):
                        made.append(Job(index, name, METHOD, url, body, 0, row.line))
                        continue
            made.append(self.make(row, index))
        if all_are_plain([item.custom_id for item in made]):
            return made
        return [self.make(row, index) for index, row in enumerate(rows, first_index)]

    def _from_json(self, data: bytes, row: RawRow, index: int) -> Job:
        if not data.isascii():
            data.decode()  # the decoder does not look into what it skips
        if self._template is not None:
            fields = _decode_fields(data)
            if not isinstance(fields, dict):
                raise RowError(f"must be a JSON object, got {data[:40].decode(errors='replace')}")
            if not is_whole_request(fields):
                return self._rendered(self._template, fields, row, index)
        return self._from_request(data, row.line, index)

    def _from_fields(self, fields: Mapping[str, JSON], row: RawRow, index: int) -> Job:
        if self._template is not None and not is_whole_request(fields):
            return self._rendered(self._template, fields, row, index)
        try:
            data = _encode(dict(fields))
        except (TypeError, OverflowError) as error:
            raise RowError(f"cannot be written as JSON: {error}") from None
        return self._from_request(data, row.line, index)

    def _from_request(self, data: bytes, line: int, index: int) -> Job:
        long = self._read_long(data) if len(data) > LONG_LINE and self._body_field is None else None
        if long is None:
            request = read_request(data) if self._body_field is None else request_in(data, self._body_field)
            url = request.url or self._url or DEFAULT_URL
            tokens, output, streams, model = read_body(request.body, url)
        else:
            request, url, (tokens, output, streams, model) = long
        name = request.custom_id if self._id_field is None else given_name(_decode_fields(data).get(self._id_field), self._id_field)
        name = self.numbered(index) if name is None else name
        check_name(name)
        url = self._urls.get(url) or self._good_url(url)
        if not streams_unasked(url) and len(self._simple_urls) < KNOWN_URLS:
            self._simple_urls[request.url or ""] = url
        return Job(index, name, METHOD, url, request.body, tokens, line, output, streams, (), model)

    def _read_long(self, data: bytes) -> tuple[WholeRequest, str, tuple[int, int, bool, str]] | None:
        """A long line of the usual form, in one pass; None where the general way must be taken, or says what is wrong."""
        try:
            request = usual_request(data)
            if request is None:
                return None
            url = request.url or self._url or DEFAULT_URL
            return request, url, read_body(request.body, url, unread=True)
        except (RowError, msgspec.DecodeError, RecursionError):
            return None

    def _attached(self, template: Template, body: bytes, row: RawRow) -> tuple[Attachment, ...]:
        from pipeline.core.rows.attached import attachments  # noqa: PLC0415  few templates have files

        return attachments(template.files, body, row.files)

    def _rendered(self, template: Template, fields: Mapping[str, JSON], row: RawRow, index: int) -> Job:
        body = template.render(fields)
        files = self._attached(template, body, row) if template.files else ()
        value = fields.get(self._name_field)
        if value is None:
            name = numbered(self._base + index)
        else:
            name = given_name(value, self._name_field) or self.numbered(index)
            check_name(name)
        url = self._url or DEFAULT_URL
        if self._asked is None:
            tokens, output, streams, model = read_body(body, url)
        elif self._count_tokens:
            output, streams, model = self._asked
            tokens = estimate_tokens(body, None) + output
        else:
            return Job(index, name, METHOD, url, body, 0, row.line, 0, self._asked[1], files)
        tokens += MEDIA_TOKENS * sum(file.conversion != "mime" for file in files)
        return Job(index, name, METHOD, url, body, tokens, row.line, output, streams, files, model)

    def _good_url(self, url: str) -> str:
        problem = url_problem(url)
        if problem is not None:
            raise RowError(problem)
        return self._urls.setdefault(url, url) if len(self._urls) < KNOWN_URLS else url


def _decode_fields(data: bytes) -> Any:
    """A line of JSON. A field that holds a number which no float can is `OUT_OF_RANGE`: it harms only whoever asks for it."""
    try:
        return _decode_any(data)
    except msgspec.ValidationError:
        fields: dict[str, Any] = {}
        for name, raw in _decode_parts(data).items():
            try:
                fields[name] = _decode_any(raw)
            except msgspec.ValidationError:
                fields[name] = OUT_OF_RANGE
        return fields
