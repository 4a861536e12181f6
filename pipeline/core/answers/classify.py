"""What an HTTP response means for its row: a result, a failure that a retry may fix, or a permanent one.

A success status alone is not a result: the body must hold what its endpoint promises. Nearly all replies are whole chat completions:
those are told here, by one typed decode that builds nothing of the content. Everything else takes the general way (`replies`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pipeline.core.answers.endless import one_line
from pipeline.core.answers.endpoints import Kind, kind_promised
from pipeline.core.answers.meaning import LARGE_BYTES, LARGE_STREAM_BYTES, OK, REDIRECT, Result, Trouble
from pipeline.core.answers.parts import BROKEN_OFF, FINISH_REASONS, MANY_BYTES, NULL, is_text, may_have_many
from pipeline.core.answers.usage import Counts, usage_of

if TYPE_CHECKING:
    from pipeline.records import Answer, Fault

__all__ = ["LARGE_BYTES", "Result", "Trouble", "classify", "classify_fault", "is_large"]


class _Message(msgspec.Struct, gc=False):
    content: msgspec.Raw = NULL


class _Choice(msgspec.Struct, gc=False):
    message: _Message | None = None
    finish_reason: str | None = None
    error: None = None


class _Chat(msgspec.Struct, gc=False):
    """A chat completion, as far as it must be known to be whole."""

    choices: list[_Choice]
    usage: Counts | None = None
    error: None = None


_decode_chat = msgspec.json.Decoder(_Chat).decode


def classify(answer: Answer, *, now_utc: float, url: str = "", asked: bytes = b"", empty_fits: bool = False) -> Result | Trouble:
    """What a complete HTTP response means for its row.

    now_utc: seconds since the epoch, for a Retry-After that is a date. url, asked: of the request and its body, which tell what
    was promised. empty_fits: whoever is given the result decides about answers with nothing in them.
    """
    is_whole = OK <= answer.status < REDIRECT and (answer.arrival is None or answer.arrival.cut is None)
    if is_whole and kind_promised(url) is not Kind.VALUES and (result := _whole_chat(answer)) is not None:
        return result
    from pipeline.core.answers.replies import read_any_reply  # noqa: PLC0415  2 ms that a run of plain chat completions does not pay

    return read_any_reply(answer, now_utc, url, asked, empty_fits=empty_fits)


def classify_fault(fault: Fault) -> Trouble:
    """What an attempt without a response means for its row."""
    from pipeline.core.answers.trouble import trouble_of_fault  # noqa: PLC0415  as above

    return trouble_of_fault(fault)


def is_large(answer: Answer) -> bool:
    """Whether to classify an answer in a thread, so that the event loop is not held."""
    size = len(answer.body)
    return size > LARGE_STREAM_BYTES and (size > LARGE_BYTES or not answer.body.startswith(b"{"))


def _whole_chat(answer: Answer) -> Result | None:
    """The result, if the reply is a chat completion in which nothing is odd."""
    body = answer.body.strip()
    if len(body) > MANY_BYTES and may_have_many(body):
        return None  # the general way builds no more than it needs
    try:
        if not body.isascii():
            body.decode()  # a decoder that skips a string does not look at its bytes
        chat = _decode_chat(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    choices = chat.choices
    for choice in choices:
        if choice.message is None or not is_text(choice.message.content) or choice.finish_reason in BROKEN_OFF:
            return None
    if not choices or (chat.usage is None and b'"usage"' in body):  # which may stand elsewhere (Groq, Moonshot)
        return None
    reason = choices[0].finish_reason
    return Result(one_line(body), usage_of(chat.usage), FINISH_REASONS.get(reason, reason) if reason else None)
