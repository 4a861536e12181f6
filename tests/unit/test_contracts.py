"""The contract tests that users subclass hold for our own components."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import pipeline
from pipeline.edges.sources.file import FileSource
from pipeline.edges.sources.memory import RowsFromPython
from pipeline.edges.telemetry.kept import KeptHistory
from pipeline.edges.telemetry.prometheus import PrometheusFigures

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class TestHistory(pipeline.ObserverContract):
    @pytest.fixture
    def observer(self) -> pipeline.Observer:
        return KeptHistory()


class TestPrometheus(pipeline.ObserverContract):
    @pytest.fixture
    def observer(self) -> pipeline.Observer:
        return PrometheusFigures()


class TestRowsFromPython(pipeline.SourceContract):
    @pytest.fixture
    def open_source(self) -> Callable[[], pipeline.Source]:
        return lambda: RowsFromPython(iter(["a", "b", "c"]), 3)


class TestFile(pipeline.SourceContract):
    count = 4

    @pytest.fixture
    def open_source(self, tmp_path: Path) -> Callable[[], pipeline.Source]:
        (tmp_path / "in.jsonl").write_text('{"prompt": "a"}\n' * 4)
        return lambda: FileSource.open(str(tmp_path / "in.jsonl"))
