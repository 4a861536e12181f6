"""An undocumented setting, flag, name, error or fault fails here; so does a default that is not the code's."""

from __future__ import annotations

import re
from enum import Enum
from typing import TYPE_CHECKING

import attrs
import click
import msgspec
import pytest

import pipeline
from pipeline import errors
from pipeline.cli import MODULES, headrace
from pipeline.config import Config
from pipeline.config.build import all_keys
from pipeline.config.kinds import without_none
from pipeline.config.sections import Setting, is_section, settings_of
from pipeline.core.pacing.meter import Bound
from pipeline.homes import HOME_OF
from pipeline.simulate import Fault
from tests.docs.documents import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

REFERENCE = ROOT / "docs/reference"
ROW = re.compile(r"^\| `([\w.]+)` \| ([^|]+) \| ([^|]+) \| ([^|]*)\|", re.MULTILINE)


def text_of(name: str) -> str:
    return (REFERENCE / f"{name}.md").read_text(encoding="utf-8")


ROWS = {key: (kind.strip(), default.strip()) for key, kind, default, _ in ROW.findall(text_of("config"))}


def settings(cls: type, path: str = "") -> Iterator[tuple[str, Setting, object]]:
    """Every setting with its type without None."""
    for setting in settings_of(cls):
        key = f"{path}.{setting.name}" if path else setting.name
        inner, _ = without_none(setting.hint)
        yield key, setting, inner
        if isinstance(inner, type) and is_section(inner):
            yield from settings(inner, key)


SETTINGS = [pytest.param(*setting, id=setting[0]) for setting in settings(Config)]


def shown(setting: Setting) -> str:
    """A default as the reference shows it."""
    default = setting.default
    if setting.required:
        return "required"
    if setting.factory is not None:
        return "`{}`"
    if isinstance(default, Enum):
        return f"`{default.value}`"
    if isinstance(default, str):
        return f"`{default}`"
    if isinstance(default, tuple):
        return f"`[{', '.join(map(str, default))}]`"
    if isinstance(default, float) and default.is_integer():
        default = int(default)
    return f"`{msgspec.json.encode(default).decode()}`"


def test_config_reference_has_every_setting_and_no_other() -> None:
    assert sorted(ROWS) == sorted(all_keys(Config))


@pytest.mark.parametrize("key, setting, kind", SETTINGS)
def test_config_reference_shows_the_default(key: str, setting: Setting, kind: object) -> None:
    assert ROWS[key][1] == shown(setting)


@pytest.mark.parametrize("key, setting, kind", SETTINGS)
def test_config_reference_names_every_choice(key: str, setting: Setting, kind: object) -> None:
    if isinstance(kind, type) and issubclass(kind, Enum):
        line = next(line for line in text_of("config").splitlines() if line.startswith(f"| `{key}`"))
        assert [choice.value for choice in kind if f"`{choice.value}`" not in line] == []


@pytest.mark.parametrize("name", MODULES)
def test_cli_reference_has_every_flag_of_a_command(name: str) -> None:
    section = re.search(rf"^## headrace {name}\b.*?(?=^## |\Z)", text_of("cli"), re.MULTILINE | re.DOTALL)
    assert section is not None
    command = headrace.get_command(None, name)
    assert command is not None
    options = [option for option in command.params if isinstance(option, click.Option)]

    missing = [flag for option in options for flag in option.opts if not re.search(rf"`{flag}\b", section[0])]

    assert missing == []


def test_cli_reference_has_no_command_that_does_not_exist() -> None:
    assert set(re.findall(r"^## headrace ([\w-]+)", text_of("cli"), re.MULTILINE)) == set(MODULES)


@pytest.mark.parametrize("name", pipeline.__all__)
def test_library_reference_has_every_public_name(name: str) -> None:
    assert re.search(rf"`(?:await )?{name}\b", text_of("library"))


def test_what_is_public_is_what_can_be_imported() -> None:
    assert sorted(pipeline.__all__) == sorted({*HOME_OF, "__version__"})
    assert [name for name in pipeline.__all__ if not hasattr(pipeline, name)] == []


@pytest.mark.parametrize("kind", pipeline.FailureKind, ids=lambda kind: kind.value)
def test_output_reference_has_every_error_code(kind: pipeline.FailureKind) -> None:
    assert f"| `{kind.value}` |" in text_of("output")


@pytest.mark.parametrize("field", [field.name for field in attrs.fields(pipeline.Summary)])
def test_output_reference_has_every_field_of_the_summary(field: str) -> None:
    assert f"`{field}`" in text_of("output")


@pytest.mark.parametrize("bound", [bound.value for bound in Bound])
def test_output_reference_has_every_bound(bound: str) -> None:
    assert f"`{bound}`" in text_of("output")


@pytest.mark.parametrize("field", [field.name for field in attrs.fields(pipeline.Progress)])
def test_library_reference_has_every_field_of_progress(field: str) -> None:
    assert f"`{field}`" in text_of("library")


EXCEPTIONS = [name for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, errors.HeadraceError)]


@pytest.mark.parametrize("name", EXCEPTIONS)
def test_errors_reference_has_every_exception_and_all_are_public(name: str) -> None:
    assert f"| `{name}` |" in text_of("errors")
    assert name in pipeline.__all__


@pytest.mark.parametrize("fault", [fault.value for fault in Fault])
def test_every_fault_is_documented(fault: str) -> None:
    assert f"`{fault}`" in (ROOT / "docs/how-to/simulate-faults.md").read_text(encoding="utf-8")
