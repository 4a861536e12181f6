"""Rules for `answers.expect`, and how it is loaded: schema files, patterns, the user's own check."""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import sys
from typing import TYPE_CHECKING, Any

from pipeline.core.answers.schemas import SchemaError, pattern_check, schema_check

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    Check = Callable[[Any, Mapping[str, Any]], object]

MAX_SCHEMA_BYTES = 4 << 20


def answer_schema(value: object) -> str | None:
    """A JSON Schema, or the path of a file with one."""
    try:
        schema_check(load_schema(value))
    except (SchemaError, ValueError) as error:
        return str(error)
    return None


def answer_pattern(value: object) -> str | None:
    """A pattern that can be searched."""
    try:
        pattern_check(str(value))
    except SchemaError as error:
        return str(error)
    return None


def answer_check(value: object) -> str | None:
    """A function that can be imported."""
    try:
        load_check(str(value))
    except ValueError as error:
        return str(error)
    return None


def load_schema(value: object) -> Any:
    """The schema itself. Raises ValueError that says why there is none."""
    if not isinstance(value, str):
        return value
    try:
        with open(value, "rb") as file:  # noqa: PTH123  Path raises another error for a NUL
            text = file.read(MAX_SCHEMA_BYTES + 1)
    except (OSError, ValueError) as error:
        raise ValueError(f"{value}: cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if len(text) > MAX_SCHEMA_BYTES:
        raise ValueError(f"{value}: is larger than {MAX_SCHEMA_BYTES:,} bytes; is it a schema?")
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{value}: is not JSON: {error}") from None


def load_check(place: str) -> Check:
    """The function at `module:function` or `file.py:function`. Raises ValueError that says why it cannot be had."""
    where, colon, name = place.rpartition(":")
    if not colon or not where or not name:
        raise ValueError(f'must be "module:function" or "file.py:function", got {place!r}')
    try:
        module = _from_file(where) if where.endswith(".py") else importlib.import_module(where)
    except (Exception, SystemExit) as error:  # noqa: BLE001  it is the user's module, which may raise anything
        raise ValueError(f"{where} cannot be imported: {type(error).__name__}: {error}") from None
    check = getattr(module, name, None)
    if not callable(check):
        raise ValueError(f"{where} has no function {name!r}")  # noqa: TRY004  it is the text that is wrong
    from inspect import iscoroutinefunction  # noqa: PLC0415  takes 15 ms, which a config without a check need not spend

    if iscoroutinefunction(check):
        raise ValueError(f"{place} is an async function, and a check may not wait")
    return check  # type: ignore[no-any-return]  # whatever it returns is judged when it is called


def beside(place: str, folder: Path) -> str:
    """The place of a check with its file made absolute; a module that lies in the config's folder is meant by its file."""
    where, colon, name = place.rpartition(":")
    file = where if where.endswith(".py") else where.replace(".", os.sep) + ".py"
    path = os.path.normpath(folder / os.path.expanduser(file))  # noqa: PTH111  Path.expanduser raises where there is no home
    return f"{path}:{name}" if colon and where and (where.endswith(".py") or os.path.isfile(path)) else place  # noqa: PTH113


def _from_file(path: str) -> Any:
    spec = importlib.util.spec_from_file_location(f"headrace_check_{abs(hash(path))}", path)
    if spec is None or spec.loader is None:
        raise ImportError("it is not a Python file")
    if spec.name in sys.modules:
        return sys.modules[spec.name]
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[spec.name]
        raise
    return module
