"""What a large answer costs is bounded: objects that are built of it, and bytes that one call works through.

No call may take long: a call into C keeps every other thread waiting, the event loop included, until it is over.
"""

from __future__ import annotations

import re
import threading

import msgspec
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.answers import mend, secrets
from pipeline.core.answers.classify import LARGE_BYTES, Result, classify
from pipeline.core.answers.error_bodies import MESSAGE_CHARACTERS, read_error
from pipeline.core.answers.parts import MANY_BYTES, MOST_OBJECTS, objects_of
from pipeline.core.answers.secrets import HIDDEN, Secrets
from pipeline.core.answers.shapes import read_reply
from pipeline.messages import GateMessage, Report, Ticket
from pipeline.records import Answer, Failure, Job, Outcome, Success
from pipeline.stages.fetch import FetchSettings, fetch
from pipeline.stages.pass_through import PassThrough

ANSWER = b'{"message":{"content":"x"},"finish_reason":"stop"}'
ITEM = b'{"type":"message","content":[{"type":"output_text","text":"x"}]}'
EMPTY = b"{}," * (MANY_BYTES // 3)
KEY = "sk/tést+key"


def test_of_a_large_list_only_the_first_objects_are_built() -> None:
    assert len(objects_of(msgspec.Raw(b"[" + EMPTY + b"{}]"))) == MOST_OBJECTS
    assert len(objects_of(msgspec.Raw(b"[" + b"{}," * 9_999 + b"{}]"))) == 10_000


@pytest.mark.parametrize("body", [b'{"choices":[' + ANSWER + b"," + EMPTY + b"{}]}", b'{"output":[' + ITEM + b"," + EMPTY + b"{}]}"])
def test_reply_that_is_not_looked_through_is_not_said_to_be_complete(body: bytes) -> None:
    assert not read_reply(body).complete
    assert isinstance(classify(Answer(200, [], body), now_utc=0.0), Result)


def test_large_answer_with_one_choice_is_complete() -> None:
    body = b'{"choices":[' + ANSWER.replace(b"x", b"x" * MANY_BYTES) + b'],"usage":{"total_tokens":1}}'

    assert read_reply(body).complete


def test_message_of_an_error_is_bounded() -> None:
    for body in (b'{"error":{"message":"%s"}}', b'{"error":"%s"}', b'{"detail":[{"msg":"%s","loc":["a"]}]}'):
        assert len(read_error(body % (b"a" * 240_000)).message or "") == MESSAGE_CHARACTERS


@given(st.binary(max_size=60))
def test_bytes_become_utf8_in_slices_as_they_do_at_once(text: bytes) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mend, "SLICE_BYTES", 3)

        assert mend._as_utf8(text) == text.decode("utf-8", "replace").encode()


# The same rules without any bound: whole texts and whole numbers at once.
ODD = re.compile(rb'("[^"\\]*+(?:\\.[^"\\]*+)*+")|-?(?:NaN|Infinity)', re.DOTALL)
ESCAPE = re.compile(rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)", re.DOTALL)
CONTROL = re.compile(rb"[\x00-\x1f]")


def mended_at_once(text: bytes) -> bytes:
    def mended(match: re.Match[bytes]) -> bytes:
        if not match[1]:
            return b"null"
        halves = ESCAPE.sub(lambda escape: b"\\ufffd" if escape[1] else escape[0], match[1])
        return CONTROL.sub(lambda control: b"\\u%04x" % control[0][0], halves)

    return ODD.sub(mended, text)


bits = [b"a", b"\\ud83d", b"\\udc00", b"\\ud83d\\ude00", b"\x01", b"\n", b"\\\\", b'\\"', b"\\n", b"\\u0041", b"NaN", b"\\u00", b"\\x"]
runs = st.tuples(st.sampled_from(bits), st.sampled_from([1, 1, 300, 5000])).map(lambda run: run[0] * run[1])
contents = st.lists(runs, max_size=6).map(b"".join)
values = contents.map(b'"%b"'.__mod__) | st.sampled_from([b"NaN", b"-Infinity", b"Infinity", b"1", b"-2", b"null", b" " * 5000, b'"'])


@given(st.lists(values, max_size=6), st.sampled_from([1, 1, 600]))
def test_values_are_mended_piece_by_piece_as_they_are_at_once(values: list[bytes], times: int) -> None:
    text = b"[" + b",".join(values * times)[:100_000] + b"]"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mend, "JOINED_PIECES", 2)

        piece_by_piece = mend._without_odd_values(text)

    at_once = mended_at_once(text)
    assert mend.is_json(piece_by_piece) == mend.is_json(at_once)
    assert piece_by_piece == at_once or not mend.is_json(at_once)


@given(st.lists(st.sampled_from([KEY.encode(), b"sk\\/t\\u00e9st+key", b"sk", b"/t", b"+key", b"other", b"-", b"oth"])).map(b"".join))
def test_secrets_are_found_slice_by_slice_as_they_are_at_once(inner: bytes) -> None:
    hiding, whole = Secrets([KEY, "other"]), b'{"error":"' + inner.replace(b"\xc3\xa9", b"e") + b'"}'
    pattern = re.compile(hiding._in_body.pattern)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(secrets, "SLICE_BYTES", 4)

        assert hiding._hidden_in_json(whole) == pattern.sub(HIDDEN.encode(), whole)


@pytest.mark.parametrize("status", [200, 400])
@pytest.mark.parametrize("size, in_a_thread", [(10, False), (LARGE_BYTES, True)])
async def test_large_answer_is_judged_in_a_thread(status: int, size: int, in_a_thread: bool) -> None:  # noqa: FBT001  a parameter
    threads = set()

    def utc() -> float:
        threads.add(threading.get_ident())
        return 0.0

    class Sender:
        async def send(self, job: Job, client_request_id: str) -> Answer:
            await trio.lowlevel.checkpoint()
            return Answer(status, [], body)

        def release(self) -> None:
            pass

        def close(self) -> None:
            pass

    async def emit(outcomes: list[Outcome]) -> None:
        raise AssertionError(outcomes)

    ticket = Ticket(Job(0, "c", "POST", "/v1/chat/completions", b"{}", 1, 1), 1, None)
    settings = FetchSettings((Sender,), draw=lambda: 0.0, utc=utc, name_attempt=lambda index, attempt: "")
    body = b'{"choices":[' + ANSWER.replace(b"x", b"x" * size) + b"]}" if status == 200 else b'{"error":{"message":"%s"}}' % (b"x" * size)
    grant, tickets = trio.open_memory_channel[list[Ticket]](1)
    post, reports = trio.open_memory_channel[GateMessage](1)
    end, outcomes = trio.open_memory_channel[Outcome](1)

    grant.send_nowait([ticket])
    grant.close()
    await fetch(tickets, post, end, settings=settings, store=PassThrough(emit))
    report = reports.receive_nowait()
    outcome = outcomes.receive_nowait() if status == 200 else None

    assert isinstance(report, Report)
    assert isinstance(outcome or report.failure, Success if status == 200 else Failure)
    assert (threading.get_ident() not in threads) is in_a_thread
