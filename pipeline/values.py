"""Frozen records that a user holds: configs, summaries, progress, outcomes.

They are msgspec structs, because the class of an attrs record takes 400 µs to make at each start, and that of a struct 15. For programs
that treat them as attrs records, `attrs.asdict`, `attrs.evolve`, `attrs.fields` and `attrs.has` work on them as well.
"""

from __future__ import annotations

from functools import cache
from typing import Any, ClassVar

from msgspec import NODEFAULT, Struct


class AttrsFields:
    """The fields of a record as attrs describes them, made when attrs asks for them."""

    def __get__(self, record: object, cls: type[Struct]) -> object:
        return _described(cls)


class Record(Struct, frozen=True):
    """A frozen record."""

    __attrs_attrs__: ClassVar[Any] = AttrsFields()


def defaults_of(cls: type[Struct]) -> dict[str, object]:
    """The default of each field, in their order: NODEFAULT where it must be given, a `Factory` where it is made anew each time."""
    names, defaults = cls.__struct_fields__, cls.__struct_defaults__
    return dict(zip(names, (NODEFAULT,) * (len(names) - len(defaults)) + defaults, strict=True))


def factory_of(default: object) -> Any:
    """What makes a default anew each time; None for a default that is one value."""
    return getattr(default, "factory", None)


def annotations_of(cls: type[Struct]) -> dict[str, object]:
    """The annotation of each field as it was written, in their order."""
    written = {name: hint for each in reversed(cls.__mro__) for name, hint in vars(each).get("__annotations__", {}).items()}
    return {name: written[name] for name in cls.__struct_fields__}


@cache
def _described(cls: type[Struct]) -> object:
    import attrs  # noqa: PLC0415  only who uses attrs pays for it

    hints: dict[str, Any] = annotations_of(cls)
    fields = {}
    for name, default in defaults_of(cls).items():
        made = factory_of(default)
        given: Any = attrs.NOTHING if default is NODEFAULT else default if made is None else attrs.Factory(made)
        fields[name] = attrs.field(default=given, type=hints[name])
    return attrs.fields(attrs.make_class(cls.__name__, fields, kw_only=True))
