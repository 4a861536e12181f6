"""Runs a config and prints, for each row, the time of day at which the first token of its answer was seen, as one JSON object.

`python -m benchmarks.first_tokens CONFIG`
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import trio

import pipeline

if TYPE_CHECKING:
    from collections.abc import Sequence


class FirstTokens:
    """An observer that keeps the clock of each first token."""

    def __init__(self) -> None:
        self.offset = 0.0  # from the event loop's clock to the time of day
        self.seen: dict[int, float] = {}

    def attempts(self, records: Sequence[pipeline.AttemptRecord]) -> None:
        """Attempts that have ended."""
        for record in records:
            if record.first_token is not None:
                self.seen[record.index] = record.first_token

    def events(self, events: Sequence[pipeline.RunEvent]) -> None:
        """What happened to the run; its beginning says which time of day it was."""
        for event in events:
            if isinstance(event, pipeline.RunBegan):
                self.offset = event.utc - event.at


def main() -> None:
    """Run and print."""
    observer = FirstTokens()
    config = pipeline.load_config(sys.argv[1])

    async def run() -> None:
        await pipeline.run(config, observers=[observer])

    trio.run(run)
    print(json.dumps({row: at + observer.offset for row, at in observer.seen.items()}))


if __name__ == "__main__":
    main()
