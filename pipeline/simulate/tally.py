"""What the provider saw: counts for tests and users to ask for. Pure: `now` is an argument."""

from __future__ import annotations

from collections import Counter, deque
from typing import TYPE_CHECKING, Any

from attrs import define, field
from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Mapping


class Statistics(Struct, frozen=True):
    """What a provider saw so far.

    requests: all but those under /_simulate. answers: by status, of whole answers and of those a wire fault spoilt.
    faults: how often each fell. refused: by a limit. abandoned: the client went before its answer. concurrent: now;
    a client that went away is counted until its close is seen. max_requests_in_second, …_minute, max_tokens_in_minute: the
    most in any sliding window; tokens as the limit is charged. output_tokens: in right answers.
    """

    requests: int
    answers: Mapping[int, int]
    faults: Mapping[str, int]
    refused: int
    abandoned: int
    concurrent: int
    max_concurrent: int
    connections: int
    max_requests_in_second: int
    max_requests_in_minute: int
    max_tokens_in_minute: int
    prompt_tokens: int
    output_tokens: int


@define
class Busiest:
    """The most that came in any sliding window of a period: the half-open time from now - period, excluded, to now."""

    period: float
    most: int = 0
    _log: deque[tuple[float, int]] = field(factory=deque)
    _inside: int = 0

    def add(self, amount: int, now: float) -> None:
        """Count an amount that came now."""
        log = self._log
        log.append((now, amount))
        self._inside += amount
        while log[0][0] <= now - self.period:
            self._inside -= log.popleft()[1]
        self.most = max(self.most, self._inside)


@define
class Tally:
    """Counts while the provider serves. ledger: the latest requests, as JSON objects."""

    ledger: deque[dict[str, Any]]
    requests: int = 0
    answers: Counter[int] = field(factory=Counter)
    faults: Counter[str] = field(factory=Counter)
    refused: int = 0
    abandoned: int = 0
    concurrent: int = 0
    max_concurrent: int = 0
    connections: int = 0
    prompt_tokens: int = 0
    output_tokens: int = 0
    _second: Busiest = field(factory=lambda: Busiest(1.0))
    _minute: Busiest = field(factory=lambda: Busiest(60.0))
    _minute_tokens: Busiest = field(factory=lambda: Busiest(60.0))

    def arrived(self, now: float) -> None:
        """A request is there, whole."""
        self.requests += 1
        self.concurrent += 1
        self.max_concurrent = max(self.max_concurrent, self.concurrent)
        self._second.add(1, now)
        self._minute.add(1, now)

    def charged(self, tokens: int, now: float) -> None:
        """A request was charged so many tokens."""
        self._minute_tokens.add(tokens, now)

    def answered(self, prompt_tokens: int, output_tokens: int) -> None:
        """A request gets its right answer."""
        self.prompt_tokens += prompt_tokens
        self.output_tokens += output_tokens

    def left(self) -> None:
        """A request is answered, or given up."""
        self.concurrent -= 1

    def statistics(self) -> Statistics:
        """A snapshot."""
        return Statistics(
            requests=self.requests,
            answers=dict(sorted(self.answers.items())),
            faults=dict(sorted(self.faults.items())),
            refused=self.refused,
            abandoned=self.abandoned,
            concurrent=self.concurrent,
            max_concurrent=self.max_concurrent,
            connections=self.connections,
            max_requests_in_second=self._second.most,
            max_requests_in_minute=self._minute.most,
            max_tokens_in_minute=self._minute_tokens.most,
            prompt_tokens=self.prompt_tokens,
            output_tokens=self.output_tokens,
        )
