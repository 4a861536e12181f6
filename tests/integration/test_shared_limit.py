"""Two processes with `limits.shared` keep one limit together, and a killed one leaves its share to the other."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import trio

import pipeline
from pipeline import ConfigError
from pipeline.config import load_config_text
from tests.fakes.processes import wait_until
from tests.fakes.simulated import Simulated, simulated

ROOT = Path(__file__).parent.parent.parent
RATE = 60


def start(folder: Path, base_url: str, rows: int, name: str, rate: int = RATE) -> subprocess.Popen[str]:
    """A process of its own that shares the limit."""
    (folder / f"{name}.jsonl").write_text("".join(json.dumps({"prompt": f"row {row}"}) + "\n" for row in range(rows)))
    body = {"model": "gpt-4o", "max_tokens": 5, "messages": [{"role": "user", "content": "{prompt}"}]}
    config = {
        "source": {"path": f"{name}.jsonl"},
        "request": {"url": "/v1/chat/completions", "body": body},
        "provider": {"base_url": base_url},
        "limits": {"requests_per_second": rate, "shared": "one-key", "max_in_flight": 20},
        "sink": {"path": f"{name}-out.jsonl"},
    }
    (folder / f"{name}.yaml").write_text(json.dumps(config))
    command = [sys.executable, "-m", "pipeline", "run", str(folder / f"{name}.yaml"), "--json", "--progress", "none"]
    environment = {**os.environ, "XDG_CACHE_HOME": str(folder / "cache")}
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def lines(folder: Path, name: str) -> int:
    output = folder / f"{name}-out.jsonl"
    return output.read_bytes().count(b"\n") if output.exists() else 0


def most_in_a_second(served: Simulated) -> int:
    return served.provider.tally.statistics().max_requests_in_second


async def test_two_processes_keep_one_limit_and_a_killed_one_leaves_its_share(tmp_path: Path) -> None:
    async with simulated(pipeline.SimulateConfig()) as served:

        def both() -> tuple[dict[str, object], int]:
            two = start(tmp_path, served.base_url, 4000, "two")
            wait_until(lambda: lines(tmp_path, "two") >= 60, two)  # a busy machine may start the other seconds later
            one = start(tmp_path, served.base_url, 400, "one")
            wait_until(lambda: lines(tmp_path, "one") >= 60, one)
            two.send_signal(signal.SIGKILL)
            two.communicate()
            out, _ = one.communicate(timeout=60)
            return json.loads(out), one.returncode

        summary, code = await trio.to_thread.run_sync(both)

        assert code == 0
        assert summary["succeeded"] == 400
        assert most_in_a_second(served) <= RATE * 1.4  # by the clock of a busy server; each by itself would be twice the limit


async def test_a_process_with_other_limits_under_the_same_name_is_refused(tmp_path: Path) -> None:
    async with simulated(pipeline.SimulateConfig()) as served:

        def both() -> tuple[int, str]:
            one = start(tmp_path, served.base_url, 4000, "one")
            wait_until(lambda: lines(tmp_path, "one") >= 5, one)
            other = start(tmp_path, served.base_url, 10, "other", rate=RATE + 1)
            _, said = other.communicate(timeout=30)
            one.terminate()
            one.communicate(timeout=40)
            return other.returncode, said

        code, said = await trio.to_thread.run_sync(both)

        assert code == 2
        assert "limits.shared: another process shares other limits under this name (one-key)" in said
        assert not (tmp_path / "other-out.jsonl").exists()


@pytest.mark.parametrize("name, problem", [("key", "needs a limit to share"), ("a/b", "must be at most 64 letters")])
def test_a_shared_limit_needs_a_rate_and_a_name_for_a_file(name: str, problem: str) -> None:
    text = f"{{source: {{path: in.jsonl}}, provider: {{simulate: {{}}}}, sink: {{path: out.jsonl}}, limits: {{shared: {name}}}}}"

    with pytest.raises(ConfigError, match=f"limits.shared: {problem}"):
        load_config_text(text, "config.yaml")
