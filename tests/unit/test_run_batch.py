"""`headrace run-batch`: requests or rows in, results out, without a config."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from pipeline.cli import main
from pipeline.cli.without_config import COMPLETE, Flags, config_of_flags
from pipeline.errors import ConfigError, UsageError

Capture = pytest.CaptureFixture[str]
CHAT = {"url": "/v1/chat/completions", "method": "POST"}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with four requests in `in.jsonl` and four rows in `rows.csv`."""
    monkeypatch.chdir(tmp_path)
    requests = [{"custom_id": f"r{number}", **CHAT, "body": {"model": "m", "messages": asking(number)}} for number in range(4)]
    Path("in.jsonl").write_text("".join(json.dumps(each) + "\n" for each in requests))
    Path("rows.csv").write_text("id,text\n" + "".join(f"{number},line {number}\n" for number in range(4)))
    return tmp_path


def asking(number: int) -> list[dict[str, str]]:
    return [{"role": "user", "content": f"row {number}"}]


def lines(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(name).read_text().splitlines()]


def test_requests_are_answered_in_their_order_without_a_config() -> None:
    code = main(["run-batch", "-i", "in.jsonl", "-o", "out.jsonl", "--simulate"])

    assert code == 0
    assert [line["custom_id"] for line in lines("out.jsonl")] == ["r0", "r1", "r2", "r3"]


def test_a_template_makes_requests_of_rows() -> None:
    code = main(["run-batch", "-i", "rows.csv", "-o", "out.jsonl", "--simulate", "--model", "m", "--template", "Say {text}",
                 "--output-shape", "flat"])  # fmt: skip

    assert code == 0
    assert [line["status"] for line in lines("out.jsonl")] == ["success"] * 4


def test_failures_go_to_a_file_of_their_own_and_a_resumed_run_keeps_both_right(capsys: Capture) -> None:
    command = ["run-batch", "-i", "in.jsonl", "-o", "out.jsonl", "--simulate", "--error-file", "err.jsonl"]

    first = main([*command, "--set", "provider.simulate.script={'1': 'http_400'}"])
    after_first = [line["custom_id"] for line in lines("out.jsonl")], [line["custom_id"] for line in lines("err.jsonl")]
    second = main([*command, "--retry-failed=all"])

    assert (first, second) == (1, 0)
    assert after_first == (["r0", "r2", "r3"], ["r1"])
    assert ([line["custom_id"] for line in lines("out.jsonl")], lines("err.jsonl")) == (["r0", "r1", "r2", "r3"], [])
    assert "4 successes in out.jsonl, 0 failures in err.jsonl" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["out.jsonl", "err.jsonl"])
def test_a_file_that_no_run_has_made_is_never_replaced(name: str, capsys: Capture) -> None:
    Path(name).write_text("mine")
    command = ["run-batch", "-i", "in.jsonl", "-o", "out.jsonl", "--simulate", "--error-file", "err.jsonl"]

    refused, kept = main(command), Path(name).read_text()
    fresh = main([*command, "--fresh"])

    assert (refused, kept, fresh) == (2, "mine", 0)
    assert Path(name + ".1").read_text() == "mine"
    assert "never overwritten" in capsys.readouterr().err


def test_dry_run_sends_nothing_and_leaves_nothing(folder: Path, capsys: Capture) -> None:
    code = main(["run-batch", "-i", "in.jsonl", "-o", "out.jsonl", "--base-url", "http://127.0.0.1:9/v1", "--dry-run", "--json"])

    assert code == 0
    assert json.loads(capsys.readouterr().out)["requests"] == 4
    assert sorted(path.name for path in folder.iterdir()) == ["in.jsonl", "rows.csv"]


def test_run_has_a_dry_run_too(capsys: Capture) -> None:
    Path("c.yaml").write_text("source: {path: in.jsonl}\nprovider: {simulate: {}}\nsink: {path: out.jsonl}\n")

    code = main(["run", "c.yaml", "--dry-run", "--json"])

    assert code == 0
    assert json.loads(capsys.readouterr().out)["requests"] == 4
    assert not Path("out.jsonl").exists()


def test_what_the_summary_advises_can_be_run_as_it_is_printed(capsys: Capture) -> None:
    main(["run-batch", "-i", "in.jsonl", "-o", "out.jsonl", "--simulate", "--set", "provider.simulate.script={'1': 'http_500*9'}",
          "--set", "retry={attempts: 2, base_seconds: 0, patience_seconds: 0, stop_after: null}", "--json"])  # fmt: skip
    said = capsys.readouterr().err
    (command,) = [line.strip() for line in said.splitlines() if "--retry-failed" in line]

    code = main(shlex.split(command[command.index("headrace") :])[1:])

    assert code in {0, 1}, capsys.readouterr().err
    assert "--json" not in command


@pytest.mark.parametrize(
    "flags, said",
    [
        (["-i", "in.jsonl"], "--base-url is missing"),
        (["-i", "https://example.com/in.jsonl", "--simulate"], "download it first"),
        (["-i", "rows.csv", "--simulate"], "add --template"),
        (["-i", "rows.csv", "--simulate", "--template", "{text}"], "--model is missing"),
        (["-i", "rows.csv", "--simulate", "--template", "hello", "--model", "m"], "--template: takes no field of the rows"),
        (["-i", "rows.csv", "--simulate", "--template", "{text}", "--model", "m", "--url", "/v1/rerank"], "--template can make bodies for"),
        (["-i", "in.jsonl", "--base-url", "example.com"], "--base-url: "),
        (["-i", "in.jsonl", "--simulate", "--rpm", "0"], "--rpm: must be > 0"),
        (["-i", "in.jsonl", "--simulate", "--max-inflight", "0"], "--max-inflight: must be >= 1"),
        (["-i", "in.jsonl", "--base-url", "http://localhost/v1", "--api-key-env", "sk-abc"], "--api-key-env: "),
        (["-i", "in.jsonl", "--simulate", "--error-file", "./out.jsonl"], "--error-file is the file of -o"),
        (["-i", "nowhere.jsonl", "--simulate"], "nowhere.jsonl"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_mistake_is_told_by_its_flag_and_nothing_is_sent(flags: list[str], said: str, capsys: Capture) -> None:
    code = main(["run-batch", "-o", "out.jsonl", *flags])

    assert code == 2
    assert said in capsys.readouterr().err
    assert not Path("out.jsonl").exists()


def test_an_input_of_plain_rows_is_told_how_to_become_requests(capsys: Capture) -> None:
    Path("plain.jsonl").write_text('{"prompt": "a"}\n' * 3)

    code = main(["run-batch", "-i", "plain.jsonl", "-o", "out.jsonl", "--simulate"])

    assert code == 2
    assert "--template '{prompt}'" in capsys.readouterr().err
    assert not Path("out.jsonl").exists()


@pytest.mark.parametrize(
    "url, body",
    [
        ("/v1/chat/completions", {"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": "{text}"}]}),
        ("/v1/messages", {"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": "{text}"}]}),
        ("/v1/completions", {"model": "m", "max_tokens": 5, "prompt": "{text}"}),
        ("/v1/responses", {"model": "m", "max_output_tokens": 5, "input": "{text}"}),
        ("/v1/embeddings", {"model": "m", "max_tokens": 5, "input": "{text}"}),
    ],
)
def test_a_template_makes_the_body_of_its_endpoint(url: str, body: dict[str, object]) -> None:
    flags = Flags(source="rows.csv", sink="out.jsonl", simulate=True, template="{text}", model="m", max_tokens=5, url=url)

    config = config_of_flags(flags, [], {})

    assert config.request is not None
    assert (config.request.url, config.request.body) == (url, body)


def test_a_model_replaces_the_one_in_each_request(capsys: Capture) -> None:
    main(["run-batch", "-i", "in.jsonl", "-o", "out.jsonl", "--simulate", "--model", "tiny",
          "--set", "provider.simulate={models: [tiny], only_models: true}"])  # fmt: skip

    assert "4 of 4 rows succeeded" in capsys.readouterr().err


def test_flags_become_the_limits_and_set_wins() -> None:
    flags = Flags(source="in.jsonl", sink="out.jsonl", simulate=True, rpm=60, tpm=1000, max_inflight=7, error_file="e.jsonl")

    config = config_of_flags(flags, ["limits.requests_per_minute=90"], {})

    limits = config.limits
    assert (limits.requests_per_minute, limits.tokens_per_minute, limits.max_in_flight) == (90, 1000, 7)
    assert config.sink.path.endswith("out.jsonl" + COMPLETE)


def test_every_problem_is_told_at_once() -> None:
    flags = Flags(source="in.jsonl", sink="out.jsonl", base_url="x", rpm=-1, max_inflight=0)

    with pytest.raises(ConfigError) as caught:
        config_of_flags(flags, ["retry.attempts=0"], {})

    assert {problem.source for problem in caught.value.problems} == {"--base-url", "--rpm", "--max-inflight", "--set retry.attempts"}


def test_a_key_is_never_taken_for_a_name() -> None:
    flags = Flags(source="in.jsonl", sink="out.jsonl", base_url="http://localhost/v1", api_key_env="sk-proj-1234567890abcdefghij")

    with pytest.raises(UsageError) as caught:
        config_of_flags(flags, [], {})

    assert "1234567890" not in str(caught.value)
