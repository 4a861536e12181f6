"""What a line of a batch's file must be. The whole file is looked at before anything is sent, and all problems are told at once.

Codes and params as OpenAI answers them (recorded in ogx, tests/integration/batches/test_batches_errors.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from pipeline.core.batches.records import LineError

if TYPE_CHECKING:
    from pipeline.core.rows.lines import RawRow

MOST_ERRORS = 100  # that are told one by one
NEEDED = {  # what a body must hold besides its model, by the last part of the endpoint
    "chat/completions": "messages",
    "messages": "messages",
    "completions": "prompt",
    "embeddings": "input",
    "moderations": "input",
    "images/generations": "prompt",
}
WITHOUT_MODEL = frozenset({"moderations", "images/generations"})  # where a model may be left out


class _Line(msgspec.Struct, gc=False):
    custom_id: Any = None
    method: Any = None
    url: Any = None
    body: msgspec.Raw = msgspec.Raw(b"null")


class _Body(msgspec.Struct, gc=False):
    model: Any = None
    stream: Any = None
    messages: msgspec.Raw = msgspec.Raw(b"null")
    prompt: msgspec.Raw = msgspec.Raw(b"null")
    input: msgspec.Raw = msgspec.Raw(b"null")


_decode_line = msgspec.json.Decoder(_Line).decode
_decode_body = msgspec.json.Decoder(_Body).decode


class LineCheck:
    """Checks the lines of one file. endpoint: of the batch. model: the one of the first line."""

    def __init__(self, endpoint: str) -> None:
        self.model: str | None = None
        self._endpoint = endpoint
        kind = endpoint.removeprefix("/v1/")
        self._needed = NEEDED.get(kind)
        self._needs_model = kind not in WITHOUT_MODEL

    def check(self, row: RawRow) -> tuple[str | None, list[LineError]]:
        """The id of a row, None if it has none, and what is wrong with it."""
        if not isinstance(row.data, bytes):
            return None, [_error(row, "invalid_json_line", f"This line {row.problem or 'is empty'}.")]
        try:
            row.data.decode()
            line = _decode_line(row.data)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            return None, [_error(row, "invalid_json_line", "This line is not parseable as valid JSON.")]
        name = line.custom_id if isinstance(line.custom_id, str) and line.custom_id else None
        return name, [*self._head_problems(row, line, name), *self._body_problems(row, bytes(line.body))]

    def duplicate(self, row: RawRow, name: str, first: int | None) -> LineError:
        """The error of a line whose id was used before. first: the line that used it."""
        where = "on an earlier line" if first is None else f"on line {first}"
        return _error(row, "duplicate_custom_id", f"The custom_id '{name[:100]}' was already used {where}.", "custom_id")

    def _head_problems(self, row: RawRow, line: _Line, name: str | None) -> list[LineError]:
        found = []
        if line.custom_id is None or line.custom_id == "":
            found.append(_missing(row, "custom_id"))
        elif name is None:
            found.append(_error(row, "invalid_type", "The custom_id must be a string.", "custom_id"))
        if line.method is None:
            found.append(_missing(row, "method"))
        elif line.method != "POST":
            found.append(_error(row, "invalid_method", "The method must be POST.", "method"))
        if line.url is None:
            found.append(_missing(row, "url"))
        elif line.url != self._endpoint:
            told = f"The URL provided for this request does not match the batch endpoint ({self._endpoint})."
            found.append(_error(row, "invalid_url", told, "url"))
        return found

    def _body_problems(self, row: RawRow, data: bytes) -> list[LineError]:
        if data == b"null":
            return [_missing(row, "body")]
        if not data.startswith(b"{"):
            return [_error(row, "invalid_type", "The body must be an object.", "body")]
        try:
            body = _decode_body(data)
        except (msgspec.DecodeError, RecursionError):
            return [_error(row, "invalid_json_line", "This line is not parseable as valid JSON.")]
        found = []
        if isinstance(body.model, str) and body.model:
            self.model = self.model or body.model
        elif self._needs_model or body.model is not None:
            found.append(_error(row, "invalid_request", "The body must name a model.", "body.model"))
        if self._needed is not None and bytes(getattr(body, self._needed)) == b"null":
            found.append(_error(row, "invalid_request", f"Missing required parameter: '{self._needed}'.", f"body.{self._needed}"))
        if body.stream is not None and body.stream is not False:
            found.append(_error(row, "streaming_unsupported", "Streaming is not supported in the Batch API.", "body.stream"))
        return found


class Findings:
    """What is wrong with a file: the first MOST_ERRORS problems, and how many more there are."""

    def __init__(self) -> None:
        self._told: list[LineError] = []
        self._more = 0

    def add(self, errors: list[LineError]) -> None:
        """Take problems in the order of the lines."""
        room = MOST_ERRORS - len(self._told)
        self._told += errors[:room]
        self._more += len(errors[room:])

    def errors(self, rows: int) -> list[LineError]:
        """All there is to tell of a file with so many rows."""
        if not rows and not self._told:
            return [LineError("empty_file", "The input file is empty: a batch needs at least one request.")]
        more = [LineError("too_many_errors", f"{self._more:,} more problems were found in this file.")] if self._more else []
        return self._told + more


def _missing(row: RawRow, param: str) -> LineError:
    return _error(row, "missing_required_parameter", f"Missing required parameter: '{param}'.", param)


def _error(row: RawRow, code: str, message: str, param: str | None = None) -> LineError:
    return LineError(code, message, param, row.line)
