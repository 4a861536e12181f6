"""A config's expectation: schema files, patterns and checks are loaded before anything is sent, and say what is wrong with them."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from pipeline.config import AnswersConfig, ExpectConfig, load_config_text
from pipeline.config.expectations import beside, load_check
from pipeline.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

TEXT = """
source: {path: in.jsonl}
request: {url: /v1/chat/completions, body: {model: m, input: "{prompt}"}}
provider: {simulate: {}}
sink: {path: out.jsonl}
answers:
  expect: %s
"""


def load(expect: str, folder: Path) -> ExpectConfig:
    config = load_config_text(TEXT % expect, "c.yaml", folder=folder)
    assert config.answers.expect is not None
    return config.answers.expect


def problem(expect: str, folder: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        load(expect, folder)
    (found,) = caught.value.problems
    assert found.line == 7
    return f"{found.key}: {found.message}"


def test_a_schema_may_stand_in_the_config_or_in_a_file_beside_it(tmp_path: Path) -> None:
    (tmp_path / "label.json").write_text(json.dumps({"type": "object"}))

    assert load("{schema: {type: object}}", tmp_path).schema == {"type": "object"}
    assert load("{schema: label.json}", tmp_path).schema == str(tmp_path / "label.json")


@pytest.mark.parametrize(
    "expect, said",
    [
        ("{schema: missing.json}", "answers.expect.schema: .*missing.json: cannot be read: No such file"),
        ("{schema: broken.json}", "broken.json: is not JSON"),
        ("{schema: {type: strin}}", "answers.expect.schema: is not a usable JSON Schema"),
        ("{schema: {$ref: 'http://127.0.0.1:9/x'}}", "is not a usable JSON Schema"),
        ("{regex: '('}", "answers.expect.regex: is not a usable pattern"),
        ("{check: nothing}", 'answers.expect.check: must be "module:function" or "file.py:function"'),
        ("{check: 'missing.py:f'}", "missing.py cannot be imported"),
        ("{check: 'no_such_module_here:f'}", "no_such_module_here cannot be imported: ModuleNotFoundError"),
        ("{check: 'checks.py:waits'}", "checks.py:waits is an async function, and a check may not wait"),
        ("{check: 'ends.py:f'}", "ends.py cannot be imported: SystemExit: 0"),
        ("{check: 'checks.py:missing'}", "has no function 'missing'"),
        ("{check: 'broken.py:f'}", "broken.py cannot be imported: ZeroDivisionError"),
    ],
)
def test_what_cannot_be_used_is_told_with_its_line(tmp_path: Path, expect: str, said: str) -> None:
    (tmp_path / "broken.json").write_text("{")
    (tmp_path / "checks.py").write_text("def label(value, request): return None\nasync def waits(value, request): return None\n")
    (tmp_path / "broken.py").write_text("1 / 0\n")
    (tmp_path / "ends.py").write_text("import sys\n\ndef f(value, request): return None\n\nsys.exit(0)\n")

    assert re.search(said, problem(expect, tmp_path))


@pytest.mark.parametrize("place", ["checks.py:label", "checks:label", "sub/more.py:label", "sub.more:label"])
def test_a_check_lies_beside_the_config(tmp_path: Path, place: str) -> None:
    (tmp_path / "sub").mkdir()
    for name in ("checks.py", "sub/more.py"):
        (tmp_path / name).write_text("def label(value, request): return 'no'\n")

    expect = load(f"{{check: '{place}'}}", tmp_path)

    assert expect.check is not None
    assert expect.check.startswith(str(tmp_path))
    assert load_check(expect.check)("x", {}) == "no"


def test_a_check_may_be_of_an_installed_module(tmp_path: Path) -> None:
    assert beside("json:loads", tmp_path) == "json:loads"
    found: object = load_check("json:loads")

    assert found is json.loads


def test_a_config_made_in_python_is_checked_by_the_same_rules() -> None:
    assert AnswersConfig(expect=ExpectConfig(finish=("stop",))).asks == 1
    with pytest.raises(ConfigError, match="usable JSON Schema"):
        ExpectConfig(schema={"type": 3})
    with pytest.raises(ConfigError, match="asks"):
        AnswersConfig(asks=0)
