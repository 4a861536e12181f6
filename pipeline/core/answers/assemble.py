"""Puts a streamed answer together while it comes: bytes in, the object that would have come without a stream out.

What kind of stream it is shows in its first event, never in the url: relays answer in the dialect that they know. The body may
be an event stream, one object a line, a list, or an ordinary answer after all. Bytes are gathered and folded a block at a time,
so that a stream costs what its answer does and not what its events do; the size of a block changes nothing of the result.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from pipeline.core.answers.assemble_chat import ChatStream
from pipeline.core.answers.assemble_gemini import GeminiStream
from pipeline.core.answers.assemble_messages import MessageStream
from pipeline.core.answers.assemble_responses import ResponseStream
from pipeline.core.answers.dialects import BY_TYPE, ErrorStream, dialect_of
from pipeline.core.answers.error_bodies import tells_error
from pipeline.core.answers.events import Events
from pipeline.core.answers.halves import HalvesJoined
from pipeline.core.answers.mend import JSON_STARTS, UNREADABLE, after_comments, json_text
from pipeline.core.answers.parts import NULL, is_object, items_of, object_of, text_of
from pipeline.core.answers.streamed import NO_JSON, Cut, Refused, Whole
from pipeline.patterns import later

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.core.answers.dialects import Dialect
    from pipeline.core.answers.streamed import Streamed

FOLD_BYTES = 65_536  # 50 streams of 9 MB: 128 MB at this size, 598 MB if nothing is folded before the end
DONE = b"[DONE]"
BLANKS = b" \t\r\n"
MOST_UNKNOWN = 16  # events that are kept before the one that tells the dialect
MOST_BLANKS = 65_536  # that are looked through before a body; servers send them to keep a connection open
BOM = b"\xef\xbb\xbf"
# A token in any dialect: the first text that is not empty. Comments, pings and roles are none.
_FIRST_TOKEN = later(
    rb'"(?:content|text|reasoning|reasoning_content|thinking|partial_json|arguments|delta|refusal|response|transcript)"\s?:\s?"[^"]'
)
_decode = msgspec.json.Decoder().decode


def is_streamed(body: bytes) -> bool:
    """Whether a body may be a stream: events, several objects, or a list (Google's form without `alt=sse`)."""
    start = body[:MOST_BLANKS].removeprefix(BOM).lstrip(BLANKS)
    return start.startswith((b"data:", b"event:", b":", b"id:", b"retry:", b"error:", b"{", b"["))


def says_a_token(piece: bytes) -> bool:
    """Whether there is a part of the answer in a piece of a stream."""
    return _FIRST_TOKEN.search(piece) is not None


class Assembler:
    """One streamed answer. count: events that were folded in, comments and pings not counted. waiting: bytes that were not yet."""

    def __init__(self, fold: int = FOLD_BYTES) -> None:
        self.count = 0
        self._first: bytes | None = None
        self._fold = fold
        self._due = fold  # bytes of which the next block is made
        self._taken = 0  # bytes that were folded
        self._pieces: list[bytes] = []
        self.waiting = 0
        self._framing: Events | _Lines | None = None
        self._dialect: Dialect | None = None
        self._unknown: list[bytes] = []  # events before the one that tells the dialect
        self._halves = HalvesJoined()
        self._problem: str | None = None

    def feed(self, piece: bytes) -> None:
        """Take some more bytes of the body."""
        self._pieces.append(piece)
        self.waiting += len(piece)
        if self.waiting >= self._due:
            self._fold_in()

    @property
    def due(self) -> int:
        """Bytes that `feed` must take until the next block is folded in."""
        return max(0, self._due - self.waiting)

    @property
    def held(self) -> int:
        """Bytes that are kept, about: of an event that is not whole, and of the answer so far."""
        kept = self._dialect.held if isinstance(self._dialect, ChatStream | MessageStream | ResponseStream) else self._taken
        return self.waiting + (0 if self._framing is None else self._framing.pending) + kept

    def end(self) -> Streamed:
        """What the whole body came to. Whole, if it was no stream but an answer."""
        self._fold_in()
        if self._framing is None:
            return _ordinary(b"".join(self._pieces))
        self._take(self._framing.end())
        for event in self._halves.end():
            self._mend(event)
        if isinstance(self._framing, Events) and self._framing.error is not None:
            return Refused(_error_body(self._framing.error))
        if self.count == 1 and self._first is not None and (self._first.startswith(b"[") or _is_ordinary(self._first)):
            return _ordinary(self._first) if self._first.startswith(b"[") else Whole(self._first)
        if self._dialect is None:
            return self._end_of_unknown()
        ended = self._dialect.end()
        if self._problem is not None and isinstance(ended, Whole):
            return Cut(self._problem, ended.body)
        return ended

    def _fold_in(self) -> None:
        block = b"".join(self._pieces)
        if self._framing is None:
            self._framing = _framing_of(block)
            if self._framing is None:
                self._pieces = [block]  # a list or an object is read when it is whole
                self._due = 2 * max(len(block), self._fold)
                return
        self._pieces, self.waiting = [], 0
        self._taken += len(block)
        self._take(self._framing.feed(block))
        self._due = max(self._fold, self._framing.pending)  # so that a long event is copied few times

    def _end_of_unknown(self) -> Streamed:
        """What a stream came to of which no event is of a known form. It is shown as it came, so that nothing of it is lost."""
        for event in self._unknown:
            if tells_error(_decode(event)):
                return Refused(_error_body(event))
        return Cut(
            self._problem or ("none of its events is of a known form" if self._unknown else "the stream ended before its first event")
        )

    def _take(self, events: list[bytes]) -> None:
        events = [event for event in events if event != DONE and event.strip() != DONE] if DONE in b"".join(events[-1:]) else events
        events = [event for event in events if event.strip(BLANKS)] if b"" in events else events
        self.count += len(events)
        for part in _groups(events):
            group = self._halves.before(part)
            try:
                for event in group:
                    if not event.isascii():
                        event.decode()  # a decoder that skips a text does not look at its bytes
                self._hand_on(group)
            except UNREADABLE:
                for event in self._halves.joined(group):
                    self._mend(event)

    def _hand_on(self, events: list[bytes]) -> None:
        while self._dialect is None and events:
            self._dialect = dialect_of(_decode(events[0]))
            self._first = self._first or events[0]
            if self._dialect is not None:
                if isinstance(self._dialect, ChatStream):  # whose keys may come in any event
                    events = [*self._unknown, *events]
            else:
                if len(self._unknown) < MOST_UNKNOWN:
                    self._unknown.append(events[0])
                events = events[1:]
        if self._dialect is not None and events:
            self._dialect.take(events)

    def _mend(self, event: bytes) -> None:
        text = json_text(event)
        if text is None and b"\n" in event:  # a server that writes one line an event, without blank lines
            self.count += event.count(b"\n")
            for line in event.split(b"\n"):
                self._mend(line)
        elif text is None or not text.startswith(b"{"):
            self._take_odd(event, text)
        else:
            try:
                self._hand_on([text])
            except UNREADABLE:
                self._problem = self._problem or "an event is not of the form that such events have"

    def _take_odd(self, event: bytes, text: bytes | None) -> None:
        """Take an event that is no object. Only what begins like one is a loss: words and numbers keep connections open."""
        event = event.strip()
        if event.startswith(b"{"):
            self._problem = self._problem or "an event is not JSON"
        elif text is not None and text.startswith(b"["):
            elements = items_of(msgspec.Raw(text))
            if self.count == 1:
                self._first = text
            for element in elements:
                if is_object(element):
                    self._mend(bytes(element))
        elif event == DONE or not event:
            self.count -= 1


def _groups(events: list[bytes]) -> Iterator[list[bytes]]:
    """Events in groups of about FOLD_BYTES: a dialect decodes a group in one call, and no other thread runs during a call."""
    at = size = 0
    if len(events) > 1 and sum(map(len, events)) > FOLD_BYTES:
        for end, event in enumerate(events, 1):
            size += len(event)
            if size >= FOLD_BYTES:
                yield events[at:end]
                at, size = end, 0
    if at < len(events):
        yield events[at:]


class _Lines:
    """One object a line (Ollama)."""

    def __init__(self) -> None:
        self._rest = b""

    @property
    def pending(self) -> int:
        return len(self._rest)

    def feed(self, piece: bytes) -> list[bytes]:
        *lines, self._rest = (self._rest + piece).split(b"\n")
        return [line for line in lines if line.removeprefix(b"data:").strip() not in (b"", DONE)]

    def end(self) -> list[bytes]:
        return self.feed(b"\n")


def assemble(body: bytes) -> Streamed:
    """A whole body that may be a stream."""
    assembler = Assembler(fold=len(body) + 1)
    assembler.feed(body)
    return assembler.end()


def _framing_of(block: bytes) -> Events | _Lines | None:
    """How a body is divided into events, told from how it begins; None if it must be read as a whole."""
    start = block.removeprefix(BOM).lstrip(BLANKS)
    if not start or start.startswith(b"["):
        return None
    if start.startswith(b":") and after_comments(start).startswith(JSON_STARTS):
        return None  # an answer that is no stream, after comments that kept its connection open
    if not start.startswith(b"{"):
        return Events()
    line, end, _ = start.partition(b"\n")
    return _Lines() if end and _is_piece(line) else None


def _is_piece(line: bytes) -> bool:
    """Whether a line is an object that stands for itself, and not the beginning of a pretty-printed one."""
    return json_text(line) is not None


def _ordinary(body: bytes) -> Streamed:
    """A body that is not a stream: an answer as it is, or the list that Google sends without `alt=sse`."""
    text = json_text(body)
    if text is None:
        return Cut(NO_JSON)
    try:
        if not text.startswith(b"["):
            return _single(text)
        elements = [bytes(element) for element in msgspec.json.decode(text, type=list[msgspec.Raw])]
        dialect = dialect_of(_decode(elements[0])) if elements else None
        if not isinstance(dialect, GeminiStream):
            return Whole(text)
        dialect.take(elements)
        return dialect.end()
    except UNREADABLE:  # such as a number that is out of range
        return Whole(text)


def _single(text: bytes) -> Streamed:
    """An object that stands alone: an answer, or a stream of which only one piece came."""
    parts = object_of(text)
    if bytes(parts.get("done", NULL)) == b"false" or (text_of(parts.get("object")) or "").endswith(".chunk"):
        dialect = dialect_of(_decode(text))
        if dialect is not None:
            dialect.take([text])
            return dialect.end()
    return Whole(text)


def _is_ordinary(event: bytes) -> bool:
    """Whether the only event of a stream is an answer as it comes without one, and not the first piece of an answer."""
    value = _decode(event)
    if not isinstance(value, dict):
        return False
    kind = str(value.get("type") or "")
    if kind == "ping" or any(kind.startswith(start) for start, _ in BY_TYPE) or value.get("error"):
        return False
    if "choices" not in value:
        return "stopReason" in value or isinstance(dialect_of(value), ErrorStream | None)
    choices = value["choices"]
    return isinstance(choices, list) and bool(choices) and all(_is_message(choice) for choice in choices)


def _is_message(choice: Any) -> bool:
    """Whether a choice holds a whole message, and says why it ended: some servers stream under `message` too."""
    return isinstance(choice, dict) and isinstance(choice.get("message"), dict) and bool(choice.get("finish_reason"))


def _error_body(said: bytes) -> bytes:
    """An error that came under another name as the body of an error."""
    text = json_text(said)
    if text is None:
        return msgspec.json.encode({"error": {"message": said.decode("utf-8", "replace"), "type": "stream_error"}})
    try:
        value = _decode(text)
    except UNREADABLE:
        value = text.decode()
    return text if isinstance(value, dict) and "error" in value else msgspec.json.encode({"error": value})
