"""From an answer to the reply that carries it: altered by a fault, in its endpoint's shape, whole or as a stream. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from pipeline.simulate.answers import Answered, Finish
from pipeline.simulate.calls import STREAMED as CAN_STREAM
from pipeline.simulate.faults import STREAMED, Fault
from pipeline.simulate.replies import Occasion, faulty
from pipeline.simulate.reply import Headers, Reply, json_reply
from pipeline.simulate.shapes import shape
from pipeline.simulate.streams import Stream, stream
from pipeline.simulate.wire import ON_THE_WIRE

if TYPE_CHECKING:
    from collections.abc import Callable


def _halved(answered: Answered) -> Answered:
    return replace(answered, contents=[content[: len(content) // 2] for content in answered.contents], finish=Finish.LENGTH)


def _emptied(answered: Answered, finish: Finish) -> Answered:
    return replace(answered, contents=[""] * len(answered.contents), finish=finish)


ALTERED: dict[Fault, Callable[[Answered], Answered]] = {
    Fault.TRUNCATED: _halved,
    Fault.CONTENT_FILTER: lambda answered: _emptied(answered, Finish.FILTERED),
    Fault.DECLINED: lambda answered: replace(answered, finish=Finish.REFUSED),
    Fault.EMPTY_ANSWER: lambda answered: _emptied(answered, Finish.STOP),
}


def respond(answered: Answered, fault: Fault | None, occasion: Occasion, headers: Headers) -> tuple[Reply, Stream | None]:
    """The reply, and the stream that its body comes in, if it does. A fault that replaces the body replaces a stream too."""
    altered = ALTERED[fault](answered) if fault in ALTERED else answered
    keeps = fault is None or fault in ON_THE_WIRE or fault in STREAMED or fault in ALTERED
    unasked = fault is Fault.SSE_UNASKED and answered.call.endpoint in CAN_STREAM
    if (answered.call.stream and keeps) or unasked:
        coming = stream(altered, occasion.config.stream.event_characters, occasion.config.vendor, fault)
        coming.reply.headers.extend(headers)
        return coming.reply, coming
    right = json_reply(200, shape(altered), headers)
    return (right if fault is None else faulty(fault, right, occasion)), None
