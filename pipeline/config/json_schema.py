"""The JSON Schema of the config, made of the config's own classes, so that it cannot differ from what is accepted.

Editors read it: it completes keys, explains them and marks mistakes. What depends on several settings at once is left to
`headrace check`. Descriptions are taken from the classes' docstrings (`name: what it is.`), bounds from the rules on the fields.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import TYPE_CHECKING, Any, get_args, get_origin

from pipeline.config.kinds import alternatives, without_none
from pipeline.config.schema import Config
from pipeline.config.sections import is_section, settings_of
from pipeline.core.rows.templates import JSON

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.config.sections import Setting

DRAFT = "https://json-schema.org/draft/2020-12/schema"  # what yaml-language-server and jsonschema both read
SCALARS: dict[object, str] = {bool: "boolean", int: "integer", float: "number", str: "string"}
NAMES_BEFORE_COLON = re.compile(r"(?:^|(?<=[.;]\s)|(?<=\n))((?:\w+, )*\w+): ")

Schema = dict[str, Any]


def schema_text() -> str:
    """The schema of a config as it is shipped: `headrace.schema.json`, which `headrace schema` prints."""
    return json.dumps(config_schema(), indent=1, ensure_ascii=False) + "\n"


def config_schema() -> Schema:
    """The schema of a whole config."""
    sections: dict[str, Schema] = {}
    root = _section(Config, sections)
    return {"$schema": DRAFT, "title": "headrace config", **root, "$defs": dict(sorted(sections.items()))}


def _section(cls: type, sections: dict[str, Schema]) -> Schema:
    told = dict(_told(cls))
    properties: dict[str, Schema] = {}
    required = []
    for setting in settings_of(cls):
        schema = _of_type(setting.hint, sections)
        schema |= _bounds(setting)
        if setting.name in told:
            schema = {"description": told[setting.name], **schema}
        default = setting.default
        if setting.required:
            required.append(setting.name)
        elif setting.factory is None and not (default is None and is_section(setting.hint)):  # such a section is made of others
            schema["default"] = default.value if isinstance(default, Enum) else list(default) if isinstance(default, tuple) else default
        properties[setting.name] = schema
    about = " ".join((cls.__doc__ or "").split("\n\n")[0].split())
    made: Schema = {"type": "object", "description": about, "properties": properties, "additionalProperties": False}
    return {**made, "required": required} if required else made


def _of_type(hint: object, sections: dict[str, Schema]) -> Schema:
    inner, optional = without_none(hint)
    if hint is JSON:
        return {}
    if optional:
        return _or_null(_of_type(inner, sections))
    arms = alternatives(hint)
    if arms:
        return {"anyOf": [_of_type(arm, sections) for arm in arms]}
    if is_section(hint):
        assert isinstance(hint, type)
        if hint.__name__ not in sections:
            sections[hint.__name__] = {}  # so that it is made once
            sections[hint.__name__] = _section(hint, sections)
        reference = {"$ref": f"#/$defs/{hint.__name__}"}
        return (
            reference if sections[hint.__name__].get("required") else _or_null(reference)
        )  # a section that is left empty has its defaults
    if isinstance(hint, type) and issubclass(hint, Enum):
        return {"enum": [member.value for member in hint]}
    if get_origin(hint) in {Mapping, dict}:
        return {"type": "object", "additionalProperties": _of_type(get_args(hint)[1], sections)}
    if get_origin(hint) in {tuple, list, Sequence}:
        return {"type": "array", "items": _of_type(get_args(hint)[0], sections)}
    return {"type": SCALARS[hint]}


def _or_null(schema: Schema) -> Schema:
    kind = schema.get("type")
    if isinstance(kind, str) and schema.keys() <= {"type"}:
        return {"type": [kind, "null"]}
    if not schema or {"type": "null"} in schema.get("anyOf", ()):
        return schema
    return {"anyOf": [*schema.get("anyOf", [schema]), {"type": "null"}]}


def _bounds(setting: Setting) -> Schema:
    found: Schema = {}
    for rule in setting.rules:
        found |= getattr(rule, "schema", {})
    return found


def _told(cls: type) -> Iterator[tuple[str, str]]:
    """What a class's docstring says of each of its fields."""
    fields = {setting.name for setting in settings_of(cls)}
    for parent in reversed(cls.__mro__):
        text = " ".join((parent.__doc__ or "").split()) if is_section(parent) else ""
        starts = [match for match in NAMES_BEFORE_COLON.finditer(text) if set(match[1].split(", ")) <= fields]
        ends = [*(match.start() for match in starts[1:]), len(text)]
        for match, end in zip(starts, ends if starts else [], strict=True):
            said = text[match.end() : end].strip().rstrip(";")
            for name in match[1].split(", "):
                yield name, said
