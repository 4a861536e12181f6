"""Checks that a run's output has exactly one correct line per input row, in its place, nothing missing and nothing foreign.

A correct output is read in parallel with its input, in constant memory. Only when the two differ is the whole input put into a map (a
digest of 8 bytes per row and a dictionary's overhead), to find out for every line what is wrong with it.
"""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack, closing, contextmanager
from hashlib import blake2b
from itertools import groupby, zip_longest
from typing import TYPE_CHECKING

import msgspec
from attrs import define, evolve, field, frozen

from pipeline.core.output.keys import KEYS
from pipeline.core.output.read_lines import index_of_id
from pipeline.errors import InputError
from pipeline.inspect.held import hold_files
from pipeline.inspect.results import result_lines
from pipeline.records import Failure
from pipeline.runs.inputs import job_maker, source_opener

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pipeline.config import Config
    from pipeline.config.schema import SinkConfig

SLICE_ROWS = 256
SHOWN = 20  # problems that are told one by one; the rest is counted

_split = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode = msgspec.json.decode


@frozen
class Verification:
    """What `verify` found; the same keys as `--json` prints.

    counts: rows or lines with a problem, by kind. problems: the first, told. digest: SHA-256 of the output, as a run's
    summary has it.
    """

    ok: bool
    rows: int
    lines: int
    counts: Mapping[str, int]
    problems: tuple[str, ...]
    digest: str = ""


@frozen(eq=False)
class _Row:
    """A row of the input. bad: it can only have become an `invalid_row`."""

    index: int
    custom_id: str
    bad: bool


@frozen(eq=False)
class _Line:
    """A line of the output. custom_id: None if the line is malformed. index: the row that it says it is, None if it says none."""

    number: int
    custom_id: str | None
    problem: str | None = None
    invalid_row: bool = False
    index: int | None = None


@define
class _Findings:
    """What is found on the way."""

    rows: int = 0
    lines: int = 0
    counts: Counter[str] = field(factory=Counter)
    problems: list[str] = field(factory=list)
    untold: int = 0

    def add(self, kind: str, message: str, count: int = 1) -> None:
        self.counts[kind] += count
        if len(self.problems) < SHOWN:
            self.problems.append(message)
        else:
            self.untold += count

    def add_missing(self, first: int, last: int) -> None:
        self.add("missing", f"row {first} has no line" if first == last else f"rows {first} to {last} have no line", last - first + 1)

    def conclude(self) -> Verification:
        problems = [*self.problems, f"and {self.untold:,} more"] if self.untold else self.problems
        return Verification(not self.counts, self.rows, self.lines, dict(self.counts), tuple(problems))


def verify(config: Config) -> Verification:
    """Compare the output with the input.

    Raises: InputError, where either cannot be read, or the input is stdin, which cannot be read again.
    """
    if "-" in config.source.paths:
        raise InputError("the input was stdin, which cannot be read again; put it into a file to verify")
    found = _side_by_side(config) if config.sink.order.value == "input" else None
    if found is None:
        found = _by_map(config)
    digest = _hold_journal(config, found)
    return evolve(found.conclude(), digest=digest)


def _hold_journal(config: Config, found: _Findings) -> str:
    """What the journal says was written against what is there; the digest of the output."""
    held = hold_files(config)
    for problem in held.edited:
        found.add("edited", problem)
    if held.waiting and found.counts["missing"]:
        found.problems.append(f"{held.waiting:,} of the missing rows wait in the journal; `headrace run` writes them")
    return held.whole.hexdigest()


def _side_by_side(config: Config) -> _Findings | None:
    """Both files in step; None as soon as they part, because then only a map can say why."""
    found = _Findings()
    with _rows(config) as rows, _lines(config) as lines:
        for row, line in zip_longest(rows, lines):
            if row is None or (line is not None and line.custom_id != row.custom_id):
                return None
            found.rows += 1
            if line is not None:
                found.lines += 1
                _hold(line, row, found)
    if found.lines < found.rows:  # a run that stopped: the rest of the input is missing
        found.add_missing(found.lines, found.rows - 1)
    return found


def _by_map(config: Config) -> _Findings:
    """Every line looked up among all rows of the input."""
    found = _Findings()
    places = _Places()
    with _rows(config) as rows:
        for row in rows:
            places.add(row)
    found.rows = len(places.bad)
    highest = -1
    with _lines(config) as lines:
        for line in lines:
            found.lines += 1
            index = None if line.custom_id is None else places.take(line.custom_id, line.index, after=highest)
            if line.custom_id is None:
                found.add("malformed", f"line {line.number}: {line.problem}")
            elif index is None:
                kind = "duplicate" if places.knows(line.custom_id) else "foreign"
                said = "is there for the second time" if kind == "duplicate" else "is no row of the input"
                found.add(kind, f"line {line.number}: custom_id {line.custom_id!r} {said}")
            else:
                if index < highest and config.sink.order.value == "input":
                    found.add("out_of_order", f"line {line.number}: row {index} ({line.custom_id!r}) comes after row {highest}")
                highest = max(highest, index)
                _hold(line, _Row(index, line.custom_id, bool(places.bad[index])), found)
    for first, last in places.missing():
        found.add_missing(first, last)
    return found


class _Places:
    """Where each custom_id stands in the input, and which rows were met in the output."""

    def __init__(self) -> None:
        self.bad = bytearray()
        self._met = bytearray()
        self._first: dict[bytes, int] = {}
        self._more: dict[bytes, list[int]] = {}  # a duplicate id is a bad row, yet it has a line of its own

    def add(self, row: _Row) -> None:
        digest = _digest(row.custom_id)
        if self._first.setdefault(digest, row.index) != row.index:
            self._more.setdefault(digest, []).append(row.index)
        self.bad.append(row.bad)
        self._met.append(0)

    def knows(self, custom_id: str) -> bool:
        return _digest(custom_id) in self._first

    def take(self, custom_id: str, index: int | None, *, after: int) -> int | None:
        """The place of a row with this id that was not met before; it is met now.

        index: the place that the line itself names; it counts if a row of this id is there. Else it is the first one after
        `after`, if there is any.
        """
        digest = _digest(custom_id)
        places = [self._first[digest], *self._more.get(digest, ())] if digest in self._first else []
        unmet = [place for place in places if not self._met[place] and (index not in places or place == index)]
        if not unmet:
            return None
        place: int = next((place for place in unmet if place > after), unmet[0])
        self._met[place] = 1
        return place

    def missing(self) -> Iterator[tuple[int, int]]:
        """First and last row of every stretch that was not met."""
        for is_met, stretch in groupby(enumerate(self._met), key=lambda item: item[1]):
            if not is_met:
                rows = [index for index, _ in stretch]
                yield rows[0], rows[-1]


def _hold(line: _Line, row: _Row, found: _Findings) -> None:
    """A line against the row that it answers."""
    if line.problem is not None:
        found.add("malformed", f"line {line.number}: {line.problem}")
    elif row.bad and not line.invalid_row:
        found.add("mismatched", f"line {line.number}: row {row.index} is bad in the input, but its line is no invalid_row")
    elif line.invalid_row and not row.bad:
        found.add("mismatched", f"line {line.number}: row {row.index} is good in the input, but its line says invalid_row")
    elif line.index is not None and line.index != row.index:
        found.add("mismatched", f"line {line.number}: says that it is row {line.index}, but {line.custom_id!r} is row {row.index}")


@contextmanager
def _rows(config: Config) -> Iterator[Iterator[_Row]]:
    """The rows of the input, one by one."""
    with ExitStack() as opened:
        jobs = opened.enter_context(closing(job_maker(config)))
        source = opened.enter_context(closing(source_opener(config)()))

        def rows() -> Iterator[_Row]:
            index = 0
            while taken := source.take(SLICE_ROWS):
                for item in jobs.make_jobs(taken, index):
                    yield _Row(item.index, item.custom_id, isinstance(item, Failure))
                index += len(taken)

        yield rows()


@contextmanager
def _lines(config: Config) -> Iterator[Iterator[_Line]]:
    """The lines of the output, one by one."""
    with result_lines(config) as lines:
        yield (_understood(number, line, config.sink) for number, line in enumerate(lines, 1))


def _understood(number: int, line: bytes, sink: SinkConfig) -> _Line:
    try:
        line.decode()  # msgspec does not look at the text that it skips
        parts = _split(line)
        custom_id = _decode(parts.get("custom_id", b"null"))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as said:
        return _Line(number, None, f"is no JSON object: {said}")
    if not isinstance(custom_id, str):
        return _Line(number, None, "has no custom_id")
    if not line.endswith(b"\n"):
        return _Line(number, custom_id, "is torn: its line end is missing")
    shape = sink.shape.value
    keys = KEYS[shape].union(sink.keep)
    if parts.keys() != keys:
        missing, extra = sorted(keys - parts.keys()), sorted(parts.keys() - keys)
        return _Line(number, custom_id, f"is not of the shape {shape}: missing keys {missing}, foreign keys {extra}")
    error = _decode(parts["error"])
    invalid_row = isinstance(error, dict) and error.get("code") == "invalid_row"
    return _Line(number, custom_id, None, invalid_row, _index_of(parts))


def _index_of(parts: Mapping[str, bytes]) -> int | None:
    """The row that a line says it is: flat lines have a key for it, others have it in their id."""
    named = _decode(parts["index"]) if "index" in parts else index_of_id(_decode(parts["id"]))
    return named if isinstance(named, int) else None


def _digest(custom_id: str) -> bytes:
    return blake2b(custom_id.encode("utf-8", "surrogatepass"), digest_size=8).digest()
