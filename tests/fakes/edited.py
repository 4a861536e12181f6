"""One folder over several runs, between which input, config, output and journal are edited; and a ledger of what was paid for."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from itertools import count
from typing import TYPE_CHECKING, Any, NamedTuple

import httpx
import trio
import trio.testing
from attrs import define, field
from hypothesis import strategies as st

import pipeline
from tests.fakes.runs import write_config

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TIMES_AS_FAST = 300  # the clock goes: waits are most of an example, and no answer comes later than at once
NAMES = ("a", "b", "c", "", "row-1")  # "" is a row without an id
PROMPTS = ("good one", "good two", "good three", "long", "busy", "")  # "" is a row without the field that the template asks for
BROKEN = "{broken"
STATUS = {"long": 400, "busy": 500}
SIDE_FILES = (".journal", ".journal.rows", ".journal.sent", ".journal-wal")


class Row(NamedTuple):
    """A row of the input. note: a field that no request takes."""

    name: str
    prompt: str
    note: int

    @property
    def line(self) -> str:
        if self.prompt == BROKEN:
            return f'{{"custom_id": "{self.name or "x"}", "p": {self.note} '
        fields = {"custom_id": self.name, "p": self.prompt}
        return json.dumps({key: value for key, value in fields.items() if value} | {"note": self.note})


class Edit(NamedTuple):
    """kind: a method of `World` behind `edit_`. place: the row or line that it concerns, or the last one."""

    kind: str
    place: int = 0
    row: Row | None = None


class Step(NamedTuple):
    """What is edited before a run, and how it is run."""

    edits: list[Edit]
    flags: dict[str, Any]
    limit: int | None = None


ROWS = st.builds(Row, st.sampled_from(NAMES), st.sampled_from((*PROMPTS, BROKEN)), st.integers(0, 1))
_places = st.integers(0, 7)
INPUT_EDITS = st.one_of(
    st.builds(Edit, st.sampled_from(["put", "insert"]), _places, ROWS),
    st.builds(Edit, st.sampled_from(["drop", "swap", "sort", "rename", "note", "border"]), _places),
)
OTHER_EDITS = st.builds(
    Edit,
    st.sampled_from([
        "model", "template", "parameter", "keep", "shape", "order",
        "lines", "doubled", "cut", "torn", "gone", "emptied", "no_side_file", "damage",
    ]),
    _places,
)  # fmt: skip
RETRIED = ("all", True, "400", "500", "400,500", "timeout", "invalid_row")
FLAGS = st.one_of(
    st.just({}),
    st.just({"accept_changes": True}),
    st.builds(lambda choice: {"retry_failed": choice}, st.sampled_from(RETRIED)),
    st.builds(lambda choice: {"retry_failed": choice, "accept_changes": True}, st.sampled_from(RETRIED)),
    st.just({"fresh": True}),
)
EDITS = st.tuples(st.lists(INPUT_EDITS, max_size=2), st.lists(OTHER_EDITS, max_size=1)).map(lambda pair: [*pair[0], *pair[1]])
STEPS = st.lists(st.builds(Step, EDITS, FLAGS, st.none() | st.integers(1, 5)), min_size=1, max_size=4)


class Result(NamedTuple):
    """A line of the output. said, number: the prompt that was answered and the number of the answer, None for a failure. note: as kept."""

    row: int
    custom_id: str
    status: int | None
    said: str | None
    number: int | None
    note: Any


@define
class World:
    """kind: how the rows are stored: `jsonl`, `two` files of it, `csv`. was: the rows of the last run that was not refused.

    sent: prompts since the run began. numbers: of the answers since then. refusal: what the run was refused with. stopped: it ended
    early, because nothing worked.
    """

    folder: Path
    kind: str
    order: str
    shape: str
    rows: list[Row]
    keep: list[str] = field(factory=list)
    model: int = 0
    template: str = "{p}"
    parameter: float | None = None
    border: int = 1
    sent: list[str] = field(factory=list)
    numbers: set[int] = field(factory=set)
    was: list[Row] = field(factory=list)
    refusal: Exception | None = None
    stopped: bool = False
    config: pipeline.Config = field(init=False)
    next_number: Iterator[int] = field(factory=count)

    @property
    def output(self) -> Path:
        return self.folder / "out.jsonl"

    # ---- edits

    def edit(self, edit: Edit) -> None:
        at = min(edit.place, len(self.rows))
        getattr(self, f"edit_{edit.kind}")(at, edit.row)

    def edit_put(self, at: int, row: Row) -> None:
        self.rows[at : at + 1] = [row]

    def edit_insert(self, at: int, row: Row) -> None:
        self.rows.insert(at, row)

    def edit_drop(self, at: int, _: None) -> None:
        del self.rows[at : at + 1]

    def edit_swap(self, at: int, _: None) -> None:
        self.rows[at : at + 2] = reversed(self.rows[at : at + 2])

    def edit_sort(self, _at: int, _: None) -> None:
        self.rows.sort()

    def edit_rename(self, at: int, _: None) -> None:
        self.rows[at : at + 1] = [row._replace(name="c") for row in self.rows[at : at + 1]]

    def edit_note(self, at: int, _: None) -> None:
        self.rows[at : at + 1] = [row._replace(note=1 - row.note) for row in self.rows[at : at + 1]]

    def edit_border(self, at: int, _: None) -> None:
        self.border = at

    def edit_model(self, _at: int, _: None) -> None:
        self.model += 1

    def edit_template(self, _at: int, _: None) -> None:
        self.template = "{p}" if "Say" in self.template else "Say: {p}"

    def edit_parameter(self, _at: int, _: None) -> None:
        self.parameter = None if self.parameter else 0.5

    def edit_keep(self, _at: int, _: None) -> None:
        self.keep = [] if self.keep else ["note"]

    def edit_shape(self, _at: int, _: None) -> None:
        self.shape = "flat" if self.shape == "batch" else "batch"

    def edit_order(self, _at: int, _: None) -> None:
        self.order = "input" if self.order == "completion" else "completion"

    def edit_lines(self, at: int, _: None) -> None:
        """A line is replaced by a note, or goes."""
        lines = self.lines
        self.write(lines[:at] + [b"a note\n"] * (at % 2) + lines[at + 1 :])

    def edit_doubled(self, at: int, _: None) -> None:
        lines = self.lines
        self.write(lines[:at] + lines[at : at + 1] * 2 + lines[at + 1 :])

    def edit_cut(self, at: int, _: None) -> None:
        self.write([b"".join(self.lines)[: at * 50]])

    def edit_torn(self, at: int, _: None) -> None:
        """A line in the middle loses its end."""
        lines = self.lines
        self.write(lines[:at] + [line[:-9] + b"\n" for line in lines[at : at + 1]] + lines[at + 1 :])

    def edit_emptied(self, _at: int, _: None) -> None:
        self.write([])

    def edit_gone(self, _at: int, _: None) -> None:
        self.output.unlink(missing_ok=True)

    def edit_no_side_file(self, at: int, _: None) -> None:
        self.output.with_name(self.output.name + SIDE_FILES[at % len(SIDE_FILES)]).unlink(missing_ok=True)

    def edit_damage(self, at: int, _: None) -> None:
        """Some bytes of the journal are others."""
        journal = self.output.with_name("out.jsonl.journal")
        if journal.exists():
            data = bytearray(journal.read_bytes())
            data[at * 1000 : at * 1000 + 300] = b"\xff" * 300
            journal.write_bytes(data)

    @property
    def lines(self) -> list[bytes]:
        return self.output.read_bytes().splitlines(keepends=True) if self.output.exists() else []

    def write(self, lines: list[bytes]) -> None:
        if self.output.exists():
            self.output.write_bytes(b"".join(lines))

    # ---- runs

    def settings(self) -> tuple[Any, ...]:
        """What may not change without a word."""
        return (self.model, self.template, self.parameter, self.keep, self.shape, self.order)

    def answer(self, request: httpx.Request) -> httpx.Response:
        prompt = json.loads(request.content)["messages"][0]["content"].removeprefix("Say: ")
        self.sent.append(prompt)
        if prompt in STATUS:
            return httpx.Response(STATUS[prompt], json={"error": {"message": f"it is {prompt}"}})
        number = next(self.next_number)
        self.numbers.add(number)
        message = {"role": "assistant", "content": f"{prompt}#{number}"}
        return httpx.Response(200, json={"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]})

    def write_input(self) -> str | list[str]:
        """Write the rows; what `source.path` is then."""
        if self.kind == "csv":
            text = io.StringIO()
            table = csv.writer(text)
            table.writerows([("custom_id", "p", "note"), *self.rows])
            (self.folder / "in.csv").write_text(text.getvalue())
            return "in.csv"
        texts = [row.line + "\n" for row in self.rows]
        if self.kind == "jsonl":
            (self.folder / "in.jsonl").write_text("".join(texts))
            return "in.jsonl"
        (self.folder / "in-1.jsonl").write_text("".join(texts[: self.border]))
        (self.folder / "in-2.jsonl").write_text("".join(texts[self.border :]))
        return ["in-1.jsonl", "in-2.jsonl"]

    def run(self, flags: dict[str, Any], limit: int | None) -> bool:
        """Whether a run was not refused."""
        body: dict[str, Any] = {"model": f"m{self.model}", "messages": [{"role": "user", "content": self.template}]}
        if self.parameter is not None:
            body["temperature"] = self.parameter
        retry = {"attempts": 1, "base_seconds": 0.001, "cap_seconds": 0.001, "patience_seconds": 0, "stop_after": None}
        patient = {"connect_seconds": 60000, "idle_seconds": 60000, "total_seconds": 60000}
        sections: dict[str, Any] = {"retry": retry, "timeouts": patient}
        sections["request"] = {"url": "/v1/chat/completions", "body": body}
        sections["sink"] = {"order": self.order, "shape": self.shape, "keep": self.keep if self.shape == "flat" else []}
        self.config = pipeline.load_config(write_config(self.folder, "http://127.0.0.1:9/v1", source=self.write_input(), **sections))
        self.sent.clear()
        self.numbers.clear()
        self.stopped, self.refusal = False, None

        async def once() -> None:
            async with httpx.MockTransport(self.answer) as transport:
                await pipeline.run(self.config, transport=transport, limit=limit, **flags)

        try:
            trio.run(once, clock=trio.testing.MockClock(rate=TIMES_AS_FAST))
        except (pipeline.UsageError, pipeline.JournalError) as error:
            self.refusal = error
            return False
        except pipeline.RunAborted:
            self.stopped = True
        self.was = list(self.rows)
        return True

    # ---- what is there

    def results(self) -> list[Result]:
        """Whole lines of the output."""
        return [result for line in self.lines if (result := result_of(line)) is not None]

    def all_numbers(self) -> set[int]:
        """The numbers of all answers that stand in the output, or in one that was moved aside."""
        texts = [path.read_bytes() for path in self.folder.glob("out.jsonl*") if "journal" not in path.name]
        found = (result_of(line) for text in texts for line in text.splitlines(keepends=True))
        return {result.number for result in found if result is not None and result.number is not None}

    def keys(self, results: list[Result]) -> Counter[Row]:
        """Rows of the last run by what they said, as many as these are results of; a row that has no id is known by its text alone."""
        return Counter(self.was[result.row] for result in results)


def result_of(line: bytes) -> Result | None:
    """A line of the output in one of both shapes, None for anything else."""
    try:
        told = json.loads(line)
    except ValueError:
        return None
    if not line.endswith(b"\n") or not isinstance(told, dict):
        return None
    if "status" in told:
        content, status = told["content"], told["status_code"]
        ok, index = told["status"] == "success", told["index"]
    else:
        status = None if told["response"] is None else told["response"]["status_code"]
        ok, index = status == 200, int(told["id"].removeprefix("batch_req_"), 16)
        content = told["response"]["body"]["choices"][0]["message"]["content"] if ok else ""
    said, _, number = content.partition("#") if ok else (None, "", "")
    return Result(index, told["custom_id"], status, said, int(number) if ok else None, told.get("note"))
