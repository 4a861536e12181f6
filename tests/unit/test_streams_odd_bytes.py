"""Bytes in a stream that are not UTF-8, or nested without end, cost at most the answer, and never the run."""

from __future__ import annotations

import json

import pytest

from pipeline.core.answers.assemble import assemble
from pipeline.core.answers.classify import Trouble, classify
from pipeline.core.answers.streamed import Cut
from pipeline.core.answers.streamed_body import StreamedBody
from pipeline.records import Answer
from tests.unit.test_streams_cut import FIRST_EVENTS

DEEP = b"[" * 100_000


def _event(name: str) -> bytes:
    return json.dumps(FIRST_EVENTS[name] | {"extra": "a"}).encode()


@pytest.mark.parametrize("before", [0, 1])
@pytest.mark.parametrize("odd", [b"\xff", b"\xe2\x82", b"\xed\xa0\x80"])
@pytest.mark.parametrize("name", FIRST_EVENTS)
@pytest.mark.parametrize("way", [b"data: %b\n\n", b"%b\n"], ids=["events", "lines"])
def test_bytes_that_are_no_text_are_replaced_wherever_they_are(name: str, odd: bytes, before: int, way: bytes) -> None:
    plain = _event(name)
    first = (way % plain) * before

    found = assemble(first + way % plain.replace(b'"a"', b'"a%b"' % odd) + way % plain)

    assert found == assemble(first + way % plain.replace(b'"a"', b'"a%b"' % odd.decode(errors="replace").encode()) + way % plain)


@pytest.mark.parametrize("name", FIRST_EVENTS)
@pytest.mark.parametrize("way", [b"data: %b\n\n", b"%b\n"], ids=["events", "lines"])
def test_an_event_that_is_nested_without_end_is_a_cut_and_repeats_nothing(name: str, way: bytes) -> None:
    plain = _event(name)

    found = assemble(way % plain + way % (plain[:-1] + b', "deep": ' + DEEP) + way % plain)
    alone = assemble(way % (plain[:-1] + b', "deep": ' + DEEP))

    assert isinstance(alone, Cut)
    assert isinstance(found, Cut)
    assert found.body is None or found.body.count(b'"aaa') == 0


@pytest.mark.parametrize("comments", [b"", b": OPENROUTER PROCESSING\n\n", b": a\r\n\r\n: b\r\n\r\n"])
@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("done", [b"", b"\n\ndata: [DONE]\n\n"])
def test_a_long_answer_behind_comments_is_the_answer_that_it_is(comments: bytes, indent: int | None, done: bytes) -> None:
    choice = {"index": 0, "message": {"role": "assistant", "content": "word " * 100_000}, "finish_reason": "stop"}
    answer = {"object": "chat.completion", "choices": [choice]}
    whole = comments + json.dumps(answer, indent=indent).encode() + done
    body = StreamedBody(0.0)

    for at in range(0, len(whole), 16_000):
        body.take(whole[at : at + 16_000], 1.0)
        if body.due:
            body.fold()

    assert json.loads(body.end()) == answer
    assert body.arrival.cut is None


@pytest.mark.parametrize(
    "body",
    [
        b'{"output":{"choices":1e999}}',
        b"[1e999]",
        b'{"error":{"message":"m","type":1e999}}',
        b'{"done":false,"x":1e999}',
        b'[{"candidates":[]},{"candidates":1e999}]',
        b'event: error\ndata: {"code":1e999}\n\n',
        b'{"type":"response.created","response":{}}\n{"type":"a\nb"}\n',
    ],
)
def test_numbers_out_of_range_and_pieces_of_events_end_no_run(body: bytes) -> None:
    assemble(body)

    meaning = classify(Answer(200, [], body, 0.0, None), now_utc=0.0, url="/v1/chat/completions", asked=b"{}")

    assert isinstance(meaning, Trouble)
