"""The version stands in two places, and they agree."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pipeline
from pipeline.edges.http.senders import user_agent

PROJECT = Path(__file__).parents[2] / "pyproject.toml"


def test_the_code_and_the_package_have_the_same_version() -> None:
    declared = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]["version"]

    assert pipeline.__version__ == declared
    assert user_agent() == f"headrace/{declared}"
