"""Components of your own around a run: a source, a stage between, a sink and an observer.

The rows come out of a database query, each answer is cut to its first sentence, and the results go into another table, in the order
of the rows. Everything here talks to the embedded provider, so it needs no key. Run it as `python examples/components.py`.
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import trio

import pipeline

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

CONFIG = """
source: {path: unused}
request:
  url: /v1/chat/completions
  body: {model: gpt-4o, messages: [{role: user, content: "Describe {name} in a sentence."}]}
provider: {simulate: {faults: {http_500: 0.1}}}
limits: {requests_per_second: 200, max_in_flight: 10}
sink: {path: unused.jsonl}
"""


def rows_of_a_query(database: sqlite3.Connection) -> Iterator[dict[str, object]]:
    """A source: any iterator of mappings is one. It is read as room becomes free, so the table may be larger than memory."""
    for number, name in database.execute("SELECT number, name FROM things ORDER BY number"):
        yield {"custom_id": str(number), "name": name}


async def first_sentences(outcomes: trio.MemoryReceiveChannel[pipeline.Outcome], texts: trio.MemorySendChannel[tuple[str, str]]) -> None:
    """A stage between two others: takes messages, sends messages, and closes the ends that it was given."""
    async with outcomes, texts:
        async for outcome in outcomes:
            text = outcome.content.partition(".")[0] if outcome.ok else f"({outcome.error})"
            await texts.send((outcome.custom_id, text))


async def into_a_table(texts: trio.MemoryReceiveChannel[tuple[str, str]], database: sqlite3.Connection) -> None:
    """A sink: what has left its transaction is done. A slow one holds everything up, which is how it should be."""
    async with texts:
        async for number, text in texts:
            database.execute("INSERT OR REPLACE INTO described VALUES (?, ?)", (int(number), text))
            database.commit()


class Tries:
    """An observer: it is told of every attempt that ended, in groups, and of what happens to the run. It must not wait."""

    def __init__(self) -> None:
        self.codes: Counter[str] = Counter()

    def attempts(self, records: Sequence[pipeline.AttemptRecord]) -> None:
        """Count attempts by what became of them."""
        self.codes.update(record.code or "answered" for record in records)

    def events(self, events: Sequence[pipeline.RunEvent]) -> None:
        """Pauses, paces and lanes; nothing that counts here."""


async def describe(database: sqlite3.Connection, config: pipeline.Config) -> Counter[str]:
    """All of them together: bounded channels, so that the slowest one sets the pace."""
    tries = Tries()
    send_outcomes, outcomes = trio.open_memory_channel[pipeline.Outcome](10)
    send_texts, texts = trio.open_memory_channel[tuple[str, str]](10)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(first_sentences, outcomes, send_texts)
        nursery.start_soon(into_a_table, texts, database)
        async with send_outcomes, pipeline.stream(config, rows_of_a_query(database), observers=(tries,)) as results:
            async for outcome in results:
                await send_outcomes.send(outcome)
    return tries.codes


def main() -> None:
    """Make a database, describe what is in it, and look at the result."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "config.yaml")
        path.write_text(CONFIG, encoding="utf-8")
        database = sqlite3.connect(Path(folder, "things.db"))
        database.execute("CREATE TABLE things (number INTEGER PRIMARY KEY, name TEXT)")
        database.execute("CREATE TABLE described (number INTEGER PRIMARY KEY, text TEXT)")
        database.executemany("INSERT INTO things VALUES (?, ?)", [(number, f"weir {number}") for number in range(50)])

        tries = trio.run(describe, database, pipeline.load_config(path))

        (described,) = database.execute("SELECT count(*) FROM described").fetchone()
        print(f"{described} of 50 things described; {tries['answered']} attempts answered, {tries.total() - tries['answered']} not")
        database.close()


if __name__ == "__main__":
    main()
