"""What a command prints with --json: one line of ASCII that holds the value."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import example, given

from pipeline.cli.frame import json_line
from tests.strategies import json_values


@given(json_values)
@example({"path": "a\udcffb"})  # of a file whose name is not UTF-8
@example({"path": "é"})
@example({"rows": 10**30, "share": 1e-05, "rate": 1e22})
@example({"in": (1, 2), "by": {401: 2}})
def test_a_json_line_is_ascii_and_holds_the_value(value: Any) -> None:
    line = json_line(value)

    assert line.isascii()
    assert "\n" not in line
    assert json.loads(line) == json.loads(json.dumps(value))
    assert repr(json.loads(line)) == repr(json.loads(json.dumps(value)))


def test_a_json_line_looks_as_python_writes_json() -> None:
    value: dict[str, object] = {"total": 1, "cost": None, "lanes": [{"name": "", "share": 0.25}], "failures": {}, "advice": []}

    assert json_line(value) == json.dumps(value)
