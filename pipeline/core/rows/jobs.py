"""What a row of the input becomes: a `Job`, or a `Failure` that takes its place and says what is wrong in which line.

A body goes out byte for byte as it came. It is checked as a whole but decoded only as far as needed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from pipeline.core.rows.estimate import estimate_tokens
from pipeline.core.rows.ids import DIGITS, MAX_DIGITS, SeenIds
from pipeline.core.rows.lines import RawRow, not_utf8
from pipeline.core.rows.templates import RowError
from pipeline.core.rows.urls import url_problem
from pipeline.records import Failure, FailureKind, Job

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.core.rows.ids import DigestStore
    from pipeline.core.rows.templates import JSON, Template

MAX_ID_LENGTH = 512  # characters; as long as OpenAI takes an id in a header
DEFAULT_URL = "/v1/chat/completions"
METHOD = "POST"  # the one that the Batch API knows
KNOWN_URLS = 64  # a file names a handful

# What can stand for a custom_id at a line's start, and what could hide the key from a search
_leading_ids = re.compile(rb'\n\{"custom_id": ?"([^"\\\n]{1,512})"').findall
_escaped_letters = re.compile(rb"\\u00(?:[67][0-9a-fA-F]|5[fF])").search
_control_characters = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]").search


class _BatchLine(msgspec.Struct, gc=False):
    url: str
    body: msgspec.Raw
    custom_id: str | None = None
    method: str = METHOD


class _Named(msgspec.Struct, gc=False):
    custom_id: Any = None


class _Sizes(msgspec.Struct, gc=False):
    """What bounds an answer's length. A wrong type is for the provider to refuse, so any is taken."""

    max_completion_tokens: Any = None
    max_tokens: Any = None
    max_output_tokens: Any = None
    n: Any = None
    stream: Any = None


_decode_line = msgspec.json.Decoder(_BatchLine).decode
_decode_name = msgspec.json.Decoder(_Named).decode
_decode_sizes = msgspec.json.Decoder(_Sizes).decode
_decode_any = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


class JobMaker:
    """Makes jobs of rows, slice by slice, and refuses an id that was used before.

    template, url: for rows that are no OpenAI Batch lines; without a template every row must be one. seen: where
    digests of ids are kept; closed with this.
    """

    def __init__(self, template: Template | None = None, url: str | None = None, *, seen: DigestStore) -> None:
        problem = None if url is None else url_problem(url)
        if problem is not None:
            raise ValueError(problem)
        self._template = template
        self._url = url or DEFAULT_URL
        self._store = seen
        self._seen = SeenIds(seen)
        self._urls: dict[str, str] = {}  # those found good, so that each is checked and kept once

    def make_jobs(self, rows: Sequence[RawRow], first_index: int) -> list[Job | Failure]:
        """The job or failure of each row. first_index: place of the first row in the input."""
        made = [self._make(row, index) for index, row in enumerate(rows, first_index)]
        claimers = [at for at, item in enumerate(made) if _claims(item)]
        # A row from a file is known by its line, one from Python by its place.
        numbers = [rows[at].line or -1 - made[at].index for at in claimers]
        for claim, first in self._seen.claim([made[at].custom_id for at in claimers], numbers).items():
            at = claimers[claim]
            item = made[at]
            if isinstance(item, Job):
                before = "before" if first is None else f"on line {first}" if first > 0 else f"by row {-1 - first}"
                problem = f"custom_id {item.custom_id!r} was used {before}; every row needs its own"
                made[at] = _failure(rows[at], item.index, item.custom_id, problem)
        return made

    def claim(self, rows: Sequence[RawRow], first_index: int) -> None:
        """Remember the ids of rows that need no job any more, so that a later row cannot use them again."""
        claims = [
            (name, row.line or -1 - index)
            for index, row in enumerate(rows, first_index)
            if (name := _name_of(row.data) or self._number_of_good(row, index))
        ]
        self._seen.claim([name for name, _ in claims], [number for _, number in claims])

    def claim_lines(self, text: bytes, first_index: int, count: int, *, all_good: bool) -> None:
        """The same for so many whole lines of JSON, none of them blank and the first of the file among them or before.

        all_good: every one of them has become a job; then their ids need not be decoded, if they stand where they usually do.
        """
        names = _leading_names(text) if all_good else None
        if names is None:
            lines = text.splitlines() if b"\r" in text else text.removesuffix(b"\n").split(b"\n")
            self.claim([RawRow(number, 0, line) for number, line in enumerate(lines, first_index + 1)], first_index)
            return
        prefix, first = _run_of(names) if names else (_numbered(0)[:-1], first_index)
        if first is None:
            self._seen.claim(names, range(first_index + 1, first_index + 1 + count))
        else:
            self._seen.claim_run(prefix, first, count)

    def _number_of_good(self, row: RawRow, index: int) -> str | None:
        """The id of a row that has none of its own and is no bad one, whose number is free for others."""
        return _numbered(index) if isinstance(self._make(row, index), Job) else None

    def close(self) -> None:
        """Forget the ids."""
        self._store.close()

    def _make(self, row: RawRow, index: int) -> Job | Failure:
        try:
            if isinstance(row.data, bytes):
                return self._from_json(row.data, row.line, index)
            if row.data is not None:
                return self._from_fields(row.data, row.line, index)
            problem = row.problem or "is empty"
        except (RowError, msgspec.DecodeError, UnicodeError, RecursionError) as error:
            problem = self._explain(error)
        return _failure(row, index, _name_of(row.data) or _numbered(index), problem)

    def _from_json(self, data: bytes, line: int, index: int) -> Job:
        if not data.isascii():
            data.decode()  # the decoder does not look into what it skips
        if self._template is not None:
            fields = _decode_any(data)
            if not isinstance(fields, dict):
                raise RowError(f"must be a JSON object, got {data[:40].decode(errors='replace')}")
            if not _is_batch_line(fields):
                return self._rendered(self._template, fields, line, index)
        return self._from_batch_line(data, line, index)

    def _from_fields(self, fields: Mapping[str, JSON], line: int, index: int) -> Job:
        if self._template is not None and not _is_batch_line(fields):
            return self._rendered(self._template, fields, line, index)
        try:
            data = _encode(dict(fields))
        except (TypeError, OverflowError) as error:
            raise RowError(f"cannot be written as JSON: {error}") from None
        return self._from_batch_line(data, line, index)

    def _from_batch_line(self, data: bytes, line: int, index: int) -> Job:
        request = _decode_line(data)
        body = bytes(request.body)
        if not body.startswith(b"{"):
            raise RowError("body must be a JSON object")
        if request.method != METHOD:
            raise RowError(f"method must be {METHOD}, got {request.method!r}")
        url = self._urls.get(request.url) or self._good_url(request.url)
        name = _numbered(index) if request.custom_id is None else request.custom_id
        _check_name(name)
        return Job(index, name, METHOD, url, body, _tokens(body), line)

    def _rendered(self, template: Template, fields: Mapping[str, JSON], line: int, index: int) -> Job:
        body = template.render(fields)
        name = _as_name(fields.get("custom_id")) or _numbered(index)
        _check_name(name)
        return Job(index, name, METHOD, self._url, body, _tokens(body), line)

    def _good_url(self, url: str) -> str:
        problem = url_problem(url)
        if problem is not None:
            raise RowError(problem)
        return self._urls.setdefault(url, url) if len(self._urls) < KNOWN_URLS else url

    def _explain(self, error: Exception) -> str:
        if isinstance(error, RecursionError):
            return "is nested too deeply"
        if isinstance(error, UnicodeDecodeError):
            return not_utf8(error)
        if isinstance(error, UnicodeEncodeError):
            return "holds half of a surrogate pair, which cannot be sent"
        if isinstance(error, msgspec.ValidationError):
            hint = "" if self._template else "; request.body in the config makes requests of other rows"
            return f"is not an OpenAI Batch line: {error}{hint}"
        return f"is not JSON: {error}" if isinstance(error, msgspec.DecodeError) else str(error)


def _is_batch_line(fields: Mapping[str, JSON]) -> bool:
    return "url" in fields and isinstance(fields.get("body"), Mapping)


def _check_name(name: str) -> None:
    if not name or len(name) > MAX_ID_LENGTH:
        raise RowError(f"custom_id must have 1 to {MAX_ID_LENGTH} characters, got {len(name)}")
    if not name.isprintable() and _control_characters(name):
        raise RowError(f"custom_id must not hold control characters, got {name!r}")


def _tokens(body: bytes) -> int:
    """What an attempt may cost. Refuses a streamed answer, which no output line can hold."""
    try:
        sizes = _decode_sizes(body)
    except (msgspec.DecodeError, RecursionError):  # a number beyond all bounds: the provider will say so
        return estimate_tokens(body, None)
    if sizes.stream is True:
        raise RowError("stream must not be true: an output line holds one whole answer; remove it")
    most = sizes.max_completion_tokens or sizes.max_tokens or sizes.max_output_tokens
    return estimate_tokens(body, most if type(most) is int else None, sizes.n if type(sizes.n) is int else 1)


def _as_name(value: object) -> str | None:
    """A field as an id: text or an integer; an empty cell of a table is none."""
    return str(value) if type(value) in (str, int) and value != "" else None


def _numbered(index: int) -> str:
    return f"row-{index}"


def _name_of(data: bytes | Mapping[str, JSON] | None) -> str | None:
    """The id of a row that is bad otherwise, if it can be made out."""
    try:
        name = _as_name(_decode_name(data).custom_id if isinstance(data, bytes) else (data or {}).get("custom_id"))
        if name:
            _check_name(name)
            return name
    except (RowError, msgspec.DecodeError, UnicodeError, RecursionError):
        pass
    return None


def _leading_names(text: bytes) -> list[str] | None:
    """The ids of whole lines that start with them, none for lines without any; None if that cannot be told without decoding.

    That saves four fifths of the time.
    """
    mentions = text.count(b"custom_id")
    if b"\\u00" in text and _escaped_letters(text):
        return None
    if not mentions:
        return []
    leading = _leading_ids(b"\n" + text)  # a literal start is found ten times as fast as a line's
    if not len(leading) == mentions == text.count(b"\n"):
        return None
    try:
        names = b"\n".join(leading).decode()
    except UnicodeDecodeError:
        return None
    return names.split("\n") if names.replace("\n", "").isprintable() else None


def _run_of(names: list[str]) -> tuple[str, int | None]:
    """The prefix and the first number of ids that count on by one; no number if they do not."""
    prefix = names[0].rstrip(DIGITS)
    digits = names[0][len(prefix) :]
    if not digits or len(digits) > MAX_DIGITS or digits != str(int(digits)):
        return prefix, None
    first = int(digits)
    return prefix, first if names == [f"{prefix}{number}" for number in range(first, first + len(names))] else None


def _claims(item: Job | Failure) -> bool:
    """Whether nobody else may have its id: a bad row without one is only counted, which must not cost a good row its own."""
    return isinstance(item, Job) or item.custom_id != _numbered(item.index)


def _failure(row: RawRow, index: int, name: str, problem: str) -> Failure:
    place = f"line {row.line}" if row.line else f"row {index}"
    return Failure(index, name, FailureKind.INVALID_ROW, f"{place}: {problem}")
