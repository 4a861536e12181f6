"""Whole runs from files to files: a config is written and loaded as a user's is, and the output read back line by line."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from attrs import frozen

import pipeline

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

# Back-off as short as it can be, deadlines that only a stall meets.
QUICK: Mapping[str, Mapping[str, object]] = {
    "timeouts": {"connect_seconds": 5, "idle_seconds": 5, "total_seconds": 10},
    "retry": {"attempts": 6, "base_seconds": 0.01, "cap_seconds": 0.05},
}


@frozen
class Run:
    """What came of a run. stopped: why it ended before its input, None if it did not."""

    lines: list[dict[str, Any]]
    summary: pipeline.Summary
    stopped: pipeline.RunStopped | None


def write_config(folder: Path, base_url: str, *, source: str | list[str] = "in.jsonl", **sections: Mapping[str, object]) -> Path:
    """A config in a folder of its own; sections are added to the quick ones, key by key."""
    config: dict[str, dict[str, object]] = {
        "source": {"path": source},
        "provider": {"base_url": base_url},
        "sink": {"path": "out.jsonl"},
    }
    for name, section in [*QUICK.items(), *sections.items()]:
        config.setdefault(name, {}).update(section)
    path = folder / "config.yaml"
    path.write_text(json.dumps(config))  # JSON is YAML
    return path


async def run_file(folder: Path, base_url: str, *, source: str = "in.jsonl", **sections: Mapping[str, object]) -> Run:
    """Run over an input that is there, and read the output. Whatever stops a run is in the result; anything else is raised."""
    config = pipeline.load_config(write_config(folder, base_url, source=source, **sections))
    summary, stopped = None, None
    try:
        summary = await pipeline.run(config)
    except pipeline.RunStopped as error:
        stopped, summary = error, error.summary
    assert summary is not None
    return Run(read_lines(folder / "out.jsonl"), summary, stopped)


def read_lines(path: Path) -> list[dict[str, Any]]:
    """An output's lines, each of which must be whole: an object on one line that LF ends."""
    data = path.read_bytes()
    assert data.endswith(b"\n") or not data
    return [json.loads(line) for line in data.split(b"\n")[:-1]]


def answers(line: Mapping[str, Any], name: str) -> bool:
    """Whether a line is a row's own, and its answer too."""
    response = line["response"]
    if line["custom_id"] != name or line["error"] is not None or response is None or not 200 <= response["status_code"] < 300:
        return False
    content: str = response["body"]["choices"][0]["message"]["content"]
    said, _, padding = content.partition(name)
    return said == "answer to " and not padding[:1].isdigit()


def refuses(line: Mapping[str, Any], name: str) -> bool:
    """Whether a line is a row's own, and holds the provider's refusal of that row."""
    response = line["response"]
    said = json.dumps(response and response["body"])
    return (
        line["custom_id"] == name
        and response["status_code"] >= 300
        and (said == '{"error": {"message": "", "type": "not_json"}}' or f"no answer to {name}" in said)
    )


def ids(lines: Sequence[Mapping[str, Any]]) -> list[str]:
    """The custom_id of each line."""
    return [line["custom_id"] for line in lines]
