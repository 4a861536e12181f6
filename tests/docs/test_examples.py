"""Every example runs as a user runs it, in a process of its own, and does what it says."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


def run(name: str, folder: Path) -> str:
    """Run a copy of an example, so that what it leaves behind goes with the test; what it printed."""
    examples = shutil.copytree(ROOT / "examples", folder / "examples", ignore=shutil.ignore_patterns("__pycache__", "*results*"))
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    ran = subprocess.run([sys.executable, examples / name], env=env, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_article_headrace_has_every_row_in_its_place(tmp_path: Path) -> None:
    said = run("article_headrace.py", tmp_path)

    assert "100 of 100 results; outcomes[i] answers prompts[i] in 100 places" in said


def test_article_threads_loses_rows_and_mixes_up_the_rest(tmp_path: Path) -> None:
    said = run("article_threads.py", tmp_path)

    found = re.search(r"(\d+) of 100 results; results\[i\] answers prompts\[i\] in (\d+) places", said)
    assert found is not None
    assert int(found[1]) <= 97
    assert int(found[2]) < int(found[1])
    assert {"error: HTTP Error 401: Unauthorized", "error: timed out"} <= set(said.splitlines())


def test_library_shows_each_way_to_call(tmp_path: Path) -> None:
    said = run("library.py", tmp_path)

    assert "row-0 echo" in said
    assert "row-2 invalid_row" in said
    assert re.findall(r"^(\d+) echo", said, re.MULTILINE) == ["0", "1", "2", "3", "4"]
    assert "20 of 20 rows" in said


def test_wire_by_hand_brings_every_row_in_order(tmp_path: Path) -> None:
    said = run("wire_by_hand.py", tmp_path).splitlines()

    assert [line.split()[0] for line in said[:-1]] == [str(number) for number in range(100)]
    assert said[-1] == "100 of 100 rows succeeded"


def test_mock_transport_needs_no_network(tmp_path: Path) -> None:
    assert run("mock_transport.py", tmp_path).splitlines() == ["row-0 [4]", "row-1 [6]", "row-2 [8]"]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_every_example_is_tested_here(path: Path) -> None:
    assert f'run("{path.name}"' in Path(__file__).read_text(encoding="utf-8")


def test_components_go_from_a_query_into_a_table(tmp_path: Path) -> None:
    said = run("components.py", tmp_path)

    assert re.fullmatch(r"50 of 50 things described; 50 attempts answered, [1-9]\d* not\n", said)
