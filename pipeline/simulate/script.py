"""Scripts: which row gets which fault at which attempt, written as text in a config. Pure: text in, steps out.

A key picks rows by the text of the last message (or the prompt, or the input): digits are compared with the first whole
number in it, any other key must occur in it. A value lists the attempts, one after the other:

    {"17": "unauthorized_401",        the first attempt, later ones are answered
     "23": "stall, http_500*2, ok",   stall, then two 500s, then answers
     "40": "http_500*",               every attempt
     "0":  "8s"}                      a right answer, but after eight seconds
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from pipeline.patterns import later
from pipeline.simulate.faults import Fault

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

STEP = later(r"(?:(?P<seconds>\d+(?:\.\d+)?)s|(?P<name>[a-z_0-9]+))(?P<times>\*(?P<count>\d*))?")
FIRST_NUMBER = later(r"\d+")


class Step(Struct, frozen=True):
    """What some attempts get. fault: None for a right answer. wait_seconds: None for the usual latency. count: None for ever."""

    fault: Fault | None = None
    wait_seconds: float | None = None
    count: int | None = 1


def parse_steps(text: str) -> tuple[Step, ...]:
    """The steps of one value.

    Raises: ValueError that names the step and what would be right.
    """
    return tuple(_parse_step(part.strip()) for part in text.split(","))


def _parse_step(text: str) -> Step:
    match = STEP.fullmatch(text)
    if match is None:
        raise ValueError(f"a step is FAULT, ok or SECONDSs, each with *COUNT or *, got {text!r}")
    count = 1 if match["times"] is None else int(match["count"]) if match["count"] else None
    if match["seconds"] is not None:
        return Step(None, float(match["seconds"]), count)
    if match["name"] == "ok":
        return Step(None, None, count)
    return Step(fault_named(match["name"]), None, count)


def fault_named(name: str) -> Fault:
    """The fault of that name. Raises: ValueError that lists all names."""
    try:
        return Fault(name)
    except ValueError:
        raise ValueError(f"no fault is named {name!r}; there are {', '.join(fault.value for fault in Fault)}") from None


def step_for(steps: Iterable[Step], attempt: int) -> Step:
    """What attempt number `attempt` (1 for the first) gets; a right answer when the steps are used up."""
    left = attempt
    for step in steps:
        if step.count is None or left <= step.count:
            return step
        left -= step.count
    return Step()


class Script:
    """The rows that have a script, found by their text."""

    def __init__(self, rows: Mapping[str, str]) -> None:
        self._by_number = {int(key): parse_steps(text) for key, text in rows.items() if key.isdecimal()}
        self._by_text = [(key, parse_steps(text)) for key, text in rows.items() if not key.isdecimal()]

    def find(self, text: str) -> tuple[Step, ...] | None:
        """The steps for a row with this text, or None if it has no script. A number goes before a text."""
        if self._by_number and (match := FIRST_NUMBER.search(text)):
            found = self._by_number.get(int(match[0][-18:]))
            if found is not None:
                return found
        return next((steps for key, steps in self._by_text if key in text), None)
