"""The tree of a config: values, each with the line where it was written.

Scalars are read by YAML 1.2's core schema and by nothing else, so `no`, `12:30` and `2026-01-01` are text and `1e3` is a number.
"""

from __future__ import annotations

import math

from msgspec import Struct

from pipeline.errors import Problem
from pipeline.patterns import later

Scalar = str | int | float | bool | None

NULL = frozenset({"", "~", "null", "Null", "NULL"})
BOOLEANS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
NUMBER_STARTS = frozenset("+-.0123456789")
INTEGER = later(r"[-+]?[0-9]+")
OCTAL_OR_HEX = later(r"0o[0-7]+|0x[0-9a-fA-F]+")
FLOAT = later(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
INFINITE = later(r"([-+]?)\.(?:inf|Inf|INF)")
NOT_A_NUMBER = frozenset({".nan", ".NaN", ".NAN"})


class Node(Struct, frozen=True, eq=False):
    """A value and where it was written.

    line: 1-based, of its key; None when it came from the command line. broken: its problem is known already, so nobody
    need look at the value.
    """

    value: Scalar | dict[str, Node] | list[Node]
    source: str
    line: int | None
    broken: bool = False

    def child(self, name: str) -> Node | None:
        """What is below a key, or None; also if this is not a mapping."""
        return self.value.get(name) if isinstance(self.value, dict) else None

    def problem(self, key: str, message: str) -> Problem:
        """Something wrong with this value. key: the dotted path that leads here."""
        return Problem(key, message, self.source, self.line)


def plain_scalar(text: str) -> Scalar:
    """What an unquoted scalar means. Source: YAML 1.2.2, section 10.3.2, tag resolution of the core schema."""
    if text in NULL:
        return None
    if text in BOOLEANS:
        return BOOLEANS[text]
    if text[0] not in NUMBER_STARTS:
        return text
    if INTEGER.fullmatch(text):
        return int(text)
    if OCTAL_OR_HEX.fullmatch(text):
        return int(text, 0)
    if FLOAT.fullmatch(text):
        return float(text)
    if text in NOT_A_NUMBER:
        return math.nan
    infinite = INFINITE.fullmatch(text)
    return text if infinite is None else float(f"{infinite[1]}inf")


def dotted(path: str, step: str | int) -> str:
    """The key path one step further in. A key that would not show is written as Python writes it."""
    if isinstance(step, int):
        return f"{path}[{step}]"
    step = step if step and step.isprintable() else repr(step)
    return f"{path}.{step}" if path else step
