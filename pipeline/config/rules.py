"""What a setting's value must be beyond its type, each rule with its way out.

A rule gets a value of the right type and returns what is wrong with it, or None. `Section` checks its values by them, so they hold for a
config built in Python as for one loaded from YAML. A rule never puts a credential into its message.
"""

from __future__ import annotations

import os
from fnmatch import fnmatchcase
from importlib import import_module
from typing import TYPE_CHECKING

from msgspec import Struct

from pipeline.config import credentials
from pipeline.config.kinds import describe
from pipeline.core.rows.headers import TOKEN, VALUE, reserved_problem
from pipeline.core.rows.templates import JSON, Template, TemplateError
from pipeline.core.rows.urls import split_base, url_problem
from pipeline.errors import Problem
from pipeline.patterns import later

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    Rule = Callable[[object], str | list[Problem] | None]

PATTERN = frozenset("*?[")  # what makes a path a pattern, as `glob` has it
ENVIRONMENT_NAME = later(r"[A-Za-z_][A-Za-z0-9_]*")
DOLLAR_NAME = later(r"\$\{?([A-Z_][A-Z0-9_]*)\}?")
SHARE_NAME = later(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}")
SOCKET_PATH_BYTES = 103  # sun_path: 104 bytes on macOS, 108 on Linux, a NUL included


class NumberRule(Struct, frozen=True):
    """A number with a bound below it. schema: the same in words of JSON Schema."""

    bound: float
    inclusive: bool

    def __call__(self, value: object) -> str | None:
        """What is wrong with a number."""
        fits = value >= self.bound if self.inclusive else value > self.bound  # type: ignore[operator]  # the type was checked first
        return None if fits else f"must be {'>=' if self.inclusive else '>'} {self.bound}, got {describe(value)}"

    @property
    def schema(self) -> dict[str, float]:
        """The bound as JSON Schema has it."""
        return {"minimum" if self.inclusive else "exclusiveMinimum": self.bound}


def at_least(least: float) -> Rule:
    """A number that must not be below `least`."""
    return NumberRule(least, inclusive=True)


def above(bound: float) -> Rule:
    """A number that must be greater than `bound`."""
    return NumberRule(bound, inclusive=False)


def not_empty(value: object) -> str | None:
    """Text with something in it, and no NUL, which no path or header may contain."""
    text = str(value)
    if not text.strip():
        return f"must not be empty, got {describe(value)}"
    if "\0" in text:
        return "must not hold a NUL character"
    return f"looks like a key, and {credentials.ELSEWHERE}" if credentials.is_key(text) else None


def input_paths(value: object) -> str | None:
    """The path of an input, or several; stdin cannot be one of several."""
    if isinstance(value, str):
        return not_empty(value)
    paths: Sequence[str] = value  # type: ignore[assignment]  # the type was checked first
    if not paths:
        return "must name at least one file, got an empty list"
    said = ((at, "stdin cannot be one of several inputs" if path == "-" else not_empty(path)) for at, path in enumerate(paths, 1))
    return next((f"item {at}: {message}" for at, message in said if message is not None), None)


def matches(pattern: str, path: str) -> bool:
    """Whether a pattern finds a path, as `glob` understands both: `**` is any number of folders."""
    return not PATTERN.isdisjoint(pattern) and _steps_match(pattern.split("/"), path.split("/"))


def _steps_match(steps: Sequence[str], names: Sequence[str]) -> bool:
    if not steps:
        return not names
    if steps[0] == "**":
        return any(_steps_match(steps[1:], names[at:]) for at in range(len(names) + 1))
    return bool(names) and fnmatchcase(names[0], steps[0]) and _steps_match(steps[1:], names[1:])


def field_names(value: object) -> str | None:
    """Names of fields, each once."""
    names: Sequence[str] = value  # type: ignore[assignment]  # the type was checked first
    if not all(name.strip() for name in names):
        return "must be names of fields, got an empty one"
    twice = next((name for at, name in enumerate(names) if name in names[:at]), None)
    return None if twice is None else f"names {twice} twice"


def text_encoding(value: object) -> str | None:
    """The name of an encoding of text."""
    try:
        "".encode(str(value))  # refuses those that are for bytes, such as base64
    except (LookupError, ValueError):
        return f"must be an encoding of text, such as utf-8, windows-1252, shift_jis or utf-16, got {describe(value)}"
    return None


def one_character(value: object) -> str | None:
    """A delimiter: one ASCII character that is neither a quote nor a line end."""
    text = str(value)
    return None if len(text) == 1 and text.isascii() and text not in '"\r\n' else f"must be one ASCII character, got {describe(value)}"


def file(value: object) -> str | None:
    """A file that is there and can be read."""
    path = str(value)
    if not os.path.isfile(path):  # noqa: PTH113  Path.is_file raises for a name that is too long
        return f"no such file: {credentials.hidden_in(path)}"
    return None if os.access(path, os.R_OK) else f"cannot be read: {credentials.hidden_in(path)}"


def folder(value: object) -> str | None:
    """A folder that is there and can be entered."""
    path = str(value)
    if not os.path.isdir(path):  # noqa: PTH112  Path.is_dir raises for a name that is too long
        return f"no such folder: {path}"
    return None if os.access(path, os.R_OK | os.X_OK) else f"cannot be entered: {path}"


def program(value: object) -> str | None:
    """A program and its arguments. It is run without a shell."""
    words: Sequence[str] = value  # type: ignore[assignment]  # the type was checked first
    if not words or not words[0].strip():
        return "must name a program, and its arguments, each as an item of the list"
    return next((message for message in map(not_empty, words) if message is not None), None)


def socket_path(value: object) -> str | None:
    """A path that fits into a socket's address. Whether somebody listens there shows when it is connected to."""
    size = len(os.fsencode(str(value)))
    return None if size <= SOCKET_PATH_BYTES else f"must have at most {SOCKET_PATH_BYTES} bytes to be a socket's path, got {size}"


def environment_name(value: object) -> str | None:
    """The name of an environment variable; a key pasted in its place is refused without being shown."""
    name = str(value)
    if ENVIRONMENT_NAME.fullmatch(name) and not credentials.LOOKS_RANDOM.fullmatch(name):
        return None
    dollar = DOLLAR_NAME.fullmatch(name)
    if dollar:
        return f"must be the name of an environment variable without a dollar sign: {dollar[1]}"
    return "must be the name of an environment variable (such as OPENAI_API_KEY) that holds the key, never the key itself"


def share_name(value: object) -> str | None:
    """A name that can be part of a file's name."""
    if SHARE_NAME.fullmatch(str(value)):
        return None
    return f"must be at most 64 letters, digits, dots, hyphens and underscores, got {describe(value)}"


def header_name(value: object) -> str | None:
    """A name that can stand in an HTTP request and is not ours to set."""
    name = str(value)
    if not TOKEN.fullmatch(name):
        return f"must be an HTTP header name, got {describe(value)}"
    return reserved_problem(name)


def sendable_headers(value: object) -> list[Problem]:
    """Headers that are safe to send and hold no credential but by `{env: NAME}`. The problems' keys are the headers' names."""
    found: list[Problem] = []
    mapping: Mapping[str, object] = value  # type: ignore[assignment]  # the type was checked first
    seen: set[str] = set()
    for name, text in mapping.items():
        message = header_name(name) or (_header_value(name, text) if isinstance(text, str) else None)
        if message is None and name.lower() in seen:
            message = "duplicate header (case does not count in header names)"
        seen.add(name.lower())
        if message is not None:
            found.append(Problem(name if name.isprintable() else repr(name), message, ""))
    return found


def sendable_base_url(value: object) -> str | None:
    """A base that requests can be sent to."""
    if credentials.in_query(str(value)):  # first, because the other messages show the URL
        return credentials.IN_A_URL
    try:
        split_base(str(value))
    except ValueError as error:
        return credentials.hidden_in(str(error))
    return None


def row_url(value: object) -> str | None:
    """The path of an API, to be joined to the provider's base_url."""
    if credentials.in_query(str(value)):
        return credentials.IN_A_URL
    problem = url_problem(str(value))
    return None if problem is None else credentials.hidden_in(problem)


def sendable_body(value: object) -> list[Problem]:
    """A request body whose texts are templates and that holds no credential. The problems' keys are the places of the texts."""
    mapping: Mapping[str, JSON] = value  # type: ignore[assignment]  # the type was checked first
    keys = [Problem(place, credentials.ELSEWHERE, "") for place in credentials.in_body(mapping)]
    if keys:
        return keys
    try:
        Template.compile(mapping)
    except TemplateError as error:
        return [Problem(place, message, "") for place, message in error.problems]
    return []


def _header_value(name: str, text: str) -> str | None:
    if not VALUE.fullmatch(text):
        return "must be printable ASCII on one line"
    return credentials.IN_A_HEADER if credentials.in_header(name, text) else None


def late_rule(module: str, name: str) -> Rule:
    """A rule of a module that few configs need, imported when a value is given."""

    def rule(value: object) -> str | list[Problem] | None:
        found: Rule = getattr(import_module(module), name)
        return found(value)

    return rule
