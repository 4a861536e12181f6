"""The version stands in one place, and the package, the library and the requests have it from there."""

from __future__ import annotations

import tomllib
from importlib import metadata
from pathlib import Path

import pipeline
from pipeline.edges.http.senders import user_agent
from pipeline.version import VERSION

PROJECT = Path(__file__).parents[2] / "pyproject.toml"


def test_package_library_and_requests_have_the_version_of_the_code() -> None:
    assert metadata.version("headrace") == VERSION
    assert pipeline.__version__ == VERSION
    assert user_agent() == f"headrace/{VERSION}"


def test_the_project_file_says_no_version_of_its_own() -> None:
    project = tomllib.loads(PROJECT.read_text(encoding="utf-8"))

    assert "version" in project["project"]["dynamic"]
    assert project["tool"]["hatch"]["version"]["path"] == "pipeline/version.py"
