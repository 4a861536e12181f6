"""What every `Sender` must do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest
import trio

from pipeline.core.answers.assemble import assemble
from pipeline.core.answers.streamed import Whole
from pipeline.edges.http.endpoint import Endpoint, Timeouts
from pipeline.records import Answer, FailureKind, Fault, Job
from pipeline.simulate import LatencyConfig, SimulateConfig, expected_answer, serve

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from contextlib import AbstractAsyncContextManager

    from pipeline.ports import OpenSender, Sender

URL = "/v1/chat/completions"
SOON = Timeouts(connect=5.0, idle=0.3, total=0.5)
NOBODY = "http://127.0.0.1:1/v1"  # port 1 of this machine: nobody listens there


def job_of(number: int, *, streams: bool = False) -> Job:
    """A request that differs from all others."""
    said = [{"role": "user", "content": f"question {number}"}]
    body = msgspec.json.encode({"model": "m", "messages": said} | ({"stream": True} if streams else {}))
    return Job(number, f"row-{number}", "POST", URL, body, 1, number + 1, streams=streams)


def says(answer: Answer) -> str:
    """The content of an answer."""
    return str(msgspec.json.decode(answer.body)["choices"][0]["message"]["content"])


class SenderContract:
    """What every `Sender` must do. `senders` opens them to an endpoint, as `pipeline.open_senders` does, for as long as its block lasts.

    The tests send to the embedded provider, on loopback.
    """

    def senders(self, endpoint: Endpoint) -> AbstractAsyncContextManager[OpenSender]:
        """What is tested."""
        raise NotImplementedError

    def answers(self, config: SimulateConfig, script: Callable[[Sender], Awaitable[None]], timeouts: Timeouts | None = None) -> None:
        """Run a script with a sender to a simulated provider."""

        async def main() -> None:
            async with trio.open_nursery() as nursery:
                url = await nursery.start(serve, config)
                async with self.senders(Endpoint(url, timeouts=timeouts or Timeouts())) as open_sender:
                    sender = open_sender()
                    await script(sender)
                    sender.close()
                    sender.close()
                nursery.cancel_scope.cancel()

        trio.run(main)

    def test_each_request_gets_its_own_answer(self) -> None:
        """One attempt after the other over one sender."""

        async def script(sender: Sender) -> None:
            for number in range(5):
                job = job_of(number)
                answer = await sender.send(job, f"id-{number}")
                assert isinstance(answer, Answer)
                assert (answer.status, says(answer)) == (200, expected_answer(job.body))
                assert answer.header(b"content-type") == b"application/json"
                sender.release()
                sender.release()

        self.answers(SimulateConfig(), script)

    def test_a_streamed_answer_is_whole(self) -> None:
        """Put together or as it came; `arrival` says how it came."""

        async def script(sender: Sender) -> None:
            job = job_of(0, streams=True)
            answer = await sender.send(job, "id")
            assert isinstance(answer, Answer)
            assert answer.arrival is not None
            whole = assemble(answer.body)
            assert isinstance(whole, Whole)
            assert says(msgspec.structs.replace(answer, body=whole.body)) == expected_answer(job.body)

        self.answers(SimulateConfig(), script)

    @pytest.mark.parametrize("status", [400, 429, 500, 503])
    def test_a_response_is_an_answer_whatever_its_status(self, status: int) -> None:
        """What a status means is decided elsewhere."""

        async def script(sender: Sender) -> None:
            answer = await sender.send(job_of(0), "id")
            assert isinstance(answer, Answer)
            assert answer.status == status
            assert b"error" in answer.body

        self.answers(SimulateConfig(faults={f"http_{status}": 1.0}), script)

    @pytest.mark.parametrize("fault", ["reset_before", "close_before", "cut_body", "cut_chunked", "garbage"])
    def test_whatever_goes_wrong_on_the_way_is_a_fault(self, fault: str) -> None:
        """The request was sent, so it may have been billed; and the sender can be used again."""

        async def script(sender: Sender) -> None:
            for number in range(2):
                reply = await sender.send(job_of(number), f"id-{number}")
                assert isinstance(reply, Fault)
                assert reply.maybe_sent
                assert reply.kind in {FailureKind.CONNECTION, FailureKind.MALFORMED_RESPONSE}
                assert reply.message

        self.answers(SimulateConfig(faults={fault: 1.0}), script)

    def test_a_server_that_is_not_there_has_seen_nothing(self) -> None:
        """The attempt cannot have been billed."""

        async def main() -> None:
            async with self.senders(Endpoint(NOBODY)) as open_sender:
                sender = open_sender()
                reply = await sender.send(job_of(0), "id")
                sender.close()
                assert isinstance(reply, Fault)
                assert (reply.kind, reply.maybe_sent) == (FailureKind.CONNECTION, False)

        trio.run(main)

    @pytest.mark.parametrize("fault", ["stall", "drip"])
    def test_no_attempt_outlives_its_deadlines(self, fault: str) -> None:
        """Neither where nothing comes, nor where a byte comes now and then."""

        async def script(sender: Sender) -> None:
            reply = await sender.send(job_of(0), "id")
            assert isinstance(reply, Fault)
            assert (reply.kind, reply.maybe_sent) == (FailureKind.TIMEOUT, True)

        self.answers(SimulateConfig(faults={fault: 1.0}), script, SOON)

    def test_after_a_cancelled_attempt_the_next_one_gets_its_own_answer(self) -> None:
        """The late answer of the cancelled one must not be taken for it."""

        async def script(sender: Sender) -> None:
            with trio.move_on_after(0.01):
                await sender.send(job_of(0), "id-0")
            answer = await sender.send(job_of(1), "id-1")
            assert isinstance(answer, Answer)
            assert says(answer) == expected_answer(job_of(1).body)

        self.answers(SimulateConfig(latency=LatencyConfig(median_seconds=0.05)), script)
