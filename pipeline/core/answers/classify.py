"""What an HTTP response means for its row: a result, a failure that a retry may fix, or a permanent one.

A success status alone is not a result: the body must hold what its endpoint promises (`shapes`). Anything else is judged by its
own code, like any failure (`trouble`). Nearly all replies are whole chat completions: those are told by one typed decode
that builds nothing of the content; everything else takes the general way.
"""

from __future__ import annotations

from zlib import crc32

import msgspec

from pipeline.core.answers.assemble import assemble, is_streamed
from pipeline.core.answers.endpoints import Kind, Promise, kind_promised
from pipeline.core.answers.error_bodies import NO_ERROR, ErrorBody, error_in, read_error, says_nothing
from pipeline.core.answers.mend import JSON_STARTS, begins_with_event, json_text, one_line
from pipeline.core.answers.parts import BROKEN_OFF, FINISH_REASONS, MANY_BYTES, NULL, Object, Reading, head_of, may_have_many, object_of
from pipeline.core.answers.plain_vectors import read_plain_vectors
from pipeline.core.answers.scopes import CLIENT_ERROR, KNOWN_CODES, REDIRECT, REQUEST_CODES, SERVER_ERROR
from pipeline.core.answers.shapes import find_usage, is_unknown_error, read_object, read_reply
from pipeline.core.answers.shapes_values import read_list
from pipeline.core.answers.streamed import Cut, Streamed
from pipeline.core.answers.trouble import Trouble, as_json_text, classify_failure, classify_fault, excerpt, judge
from pipeline.core.answers.usage import Counts, read_usage, usage_of
from pipeline.records import NO_USAGE, Answer, FailureKind, Usage

__all__ = ["LARGE_BYTES", "Result", "Trouble", "classify", "classify_fault", "is_large"]

OK = 200
EMPTY_LIST = msgspec.Raw(b"[]")
# From here on an answer is read in a thread, because reading may take 20 ms: an object is mended at up to 100 ns a byte, and a stream is
# put together at 8 µs an event, where it is odd in every place.
LARGE_BYTES, LARGE_STREAM_BYTES = 250_000, 100_000


class Result(msgspec.Struct, frozen=True, eq=False, gc=False):
    """A row's answer. body: JSON without line breaks. finish_reason: why it ended, in OpenAI's words."""

    body: bytes
    usage: Usage
    finish_reason: str | None = None


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
_decode_any = msgspec.json.Decoder().decode


def classify(answer: Answer, *, now_utc: float, url: str = "", asked: bytes = b"", empty_fits: bool = False) -> Result | Trouble:
    """What a complete HTTP response means for its row.

    now_utc: seconds since the epoch, for a Retry-After that is a date. url, asked: of the request and its body, which tell what
    was promised. empty_fits: whoever is given the result decides about answers with nothing in them.
    """
    if answer.arrival is not None and answer.arrival.cut is not None:
        return _read_streamed(answer, Cut(answer.arrival.cut, json_text(answer.body)), Promise(url, asked, empty_fits), now_utc)
    if OK <= answer.status < REDIRECT:
        whole = _whole_vectors(answer, url, asked) if kind_promised(url) is Kind.VALUES else _whole_chat(answer)
        return whole or _read_reply(answer, Promise(url, asked, empty_fits), now_utc)
    return classify_failure(answer, now_utc)


def is_large(answer: Answer) -> bool:
    """Whether to classify an answer in a thread, so that the event loop is not held."""
    return len(answer.body) > (LARGE_BYTES if answer.body.startswith(b"{") else LARGE_STREAM_BYTES)


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
        if choice.message is None or choice.message.content in (NULL, EMPTY_LIST) or choice.finish_reason in BROKEN_OFF:
            return None
    if not choices:
        return None
    reason = choices[0].finish_reason
    return Result(one_line(body), usage_of(chat.usage), FINISH_REASONS.get(reason, reason) if reason else None)


def _whole_vectors(answer: Answer, url: str, asked: bytes) -> Result | None:
    """The result, if the reply is embeddings in which nothing is odd, one for each input."""
    body = answer.body.strip()
    reading = read_plain_vectors(body) if body.isascii() else None
    if reading is None or Promise(url, asked).broken_by({}, reading, body) is not None:
        return None
    return Result(one_line(body), reading.tokens)


def _read_reply(answer: Answer, promise: Promise, now_utc: float) -> Result | Trouble:
    """Any other reply: of another shape, streamed, odd in places, or none."""
    if begins_with_event(answer.body):
        return _read_streamed(answer, assemble(answer.body), promise, now_utc)
    body = json_text(answer.body)
    meaning = None if body is None else _read_json(answer, body, promise, now_utc)
    if isinstance(meaning, Result):
        return meaning
    if is_streamed(answer.body) and (body is None or read_reply(body).problem is not None):
        return _read_streamed(answer, assemble(answer.body), promise, now_utc)
    return meaning or _malformed(answer, f"a body that is not JSON: {excerpt(answer.body)}", as_json_text(answer.body))


def _read_streamed(answer: Answer, streamed: Streamed, promise: Promise, now_utc: float) -> Result | Trouble:
    """A stream, whether it was asked for or not."""
    if isinstance(streamed, Cut):
        usage = NO_USAGE if streamed.body is None else read_reply(streamed.body).tokens
        body = as_json_text(answer.body) if streamed.body is None else streamed.body
        trouble = _with_usage(_malformed(answer, f"a stream that ended too early: {streamed.reason}", body), usage)
        trouble.cut = crc32(answer.body) + 1
        return trouble
    return _read_json(answer, one_line(streamed.body), promise, now_utc)


def _read_json(answer: Answer, body: bytes, promise: Promise, now_utc: float) -> Result | Trouble:
    if not body.startswith(JSON_STARTS):
        return _malformed(answer, f"neither a JSON object nor a list: {excerpt(body)}", body)
    reply, reading = _listed(body) if body.startswith(b"[") else _object(body)
    usage = read_usage(find_usage(reply)) if reading is None or reading.usage is NULL else read_usage(reading.usage)
    if not says_nothing(reply.get("error", NULL)) and not (reading is not None and reading.error is not NULL):
        return _with_usage(_error_in_success(answer, read_error(body), body, now_utc), usage)
    if reading is None:
        if reply and not promise.known and not is_unknown_error(reply):
            return Result(body, usage)
        reading = Reading(problem="nothing that its endpoint promises")
    elif reading.problem is None:
        reading.problem = promise.broken_by(reply, reading, body)
    if reading.problem is None or (reading.empty and promise.empty_fits):
        return Result(body, usage, reading.finish_reason)
    return _with_usage(_no_answer(answer, reply, reading, body, now_utc), usage)


def _object(body: bytes) -> tuple[Object, Reading | None]:
    reply = object_of(body)
    return reply, read_object(reply)


def _listed(body: bytes) -> tuple[Object, Reading | None]:
    """A bare list, or the error in a list of one (Google)."""
    head = head_of(body)
    only = object_of(head.first) if not memoryview(head.second) else {}
    if "error" in only:
        return only, None
    return {}, read_list(body)


def _no_answer(answer: Answer, reply: Object, reading: Reading, body: bytes, now_utc: float) -> Trouble:
    """A reply that holds no answer: an error if it says of one in any way, else malformed."""
    told = body if reading.error is NULL else reading.error
    error = NO_ERROR if len(memoryview(told)) > LARGE_BYTES else error_in(_decode_any(told))
    if error.message or error.codes & KNOWN_CODES or is_unknown_error(reply):
        return _error_in_success(answer, error, body, now_utc, final=reading.final)
    trouble = _malformed(answer, f"no answer in its body: {reading.problem}", body, final=reading.final)
    if reading.empty:
        trouble.kind = FailureKind.EMPTY_ANSWER
    return trouble


def _error_in_success(answer: Answer, error: ErrorBody, body: bytes, now_utc: float, *, final: bool = False) -> Trouble:
    """An error under a success status: judged by its code, and never written as a response."""
    status = next((int(code) for code in error.codes if code.isdecimal() and REDIRECT <= int(code) < 600), SERVER_ERROR)
    if final or error.codes & REQUEST_CODES:
        status = CLIENT_ERROR
    trouble = judge(answer, status, error, body, now_utc)
    if trouble.kind not in (FailureKind.QUOTA, FailureKind.REFUSED):
        trouble.kind = FailureKind.MALFORMED_RESPONSE
    trouble.status_code = answer.status
    trouble.message = f"HTTP {answer.status} with an error in its body: {error.message or excerpt(body)}"
    return trouble


def _malformed(answer: Answer, what: str, body: bytes, *, final: bool = False) -> Trouble:
    """A success status with a body that is not an answer. It may be the same every time, and is billed every time."""
    return Trouble(
        FailureKind.MALFORMED_RESPONSE,
        f"HTTP {answer.status} with {what}",
        retryable=not final,
        status_code=answer.status,
        body=body,
        bought=True,
    )


def _with_usage(trouble: Trouble, usage: Usage) -> Trouble:
    if usage is not NO_USAGE:
        trouble.usage = usage
    return trouble
