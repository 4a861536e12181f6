"""After a cause is mended, what it cost is sent again and nothing else; what the input no longer says is not kept."""

from __future__ import annotations

import io
import json
import sys
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import trio
from attrs import define, field

import pipeline
from tests.fakes.runs import read_lines, write_config

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ROWS = 30
BODY = {"model": "m", "prompt": "{p}"}


@define
class Case:
    """An input and a provider that refuses prompts by what is in them."""

    folder: Path
    order: str
    sent: list[str] = field(factory=list)
    statuses: dict[str, int] = field(factory=lambda: {"long": 400, "busy": 500})
    headers: dict[str, str] = field(factory=dict)
    rows: list[str] = field(factory=lambda: [json.dumps({"custom_id": f"c-{at}", "p": f"prompt {at}"}) for at in range(ROWS)])
    sections: dict[str, dict[str, object]] = field(factory=dict)

    def answer(self, request: httpx.Request) -> httpx.Response:
        prompt = json.loads(request.content)["prompt"]
        self.sent.append(prompt)
        for word, status in self.statuses.items():
            if word in prompt:
                return httpx.Response(status, json={"error": {"message": f"it is {word}", "code": f"too_{word}"}}, headers=self.headers)
        return httpx.Response(200, json={"choices": [{"text": prompt}]})

    def run(self, **flags: Any) -> pipeline.Summary:
        """Run with the rows of now; `sent` then has what this run has sent."""
        (self.folder / "in.jsonl").write_text("".join(row + "\n" for row in self.rows))
        self.sent.clear()
        sections: dict[str, Any] = {
            "request": {"url": "/v1/x", "body": BODY},
            "sink": {"order": self.order},
            "retry": {"attempts": 2, "patience_seconds": 0, "stop_after": None},
        }
        config = pipeline.load_config(write_config(self.folder, "http://127.0.0.1:9/v1", **(sections | self.sections)))

        async def once() -> pipeline.Summary:
            async with httpx.MockTransport(self.answer) as transport:
                return await pipeline.run(config, transport=transport, **flags)

        summary = trio.run(once)
        assert "limit" in flags or pipeline.verify(config).ok
        return summary

    def spoil(self, at: int, word: str) -> None:
        self.rows[at] = json.dumps({"custom_id": f"c-{at}", "p": f"{word} {at}"})

    def mend(self, at: int) -> None:
        self.spoil(at, "mended")

    def results(self) -> dict[str, Any]:
        """What stands in the output, by id."""
        return {line["custom_id"]: line for line in read_lines(self.folder / "out.jsonl")}


@pytest.fixture(params=["input", "completion"])
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Case:
    return Case(tmp_path, request.param)


def test_a_bad_row_that_is_mended_is_sent_and_nothing_else(case: Case) -> None:
    whole = case.rows[7]
    case.rows[7] = whole[:-1]
    first = case.run()
    case.rows[7] = whole

    second = case.run()

    assert (first.failed, second.failed, second.total) == (1, 0, ROWS)
    assert case.sent == ["prompt 7"]
    assert case.results().keys() == {f"c-{at}" for at in range(ROWS)}


def test_a_failed_row_that_is_mended_is_sent_and_nothing_else(case: Case) -> None:
    case.spoil(3, "long")
    case.spoil(4, "long")
    case.run()
    case.mend(3)

    summary = case.run()

    assert case.sent == ["mended 3"]
    assert (summary.failed, summary.skipped_resumed) == (1, ROWS - 1)


def test_a_row_with_an_answer_is_not_paid_for_twice_unasked(case: Case) -> None:
    case.run()
    before = (case.folder / "out.jsonl").read_bytes()
    case.mend(3)
    case.mend(9)

    with pytest.raises(
        pipeline.InputChangedError, match=r"row 3 \(line 4, 'c-3'\), row 9 \(line 10, 'c-9'\)\nthe same command with --accept"
    ):
        case.run()
    assert case.sent == []
    assert (case.folder / "out.jsonl").read_bytes() == before
    assert sorted(path.name for path in case.folder.iterdir() if "rebuilt" in path.name) == []
    case.run(accept_changes=True)

    assert sorted(case.sent) == ["mended 3", "mended 9"]
    assert case.results()["c-3"]["response"]["body"]["choices"][0]["text"] == "mended 3"
    assert len(case.results()) == ROWS


def test_what_the_input_no_longer_holds_leaves_the_output_when_that_is_accepted(case: Case) -> None:
    case.run()
    del case.rows[20:]

    with pytest.raises(pipeline.InputChangedError, match=r"fewer rows than were answered already: .*row 20 \('c-20'\).* and 5 more"):
        case.run()
    summary = case.run(accept_changes=True)

    assert case.sent == []
    assert (summary.total, len(case.results())) == (20, 20)


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("shape", ["batch", "flat"])
def test_answers_go_with_their_rows_where_that_is_accepted(case: Case, shape: str, *, named: bool) -> None:
    case.sections = {"sink": {"order": case.order, "shape": shape}}
    if not named:
        case.rows = [json.dumps({"p": f"prompt {at}"}) for at in range(ROWS)]
    case.rows[7] = case.rows[7][:-1]
    case.run()
    case.rows = [json.dumps({"p": "new"}), *reversed(case.rows[:7]), *case.rows[8:]]

    with pytest.raises(pipeline.InputChangedError):
        case.run()
    summary = case.run(accept_changes=True)

    assert case.sent == ["new"]
    assert (summary.total, summary.failed) == (ROWS, 0)
    lines = sorted(read_lines(case.folder / "out.jsonl"), key=lambda line: line.get("index", line.get("id", 0)))
    said = [line["content"] if shape == "flat" else line["response"]["body"]["choices"][0]["text"] for line in lines]
    assert said == [json.loads(row)["p"] for row in case.rows]


def test_answers_go_with_rows_whose_own_ids_look_like_row_numbers(case: Case) -> None:
    case.rows = [json.dumps({"custom_id": f"row-{at}", "p": f"prompt {at}"}) for at in range(ROWS)]
    case.run()
    del case.rows[0]

    summary = case.run(accept_changes=True)

    assert case.sent == []
    assert (summary.total, summary.failed) == (ROWS - 1, 0)
    texts = {name: line["response"]["body"]["choices"][0]["text"] for name, line in case.results().items()}
    assert texts == {f"row-{at}": f"prompt {at}" for at in range(1, ROWS)}

    case.rows.insert(0, json.dumps({"custom_id": "new", "p": "new"}))  # now they stand where their ids say again
    case.run(accept_changes=True)

    assert case.sent == ["new"]


@pytest.mark.parametrize("limit", [1, 2])
def test_an_answer_goes_to_a_row_that_stands_where_an_equal_one_had_none(case: Case, limit: int) -> None:
    twin = json.dumps({"custom_id": "twin", "p": "prompt"})
    case.rows = [twin, twin, json.dumps({"custom_id": "other", "p": "other"})]  # the second is bad, because its id was used
    case.run(limit=limit)
    case.rows = [json.dumps({"custom_id": "new", "p": "new"}), twin]

    case.run(accept_changes=True)

    assert case.sent == ["new"]
    assert case.results()["twin"]["error"] is None


def test_an_answer_goes_to_an_equal_row_that_was_read_and_never_answered(case: Case) -> None:
    case.rows = [json.dumps({"p": prompt}) for prompt in ("same", "same", "other")]
    case.run(limit=1)
    case.rows = [json.dumps({"p": "new"}), json.dumps({"p": "same"})]

    case.run(accept_changes=True)

    assert "same" not in case.sent


def test_failed_rows_that_the_input_no_longer_holds_leave_the_output(case: Case) -> None:
    for at in range(25, ROWS):
        case.spoil(at, "long")
    case.run()
    del case.rows[25:]

    summary = case.run()

    assert (case.sent, summary.total, summary.failed) == ([], 25, 0)


def test_a_row_that_turns_bad_is_told_as_one_that_has_changed(case: Case) -> None:
    case.run()
    case.rows[5] = case.rows[5].replace("c-5", "c-1")

    with pytest.raises(pipeline.InputChangedError, match="row 5"):
        case.run()
    summary = case.run(accept_changes=True)

    assert (case.sent, summary.failed) == ([], 1)


def test_a_row_is_sent_whose_id_is_free_since_another_was_mended(case: Case) -> None:
    case.rows[2] = json.dumps({"custom_id": "c-8", "p": "long 2"})
    case.run()
    case.mend(2)

    summary = case.run()

    assert sorted(case.sent) == ["mended 2", "prompt 8"]
    assert summary.failed == 0


@pytest.mark.parametrize(
    "choice, sent",
    [
        (True, {"busy 2"}),
        ("transient", {"busy 2"}),
        ("all", {"long 1", "busy 2", "odd 3"}),
        ("400", {"long 1"}),
        ("too_long,transient", {"long 1", "busy 2"}),
        ("TOO_ODD, 400", {"long 1", "odd 3"}),
        ("retries_exhausted", {"busy 2"}),
        ("timeout", set()),
    ],
)
@pytest.mark.parametrize("shape", ["batch", "flat"])
def test_failed_rows_are_sent_again_by_choice(case: Case, shape: str, choice: bool | str, sent: set[str]) -> None:  # noqa: FBT001
    case.sections = {"sink": {"order": case.order, "shape": shape}}
    case.statuses = {"long": 400, "busy": 500, "odd": 422}
    for at, word in enumerate(case.statuses, 1):
        case.spoil(at, word)
    case.rows[6] = "{"
    assert case.run().failed == 4

    case.run(retry_failed=choice)

    assert set(case.sent) == sent
    assert len(case.results()) == ROWS


def test_a_choice_that_is_none_is_refused(case: Case) -> None:
    with pytest.raises(pipeline.UsageError, match='must be "transient", "all", or codes'):
        case.run(retry_failed="400,,500")


def test_what_the_provider_declared_final_is_not_transient(case: Case) -> None:
    case.headers = {"x-should-retry": "false"}
    case.spoil(2, "busy")
    case.run()

    case.run(retry_failed=True)

    assert case.sent == []


def test_settings_may_change_while_there_is_no_answer_to_lose(case: Case) -> None:
    case.statuses = {"prompt": 400}
    case.run()
    case.statuses.clear()
    case.sections = {"request": {"url": "/v1/x", "body": BODY | {"model": "n"}}}

    summary = case.run()

    assert (len(case.sent), summary.succeeded) == (ROWS, ROWS)


def test_accepted_settings_keep_answers_and_no_failure(case: Case) -> None:
    case.spoil(4, "long")
    case.run()
    case.statuses.clear()
    case.sections = {"request": {"url": "/v1/x", "body": BODY | {"model": "n"}}}

    with pytest.raises(pipeline.RunChangedError, match=r"--accept-changes keeps the 29 answers that are there and sends the 1 failed row"):
        case.run()
    summary = case.run(accept_changes=True)

    assert (case.sent, summary.succeeded) == (["long 4"], ROWS)
    assert case.run().attempts == 0


def test_rows_over_a_token_limit_are_sent_when_the_limit_is_raised(case: Case) -> None:
    case.sections = {"limits": {"tokens_per_minute": 100_000}}
    case.rows[3] = json.dumps({"custom_id": "c-3", "p": "x" * 1_000_000})
    assert case.run().failed == 1
    case.sections = {"limits": {"tokens_per_minute": 1_000_000_000}}

    summary = case.run(retry_failed="timeout")

    assert (len(case.sent), summary.failed) == (1, 0)


def rows_swapped(rows: list[str]) -> list[str]:
    return [rows[1], rows[0], *rows[2:]]


def rows_swapped_behind_the_open_row(rows: list[str]) -> list[str]:
    return [*rows[:20], rows[21], rows[20], *rows[22:]]


def rows_cut(rows: list[str]) -> list[str]:
    return rows[:20]


@pytest.mark.parametrize("change", [rows_swapped, rows_swapped_behind_the_open_row, rows_cut])
def test_stdin_with_other_rows_is_refused_and_nothing_of_them_is_sent(
    case: Case, change: Callable[[list[str]], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = pipeline.load_config(write_config(case.folder, "http://127.0.0.1:9/v1", source="-", request={"url": "/v1/x", "body": BODY}))
    hung = trio.Event()

    async def answer(request: httpx.Request) -> httpx.Response:
        if json.loads(request.content)["prompt"] == "prompt 5" and not hung.is_set():
            await trio.sleep_forever()
        return case.answer(request)

    def feed(rows: list[str]) -> None:
        text = "".join(row + "\n" for row in rows)
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))

    async def stopped_run() -> None:
        give_up = trio.Event()

        def look(progress: pipeline.Progress) -> None:
            if progress.rows_done == ROWS - 1:
                give_up.set()

        async with httpx.MockTransport(answer) as transport:
            with pytest.raises(pipeline.RunStopped):
                await pipeline.run(config, transport=transport, stop=give_up, give_up=give_up, progress=look)

    async def again() -> pipeline.Summary:
        async with httpx.MockTransport(answer) as transport:
            return await pipeline.run(config, transport=transport)

    feed(case.rows)
    trio.run(stopped_run)
    case.sent.clear()
    hung.set()

    feed(change(case.rows))
    with pytest.raises(pipeline.HeadraceError, match=r"(?s)stdin has changed: .*with the input in a file") as stopped:
        trio.run(again)
    if change is not rows_cut:  # that is known at its end, and until then its rows are those that were answered
        assert isinstance(stopped.value, pipeline.InputChangedError)
        assert case.sent == []
    feed(case.rows)
    trio.run(again)

    assert case.sent == ["prompt 5"]
    assert len(case.results()) == ROWS
