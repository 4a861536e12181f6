"""The general way to read a reply: of any shape, streamed, odd in places, an error under a success status, or a failure.

The body must hold what its endpoint promises (`shapes`). Anything else is judged by its own code, like any failure (`trouble`).
"""

from __future__ import annotations

from zlib import crc32

import msgspec

from pipeline.core.answers.assemble import assemble, is_streamed
from pipeline.core.answers.endless import one_line
from pipeline.core.answers.endpoints import Kind, Promise, kind_promised
from pipeline.core.answers.error_bodies import NO_ERROR, ErrorBody, error_in, read_error, says_nothing
from pipeline.core.answers.meaning import LARGE_BYTES, OK, Result, Trouble
from pipeline.core.answers.mend import JSON_STARTS, begins_with_event, json_text
from pipeline.core.answers.parts import NULL, Object, Reading, head_of, object_of
from pipeline.core.answers.plain_vectors import read_plain_vectors
from pipeline.core.answers.scopes import CLIENT_ERROR, KNOWN_CODES, REDIRECT, REQUEST_CODES, SERVER_ERROR
from pipeline.core.answers.shapes import find_usage, is_unknown_error, read_any_list, read_object, read_reply
from pipeline.core.answers.streamed import NO_JSON, Cut, Streamed
from pipeline.core.answers.trouble import as_json_text, classify_failure, excerpt, judge
from pipeline.core.answers.usage import read_usage
from pipeline.records import NO_USAGE, Answer, FailureKind, Usage

_decode_any = msgspec.json.Decoder().decode


def read_any_reply(answer: Answer, now_utc: float, url: str, asked: bytes, *, empty_fits: bool) -> Result | Trouble:
    """What a response means that is no whole chat completion; as `classify`."""
    promise = Promise(url, asked, empty_fits)
    if answer.arrival is not None and answer.arrival.cut is not None:
        return _read_streamed(answer, Cut(answer.arrival.cut, json_text(answer.body)), promise, now_utc)
    if OK <= answer.status < REDIRECT:
        whole = _whole_vectors(answer, promise) if kind_promised(url) is Kind.VALUES else None
        return whole or _read_reply(answer, promise, now_utc)
    return classify_failure(answer, now_utc)


def _whole_vectors(answer: Answer, promise: Promise) -> Result | None:
    """The result, if the reply is embeddings in which nothing is odd, one for each input."""
    body = answer.body.strip()
    reading = read_plain_vectors(body) if body.isascii() else None
    if reading is None or promise.broken_by({}, reading, body) is not None:
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
        what = f"a stream that ended too early: {streamed.reason}"
        if streamed.reason == NO_JSON:
            what = f"a body that is not JSON: {excerpt(answer.body)}"
        trouble = _with_usage(_malformed(answer, what, body), usage)
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
    return {}, read_any_list(body)


def _no_answer(answer: Answer, reply: Object, reading: Reading, body: bytes, now_utc: float) -> Trouble:
    """A reply that holds no answer: an error if it says of one in any way, else malformed."""
    told = body if reading.error is NULL else reading.error
    try:
        error = NO_ERROR if len(memoryview(told)) > LARGE_BYTES else error_in(_decode_any(told))
    except msgspec.DecodeError:  # a number that is out of range
        error = NO_ERROR
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
