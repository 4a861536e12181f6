"""Ray Data's `http_request_processor` and ours on the same job and server: `python -m benchmarks.ray_data ROWS LIMIT PYTHON`.

PYTHON is the interpreter of an environment with ray[data], aiohttp and pydantic. Two actors and two workers, once undisturbed and once
with one of them killed when half of the rows have arrived. Each line printed is one run, as `benchmarks.cluster` explains; `written`
counts the rows in the output.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.cluster import LOOK_SECONDS, Server, accepted_of, measure, write
from tests.fakes.ray_cluster import command_of, descendants

ACTOR = "HttpRequest"  # in the title of the processes that send
JOB = Path(__file__).parent / "peers" / "ray_data_job.py"
MOST_SECONDS = 170
BLOCKS = 8  # some for each actor


def main() -> None:
    """Run both in turn, undisturbed and with a kill."""
    rows, limit, python = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    server = Server(limit)
    try:
        for kills in ((), (0.5,)):
            print(json.dumps(ray_data(server, rows, limit, python, kills)), flush=True)
            ours = measure(server, "headrace", rows, limit, ["--workers", "2"], kills)
            print(json.dumps(ours), flush=True)
    finally:
        server.process.kill()


def ray_data(server: Server, rows: int, limit: int, python: str, kills: tuple[float, ...]) -> dict[str, object]:
    """One run of the processor."""
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), server.port, rows, limit, 0, rows)
        output = Path(folder) / "out.jsonl"
        server.ask("reset")
        url = f"http://127.0.0.1:{server.port}/v1/chat/completions"
        command = [python, str(JOB), f"{folder}/in.jsonl", str(output), url, str(limit), "2", str(BLOCKS)]
        environment = {**os.environ, "RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}
        begun = time.monotonic()
        run = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment)
        left, seen, first = [share * rows for share in kills], set[int](), 0.0
        while run.poll() is None and time.monotonic() - begun < MOST_SECONDS:
            time.sleep(LOOK_SECONDS)
            accepted = accepted_of(server.ask("count"))
            first = first or (time.monotonic() - begun if accepted else 0.0)
            seen |= set(descendants(run.pid))
            actors = [pid for pid in descendants(run.pid) if ACTOR in command_of(pid)]
            if left and accepted >= left[0] and actors:
                left.pop()
                os.kill(actors[0], signal.SIGKILL)
        run.kill()
        said = "" if run.stderr is None else run.stderr.read()
        for pid in seen:
            if "ray" in command_of(pid):
                os.kill(pid, signal.SIGKILL)
        counts = server.ask(f"stats {limit}")
        lines = [json.loads(line)["custom_id"] for line in output.read_text().splitlines()]
    span = counts["last_arrival"] - counts["first_arrival"]
    return {
        "run": "ray data, one killed" if kills else "ray data",
        "exit": run.returncode,
        "rows_a_second": round(accepted_of(counts) / span, 1),
        "most_in_a_second": counts["most_in_a_second"],
        "refused": counts["refused"],
        "sent_twice": accepted_of(counts) - rows,
        "written": len(lines),
        "in_order": lines == sorted(lines),
        "first_seconds": round(first, 1),
        "load": round(os.getloadavg()[0], 1),
        "said": said.strip().splitlines()[-1:] if run.returncode else [],
    }


if __name__ == "__main__":
    main()
