"""The checks that the values of a simulated provider's config must pass, as attrs validators.

A check raises ValueError that names the key, the value and what would be right.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeline.simulate.faults import SPENT
from pipeline.simulate.script import fault_named, parse_steps

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from attrs import Attribute

    Check = Callable[[object, Attribute[Any], Any], None]

ENDLESS = float("inf")


def between(low: float, high: float) -> Check:
    """A number from low to high, both included."""

    def check(_: object, attribute: Attribute[Any], value: float) -> None:
        if not low <= value <= high:
            bound = f">= {low:g}" if high == ENDLESS else f"between {low:g} and {high:g}"
            raise ValueError(f"{attribute.name} must be {bound}, got {value!r}")

    return check


def positive_or_none(_: object, attribute: Attribute[Any], value: float | None) -> None:
    """A finite number above 0, or None."""
    if value is not None and not 0 < value < ENDLESS:
        raise ValueError(f"{attribute.name} must be > 0, got {value!r}")


def positive(_: object, attribute: Attribute[Any], value: float) -> None:
    """A finite number above 0."""
    positive_or_none(_, attribute, value)


def at_least_1_or_none(_: object, attribute: Attribute[Any], value: int | None) -> None:
    """A number from 1 on, or None."""
    if value is not None and value < 1:
        raise ValueError(f"{attribute.name} must be >= 1, got {value!r}")


def shares(_: object, attribute: Attribute[Any], value: Mapping[str, float]) -> None:
    """A share between 0 and 1 for each fault, and no more than 1 together."""
    for name, share in value.items():
        try:
            fault_named(name)
        except ValueError as error:
            raise ValueError(f"{attribute.name}.{name}: {error}") from None
        if not 0 <= share <= 1:
            raise ValueError(f"{attribute.name}.{name} must be a share between 0 and 1, got {share!r}")
    if (total := sum(value.values())) > 1 + 1e-9:
        raise ValueError(f"{attribute.name} must sum to at most 1, got {total:g}")


def scripts(_: object, attribute: Attribute[Any], value: Mapping[str, str]) -> None:
    """A list of steps for each key."""
    for key, text in value.items():
        if not key:
            raise ValueError(f"{attribute.name} has an empty key; a key is a number or a text to find")
        try:
            parse_steps(text)
        except ValueError as error:
            raise ValueError(f"{attribute.name}.{key}: {error}") from None


def named(*besides: str) -> Check:
    """The name of a fault, or one of the names besides."""

    def check(_: object, attribute: Attribute[Any], value: str) -> None:
        if value in besides:
            return
        try:
            fault_named(value)
        except ValueError as error:
            raise ValueError(f"{attribute.name} must be {', '.join(besides)} or the name of a fault: {error}") from None

    return check


def one_cause(_: object, attribute: Attribute[Any], value: str) -> None:
    """The name of a fault that says that a quota is used up."""
    names = [fault.value for fault in SPENT]
    if value not in names:
        raise ValueError(f"{attribute.name} must be one of {', '.join(names)}, got {value!r}")


at_least_0 = between(0, ENDLESS)
at_least_1 = between(1, ENDLESS)
