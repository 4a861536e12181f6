"""Law 14 over kill -9: whatever a run had sent when it was killed counts against the budget of the runs that continue it."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import trio

import pipeline
from tests.fakes.simulated import simulated

ROOT = Path(__file__).parent.parent.parent
BUDGET = 80


async def test_a_run_that_is_killed_again_and_again_sends_no_more_than_its_budget(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text("".join(json.dumps({"prompt": f"row {row}"}) + "\n" for row in range(1000)))
    body = {"model": "gpt-4o", "max_tokens": 5, "messages": [{"role": "user", "content": "{prompt}"}]}
    chance = random.Random(14)
    async with simulated(pipeline.SimulateConfig(latency=pipeline.LatencyConfig(median_seconds=0.05))) as served:
        config = {
            "source": {"path": "in.jsonl"},
            "request": {"url": "/v1/chat/completions", "body": body},
            "provider": {"base_url": served.base_url},
            "limits": {"requests_per_second": 100, "max_in_flight": 10},
            "budget": {"requests": BUDGET},
            "sink": {"path": "out.jsonl"},
        }
        (tmp_path / "c.yaml").write_text(json.dumps(config))

        def sent() -> int:
            return served.provider.tally.statistics().requests

        def run_and_kill() -> int:
            before, enough = sent(), chance.randint(5, 25)
            command = [sys.executable, "-m", "pipeline", "run", str(tmp_path / "c.yaml"), "--progress", "none"]
            process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            deadline = time.monotonic() + 60
            while process.poll() is None and sent() < before + enough and time.monotonic() < deadline:
                time.sleep(0.002)
            if process.poll() is None:
                os.kill(process.pid, signal.SIGKILL)
            return process.wait()

        codes: list[int] = []
        while not codes or codes[-1] == -signal.SIGKILL:
            codes.append(await trio.to_thread.run_sync(run_and_kill))

        assert codes[-1] == 3
        assert len(codes) > 3
        assert BUDGET / 2 < sent() <= BUDGET  # what is not known is counted at its worst
