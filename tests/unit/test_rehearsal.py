"""A rehearsal puts the embedded provider in the place of the real one, and never its answers in the place of real ones."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import trio

import pipeline
from pipeline.errors import ConfigError, UsageError
from tests.fakes.runs import read_lines, write_config

if TYPE_CHECKING:
    from pathlib import Path

REHEARSE = ["provider.simulate={}"]
BODY = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
ROWS = "".join(json.dumps({"custom_id": str(at), "body": BODY}) + "\n" for at in range(3))


def written(folder: Path, **sections: Any) -> Path:
    (folder / "in.jsonl").write_text(ROWS)
    return write_config(folder, "http://provider.test/v1", **sections)


@pytest.mark.parametrize("overrides", [REHEARSE, ["provider.base_url=null", *REHEARSE], ["provider.simulate.seed=3"]])
def test_its_results_go_beside_those_of_the_real_run(tmp_path: Path, overrides: list[str]) -> None:
    path = written(tmp_path, journal={"path": "state/journal"})

    config = pipeline.load_config(path, overrides)

    assert config.provider.base_url is None
    assert config.sink.path == str(tmp_path / "out.rehearsal.jsonl")
    assert config.journal.path is None


def test_a_sink_that_is_named_for_it_is_taken(tmp_path: Path) -> None:
    config = pipeline.load_config(written(tmp_path), [*REHEARSE, f"sink.path={tmp_path}/mine.jsonl"])

    assert config.sink.path == str(tmp_path / "mine.jsonl")


def test_a_config_that_simulates_by_itself_keeps_its_sink(tmp_path: Path) -> None:
    path = written(tmp_path)
    path.write_text(path.read_text().replace('"base_url": "http://provider.test/v1"', '"simulate": {"seed": 1}'))

    for overrides in ([], ["provider.simulate.seed=2"], REHEARSE):
        assert pipeline.load_config(path, overrides).sink.path == str(tmp_path / "out.jsonl")


def test_a_config_that_names_both_providers_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path)
    path.write_text(path.read_text().replace('"base_url":', '"simulate": {}, "base_url":'))

    with pytest.raises(ConfigError, match="base_url and simulate exclude each other; take one away"):
        pipeline.load_config(path)


def test_the_real_run_after_a_rehearsal_asks_for_every_row(tmp_path: Path) -> None:
    path = written(tmp_path)
    asked: list[bytes] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.content)
        return httpx.Response(200, json={"choices": [{"message": {"content": "real"}, "finish_reason": "stop"}]})

    trio.run(pipeline.run, pipeline.load_config(path, REHEARSE))
    trio.run(lambda: pipeline.run(pipeline.load_config(path), transport=httpx.MockTransport(answer)))

    assert len(asked) == 3
    assert [line["response"]["body"]["choices"][0]["message"]["content"] for line in read_lines(tmp_path / "out.jsonl")] == ["real"] * 3
    assert len(read_lines(tmp_path / "out.rehearsal.jsonl")) == 3


@pytest.mark.parametrize("accept_changes", [False, True])
def test_simulated_answers_are_never_kept_as_real_ones(tmp_path: Path, *, accept_changes: bool) -> None:
    path = written(tmp_path)
    trio.run(pipeline.run, pipeline.load_config(path, [*REHEARSE, f"sink.path={tmp_path}/out.jsonl"]))
    before = (tmp_path / "out.jsonl").read_bytes()

    with pytest.raises(UsageError, match="those of a simulated provider; --fresh"):
        trio.run(lambda: pipeline.run(pipeline.load_config(path), accept_changes=accept_changes))

    assert (tmp_path / "out.jsonl").read_bytes() == before
