"""The JSON Schema of the config: it is the classes', it takes what loads, and it refuses what no config may hold."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from pipeline.cli import main
from pipeline.config.build import all_keys
from pipeline.config.json_schema import config_schema, schema_text
from pipeline.config.nodes import Node, parse
from pipeline.config.schema import Config
from pipeline.config.starter import SCHEMA, STARTER

ROOT = Path(__file__).parent.parent.parent
CONFIGS = [*sorted((ROOT / "configs").glob("*.yaml")), STARTER]
VALIDATOR = jsonschema_rs.validator_for(config_schema())
GOOD: dict[str, Any] = {"source": {"path": "a.jsonl"}, "provider": {"simulate": {}}, "sink": {"path": "b.jsonl"}}


def plain(node: Node) -> Any:
    if isinstance(node.value, dict):
        return {name: plain(child) for name, child in node.value.items()}
    return [plain(child) for child in node.value] if isinstance(node.value, list) else node.value


def keys_in(schema: dict[str, Any], path: str = "") -> set[str]:
    """The dotted keys that a schema knows, as far as sections stand in sections."""
    found = set()
    for arm in (schema, *schema.get("anyOf", ())):
        at = config_schema()["$defs"][arm["$ref"].rpartition("/")[2]] if "$ref" in arm else arm
        for name, below in at.get("properties", {}).items():
            key = f"{path}.{name}" if path else name
            found |= {key} | keys_in(below, key)
    return found


def test_the_shipped_schema_is_that_of_the_classes() -> None:
    assert SCHEMA.read_text(encoding="utf-8") == schema_text(), "run: headrace schema > pipeline/config/headrace.schema.json"


def test_the_schema_has_every_setting_and_no_other() -> None:
    assert keys_in(config_schema()) == set(all_keys(Config))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_a_config_that_loads_fits_the_schema(path: Path) -> None:
    assert [error.message for error in VALIDATOR.iter_errors(plain(parse(path.read_text(), path.name, [])))] == []


@pytest.mark.parametrize(
    "section",
    [
        {"limts": {}},
        {"limits": {"max_in_flight": 0}},
        {"limits": {"requests_per_second": 0}},
        {"limits": {"learn": "yes"}},
        {"sink": {"path": "b", "order": "sorted"}},
        {"sink": {}},
        {"retry": {"attempts": 1.5}},
    ],
    ids=json.dumps,
)
def test_what_no_config_may_hold_is_marked(section: dict[str, Any]) -> None:
    assert not VALIDATOR.is_valid({**GOOD, **section})


def test_an_empty_section_and_a_null_are_taken_as_the_loader_takes_them() -> None:
    assert VALIDATOR.is_valid({**GOOD, "limits": None, "retry": {"stop_after": None}, "prices": None})


def test_settings_are_explained() -> None:
    limits = config_schema()["$defs"]["LimitsConfig"]["properties"]

    assert "a rate is a ceiling" in limits["learn"]["description"]
    assert limits["max_in_flight"]["minimum"] == 1


def test_schema_is_printed_on_stdout_alone(capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["schema"])

    out, err = capsys.readouterr()
    assert (code, err) == (0, "")
    assert json.loads(out) == config_schema()


@pytest.mark.parametrize("path", CONFIGS[:-1], ids=lambda path: path.stem)
def test_a_shipped_config_names_its_schema_in_its_first_line(path: Path) -> None:
    head, _, address = path.read_text().partition("\n")[0].partition("$schema=")

    assert head == "# yaml-language-server: "
    assert (path.parent / address).resolve() == SCHEMA
