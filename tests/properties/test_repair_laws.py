"""Whatever is edited between two runs: nothing is sent that has a valid answer, nothing is kept that the input no longer says, and
else there is one clear refusal that leaves all as it was."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio
import trio.testing
from attrs import define, field
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st

import pipeline
from tests.fakes.runs import write_config

TIMES_AS_FAST = 20  # the clock goes: waits are most of an example, and no answer comes later than at once
NAMES = ("a", "b", None, "row-1")
PROMPTS = ("good one", "good two", "long", "busy", "{broken")
FLAGS: tuple[dict[str, Any], ...] = ({}, {"accept_changes": True}, {"retry_failed": "all"}, {"retry_failed": True, "accept_changes": True})


def line_of(name: str | None, prompt: str) -> str:
    if prompt == "{broken":
        return '{"custom_id": "%s", "p": ' % (name or "x")
    return json.dumps({"p": prompt} if name is None else {"custom_id": name, "p": prompt})


LINES = st.builds(line_of, st.sampled_from(NAMES), st.sampled_from(PROMPTS))
INPUT_EDITS = st.one_of(
    st.tuples(st.just("put"), st.integers(0, 7), LINES),
    st.tuples(st.just("insert"), st.integers(0, 7), LINES),
    st.tuples(st.just("drop"), st.integers(0, 7), st.none()),
    st.tuples(st.just("swap"), st.integers(0, 7), st.none()),
)
OTHER_EDITS = st.tuples(st.sampled_from(["model", "output", "cut output", "no output", "no journal"]), st.integers(0, 7), st.none())
Edit = tuple[str, int, str | None]
STEPS = st.lists(
    st.tuples(
        st.lists(INPUT_EDITS, max_size=2),
        st.lists(OTHER_EDITS, max_size=1),
        st.sampled_from(FLAGS),
        st.none() | st.integers(1, 5),
    ),
    min_size=1,
    max_size=4,
)


@define
class World:
    """One folder over several runs."""

    folder: Path
    order: str
    lines: list[str]
    model: int = 0
    sent: list[str] = field(factory=list)
    was: list[str] = field(factory=list)  # the lines of the last run that was not refused
    stopped: bool = False  # the last run ended early, because nothing worked
    config: pipeline.Config = field(init=False)

    @property
    def output(self) -> Path:
        return self.folder / "out.jsonl"

    def edit(self, edit: Edit) -> None:
        kind, at, line = edit
        at = min(at, len(self.lines))
        if kind == "put" and at < len(self.lines):
            self.lines[at] = line or ""
        elif kind == "insert":
            self.lines.insert(at, line or "")
        elif kind == "drop":
            del self.lines[at : at + 1]
        elif kind == "swap":
            self.lines[at : at + 2] = reversed(self.lines[at : at + 2])
        elif kind == "model":
            self.model += 1
        elif not self.output.exists():
            return
        elif kind == "output":
            data = self.output.read_bytes().splitlines(keepends=True)
            self.output.write_bytes(b"".join(data[:at] + [b"a note\n"] * (at % 2) + data[at + 1 :]))
        elif kind == "cut output":
            self.output.write_bytes(self.output.read_bytes()[: at * 50])
        elif kind == "no output":
            self.output.unlink()
        elif kind == "no journal":
            (self.folder / "out.jsonl.journal").unlink(missing_ok=True)

    def answer(self, request: httpx.Request) -> httpx.Response:
        prompt = json.loads(request.content)["p"]
        self.sent.append(prompt)
        status = 400 if "long" in prompt else 500 if "busy" in prompt else 200
        good = {"choices": [{"message": {"content": prompt}}], "said": prompt}
        return httpx.Response(status, json=good if status == 200 else {"error": {"message": f"it is {prompt}"}})

    def run(self, flags: dict[str, Any], limit: int | None) -> bool:
        """Whether a run was not refused."""
        (self.folder / "in.jsonl").write_text("".join(line + "\n" for line in self.lines))
        request = {"url": "/v1/chat/completions", "body": {"model": f"m{self.model}", "p": "{p}"}}
        retry = {"attempts": 1, "base_seconds": 0.001, "cap_seconds": 0.001, "patience_seconds": 0, "stop_after": None}
        patient = {"connect_seconds": 600, "idle_seconds": 600, "total_seconds": 600}
        sections: dict[str, Any] = {"request": request, "sink": {"order": self.order}, "retry": retry, "timeouts": patient}
        path = write_config(self.folder, "http://127.0.0.1:9/v1", **sections)
        self.config = pipeline.load_config(path)
        self.sent.clear()
        self.stopped = False

        async def once() -> None:
            async with httpx.MockTransport(self.answer) as transport:
                await pipeline.run(self.config, transport=transport, limit=limit, **flags)

        try:
            trio.run(once, clock=trio.testing.MockClock(rate=TIMES_AS_FAST))
        except pipeline.UsageError:
            return False
        except pipeline.RunAborted:
            self.stopped = True
        self.was = list(self.lines)
        return True

    def results(self) -> list[dict[str, Any]]:
        """Whole lines of the output."""
        data = self.output.read_bytes() if self.output.exists() else b""
        return [json.loads(line) for line in data.splitlines() if line.startswith(b"{") and is_whole(line)]

    def answered(self) -> dict[tuple[int, str], str]:
        """What was answered to each row, by place and id."""
        return {
            (int(line["id"].removeprefix("batch_req_"), 16), line["custom_id"]): line["response"]["body"]["said"]
            for line in self.results()
            if line["response"] is not None and line["response"]["status_code"] == 200
        }


def is_whole(line: bytes) -> bool:
    """Whether a line that begins like a result is one, and not cut off somewhere."""
    try:
        json.loads(line)
    except ValueError:
        return False
    return True


def texts_of(answers: dict[tuple[int, str], str], lines: list[str]) -> Counter[tuple[str | None, str]]:
    """Answers by the ids that rows have of their own, wherever they stand. lines: the rows that were answered."""
    return Counter((name if "custom_id" in lines[index] else None, said) for (index, name), said in answers.items())


@pytest.mark.parametrize("order", ["input", "completion"])
@settings(max_examples=25, phases=[Phase.explicit, Phase.generate])  # an example takes half a second: shrinking takes minutes
@example(
    lines=[line_of("a", "good one"), line_of("b", "long")],
    steps=[([], [], {}, None), ([("put", 1, line_of("b", "good two"))], [], {}, None)],
)
@given(lines=st.lists(LINES, min_size=1, max_size=6), steps=STEPS)
def test_edits_between_runs(order: str, lines: list[str], steps: list[tuple[list[Edit], list[Edit], dict[str, Any], int | None]]) -> None:
    with tempfile.TemporaryDirectory() as name:
        world = World(Path(name), order, list(lines))
        world.run({}, 3)
        for input_edits, other_edits, flags, limit in steps:
            for edit in (*input_edits, *other_edits):
                world.edit(edit)
            was = texts_of(world.answered(), world.was)
            before = world.output.read_bytes() if world.output.exists() else None

            if not world.run(flags, limit):
                assert world.sent == []
                assert (world.output.read_bytes() if world.output.exists() else None) == before
                continue

            texts = [json.loads(line)["p"] if line.endswith("}") else None for line in world.lines]
            now = world.answered()
            assert all(texts[index] == said for (index, _), said in now.items()), "an answer is kept to a text that is gone"
            bought = Counter(prompt for prompt in world.sent if "good" in prompt)
            gained = texts_of(now, world.lines) - was
            assert bought <= Counter(said for _, said in gained.elements()), "a row was paid for that had its answer"
            found = pipeline.verify(world.config)
            assert set(found.counts) <= ({"missing"} if limit is not None or world.stopped else set()), found.problems
