"""What every section of a config is: a frozen record that checks its values when it is made.

    class RetryConfig(Section, frozen=True, kw_only=True):
        attempts: Annotated[int, at_least(1)] = 6

The annotation has the type and the rules on the value. It is read at run time, so it must be a real type. Only a section that few configs
have is written as text and listed in `LATE`; its module is imported when a config has it.

The sections of a simulated provider (`pipeline.simulate`) are attrs classes, with the rules in validators. `settings_of` reads both.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, get_args, get_origin

from msgspec import NODEFAULT, Struct

from pipeline.config.kinds import mismatch
from pipeline.errors import ConfigError, Problem
from pipeline.values import Record, annotations_of, defaults_of, factory_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeGuard

    Rule = Callable[[object], str | list[Problem] | None]

LATE = {"SimulateConfig": "pipeline.simulate.config"}


class Setting(Struct, frozen=True, eq=False):
    """One field of a section.

    default: NODEFAULT where the field must be given. factory: what makes the default, None where it is one value. rules: what its
    value must be beyond its type. validator: the same, of an attrs class.
    """

    name: str
    written: Any
    default: Any = NODEFAULT
    factory: Any = None
    rules: tuple[Rule, ...] = ()
    validator: Callable[[object], None] | None = None

    @property
    def hint(self) -> Any:
        """The type of its value."""
        return _late(self.written) if isinstance(self.written, str) else self.written

    @property
    def required(self) -> bool:
        """Whether it must be given."""
        return self.default is NODEFAULT and self.factory is None

    def problems(self, section: str, value: object) -> list[Problem]:
        """What is wrong with a value. Stops at the first rule that refuses it. Raises ValueError where a validator does."""
        if self.validator is not None:
            self.validator(value)
            return []
        message = mismatch(value, self.hint)
        if message is not None:
            return [Problem(self.name, message, section)]
        for rule in self.rules if value is not None else ():  # the type has allowed or refused a null already
            said = rule(value)
            if isinstance(said, str):
                return [Problem(self.name, said, section)]
            if said:
                return [Problem(f"{self.name}.{each.key}", each.message, section) for each in said]
        return []


class Section(Record, frozen=True, kw_only=True):
    """A part of a config. Raises ConfigError when it is made of wrong values."""

    def __post_init__(self) -> None:
        """Check each value by itself, then what depends on several of them. A default fits, and a section has checked itself."""
        cls = type(self)
        for setting in settings_of(cls):
            value = getattr(self, setting.name)
            if value is setting.default or (type(value) is setting.factory and isinstance(value, Section)):
                continue
            if problems := setting.problems(cls.__name__, value):
                raise ConfigError(problems)
        self.check_together()

    def check_together(self) -> None:
        """Refuse values that do not go together."""


def refuse(section: object, key: str, message: str) -> NoReturn:
    """Report what is wrong with a section that no rule on one value can know."""
    raise ConfigError([Problem(key, message, type(section).__name__)])


def is_section(hint: object) -> TypeGuard[type]:
    """Whether an annotation is the class of a section."""
    return isinstance(hint, type) and any("__attrs_attrs__" in vars(each) for each in hint.__mro__)


@cache
def settings_of(cls: type) -> tuple[Setting, ...]:
    """The settings of a section's class, in their order."""
    if not issubclass(cls, Section):
        return _of_attrs(cls)
    hints = annotations_of(cls)
    return tuple(_setting(name, hints[name], default) for name, default in defaults_of(cls).items())


def _setting(name: str, hint: object, default: object) -> Setting:
    made = factory_of(default)
    given = NODEFAULT if made is not None else default
    if get_origin(hint) is Annotated:
        hint, *rules = get_args(hint)
        return Setting(name, hint, given, made, tuple(rules))
    return Setting(name, hint, given, made)


def _of_attrs(cls: Any) -> tuple[Setting, ...]:
    import attrs  # noqa: PLC0415  only a simulated provider has such sections

    found = []
    for each in attrs.fields(cls):
        made = each.default.factory if isinstance(each.default, attrs.Factory) else None  # type: ignore[arg-type]  # it is a class
        default = NODEFAULT if made is not None or each.default is attrs.NOTHING else each.default
        found.append(Setting(each.name, each.type, default, made, (), _validator(each)))
    return tuple(found)


def _validator(attribute: Any) -> Callable[[object], None] | None:
    if attribute.validator is None:
        return None
    return lambda value: attribute.validator(None, attribute, value)


def _late(hint: str) -> object:
    name = hint.removesuffix(" | None")
    found = getattr(import_module(LATE[name]), name)
    return found if name == hint else found | None
