"""Makes request bodies from rows.

`{name}` in any text of the body takes the row's field of that name, `{a.b}` reaches into an object, `{name?}` may be missing
or null, `{name!data}` is the file that the field names (see `attached`); `{{` and `}}` are braces. A text that is one place and
nothing else takes the value with its JSON type (`!s` makes it a text); within other text every value becomes text. A missing
`{name?}` is null alone, and nothing within other text.

A body is compiled once to pieces of encoded JSON with holes; rendering encodes the row's values and joins. So a value can never
end a string or start a field, and braces in it mean nothing. Keys of the body are taken as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import isfinite
from typing import TYPE_CHECKING, Union

import msgspec

from pipeline.patterns import later

if TYPE_CHECKING:
    from collections.abc import Iterator

JSON = Union[Mapping[str, "JSON"], Sequence["JSON"], str, int, float, bool, None]  # noqa: UP007  "|" cannot take a forward reference

CONVERSIONS = ("data", "base64", "mime")  # of a file: a data URL, its base64 alone, the media type alone

_encode = msgspec.json.Encoder().encode
# A token of a templated string: a doubled brace, a name in braces, a brace that stands alone, or text.
_tokens = later(r"(?P<brace>\{\{|\}\})|\{(?P<name>[^{}]*)\}|(?P<lone>[{}])|[^{}]+")
# A field's name, whether it may be missing, and what becomes of it.
_field = later(rf"(?s)(?P<name>.*?)(?P<before>\?)?(?:!(?P<conversion>s|{'|'.join(CONVERSIONS)}))?(?P<behind>\?)?")
_UNLIKELY_NAME = later(r'^\s|\s$|["\x00-\x1f\x7f]')  # JSON or code in a prompt, whose braces were not doubled


# Other template languages' ways to name a field, with what they would be here.
_FOREIGN = later(r"\{\{-?\s*(?:[a-z]+\.)?(\w+)\s*(?:\|[^{}]*)?-?\}\}|\$\{(\w+)\}|\$([A-Za-z_]\w*)|<(\w+)>|%\((\w+)\)s")


class Lookalike(msgspec.Struct, frozen=True):
    """A text of a body that names a field in another language's way. place: in the body. written, meant: as it is and as it should be."""

    place: str
    written: str
    meant: str

    def __str__(self) -> str:
        what = "which sends a $ before the field" if self.written.startswith("${") else "which is no field here"
        return f"{self.place} has {self.written}, {what}; write {self.meant}"


class TemplateError(ValueError):
    """Everything that is wrong with a template. problems: (place in the body, what is wrong) for each."""

    def __init__(self, problems: Sequence[tuple[str, str]]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(f"{place}: {message}" for place, message in self.problems))


class RowError(ValueError):
    """A row that a template cannot be filled from."""


class FileError(ValueError):
    """A row that names a file which cannot be sent."""


class FileHole(msgspec.Struct, frozen=True):
    """A place in a template where a file goes. name: of the row's field that has its path. marker: stands there in a rendered body."""

    name: str
    conversion: str
    marker: bytes


class OutOfRange:
    """In place of a field that holds a number which no float can."""


OUT_OF_RANGE = OutOfRange()


class _Hole(msgspec.Struct, frozen=True):
    """Where a row's field goes. encode: what becomes of its value. absent: what stands for a missing or null one, if it may be missing.

    conversion: how a file goes there, "" if it is the value itself that does. alone: nothing else is in the text.
    """

    name: str
    encode: Callable[[JSON], bytes]
    absent: bytes | None = None
    conversion: str = ""
    alone: bool = False

    @property
    def simple(self) -> bool:
        """Whether the name is all there is to it: no way into an object, and the field must be there."""
        return self.absent is None and "." not in self.name

    def fill(self, row: Mapping[str, JSON]) -> bytes:
        """The bytes for one row. Raises RowError, or what `encode` raises."""
        try:
            # A column may be called "Is it so?".
            value = row[f"{self.name}?"] if self.absent is not None and f"{self.name}?" in row else reach(row, self.name)
        except KeyError:
            if self.absent is None:
                raise
            return self.absent
        if self.absent is not None and (value is None or value != value):  # noqa: PLR0124  NaN is what pandas has for nothing
            return self.absent
        return self.encode(value)


class Template(msgspec.Struct, frozen=True, eq=False):
    """A compiled body.

    fields: the names it takes from a row, each once, in the order in which they appear. files: where files go. varying: the keys of the
    body whose values take something from a row. constant: all other keys with their values, as JSON.
    """

    fields: tuple[str, ...]
    files: tuple[FileHole, ...]
    _pieces: list[bytes]  # fixed JSON, and b"" for each hole
    _simple: list[tuple[int, str, Callable[[JSON], bytes]]]  # most holes: a name and nothing else
    _others: list[tuple[int, _Hole]]
    varying: frozenset[str]
    constant: bytes

    @property
    def required(self) -> tuple[str, ...]:
        """The fields that every row must have."""
        return tuple(dict.fromkeys([name for _, name, _ in self._simple] + [hole.name for _, hole in self._others if hole.absent is None]))

    def __repr__(self) -> str:
        return f"Template(fields={self.fields})"  # not the text, which may be long, and is private

    @classmethod
    def compile(cls, body: Mapping[str, JSON], token: str = "") -> Template:
        """Check and encode a body. token: for the markers of files; no input may know it.

        Raises TemplateError, which names every wrong place.
        """
        problems: list[tuple[str, str]] = []
        parts = list(_parts(body, "", problems))
        if problems:
            raise TemplateError(problems)
        pieces = [b""]
        holes: list[tuple[int, _Hole]] = []
        files: list[FileHole] = []
        for part in parts:
            if isinstance(part, _Hole):
                if part.conversion:
                    files.append(FileHole(part.name, part.conversion, b"headrace-file-%b-%d;" % (token.encode(), len(files))))
                    part = msgspec.structs.replace(part, encode=_marking(files[-1].marker, alone=part.alone))  # noqa: PLW2901
                holes.append((len(pieces), part))
                pieces += [b"", b""]
            else:
                pieces[-1] += part
        simple = [(at, hole.name, hole.encode) for at, hole in holes if hole.simple]
        others = [(at, hole) for at, hole in holes if not hole.simple]
        constant, varying = _apart(body)
        return cls(tuple(dict.fromkeys(hole.name for _, hole in holes)), tuple(files), pieces, simple, others, varying, constant)

    def render(self, row: Mapping[str, JSON]) -> bytes:
        """The body for one row, as compact JSON. Raises RowError if a field is missing, null, or cannot be written as JSON."""
        pieces = self._pieces.copy()
        name = ""
        try:
            for at, name, encode in self._simple:
                pieces[at] = encode(row[name])
            for at, hole in self._others:
                name = hole.name
                pieces[at] = hole.fill(row)
        except (KeyError, ValueError, TypeError, OverflowError, RecursionError) as error:
            raise RowError(_complaint(row, name, error)) from None
        return b"".join(pieces)


def _apart(body: Mapping[str, JSON]) -> tuple[bytes, frozenset[str]]:
    """The part of a body that takes nothing from a row, and the keys of the rest."""
    parts = {key: list(_parts({key: value}, "", [])) for key, value in body.items()}
    varying = frozenset(key for key, found in parts.items() if any(isinstance(part, _Hole) for part in found))
    constant = [b"".join(part for part in found if isinstance(part, bytes))[1:-1] for key, found in parts.items() if key not in varying]
    return b"{%b}" % b",".join(constant), varying


def _marking(marker: bytes, *, alone: bool) -> Callable[[JSON], bytes]:
    """What puts a marker where a file goes, if the field is the path of one."""

    def mark(value: JSON) -> bytes:
        if not isinstance(value, str) or not value:
            raise RowError("must be the path of a file")
        return b'"%b"' % marker if alone else marker

    return mark


def reach(row: Mapping[str, JSON], name: str) -> JSON:
    """A field's value: of the field that has the whole name, or else down its dotted parts. Raises KeyError."""
    if name in row:
        return row[name]
    value: JSON = row
    for part in name.split("."):
        if not isinstance(value, Mapping):
            raise KeyError(part)
        value = value[part]
    return value


def _as_value(value: JSON) -> bytes:
    """The field as it is, with its JSON type."""
    if value is None:
        raise RowError("is null")
    if type(value) is float and not isfinite(value):
        raise RowError(f"is {value}, which JSON cannot hold")
    return _encode(value)


def _as_text(value: JSON) -> bytes:
    """The field as the inside of a JSON string; what JSON has no text for becomes compact JSON, a date or a decimal the text of it."""
    if isinstance(value, str):
        return _encode(value)[1:-1]
    encoded = _as_value(value)
    return encoded[1:-1] if encoded.startswith(b'"') else _encode(encoded.decode())[1:-1]


def _complaint(row: Mapping[str, JSON], name: str, error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"field {name!r} is missing; the row has {', '.join(map(repr, row)) or 'no fields'}"
    if isinstance(error, UnicodeEncodeError):
        return f"field {name!r} holds half of a surrogate pair, which cannot be sent"
    if isinstance(row.get(name), OutOfRange):
        return f"field {name!r} holds a number that is out of range"
    return f"field {name!r} {error}" if isinstance(error, RowError) else f"field {name!r} cannot be written as JSON: {error}"


def _parts(value: object, place: str, problems: list[tuple[str, str]]) -> Iterator[bytes | _Hole]:
    """The JSON of a value of the body, in pieces."""
    if isinstance(value, str):
        yield from _string_parts(value, place, problems)
    elif isinstance(value, Mapping):
        yield b"{"
        for at, (key, item) in enumerate(value.items()):
            inner = f"{place}.{key}" if place else str(key)
            yield (b"," if at else b"") + _literal(key, inner, problems) + b":"
            yield from _parts(item, inner, problems)
        yield b"}"
    elif isinstance(value, list | tuple):
        yield b"["
        for at, item in enumerate(value):
            yield b"," if at else b""
            yield from _parts(item, f"{place}[{at}]", problems)
        yield b"]"
    elif value is None or isinstance(value, int) or (isinstance(value, float) and isfinite(value)):
        yield _encode(value)
    else:
        problems.append((place, f"{value!r} ({type(value).__name__}) cannot be JSON; put it in quotes if it is text"))


def _string_parts(text: str, place: str, problems: list[tuple[str, str]]) -> Iterator[bytes | _Hole]:
    tokens = list(_tokens.finditer(text))
    if len(tokens) == 1 and tokens[0]["name"] is not None:
        hole = _hole(tokens[0]["name"], place, problems, alone=True)
        if hole.alone:
            yield hole
            return
    yield b'"'
    for token in tokens:
        if token["name"] is not None:
            yield _hole(token["name"], place, problems, alone=False)
        elif token["lone"]:
            brace = token["lone"]
            problems.append((place, f'a lone "{brace}" at character {token.start() + 1}; write "{brace * 2}" for a brace'))
        else:
            yield _literal(token["brace"][0] if token["brace"] else token[0], place, problems)[1:-1]
    yield b'"'


def _hole(written: str, place: str, problems: list[tuple[str, str]], *, alone: bool) -> _Hole:
    """What is between two braces. alone: nothing else is in the text, so that a value may keep its type; `!s` says that it must not."""
    found = _field.fullmatch(written)
    assert found is not None  # it matches everything
    conversion, name = found["conversion"] or "", _name(found["name"], place, problems)
    alone = alone and conversion != "s"
    absent = (b"null" if alone else b"") if found["before"] or found["behind"] else None
    return _Hole(name, _as_value if alone else _as_text, absent, conversion.removeprefix("s"), alone)


def _name(name: str, place: str, problems: list[tuple[str, str]]) -> str:
    if not name:
        problems.append((place, '"{}" names no field; write "{name}" for a field, "{{}}" for braces'))
    elif _UNLIKELY_NAME.search(name) and (bare := name.strip()) and not _UNLIKELY_NAME.search(bare):
        problems.append((place, f'"{{{name}}}" names no field; write "{{{bare}}}" for the field, "{{{{" and "}}}}" for braces'))
    elif _UNLIKELY_NAME.search(name):
        problems.append((place, f'"{{{name}}}" names no field; write "{{{{" and "}}}}" for braces'))
    elif "!" in name:
        problems.append((place, f'"{{{name}}}": after "!" only s (as text), data, base64 and mime (of a file) are known'))
    return name


def _literal(text: object, place: str, problems: list[tuple[str, str]]) -> bytes:
    """The JSON of a key or a piece of text that stands as it is."""
    if not isinstance(text, str):
        problems.append((place, f"a key must be text, got {text!r}; put it in quotes"))
        return b'""'
    try:
        return _encode(text)
    except UnicodeEncodeError:
        problems.append((place, "half of a surrogate pair cannot be sent"))
        return b'""'


def lookalikes(body: JSON, place: str = "") -> Iterator[Lookalike]:
    """Texts that only look like a field: `{{ prompt }}`, `${prompt}`, `$prompt`, `<prompt>`, `%(prompt)s`, `{prompt}` without quotes."""
    if isinstance(body, str):
        for match in _FOREIGN.finditer(body):
            name = next(filter(None, match.groups()))
            yield Lookalike(place, match[0], f"{{{name}}}")
    elif isinstance(body, Mapping):
        if place and len(body) == 1 and next(iter(body.values())) is None:
            name = next(iter(body))
            yield Lookalike(place, f"{{{name}}} without quotes", f'"{{{name}}}"')
        for key, item in body.items():
            yield from lookalikes(item, f"{place}.{key}" if place else str(key))
    elif isinstance(body, list | tuple):
        for at, item in enumerate(body):
            yield from lookalikes(item, f"{place}[{at}]")
