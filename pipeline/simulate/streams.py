"""An answer as a stream of events, in the dialect of its endpoint, and what the faults of streams make of it. Pure.

A frame is one event as it goes over the wire, its blank line included.
Source: WHATWG, "Server-sent events"; the streaming references of OpenAI, Anthropic, Google and Ollama.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from pipeline.simulate.faults import Fault
from pipeline.simulate.reply import Reply
from pipeline.simulate.stream_dialects import Frame, Piece, frames_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.simulate.answers import Answered
    from pipeline.simulate.choices import Vendor

SSE_TYPE = ("content-type", "text/event-stream")
NDJSON_TYPE = ("content-type", "application/x-ndjson")
ARRAY_TYPE = ("content-type", "application/json")
SILENT_PIECES = {Fault.STREAM_STALL, Fault.STREAM_PING_ONLY}
OVERLOADED = "The server had an error while processing your request"


class Stream(msgspec.Struct, frozen=True):
    """A reply that comes in frames. then: what follows the last one: nothing (None: the body ends), silence, or one frame for ever."""

    reply: Reply
    frames: Sequence[bytes]
    then: Fault | None = None
    ping: bytes = b""


def stream(answered: Answered, characters: int, vendor: Vendor, fault: Fault | None = None) -> Stream:
    """The stream of an answer. characters: of the content in one event. fault: of those that fall on streams, or None."""
    frames = frames_of(answered, characters, vendor)
    kept = _spoilt(frames, fault, answered)
    if answered.call.as_list:
        kept = _as_list(kept, whole=fault is not Fault.STREAM_CUT and fault not in SILENT_PIECES)
    lines = answered.call.endpoint.startswith("api/")
    kind = NDJSON_TYPE if lines else ARRAY_TYPE if answered.call.as_list else SSE_TYPE
    return Stream(Reply(200, [kind], b"".join(kept)), kept, fault if fault in SILENT_PIECES else None, b"\n" if lines else _ping(answered))


def _spoilt(frames: Sequence[Frame], fault: Fault | None, answered: Answered) -> list[bytes]:
    """The frames that a fault leaves."""
    content = [index for index, frame in enumerate(frames) if frame.piece is Piece.CONTENT]
    middle = content[len(content) // 2] if content else 0
    everything = [frame.data for frame in frames]
    match fault:
        case Fault.STREAM_CUT | Fault.STREAM_STALL:
            return everything[:middle]
        case Fault.STREAM_PING_ONLY:
            return everything[: content[0] if content else 0]
        case Fault.STREAM_ERROR:
            return [*everything[:middle], error_frame(answered)]
        case Fault.STREAM_NO_DONE:
            return [frame.data for frame in frames if frame.piece is not Piece.DONE]
        case Fault.STREAM_DONE_ONLY:
            return [frame.data for frame in frames if frame.piece is Piece.DONE]
        case _:
            return everything


def _as_list(frames: Sequence[bytes], *, whole: bool) -> list[bytes]:
    """Events as the elements of one JSON array, which Google sends without `alt=sse`."""
    bodies = [frame.removeprefix(b"data: ").strip() for frame in frames]
    elements = [(b"[" if index == 0 else b",\r\n") + body for index, body in enumerate(bodies)]
    if not elements:
        return [b"[]" if whole else b"["]
    return [*elements, b"]"] if whole else elements


def error_frame(answered: Answered) -> bytes:
    """An error in the stream, as the dialect tells it."""
    match answered.call.endpoint:
        case "messages":
            body: dict[str, Any] = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
            return b"event: error\ndata: " + msgspec.json.encode(body) + b"\n\n"
        case "responses":
            body = {"type": "error", "code": "server_error", "message": OVERLOADED, "param": None, "sequence_number": 99}
            return b"event: error\ndata: " + msgspec.json.encode(body) + b"\n\n"
        case "generateContent":
            body = {"error": {"code": 503, "message": "The model is overloaded.", "status": "UNAVAILABLE"}}
        case "api/chat" | "api/generate":
            return msgspec.json.encode({"error": "llama runner process has terminated"}) + b"\n"
        case _:
            body = {"error": {"message": OVERLOADED, "type": "server_error", "param": None, "code": "server_error"}}
    return b"data: " + msgspec.json.encode(body) + b"\n\n"


def _ping(answered: Answered) -> bytes:
    """What keeps a stream alive and says nothing."""
    return b'event: ping\ndata: {"type":"ping"}\n\n' if answered.call.endpoint == "messages" else b": keep-alive\n\n"
