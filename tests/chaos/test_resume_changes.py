"""What a run does when input, output or config are others than they were: it refuses, and goes on where that is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.fakes.resumed import ROWS, done_after, stop_in_the_middle

if TYPE_CHECKING:
    from tests.fakes.processes import Campaign


def edit_row(runs: Campaign) -> None:
    path = runs.folder / "in.jsonl"
    path.write_text(path.read_text().replace("prompt 7", "prompt seven"))


def edit_row_behind_the_gap(runs: Campaign) -> None:
    path = runs.folder / "in.jsonl"
    path.write_text(path.read_text().replace("prompt 35", "prompt 36"))


def shorten_input(runs: Campaign) -> None:
    path = runs.folder / "in.jsonl"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:20]))


def swap_rows(runs: Campaign) -> None:
    path = runs.folder / "in.jsonl"
    first, second, *rest = path.read_text().splitlines(keepends=True)
    path.write_text("".join([second, first, *rest]))


def edit_output(runs: Campaign) -> None:
    runs.output.write_bytes(runs.output.read_bytes().replace(b'"row-5"', b'"row-X"'))


def shorten_output(runs: Campaign) -> None:
    runs.output.write_bytes(runs.output.read_bytes()[:2000])


def append_to_output(runs: Campaign) -> None:
    with runs.output.open("ab") as file:
        file.write(b"a note of mine\n")


def delete_output(runs: Campaign) -> None:
    runs.output.unlink()


CHANGES = {
    "row": (edit_row, "in.jsonl has changed"),
    "row-behind-the-gap": (edit_row_behind_the_gap, "in.jsonl has changed"),
    "rows-swapped": (swap_rows, "in.jsonl has changed"),
    "input-shorter": (shorten_input, "in.jsonl has fewer rows"),
    "output-edited": (edit_output, "out.jsonl was edited"),
    "output-shorter": (shorten_output, "out.jsonl holds 2,000 bytes"),
    "output-longer": (append_to_output, "out.jsonl was edited"),
    "output-deleted": (delete_output, "out.jsonl is gone"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_refused_and_nothing_is_sent_or_touched(runs: Campaign, change: str) -> None:
    act, message = CHANGES[change]
    stop_in_the_middle(runs)
    act(runs)
    before = runs.output.read_bytes() if runs.output.exists() else None

    end = runs.run()

    assert end.code == 2
    assert message in end.said
    assert "--fresh" in end.said
    assert "--accept-changes" in end.said
    assert runs.sent() == ROWS
    assert (runs.output.read_bytes() if runs.output.exists() else None) == before


@pytest.mark.parametrize("change", ["row", "row-behind-the-gap", "rows-swapped", "output-shorter", "output-deleted"])
def test_accepted_changes_are_gone_on_with_and_asked_about_once(runs: Campaign, change: str) -> None:
    stop_in_the_middle(runs)
    CHANGES[change][0](runs)

    done_after(runs, "--accept-changes")
    done_after(runs)


@pytest.mark.parametrize("change", list(CHANGES))
def test_fresh_starts_over_and_keeps_what_was_there(runs: Campaign, change: str) -> None:
    stop_in_the_middle(runs)
    CHANGES[change][0](runs)
    left = runs.output.read_bytes() if runs.output.exists() else None

    runs.rows = len((runs.folder / "in.jsonl").read_text().splitlines())
    done_after(runs, "--fresh")

    aside = runs.folder / "out.jsonl.1"
    assert (aside.read_bytes() if aside.exists() else None) == left
    assert (runs.folder / "out.jsonl.1.journal").exists()


@pytest.mark.parametrize(
    "setting, named",
    [
        ("request.body.model=n", "request.body"),
        ("request.url=/v1/completions", "request.url"),
        ("sink.shape=flat", "sink.shape"),
        ("sink.order=completion", "sink.order"),
        ("provider.base_url=http://127.0.0.1:9/v1", "provider.base_url"),
    ],
)
def test_another_config_is_refused_by_name(quick: Campaign, setting: str, named: str) -> None:
    assert quick.run("--limit", "5").code == 0

    end = quick.run("--set", setting)

    assert end.code == 2
    assert named in end.said
    assert quick.sent() == 5


def test_another_model_can_be_accepted_and_another_shape_cannot(quick: Campaign) -> None:
    assert quick.run("--limit", "5").code == 0

    done_after(quick, "--accept-changes", "--set", "request.body.model=n")
    done_after(quick, "--set", "request.body.model=n")
    refused = quick.run("--accept-changes", "--set", "sink.shape=flat", "--set", "request.body.model=n")

    assert refused.code == 2
    assert "sink.shape cannot change" in refused.said
