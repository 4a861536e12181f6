"""Records are structs that programs may treat as attrs records."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING

import attrs
import pytest
from msgspec import field
from msgspec.structs import replace

from pipeline import LimitsConfig, ProviderConfig, SourceConfig
from pipeline.errors import ConfigError
from pipeline.values import Record

if TYPE_CHECKING:
    from collections.abc import Mapping


class Inner(Record, frozen=True):
    number: int = 1


class Outer(Record, frozen=True, kw_only=True):
    name: str
    inner: Inner = field(default_factory=Inner)
    shares: Mapping[str, float] = field(default_factory=dict)


def test_attrs_finds_the_fields_of_a_record() -> None:
    assert attrs.has(Outer)
    assert [(each.name, each.type) for each in attrs.fields(Outer)] == [
        ("name", "str"),
        ("inner", "Inner"),
        ("shares", "Mapping[str, float]"),
    ]
    assert attrs.fields(Outer).name.default is attrs.NOTHING
    assert attrs.fields(Outer).inner.default == attrs.Factory(Inner)
    assert attrs.fields(Inner).number.default == 1


def test_attrs_makes_a_dictionary_of_a_record() -> None:
    assert attrs.asdict(Outer(name="a", shares={"x": 0.5})) == {"name": "a", "inner": {"number": 1}, "shares": {"x": 0.5}}


def test_attrs_evolves_a_record() -> None:
    evolved = attrs.evolve(Outer(name="a"), inner=Inner(2))  # type: ignore[misc]  # mypy knows it as a struct

    assert evolved == Outer(name="a", inner=Inner(2))


def test_a_record_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        Inner().number = 2  # type: ignore[misc]  # that is what is tested


def test_a_record_can_be_pickled() -> None:
    assert pickle.loads(pickle.dumps(Outer(name="a", inner=Inner(3)))) == Outer(name="a", inner=Inner(3))


@pytest.mark.parametrize("change", [replace, attrs.evolve])
def test_a_changed_section_is_held_to_its_rules(change: type) -> None:
    with pytest.raises(ConfigError, match="LimitsConfig: max_in_flight: must be >= 1, got 0"):
        change(LimitsConfig(burst=3), max_in_flight=0)


def test_a_provider_shows_no_values_of_headers() -> None:
    shown = repr(ProviderConfig(base_url="http://127.0.0.1:1/v1", headers={"X-Team": "labels"}))

    assert "headers=<X-Team>" in shown
    assert "labels" not in shown


def test_a_section_takes_its_settings_by_name_alone() -> None:
    with pytest.raises(TypeError):
        SourceConfig("rows.jsonl")  # type: ignore[call-arg]  # that is what is tested
