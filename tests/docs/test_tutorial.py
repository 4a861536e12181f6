"""The tutorial, pasted block by block into one shell."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

from tests.docs.documents import ROOT, blocks

if TYPE_CHECKING:
    from pathlib import Path

PROGRAMS = {
    "headrace": f'#!/bin/sh\nexec "{sys.executable}" -m pipeline "$@"\n',
    "python": f'#!/bin/sh\nexec "{sys.executable}" "$@"\n',
}
SETUP = ("make install\n", ". .venv/bin/activate\n")  # what the test's own environment stands for


def test_japanese_tutorial_has_the_same_blocks() -> None:
    english, japanese = (list(blocks(ROOT / "docs" / name)) for name in ("tutorial.md", "tutorial.ja.md"))
    assert [block.text for block in japanese] == [block.text for block in english]


def test_tutorial_runs_as_it_stands(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "configs", tmp_path / "configs", ignore=shutil.ignore_patterns("*results*"))
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, text in PROGRAMS.items():
        (programs / name).write_text(text, encoding="utf-8")
        (programs / name).chmod(0o755)
    script = "".join(block.text for block in blocks(ROOT / "docs/tutorial.md", "sh"))
    for line in SETUP:
        assert line in script
        script = script.replace(line, "")
    env = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}

    ran = subprocess.run(["bash", "-e"], input=script, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=120, check=False)

    said = ran.stdout + ran.stderr
    assert ran.returncode == 0, said
    codes = [line for line in said.splitlines() if line.startswith("exit code")]
    assert codes == ["exit code 1", "exit code 1", "exit code 1", "exit code 130"], said
    assert said.count('"invalid_row"') == 4
    assert "3 rows were finished before" in said
    assert said.count("every one of 164 rows is there once and in its place") == 2
    assert '"code":"timeout"' in said
    assert "row-0 echo 363413d92dc3: Where does the Loire leave France?" in said
