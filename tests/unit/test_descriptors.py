"""Connections and the files that a process may open: it asks for what it needs, and makes do with what it gets."""

from __future__ import annotations

import logging
import resource
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pipeline.edges.process.descriptors import LEAST, RESERVED, connections_possible, require_descriptors
from pipeline.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parent.parent.parent
Limits = dict[str, tuple[int, int]]


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, int], Limits]:
    def allow(soft: int, hard: int) -> Limits:
        held = {"now": (soft, hard)}
        monkeypatch.setattr(resource, "getrlimit", lambda _: held["now"])
        monkeypatch.setattr(resource, "setrlimit", lambda _, asked: held.update(now=asked))
        return held

    return allow


def test_what_is_allowed_already_is_left_as_it_is(limits: Callable[[int, int], Limits]) -> None:
    held = limits(1024, 4096)

    assert connections_possible(500) == 500
    assert held["now"] == (1024, 4096)


def test_the_soft_limit_is_raised_as_far_as_needed(limits: Callable[[int, int], Limits]) -> None:
    held = limits(1024, resource.RLIM_INFINITY)

    assert connections_possible(10_000) == 10_000
    assert held["now"] == (10_000 + RESERVED, resource.RLIM_INFINITY)


def test_under_the_hard_limit_fewer_are_opened_and_it_is_said(
    limits: Callable[[int, int], Limits], caplog: pytest.LogCaptureFixture
) -> None:
    limits(64, 64)

    with caplog.at_level(logging.WARNING):
        possible = connections_possible(200)

    assert possible == 64 - RESERVED
    assert "max_in_flight is 24 instead of 200: this process may open 64 files (ulimit -n)" in caplog.text


def test_a_connection_to_oneself_takes_two_files(limits: Callable[[int, int], Limits]) -> None:
    limits(RESERVED + 20, RESERVED + 20)

    assert connections_possible(50, files_each=2) == 10


def test_one_connection_is_always_tried(limits: Callable[[int, int], Limits]) -> None:
    limits(20, 20)

    assert connections_possible(50) == 1


def test_a_system_that_refuses_is_taken_at_its_word(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: int, __: object) -> None:
        raise ValueError("current limit exceeds maximum limit")

    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, resource.RLIM_INFINITY))
    monkeypatch.setattr(resource, "setrlimit", refuse)

    assert connections_possible(1000) == 256 - RESERVED


def test_process_that_may_open_too_few_files_is_told_before_anything_is_opened(limits: Callable[[int, int], Limits]) -> None:
    limits(16, 16)

    with pytest.raises(UsageError, match=r"may open 16 files \(ulimit -n\), and a run needs 32"):
        require_descriptors()


@pytest.mark.parametrize("hard", [LEAST, 4096, resource.RLIM_INFINITY])
def test_soft_limit_that_is_too_low_is_raised_as_far_as_a_run_needs(limits: Callable[[int, int], Limits], hard: int) -> None:
    held = limits(16, hard)

    require_descriptors()

    assert held["now"] == (LEAST, hard)


@pytest.mark.parametrize("soft", [LEAST, 1024, resource.RLIM_INFINITY])
def test_limit_that_will_do_is_left_as_it_is(limits: Callable[[int, int], Limits], soft: int) -> None:
    held = limits(soft, resource.RLIM_INFINITY)

    require_descriptors()

    assert held["now"] == (soft, resource.RLIM_INFINITY)


@pytest.mark.parametrize("files", [6, 16])
def test_run_under_a_low_limit_ends_with_a_message_and_leaves_nothing(files: int, tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text('{"url": "/v1/chat/completions", "body": {}}\n')
    (tmp_path / "c.yaml").write_text("source: {path: in.jsonl}\nprovider: {simulate: {}}\nsink: {path: out.jsonl}\n")
    command = f"ulimit -n {files}; exec {sys.executable} -m pipeline run {tmp_path}/c.yaml"

    ended = subprocess.run(["sh", "-c", command], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)

    assert (ended.returncode, ended.stdout) == (2, "")
    assert f"error: this process may open {files} files (ulimit -n)" in ended.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["c.yaml", "in.jsonl"]
