"""Users import from `pipeline` alone: everything public is there, documented, and nothing that users read imports deeper."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

import pipeline
import pipeline.ports
from pipeline.homes import HOME_OF
from tests.docs.documents import ROOT

if TYPE_CHECKING:
    from pathlib import Path

DEEP = re.compile(r"^\s*(?:from|import) (?:pipeline|headrace)\.", re.MULTILINE)
READ_BY_USERS = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "examples/*.py", "tests/typing_api.py", "configs/*.yaml")
    for path in ROOT.glob(pattern)
    if path.is_file()
)


def test_there_is_something_to_look_through() -> None:
    assert {"README.md", "library.md", "wire_by_hand.py", "typing_api.py"} <= {path.name for path in READ_BY_USERS}


@pytest.mark.parametrize("path", READ_BY_USERS, ids=lambda path: str(path.relative_to(ROOT)))
def test_users_are_shown_no_deep_import(path: Path) -> None:
    assert DEEP.findall(path.read_text(encoding="utf-8")) == []


def test_the_check_for_deep_imports_finds_one() -> None:
    assert DEEP.findall("import pipeline\nfrom pipeline.core.rows import ids\n    import headrace.config\n") != []


@pytest.mark.parametrize("name", pipeline.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(pipeline, name) is not None


def test_type_checkers_and_programs_see_the_same_names() -> None:
    tree = ast.parse((ROOT / "pipeline/__init__.py").read_text())
    (guarded,) = [node for node in tree.body if isinstance(node, ast.If)]
    typed = {
        alias.asname or alias.name: (node.module, alias.name)
        for node in guarded.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }

    assert typed == HOME_OF
    assert sorted(pipeline.__all__) == sorted(typed)
    assert len(set(pipeline.__all__)) == len(pipeline.__all__)


def test_every_port_is_public() -> None:
    ports = {name for name, value in vars(pipeline.ports).items() if isinstance(value, type) and value.__module__ == "pipeline.ports"}

    assert len(ports) > 10
    assert ports - set(pipeline.__all__) == set()


def test_no_module_has_the_name_of_a_public_function() -> None:
    modules = {path.stem for path in (ROOT / "pipeline").iterdir()}

    assert modules & set(pipeline.__all__) == set()


def test_every_public_name_is_in_the_reference() -> None:
    text = (ROOT / "docs/reference/library.md").read_text(encoding="utf-8")

    assert [name for name in pipeline.__all__ if not re.search(rf"`[^`\n]*\b{name}\b", text)] == []


def test_headrace_is_the_same_module() -> None:
    program = "import headrace, pipeline; from headrace import run_batch; print(headrace is pipeline, run_batch is pipeline.run_batch)"

    found = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)

    assert found.stdout == "True True\n"
