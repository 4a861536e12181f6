"""The public contract tests notice a component that breaks its contract."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

import pipeline
from pipeline.edges.sources.memory import RowsFromPython
from pipeline.testing.senders import job_of
from tests.fakes.stores import FakeStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from pipeline.records import Outcome


class Returning(RowsFromPython):
    """Gives one more row when it is asked again after its end."""

    ended = False

    def take(self, most: int) -> list[pipeline.RawRow]:
        rows = super().take(most)
        if not rows and self.ended:
            return [pipeline.RawRow(9, 9, {"prompt": "again"})]
        self.ended = not rows
        return rows


class Losing(FakeStore):
    """Forgets the first of the rows that it writes."""

    async def write(self, items: list[Outcome]) -> None:
        await super().write(items[1:])


class LosingStore(pipeline.StoreContract):
    def written(self, store: pipeline.Store[Outcome]) -> list[Outcome]:
        assert isinstance(store, FakeStore)
        return store.written


class Ending:
    """Raises when a run stops."""

    def attempts(self, records: Sequence[pipeline.AttemptRecord]) -> None: ...

    def events(self, events: Sequence[pipeline.RunEvent]) -> None:
        assert not any(isinstance(event, pipeline.RunStopping) for event in events)


class Mixing:
    """Gives the answer to the first request to all."""

    def __init__(self, sender: pipeline.Sender) -> None:
        self._sender = sender

    async def send(self, job: pipeline.Job, client_request_id: str) -> pipeline.Answer | pipeline.Fault:
        del job
        return await self._sender.send(job_of(0), client_request_id)

    def release(self) -> None:
        self._sender.release()

    def close(self) -> None:
        self._sender.close()


class MixingSenders(pipeline.SenderContract):
    @asynccontextmanager
    async def senders(self, endpoint: pipeline.Endpoint) -> AsyncIterator[pipeline.OpenSender]:
        async with pipeline.open_senders(endpoint) as open_sender:
            yield lambda: Mixing(open_sender())


BROKEN: dict[str, Callable[[], None]] = {
    "source": lambda: pipeline.SourceContract().test_after_the_end_there_are_no_more(lambda: Returning(iter(["a", "b", "c"]), 3)),
    "store": lambda: LosingStore().test_what_was_recorded_and_written_is_the_output_in_that_order(Losing(), 10, kept=True),
    "observer": lambda: pipeline.ObserverContract().test_it_accepts_every_event_and_any_number_of_them(Ending()),
    "sender": MixingSenders().test_each_request_gets_its_own_answer,
}


@pytest.mark.parametrize("of", BROKEN)
def test_a_component_that_breaks_its_contract_fails(of: str) -> None:
    with pytest.RaisesGroup(AssertionError, allow_unwrapped=True, flatten_subgroups=True):
        BROKEN[of]()
