"""An attempt ends in the same way with a task of its own and without one: whatever is sent, received, cut off, or never comes."""

from __future__ import annotations

import gzip
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing
from attrs import frozen
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.edges.http.endpoint import Caps, Endpoint, Timeouts
from pipeline.records import Answer, FailureKind, Fault, FaultCause
from tests.fakes.pairs import Talk, talking
from tests.properties.test_http_fuzz import responses, soups

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.fakes.servers import Peer

ENDPOINT = Endpoint("http://ways.example", timeouts=Timeouts(connect=20, idle=20, total=50), caps=Caps(4000, 2_000_000))
LARGE = b"x" * 400_000  # more than the kernel takes at once


def framed(body: bytes, headers: bytes = b"") -> bytes:
    return b"HTTP/1.1 200 OK\r\n%sContent-Length: %d\r\n\r\n%s" % (headers, len(body), body)


BODIES = {"none": b"", "short": b"short", "large": LARGE}
ANSWERS = {
    "long": framed(b'{"a":"%s"}' % LARGE),
    "long and packed": framed(gzip.compress(b'{"a":"%s"}' % LARGE), b"Content-Encoding: gzip\r\n"),
    "packed": framed(gzip.compress(b'{"a":1}'), b"Content-Encoding: gzip\r\n"),
    "packed and cut": framed(gzip.compress(b'{"a":1}')[:-3], b"Content-Encoding: gzip\r\n"),
    "a stream": framed(b'data: {"a":1}\n\ndata: [DONE]\n\n', b"Content-Type: text/event-stream\r\n"),
    "a stream that does not say so": framed(b'data: {"a":1}\n\ndata: [DONE]\n\n'),
}


@frozen
class Turn:
    """A request and what the server does with it. early: it answers before it has read the whole. closes: behind the answer."""

    body: str
    answer: str | bytes
    pieces: int
    early: bool
    closes: bool

    def cut(self) -> list[bytes]:
        answer = ANSWERS[self.answer] if isinstance(self.answer, str) else self.answer
        size = len(answer) // self.pieces + 1
        return [answer[at : at + size] for at in range(0, len(answer), size)]


bodies, answers, pieces = st.sampled_from(list(BODIES)), st.sampled_from(list(ANSWERS)), st.integers(1, 5)
any_turns = st.builds(Turn, bodies, answers | responses() | soups, pieces, early=st.booleans(), closes=st.booleans())
# A close that crosses the next request may be seen before it leaves or after: that is the same race in both ways.
kept_turns = st.builds(Turn, bodies, answers | responses(), pieces, early=st.just(value=False), closes=st.just(value=False))


def shown(reply: Answer | Fault) -> object:
    if isinstance(reply, Fault):
        return reply.kind, reply.cause, reply.maybe_sent, reply.permanent, reply.message
    return reply.status, list(reply.headers), reply.body, reply.arrival is None


def replies_to(turns: Sequence[Turn], *, light: bool) -> object:
    """What a sender makes of the turns."""
    left = list(turns)
    made: list[Talk] = []

    async def script(peer: Peer) -> None:
        try:
            while left:
                turn = left[0]
                if turn.early and not turn.closes:
                    await trio.testing.wait_all_tasks_blocked()
                    left.pop(0)
                    await peer.send(*turn.cut())
                    if await peer.request() is None:
                        return
                    continue
                if await peer.request() is None:
                    return
                left.pop(0)
                await peer.send(*turn.cut())
                if turn.closes:
                    return
                await trio.testing.wait_all_tasks_blocked()
        except trio.BrokenResourceError:
            pass
        finally:
            await peer.close()

    async def main() -> None:
        async with talking(ENDPOINT, script, light=light) as talk:
            made.append(talk)
            talk.start([BODIES[turn.body] for turn in turns])

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
    [talk] = made
    assert talk.counts.dropped == talk.counts.opened
    return [shown(reply) for reply in talk.replies], talk.counts.opened


@given(any_turns)
@settings(max_examples=100)
def test_attempt_has_the_same_end_with_a_task_and_without(turn: Turn) -> None:
    assert replies_to([turn], light=True) == replies_to([turn], light=False)


@given(st.lists(kept_turns, max_size=4))
@settings(max_examples=50)
def test_attempts_on_one_connection_have_the_same_ends_with_a_task_and_without(turns: list[Turn]) -> None:
    assert replies_to(turns, light=True) == replies_to(turns, light=False)


HALF = framed(b'{"a":1}')[:-3]
MOMENTS = {
    "the request has not been read": (b"short", False, b""),
    "a part of the request has left": (LARGE, False, b""),
    "nothing of the answer has come": (b"short", True, b""),
    "a part of the head has come": (b"short", True, HALF[:20]),
    "a part of the body has come": (b"short", True, HALF),
    "a part of a long body has come": (b"short", True, framed(LARGE)[:100_000]),
    "a part of a stream has come": (b"short", True, framed(b"data: {}\n\n" * 9, b"Content-Type: text/event-stream\r\n")[:-50]),
}


@pytest.mark.parametrize("light", [True, False], ids=["light", "in a task"])
@pytest.mark.parametrize("moment", MOMENTS)
def test_attempt_that_is_cut_off_has_no_end_and_leaves_no_connection(moment: str, *, light: bool) -> None:
    body, reads, sends = MOMENTS[moment]
    made: list[Talk] = []

    async def script(peer: Peer) -> None:
        if reads:
            await peer.request()
            await peer.send(*([sends] if sends else []))
        made[0].nursery.start_soon(cut_off)
        await trio.sleep_forever()

    async def cut_off() -> None:
        await trio.testing.wait_all_tasks_blocked()
        made[0].nursery.cancel_scope.cancel()

    async def main() -> None:
        async with talking(ENDPOINT, script, light=light) as talk:
            made.append(talk)
            talk.start([body])
            await trio.sleep_forever()

    trio.run(main)
    [talk] = made
    assert (talk.began, talk.replies) == (1, [])
    assert talk.counts.dropped == talk.counts.opened == 1


SILENCES = {
    "nothing comes": (b"short", [], FaultCause.IDLE_TIMEOUT, True),
    "the head stops": (b"short", [HALF[:20]], FaultCause.IDLE_TIMEOUT, True),
    "the body stops": (b"short", [HALF], FaultCause.IDLE_TIMEOUT, True),
    "it drips for ever": (b"short", [HALF[:20], *([b"X-A: 1\r\n"] * 9)], FaultCause.TOTAL_TIMEOUT, True),
    "the request is not taken": (LARGE, None, FaultCause.IDLE_TIMEOUT, False),
}


@pytest.mark.parametrize("light", [True, False], ids=["light", "in a task"])
@pytest.mark.parametrize("silence", SILENCES)
def test_deadline_ends_an_attempt_with_a_task_and_without(silence: str, *, light: bool) -> None:
    body, pieces, cause, maybe_sent = SILENCES[silence]
    made: list[Talk] = []

    async def script(peer: Peer) -> None:
        if pieces is not None:
            await peer.request()
            with suppress(trio.BrokenResourceError):  # the sender has given it up
                for piece in pieces:
                    await peer.send(piece)
                    await trio.sleep(10)
        await trio.sleep_forever()

    async def main() -> None:
        async with talking(ENDPOINT, script, light=light) as talk:
            made.append(talk)
            talk.start([body])

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))

    [reply] = made[0].replies
    assert isinstance(reply, Fault)
    assert (reply.kind, reply.cause, reply.maybe_sent) == (FailureKind.TIMEOUT, cause, maybe_sent)
    assert made[0].counts.dropped == made[0].counts.opened == 1
