"""What falls on which attempt: drawn from (seed, digest of the body, attempt), so that it is the same in every interleaving.

Pure but for one memory: how often a body has come. It is kept only for the bodies whose later attempts differ from the
first, and only for the latest of them, so that a long run in one process stays flat.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from hashlib import blake2b
from itertools import accumulate
from statistics import NormalDist
from typing import TYPE_CHECKING

from attrs import define, field
from msgspec import Struct

from pipeline.simulate.choices import Distribution
from pipeline.simulate.faults import Fault
from pipeline.simulate.script import Script, step_for

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.simulate.config import LatencyConfig, SimulateConfig

NORMAL = NormalDist()
REDRAWN_MEDIANS = 4  # a first latency above this many medians is remembered, so that a retry draws a new one
REMEMBERED = 65_536  # rows between an attempt and its retry: a minute of back-off at a thousand a second


class Plan(Struct, frozen=True):
    """What one attempt gets. attempt: its number where it was counted, else 1. wait_seconds: before its answer."""

    fault: Fault | None
    wait_seconds: float
    attempt: int = 1


def digest_of(body: bytes) -> bytes:
    """What stands for a body in every draw."""
    return blake2b(body, digest_size=16).digest()


def draw(seed: int, digest: bytes, attempt: int, purpose: bytes) -> float:
    """A uniform draw in [0, 1), the same for the same arguments. purpose: at most 16 bytes, so that draws are independent."""
    salt = blake2b(f"{seed}/{attempt}".encode(), digest_size=16).digest()
    return (int.from_bytes(blake2b(digest, digest_size=8, salt=salt, person=purpose).digest()) >> 11) / 2**53


def latency_at(config: LatencyConfig, uniform: float) -> float:
    """The latency in seconds for a uniform draw in [0, 1), by the inverse of the distribution."""
    median, spread = config.median_seconds, config.spread
    match config.distribution:
        case Distribution.CONSTANT:
            factor = 1.0
        case Distribution.UNIFORM:
            factor = 1 + spread * (2 * uniform - 1)
        case Distribution.LOGNORMAL:
            factor = math.exp(spread * NORMAL.inv_cdf(max(uniform, 2**-53)))
        case _:
            factor = (2 * (1 - uniform)) ** -spread
    return min(median * factor, config.max_seconds)


class Shares:
    """Faults by their shares, drawn for a row or for one of its attempts. purpose: makes these draws independent of others."""

    def __init__(self, seed: int, shares: Mapping[str, float], purpose: bytes) -> None:
        kept = [(Fault(name), share) for name, share in sorted(shares.items()) if share > 0]
        self._seed, self._purpose = seed, purpose
        self._faults = [fault for fault, _ in kept]
        self._bounds = list(accumulate(share for _, share in kept))

    def __bool__(self) -> bool:
        """Whether any fault can fall."""
        return bool(self._bounds)

    def fault_of(self, digest: bytes, attempt: int = 0) -> Fault | None:
        """The fault whose share the draw falls into. attempt: 0 draws for the row, the same at every attempt."""
        if not self._bounds:
            return None
        place = bisect_right(self._bounds, draw(self._seed, digest, attempt, self._purpose))
        return self._faults[place] if place < len(self._faults) else None


@define
class Attempts:
    """How often each body has come; of the latest `keep` bodies at least, of twice as many at most."""

    keep: int = REMEMBERED
    _young: dict[bytes, int] = field(factory=dict)
    _old: dict[bytes, int] = field(factory=dict)

    def next(self, digest: bytes) -> int:
        """Count this attempt: 1 for the first."""
        number = (self._young.get(digest) or self._old.get(digest, 0)) + 1
        if len(self._young) >= self.keep and digest not in self._young:
            self._old, self._young = self._young, {}
        self._young[digest] = number
        return number


class Planner:
    """The plan of one provider. Counts an attempt each time it is asked."""

    def __init__(self, config: SimulateConfig) -> None:
        self._seed, self._latency, self._faulty_attempts = config.seed, config.latency, config.faulty_attempts
        self._script = Script(config.script)
        self._faults = Shares(config.seed, config.faults, b"fault")
        self._poison = Shares(config.seed, config.poison, b"poison")
        self._flaky = Shares(config.seed, config.flaky, b"flaky")
        self._attempts = Attempts()

    def plan(self, digest: bytes, text: str) -> Plan:
        """What this attempt gets. digest: of the body. text: what scripts look for."""
        steps = self._script.find(text)
        lasting = None if steps else self._poison.fault_of(digest)
        fault = None if steps else self._faults.fault_of(digest)
        first = self._wait(digest, 1)
        alike = steps is None and lasting is None and fault is None and not self._flaky
        if alike and first <= REDRAWN_MEDIANS * self._latency.median_seconds:
            return Plan(None, first)
        attempt = self._attempts.next(digest)
        wait = first if attempt == 1 else self._wait(digest, attempt)
        if steps is not None:
            step = step_for(steps, attempt)
            return Plan(step.fault, wait if step.wait_seconds is None else step.wait_seconds, attempt)
        early = fault if attempt <= self._faulty_attempts else None
        return Plan(lasting or early or self._flaky.fault_of(digest, attempt), wait, attempt)

    def _wait(self, digest: bytes, attempt: int) -> float:
        if self._latency.distribution is Distribution.CONSTANT:
            return latency_at(self._latency, 0.0)
        return latency_at(self._latency, draw(self._seed, digest, attempt, b"latency"))
