"""Who puts a stream together, told from its first event: relays answer in the dialect that they know, whatever the url says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from pipeline.core.answers.assemble_bedrock import ConverseStream, is_converse
from pipeline.core.answers.assemble_chat import ChatStream
from pipeline.core.answers.assemble_dashscope import DashScopeStream
from pipeline.core.answers.assemble_gemini import GeminiStream
from pipeline.core.answers.assemble_lines import PieceStream, TokenStream
from pipeline.core.answers.assemble_messages import CohereStream, FirstCohereStream, MessageStream
from pipeline.core.answers.assemble_responses import ResponseStream
from pipeline.core.answers.assemble_values import ImageStream, TranscriptStream
from pipeline.core.answers.error_bodies import is_empty_error
from pipeline.core.answers.streamed import Refused

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.core.answers.streamed import Streamed


class Dialect(Protocol):
    """Puts the events of one dialect together."""

    def take(self, events: list[bytes]) -> None:
        """Take the data of some events, each JSON."""

    def end(self) -> Streamed:
        """What came of it."""


class ErrorStream:
    """A stream that begins with an error."""

    def __init__(self) -> None:
        self.first: bytes | None = None

    def take(self, events: list[bytes]) -> None:
        """Take the data of some events."""
        self.first = self.first or events[0]

    def end(self) -> Streamed:
        """The error that it began with."""
        return Refused(self.first or b"{}")


# How the type of the first event begins, and else a key that is in it; the first that fits is taken.
BY_TYPE: tuple[tuple[str, Callable[[], Dialect]], ...] = (
    ("response.", ResponseStream),
    ("transcript.", TranscriptStream),
    ("image_generation.", ImageStream),
    ("image_edit.", ImageStream),
    ("message-", CohereStream),
    ("content-", CohereStream),
    ("message_", MessageStream),
    ("content_block", MessageStream),
)
BY_KEY: tuple[tuple[str, Callable[[], Dialect]], ...] = (
    ("choices", ChatStream),
    ("candidates", GeminiStream),
    ("promptFeedback", GeminiStream),
    ("usageMetadata", GeminiStream),
    ("generated_text", TokenStream),
    ("event_type", FirstCohereStream),
    ("done", lambda: PieceStream("done", "response")),
    ("stop", lambda: PieceStream("stop", "content")),
)


def dialect_of(first: Any) -> Dialect | None:
    """Who puts a stream together; None for an event that says nothing of it."""
    if not isinstance(first, dict):
        return None
    kind = str(first.get("type") or "")
    for start, make in BY_TYPE:
        if kind.startswith(start):
            return make()
    for key, make in BY_KEY:
        if key in first:
            return make()
    if isinstance(first.get("output"), dict):
        return DashScopeStream()
    if is_converse(first):
        return ConverseStream()
    if not is_empty_error(first.get("error")) or "error" in (kind, first.get("object")):
        return ErrorStream()
    if isinstance(first.get("response"), str):  # Cloudflare: only the last piece has the counts
        return PieceStream("usage", "response")
    return None
