"""Splits the lines that a run has written into a batch's two files: those with a 200 answer, and all others.

Works on the bytes: only our own encoder writes these lines, so the keys stand in one order, and a quotation mark in an id has a
backslash before it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from attrs import define, field

from pipeline.core.batches.records import BatchUsage, FailureExample
from pipeline.core.output.lines import CLIENT_ERROR
from pipeline.core.output.read_lines import read_line
from pipeline.records import NO_USAGE, FailureKind, Usage

if TYPE_CHECKING:
    from pipeline.core.output.written import Written

RESPONSE = b'","response":{"status_code":'
NO_ID = b'"request_id":null,'
WELL = b'"error":null}\n'
NOT_COUNTED = frozenset({FailureKind.CANCELLED.value, FailureKind.EXPIRED.value})
MOST_CODES = 50  # that examples are kept of
MOST_MESSAGE = 300  # characters of an example

_decode_parts = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_encode = msgspec.json.Encoder().encode


@define
class Split:
    """Takes the lines of one batch in their order. batch_id: makes ids that no other batch has.

    completed, failed: rows; `dropped` were cancelled or had expired, and count as neither.
    """

    batch_id: str
    completed: int = field(default=0, init=False)
    failed: int = field(default=0, init=False)
    dropped: int = field(default=0, init=False)
    failures: dict[str, FailureExample] = field(factory=dict, init=False)
    _usage: Usage = field(default=NO_USAGE, init=False)

    @property
    def usage(self) -> BatchUsage:
        """Tokens of all answers."""
        used = self._usage
        return BatchUsage(used.prompt_tokens, used.cached_tokens, used.output_tokens, used.reasoning_tokens)

    def take(self, line: bytes) -> tuple[bool, bytes]:
        """Whether a line goes to the output file (else to the error file), and how it is written there."""
        at = line.find(RESPONSE)
        status_at = at + len(RESPONSE)
        head, rest = line[:at], line[at:]
        if at >= 0 and rest.startswith(NO_ID, len(RESPONSE) + 4):
            name = b'"request_id":"req_%s_%s",' % (self.batch_id.removeprefix("batch_").encode(), _number_of(head))
            rest = rest[: len(RESPONSE) + 4] + name + rest[len(RESPONSE) + 4 + len(NO_ID) :]
        if at >= 0 and line.endswith(WELL) and line[status_at : status_at + 1] == b"2":
            self.completed += 1
            if b'"usage' in line and (told := read_line(line)) is not None:
                self._usage += told.usage
            return True, head + RESPONSE + b"200" + rest[len(RESPONSE) + 3 :]
        told = read_line(line)
        if told is not None:
            self._note(told)
        return False, _without_error(head + rest) if at >= 0 and told is not None and (told.status_code or 0) >= CLIENT_ERROR else line

    def _note(self, told: Written) -> None:
        code = told.code or (f"http_{told.status_code}" if told.status_code else "error")
        if code in NOT_COUNTED:
            self.dropped += 1
            return
        self.failed += 1
        before = self.failures.get(code)
        if before is None and len(self.failures) >= MOST_CODES:
            return
        example = (told.custom_id, (told.message or "")[:MOST_MESSAGE]) if before is None else (before.custom_id, before.message)
        self.failures[code] = FailureExample(1 if before is None else before.count + 1, *example)


def _number_of(head: bytes) -> bytes:
    """The number of the row in the `id` of its line, without the zeros before it."""
    return head.split(b'"', 4)[3].removeprefix(b"batch_req_").lstrip(b"0") or b"0"


def _without_error(line: bytes) -> bytes:
    """A line whose response tells by itself why the row failed."""
    if line.endswith(WELL):
        return line
    return _encode({**_decode_parts(line), "error": None}) + b"\n"
