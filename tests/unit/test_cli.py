"""The command line: exit codes, what goes to stdout and what to stderr, and that trouble is a message."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pipeline.cli import main

ROOT = Path(__file__).parent.parent.parent
HEAVY = {"trio", "httpx", "attrs", "attr", "msgspec", "ruamel.yaml", "rich", "json", "logging", "sqlite3", "asyncio"}
SUMMARY_KEYS = [
    "total", "succeeded", "failed", "skipped_resumed", "attempts", "retries", "throttled", "unknown_outcome", "duration_seconds",
    "requests_per_second", "prompt_tokens", "output_tokens", "cost", "limited_by", "digest",
    "from_cache", "finish_reasons", "rejected", "unpriced",
    "failures", "stopped", "lanes", "attained",
    "latency_seconds", "first_token_seconds", "longest_gap_seconds", "tokens_per_second", "waiting", "advice",
]  # fmt: skip

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def config(tmp_path: Path) -> str:
    """A config of three rows and an embedded provider."""
    (tmp_path / "in.jsonl").write_text("".join(json.dumps({"prompt": f"row {number}"}) + "\n" for number in range(3)))
    (tmp_path / "c.yaml").write_text(
        "source: {path: in.jsonl}\n"
        'request: {url: /v1/chat/completions, body: {model: m, messages: [{role: user, content: "{prompt}"}]}}\n'
        "provider: {simulate: {}}\n"
        "sink: {path: out.jsonl}\n"
    )
    return str(tmp_path / "c.yaml")


def called(arguments: list[str], capture: Capture) -> tuple[int, Any, str]:
    """Exit code, the JSON on stdout (None if there is nothing), and what was said."""
    code = main(arguments)
    out, err = capture.readouterr()
    return code, json.loads(out) if out else None, err


def test_run_of_which_all_rows_succeed_exits_0(config: str, capsys: Capture) -> None:
    code, summary, said = called(["run", config, "--json"], capsys)

    assert code == 0
    assert list(summary) == SUMMARY_KEYS
    assert (summary["total"], summary["succeeded"]) == (3, 3)
    assert "3 of 3 rows succeeded" in said
    assert "out.jsonl" in said


def test_run_of_which_some_rows_fail_exits_1(config: str, capsys: Capture) -> None:
    code, summary, _ = called(["run", config, "--json", "--set", "provider.simulate.faults={http_400: 1}"], capsys)

    assert code == 1
    assert (summary["total"], summary["failed"]) == (3, 3)


def test_run_whose_key_is_refused_exits_3_with_what_was_done(config: str, capsys: Capture) -> None:
    code, summary, said = called(["run", config, "--json", "--set", "provider.simulate.faults={unauthorized_401: 1}",
                                  "--set", "provider.simulate.faulty_attempts=99", "--set", "limits.max_in_flight=1"], capsys)  # fmt: skip

    assert code == 3
    assert summary["attempts"] <= 3
    assert "aborted: " in said


def test_run_prints_nothing_on_stdout_unasked(config: str, capsys: Capture) -> None:
    code, answer, _ = called(["run", config], capsys)

    assert code == 0
    assert answer is None


def test_run_goes_on_and_fresh_moves_aside(config: str, tmp_path: Path, capsys: Capture) -> None:
    main(["run", config, "--limit", "2"])
    capsys.readouterr()

    on = called(["run", config, "--json"], capsys)
    fresh = called(["run", config, "--fresh", "--json"], capsys)

    assert (on[0], on[1]["skipped_resumed"], on[1]["attempts"]) == (0, 2, 1)
    assert (fresh[0], fresh[1]["skipped_resumed"], fresh[1]["attempts"]) == (0, 0, 3)
    assert len(list(tmp_path.glob("out*.jsonl*"))) >= 2


def test_run_never_overwrites_what_is_not_its_own(config: str, tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "out.jsonl").write_text("mine\n")

    code, _, said = called(["run", config], capsys)

    assert code == 2
    assert "--fresh" in said
    assert (tmp_path / "out.jsonl").read_text() == "mine\n"


@pytest.mark.parametrize("kind", ["auto", "live", "plain", "none"])
def test_run_ends_well_however_progress_is_shown(config: str, capsys: Capture, kind: str) -> None:
    code, summary, said = called(["run", config, "--json", "--progress", kind], capsys)

    assert code == 0
    assert summary["succeeded"] == 3
    assert "results  " in said


@pytest.mark.parametrize("command", ["check", "run", "verify", "status"])
def test_a_quiet_command_says_nothing_where_all_is_well(config: str, capsys: Capture, command: str) -> None:
    if command in {"verify", "status"}:
        called(["run", config, "--quiet"], capsys)

    code, stdout, stderr = called([command, config, "-q", "--json"], capsys)

    assert code == 0
    assert stdout
    assert stderr == ""


def test_a_quiet_run_still_tells_what_failed(config: str, capsys: Capture) -> None:
    code, _, stderr = called(["run", config, "-q", "--set", "provider.simulate.faults={http_400: 1}"], capsys)

    assert code == 1
    assert "failed" in stderr


def test_check_then_run_then_verify(config: str, tmp_path: Path, capsys: Capture) -> None:
    checked = called(["check", config, "--json"], capsys)
    nothing_written = not (tmp_path / "out.jsonl").exists()
    main(["run", config])
    capsys.readouterr()
    verified = called(["verify", config, "--json"], capsys)
    (tmp_path / "out.jsonl").write_bytes(b"")
    spoiled = called(["verify", config, "--json"], capsys)

    assert nothing_written
    assert (checked[0], checked[1]["rows"], checked[1]["bad_rows"]) == (0, 3, 0)
    assert (verified[0], verified[1]["ok"]) == (0, True)
    assert (spoiled[0], spoiled[1]["ok"], spoiled[1]["counts"]) == (1, False, {"missing": 3, "edited": 1})


@pytest.mark.parametrize(
    "rows, flags, code",
    [
        (['{"prompt": "a"}'], [], 0),
        (['{"prompt": "a"}', "{"], [], 1),
        (['{"prompt": "a"}', "{"], ["--set", "limits.tokens_per_minute=3"], 2),
        (["{", "[]"], [], 2),
        ([], [], 0),
    ],
)
def test_check_says_by_its_exit_code_whether_rows_are_bad(
    config: str, tmp_path: Path, capsys: Capture, rows: list[str], flags: list[str], code: int
) -> None:
    (tmp_path / "in.jsonl").write_text("".join(row + "\n" for row in rows))

    found, report, said = called(["check", config, "--json", *flags], capsys)

    assert found == code, said
    assert report["rows"] == len(rows)


def test_check_of_rows_that_do_not_fit_the_limits_exits_1(config: str, tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "in.jsonl").write_text(json.dumps({"prompt": "a"}) + "\n" + json.dumps({"prompt": "a" * 4000}) + "\n")

    code, report, _ = called(["check", config, "--json", "--set", "limits.tokens_per_minute=500"], capsys)

    assert (code, report["too_large"]) == (1, 1)


@pytest.mark.parametrize("key", ["sink.path", "journal.path"])
@pytest.mark.parametrize("place", ["/proc/nowhere/out.jsonl", "/dev/null/out.jsonl", "/sys/out.jsonl"])
def test_a_place_that_cannot_be_written_to_is_wrong_usage_and_nothing_is_sent(
    config: str, tmp_path: Path, capsys: Capture, key: str, place: str
) -> None:
    before = sorted(tmp_path.iterdir())

    code, summary, said = called(["run", config, "--json", "--set", f"{key}={place}"], capsys)

    assert (code, summary) == (2, None)
    assert place in said
    assert "Traceback" not in said
    assert sorted(tmp_path.iterdir()) == before


def test_export_to_a_file_that_is_there_advises_what_it_can_do(config: str, tmp_path: Path, capsys: Capture) -> None:
    main(["run", config])
    (tmp_path / "there.csv").write_text("mine")
    capsys.readouterr()

    code, _, said = called(["export", config, "-o", str(tmp_path / "there.csv")], capsys)

    assert code == 2
    assert said == f"error: {tmp_path / 'there.csv'} exists and is never overwritten; name another file\n"


@pytest.mark.parametrize(
    "words, completed",
    [
        ("headrace r", "plain,run"),
        ("headrace run ", "file,"),
        ("headrace verify --pro", "plain,--progress"),
        ("headrace export c.yaml --out ", "file,"),
        ("headrace init ", "file,"),
    ],
)
def test_the_shell_completes_commands_flags_and_files(words: str, completed: str) -> None:
    environment = {**os.environ, "_HEADRACE_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}

    done = subprocess.run([sys.executable, "-m", "pipeline"], cwd=ROOT, env=environment, capture_output=True, text=True, check=True)

    assert completed in done.stdout.splitlines()


def test_check_of_a_run_that_could_not_start_exits_2(config: str, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    real = ["--set", "provider={base_url: 'http://127.0.0.1:9', api_key_env: NO_SUCH_KEY}"]

    code, report, said = called(["check", config, "--json", *real], capsys)

    assert code == 2
    assert report["rows"] == 3
    assert "NO_SUCH_KEY" in said


@pytest.mark.parametrize(
    "arguments",
    [
        [], ["run"], ["run", "nowhere.yaml"], ["fly"], ["run", "--fly", "c.yaml"], ["verify", "CONFIG"], ["run", "CONFIG", "--limit", "0"],
        ["run", "CONFIG", "--progress", "loud"], ["run", "CONFIG", "--set", "limits"], ["run", "CONFIG", "--set", "limits.burst=0"],
        ["check", "CONFIG", "--set", "source.path=nowhere.jsonl"], ["run", "CONFIG", "--set", "source.path=nowhere.jsonl"],
        ["simulate", "--host", "0.0.0.0"], ["simulate", "--set", "fly=1"], ["simulate", "--port", "70000"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_wrong_usage_exits_2_without_a_traceback(config: str, capsys: Capture, arguments: list[str]) -> None:
    code, answer, said = called([config if argument == "CONFIG" else argument for argument in arguments], capsys)

    assert code == 2
    assert answer is None
    assert said
    assert "Traceback" not in said


def test_all_problems_of_a_config_are_said_with_their_lines(config: str, capsys: Capture) -> None:
    Path(config).write_text("source: {pth: a}\nprovider: {simulate: {}}\nsink: {path: b}\nlimits: {burst: x}\n")

    code, _, said = called(["run", config, "--set", "retry.attempts=0"], capsys)

    assert code == 2
    assert said.splitlines() == [
        f"{config}:1: source.pth: unknown key, did you mean path?",
        f"{config}:1: source.path: missing required key",
        f"{config}:4: limits.burst: must be an integer, got 'x'",
        "--set retry.attempts: must be >= 1, got 0",
    ]


def test_init_writes_a_config_that_loads_and_overwrites_nothing(tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    first = called(["init"], capsys)
    second = called(["init"], capsys)
    nowhere = called(["init", "no/such/folder.yaml"], capsys)

    assert (first[0], second[0], nowhere[0]) == (0, 2, 2)
    assert "not overwritten" in second[2]
    (tmp_path / "prompts.jsonl").write_text('{"prompt": "a"}\n')
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    assert main(["check", "headrace.yaml"]) == 0


def test_help_and_version_exit_0(capsys: Capture) -> None:
    assert main(["--help"]) == 0
    assert main(["run", "--help"]) == 0
    assert main(["--version"]) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in ("run", "check", "verify", "init", "simulate", "--fresh", "headrace, version"))


def test_help_imports_nothing_that_takes_time() -> None:
    code = (
        "import sys; before = set(sys.modules)\n"
        "from pipeline.cli import main\n"
        "main(['--help'])\n"
        f"print(*{HEAVY} & (sys.modules.keys() - before), file=sys.stderr)"
    )

    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)

    assert "Usage: " in done.stdout
    assert done.stderr.split() == []


def test_module_is_the_same_program() -> None:
    done = subprocess.run([sys.executable, "-m", "pipeline", "--version"], cwd=ROOT, capture_output=True, text=True, check=True)

    assert done.stdout.startswith("headrace, version ")


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_reader_that_has_gone_is_no_trouble(config: str, stream: str) -> None:
    redirect = {"stdout": "2>/dev/null", "stderr": "2>&1 >/dev/null"}[stream]
    command = f"{sys.executable} -m pipeline run {config} --json {redirect} | true; exit ${{PIPESTATUS[0]}}"

    done = subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_stdout_that_is_full_exits_3(config: str) -> None:
    command = f"{sys.executable} -m pipeline check {config} --json > /dev/full"

    done = subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 3
    assert "cannot write to stdout: No space left on device" in done.stderr
    assert "Traceback" not in done.stderr


def test_closed_streams_are_borne(config: str) -> None:
    done = subprocess.run(["bash", "-c", f"{sys.executable} -m pipeline run {config} --json >&- 2>&-"], cwd=ROOT, check=False)

    assert done.returncode == 0


def test_stopped_run_does_not_count_lines_that_wait_behind_an_earlier_row(config: str, tmp_path: Path, capsys: Capture) -> None:
    always_fails = ["--set", 'provider.simulate.script={"1": "http_500*"}', "--set", "retry={attempts: 99, base_seconds: 0.01}"]
    code, summary, said = called(["run", config, "--json", *always_fails, "--set", "budget.requests=6"], capsys)

    written = len((tmp_path / "out.jsonl").read_text().splitlines())
    assert (code, written, summary["total"], summary["waiting"]) == (3, 1, 2, 1)
    assert "2 rows succeeded, in " in said  # and not "2 of 2": the input has three
    assert "out.jsonl  1 line, in input order\n         1 more result in the journal" in said


@pytest.mark.parametrize("flag, fault", [("--retry-failed", "{http_500: 1}"), ("--limit", "{unauthorized_401: 1}")])
def test_advice_after_a_limited_run_sends_no_rows_beyond_the_limit(flag: str, fault: str, config: str, capsys: Capture) -> None:
    once = ["--set", "retry={attempts: 1, patience_seconds: 0}", "--set", "provider.simulate.faulty_attempts=99"]
    _, summary, _ = called(["run", config, "--json", "--limit", "2", *once, "--set", f"provider.simulate.faults={fault}"], capsys)

    assert f"--limit 2{'' if flag == '--limit' else ' --retry-failed'}" in summary["advice"][0]["command"]
    assert all("--limit" not in each["command"] for each in summary["advice"] if each["command"] and " report " in each["command"])
