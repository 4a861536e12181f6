"""What a row of the input becomes: a `Job`, or a `Failure` that takes its place and says what is wrong in which line.

A body goes out byte for byte as it came. It is checked as a whole but decoded only as far as needed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pipeline.core.rows.asked import ASKED, read_body, says_nothing_of_streams, streams_unasked
from pipeline.core.rows.attached import FileError, attachments
from pipeline.core.rows.estimate import MEDIA_TOKENS, estimate_tokens
from pipeline.core.rows.explained import explained
from pipeline.core.rows.formats import CHAT_URL, METHOD, Line, decode_line, is_whole_request, read_request, request_in, usual_request
from pipeline.core.rows.ids import SeenIds, run_of
from pipeline.core.rows.lines import LONG_LINE, RawRow
from pipeline.core.rows.names import CUSTOM_ID, all_are_plain, as_name, check_name, leading_names, name_of, numbered, readable_name
from pipeline.core.rows.templates import RowError
from pipeline.core.rows.urls import url_problem
from pipeline.records import Failure, FailureKind, Job

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pipeline.core.rows.formats import WholeRequest
    from pipeline.core.rows.ids import DigestStore
    from pipeline.core.rows.templates import JSON, Template

KNOWN_URLS = 64  # a file names a handful
DEFAULT_URL = CHAT_URL

NO_LINE = Line()
_decode_any = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


class JobMaker:
    """Makes jobs of rows, slice by slice, and refuses an id that was used before.

    template, url: for rows that are not whole requests; without a template every row must be one, and url is for those that
    say none. seen: where digests of ids are kept; closed with this. id_field: the field that names a row, None for
    `custom_id`. body_field: the field that holds the body of every row. one_file: a row's line alone says where it is.
    base: how many rows of the input come before the first one that is given here; they count for ids and messages. taken: which rows
    use the id of an earlier row, and the number of that one, if the whole input was searched for them; ids are not remembered then.
    count_tokens: whether jobs say what they may cost; without it `asked.counted` does so where it is needed.
    """

    def __init__(
        self,
        template: Template | None = None,
        url: str | None = None,
        *,
        seen: DigestStore,
        id_field: str | None = None,
        body_field: str | None = None,
        one_file: bool = True,
        base: int = 0,
        taken: Mapping[int, int | None] | None = None,
        count_tokens: bool = True,
    ) -> None:
        problem = None if url is None else url_problem(url)
        if problem is not None:
            raise ValueError(problem)
        self._template = template
        self._url = url
        self._id_field = id_field
        self._name_field = id_field or CUSTOM_ID
        self._body_field = body_field
        self._one_file = one_file
        self._base = base
        self._taken = taken
        self._count_tokens = count_tokens
        self._is_simple = template is None and id_field is None and body_field is None and not count_tokens
        # What every body of the template asks for, where that is the same for all rows: it need not be read from each.
        self._asked = None if template is None or template.varying & ASKED else read_body(template.constant, url or DEFAULT_URL)[1:]
        self._store = seen
        self._seen = SeenIds(seen)
        self._urls: dict[str, str] = {}  # those found good, so that each is checked and kept once
        self._simple_urls: dict[str, str] = {}  # of endpoints that stream only if they are asked to, by what the row says

    def make_jobs(self, rows: Sequence[RawRow], first_index: int) -> list[Job | Failure]:
        """The job or failure of each row. first_index: place of the first row in the input."""
        made = self._made(rows, first_index)
        repeats = self._claim(rows, made) if self._taken is None else self._known_repeats(first_index, len(rows))
        for at, first in repeats.items():
            item = made[at]
            if isinstance(item, Job):
                before = "before" if first is None else f"on line {first}" if first > 0 else f"by row {-1 - first}"
                problem = f"custom_id {item.custom_id!r} was used {before}; every row needs its own"
                made[at] = self._failure(rows[at], item.index, item.custom_id, problem)
        return made

    def repeats(self, rows: Sequence[RawRow], first_index: int) -> dict[int, int | None]:
        """Which of the next rows use the id of an earlier one, and the number of that one; see `taken`."""
        made = self._made(rows, first_index)
        return {first_index + at: first for at, first in self._claim(rows, made).items() if isinstance(made[at], Job)}

    def may_repeat(self, rows: Sequence[RawRow], first_index: int) -> bool:
        """Claim the ids of the next rows; whether one of them may have been used before. Cheaper than `repeats`, and says yes too often."""
        names = self._names_at_sight(rows)
        if names is None:
            names = [self._make(row, index).custom_id for index, row in enumerate(rows, first_index)]
        if not names:
            names = [self._numbered(index) for index in range(first_index, first_index + len(rows))]
        if self._seen.claim_new_run(names):
            return False
        return bool(self._seen.claim(names, range(first_index, first_index + len(rows))))

    def _names_at_sight(self, rows: Sequence[RawRow]) -> list[str] | None:
        """The ids of lines of JSON, bad ones included, none for lines without any; None if they must be decoded."""
        lines = [row.data for row in rows if isinstance(row.data, bytes)]
        if len(lines) < len(rows) or self._id_field is not None or self._body_field is not None:
            return None
        return leading_names(b"\n".join(lines) + b"\n")

    def _claim(self, rows: Sequence[RawRow], made: Sequence[Job | Failure]) -> dict[int, int | None]:
        """Claim the ids of rows: position of a row whose id was taken -> number of the first claim, None if not known."""
        names = [item.custom_id for item in made if type(item) is Job]
        if names and len(names) == len(made) and self._seen.claim_new_run(names):
            return {}
        claimers = [at for at, item in enumerate(made) if isinstance(item, Job) or self._claims_its_name(rows[at])]
        # A row from a file is known by its line, one from Python by its place.
        numbers = [_number_of(rows[at], made[at].index) for at in claimers]
        taken = self._seen.claim([made[at].custom_id for at in claimers], numbers)
        return {claimers[claim]: first for claim, first in taken.items()}

    def _known_repeats(self, first_index: int, count: int) -> dict[int, int | None]:
        """The same for the next rows, where it is known."""
        taken = self._taken
        return {at: taken[first_index + at] for at in range(count) if first_index + at in taken} if taken else {}

    def claim(self, rows: Sequence[RawRow], first_index: int) -> None:
        """Remember the ids of rows that need no job any more, so that a later row cannot use them again."""
        if self._taken is not None:
            return
        claims = [
            (name, _number_of(row, index))
            for index, row in enumerate(rows, first_index)
            if (name := self._own_name(row.data) or self._name_of_good(row, index))
        ]
        self._seen.claim([name for name, _ in claims], [number for _, number in claims])

    def claim_lines(self, text: bytes, first_index: int, count: int, *, all_good: bool) -> None:
        """The same for this many whole lines of JSON, none of them blank and the first of the file among them or before.

        all_good: every one of them has become a job; then their ids need not be decoded, if they stand where they usually do.
        """
        if self._taken is not None:
            return
        names = leading_names(text) if all_good and self._id_field is None and self._body_field is None else None
        if names is None:
            self.claim(self.rows_in(text, first_index), first_index)
            return
        prefix, first = run_of(names) if names else (numbered(0)[:-1], first_index)
        if first is None:
            first_number, step = (first_index + 1, 1) if self._one_file else (-1 - first_index, -1)
            self._seen.claim(names, range(first_number, first_number + step * count, step))
        else:
            self._seen.claim_run(prefix, first, count)

    def rows_in(self, text: bytes, first_index: int) -> list[RawRow]:
        """The rows of whole lines of JSON, none of them blank."""
        lines = text.splitlines() if b"\r" in text else text.removesuffix(b"\n").split(b"\n")
        return [RawRow(number if self._one_file else 0, 0, line) for number, line in enumerate(lines, first_index + 1)]

    def _name_of_good(self, row: RawRow, index: int) -> str | None:
        """The id of a row if it is a good one."""
        made = self._make(row, index)
        return made.custom_id if isinstance(made, Job) else None

    def _own_name(self, data: bytes | Mapping[str, JSON] | None) -> str | None:
        return name_of(data, self._name_field)

    def _claims_its_name(self, row: RawRow) -> bool:
        """Whether nobody else may have a bad row's id. One without an id is only counted, which must not cost a good row its own."""
        return self._own_name(row.data) is not None

    def close(self) -> None:
        """Forget the ids."""
        self._store.close()

    def _made(self, rows: Sequence[RawRow], first_index: int) -> list[Job | Failure]:
        """The job or failure of each row, as far as it depends on no other row."""
        if self._is_simple:
            return self._simple_jobs(rows, first_index)
        return [self._make(row, index) for index, row in enumerate(rows, first_index)]

    def _make(self, row: RawRow, index: int) -> Job | Failure:
        try:
            if isinstance(row.data, bytes):
                return self._from_json(row.data, row, index)
            if row.data is not None:
                return self._from_fields(row.data, row, index)
            problem = row.problem or "is empty"
        except (RowError, FileError, msgspec.DecodeError, UnicodeError, RecursionError) as error:
            problem = explained(error, row.data, has_template=self._template is not None)
        return self._failure(row, index, self._own_name(row.data) or readable_name(row.data) or self._numbered(index), problem)

    def _simple_jobs(self, rows: Sequence[RawRow], first_index: int) -> list[Job | Failure]:
        """The same for lines of a batch file. A line that is not of the simplest form is made by `_make`.

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
            made.append(self._make(row, index))
        if all_are_plain([item.custom_id for item in made]):
            return made
        return [self._make(row, index) for index, row in enumerate(rows, first_index)]

    def _from_json(self, data: bytes, row: RawRow, index: int) -> Job:
        if not data.isascii():
            data.decode()  # the decoder does not look into what it skips
        if self._template is not None:
            fields = _decode_any(data)
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
        name = request.custom_id if self._id_field is None else self._own_name(data)
        name = self._numbered(index) if name is None else name
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

    def _rendered(self, template: Template, fields: Mapping[str, JSON], row: RawRow, index: int) -> Job:
        body = template.render(fields)
        files = attachments(template.files, body, row.files) if template.files else ()
        name = as_name(fields.get(self._name_field)) or self._numbered(index)
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

    def _numbered(self, index: int) -> str:
        return numbered(self._base + index)

    def _failure(self, row: RawRow, index: int, name: str, problem: str) -> Failure:
        number = self._base + index
        place = row.place if row.line else f"{row.file}, row {number}" if row.file is not None else f"row {number}"
        return Failure(index, name, FailureKind.INVALID_ROW, f"{place}: {problem}")

    def _good_url(self, url: str) -> str:
        problem = url_problem(url)
        if problem is not None:
            raise RowError(problem)
        return self._urls.setdefault(url, url) if len(self._urls) < KNOWN_URLS else url


def _number_of(row: RawRow, index: int) -> int:
    """What a claim of a row's id is remembered by: its line where there is one file, else below zero its index."""
    return row.line if row.line and row.file is None else -1 - index
