"""Which values a type accepts, strictly: true is not an integer, "4" is not a number, 4.0 is not an integer.

Used by the loader on what YAML held and by the schema on what Python code passed, so that both hold to one rule. A mismatch
is a sentence with the way out; None means that the value fits.
"""

from __future__ import annotations

import math
import types
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import TYPE_CHECKING, Union, get_args, get_origin

from pipeline.config.credentials import is_key
from pipeline.core.rows.templates import JSON

if TYPE_CHECKING:
    from collections.abc import Iterable

EXPECTED: dict[object, str] = {bool: "true or false", int: "an integer", float: "a number", str: "text"}


def mismatch(value: object, hint: object) -> str | None:
    """Why a value does not fit an annotation, or None. Looks into mappings and sequences."""
    if hint is JSON:
        return json_mismatch(value)
    if hint in EXPECTED:
        return _scalar_mismatch(value, hint)
    if isinstance(hint, type):
        return None if isinstance(value, hint) else _expected(_name(hint), value)
    inner, optional = without_none(hint)
    if optional:
        return None if value is None else mismatch(value, inner)
    arms = alternatives(hint)
    if arms:
        found = [mismatch(value, arm) for arm in arms]
        return None if None in found else found[0]
    return _container_mismatch(value, hint)


def json_mismatch(value: object) -> str | None:
    """Why a value cannot be written as JSON, or None."""
    if isinstance(value, Mapping):
        return _first(None if isinstance(key, str) else f"keys must be text, got {describe(key)}" for key in value) or _first(
            map(json_mismatch, value.values())
        )
    if isinstance(value, list | tuple):
        return _first(map(json_mismatch, value))
    if isinstance(value, float) and not math.isfinite(value):
        return f"must be finite to be JSON, got {describe(value)}"
    fits = value is None or isinstance(value, str | int | float | bool)
    return None if fits else f"must be JSON, got {describe(value)}"


def describe(value: object) -> str:
    """A value as a message shows it: short, in YAML's words."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and not math.isfinite(value):
        return ".nan" if math.isnan(value) else f"{'-' if value < 0 else ''}.inf"
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, list | tuple | set | frozenset):
        return "a list"
    if isinstance(value, str) and is_key(value):
        return "what looks like a key"
    shown = repr(value)
    return shown if len(shown) <= 40 else f"{shown[:36]}...{shown[-1]}"


def without_none(hint: object) -> tuple[object, bool]:
    """`T | None` as (T, True); anything else as (itself, False)."""
    if get_origin(hint) not in {types.UnionType, Union}:
        return hint, False
    arms = get_args(hint)
    rest = tuple(arm for arm in arms if arm is not types.NoneType)
    return Union[rest], len(rest) < len(arms)  # noqa: UP007  built at run time


def alternatives(hint: object) -> tuple[object, ...]:
    """The arms of a union without None, such as `str | FromEnvironment`; none for anything else."""
    inner, _ = without_none(hint)
    return get_args(inner) if get_origin(inner) in {types.UnionType, Union} else ()


def _scalar_mismatch(value: object, hint: object) -> str | None:
    if hint is float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return _expected(EXPECTED[hint], value)
        return None if abs(value) < 1e300 else f"must be finite, got {describe(value)}"  # also catches nan and what overflows
    fits = isinstance(value, bool) if hint is bool else isinstance(value, hint) and not isinstance(value, bool)  # type: ignore[arg-type]
    return None if fits else _expected(EXPECTED[hint], value)


def _container_mismatch(value: object, hint: object) -> str | None:
    origin, arms = get_origin(hint), get_args(hint)
    if origin is Mapping or origin is dict:
        if not isinstance(value, Mapping):
            return _expected("a mapping", value)
        return _first(mismatch(key, arms[0]) for key in value) or _first(mismatch(item, arms[1]) for item in value.values())
    if origin in {tuple, list, Sequence}:
        if not isinstance(value, list | tuple):
            return _expected("a list", value)
        return _first(mismatch(item, arms[0]) for item in value)
    message = f"no rule for the type {hint}"
    raise TypeError(message)


def _expected(what: str, value: object) -> str:
    return f"must be {what}, got {describe(value)}"


def _name(hint: type) -> str:
    if issubclass(hint, Enum):
        return " or ".join(map(str, hint))
    return f"a {hint.__name__}"


def _first(messages: Iterable[str | None]) -> str | None:
    return next((message for message in messages if message is not None), None)
