"""Measures runs on a local Ray cluster beside a plain run on the same server: `python -m benchmarks.cluster ROWS LIMIT [NAME ...]`.

Without names all scenarios run, one after the other. A limit of 0 is none: then there are FLIGHT (an environment variable) attempts
in flight, over all workers, or for each of them in the scenarios named so. These tell how many more rows two workers do than one. The
server refuses by a strict sliding window, 50 ms latency. Each worker has two shards, one after the other. Each line printed is one run:

- attained: of the limit, in the steady state, by the times of arrival at the server; whole: from the first arrival to the last.
- first_seconds: from the command to the first request. silence_seconds: from the death of the driver to the last request.
- worker_rss_mb: of the workers, as last seen. cpu_us: CPU of the sending processes for each row, after the first fifth of the rows, so
  without their start. rows_a_second: of the same part of the run.

On a busy machine compare a run with its control only, never with another day's.
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
from typing import Any

from attrs import define, field

from tests.fakes.ray_cluster import command_of, descendants

LATENCY = "fixed:0.05"
TICKS = os.sysconf("SC_CLK_TCK")
WORKER = "ray::Worker.run"
LOOK_SECONDS = 0.1
FLIGHT = int(os.environ.get("FLIGHT", "200"))
SHARDS = 2  # for each worker. With more of them they are a second long, and what is measured is how they begin and end
WARM = 0.2  # of the rows, from which on the CPU is counted


@define(eq=False)
class Server:
    """The benchmark's server with a strict window."""

    limit: int
    process: subprocess.Popen[str] = field(init=False)
    port: int = field(init=False)

    def __attrs_post_init__(self) -> None:
        command = [sys.executable, "-m", "benchmarks.server", "--latency", LATENCY, "--limit", str(self.limit), "--window", "sliding"]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.port = int(self._said()["port"])

    def ask(self, command: str) -> dict[str, float]:
        """One command to it, and what it says."""
        assert self.process.stdin is not None
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        return self._said()

    def _said(self) -> dict[str, float]:
        assert self.process.stdout is not None
        said: dict[str, float] = json.loads(self.process.stdout.readline())
        return said


@define
class Senders:
    """What was seen of the processes that send: memory and CPU by process. warm, last: CPU, rows and clock, once warm and at last."""

    rss_mb: dict[int, float] = field(factory=dict)
    cpu_seconds: dict[int, float] = field(factory=dict)
    warm: tuple[float, int, float] | None = None
    last: tuple[float, int, float] = (0.0, 0, 0.0)

    def look(self, driver: int, rows: int, of: int, *, plain: bool) -> list[int]:
        """Look at them; which workers there are. rows: that have arrived at the server, `of` so many."""
        alive = [driver] if plain else [pid for pid in descendants(driver) if WORKER in command_of(pid)]
        for pid in alive:
            try:
                stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
            except OSError:
                continue
            self.cpu_seconds[pid] = (int(stat[11]) + int(stat[12])) / TICKS
            self.rss_mb[pid] = int(stat[21]) * os.sysconf("SC_PAGE_SIZE") / 1e6
        if rows < of:
            self.last = sum(self.cpu_seconds.values()), rows, time.monotonic()
        if self.warm is None and rows >= WARM * of:
            self.warm = self.last
        return alive

    @property
    def figures(self) -> dict[str, float | None]:
        """CPU for a row, and rows a second."""
        if self.warm is None or self.last[1] <= self.warm[1]:
            return {"cpu_us": None, "rows_a_second": None}
        cpu, rows, seconds = (later - sooner for later, sooner in zip(self.last, self.warm, strict=True))
        return {"cpu_us": round(1e6 * cpu / rows, 1), "rows_a_second": round(rows / seconds)}


def main() -> None:
    """Run the scenarios one after the other."""
    rows, limit, names = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
    server = Server(limit)
    try:
        for name, flags, more in SCENARIOS:
            if not names or name in names:
                print(json.dumps(measure(server, name, rows, limit, flags, **more)), flush=True)
    finally:
        server.process.kill()


SCENARIOS: list[tuple[str, list[str], dict[str, Any]]] = [
    ("plain", [], {}),
    ("1 worker", ["--workers", "1"], {}),
    ("2 workers", ["--workers", "2"], {}),
    ("4 workers", ["--workers", "4"], {}),
    ("2 workers, in flight for each", ["--workers", "2"], {"each": 2}),
    ("4 workers, in flight for each", ["--workers", "4"], {"each": 4}),
    ("2 workers, two killed", ["--workers", "2"], {"kills": (0.3, 0.6)}),
    ("driver killed", ["--workers", "2"], {"driver_dies": 0.5}),
    ("plain again", [], {}),
]


def measure(
    server: Server,
    name: str,
    rows: int,
    limit: int,
    flags: list[str],
    kills: tuple[float, ...] = (),
    driver_dies: float = 0.0,
    each: int = 1,
) -> dict[str, object]:
    """One run. kills: shares of the rows at which a worker is killed. driver_dies: the same for the driver; its run is not gone on with.

    each: workers for each of which there are so many in flight.
    """
    with tempfile.TemporaryDirectory() as folder:
        config = write(Path(folder), server.port, rows, limit, FLIGHT * each, rows // (SHARDS * int(flags[-1])) if flags else rows)
        server.ask("reset")
        begun = time.monotonic()
        command = [sys.executable, "-m", "pipeline", "run", str(config), "--json", "--progress", "none", *flags]
        environment = {**os.environ, "RAY_AUTH_MODE": "disabled"}
        run = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment)
        seen, ours, died = Senders(), set[int](), 0.0
        left = [share * rows for share in kills]
        while run.poll() is None:
            time.sleep(LOOK_SECONDS)
            accepted = accepted_of(server.ask("count"))
            alive = seen.look(run.pid, accepted, rows, plain=not flags)
            ours |= set(descendants(run.pid))
            if left and accepted >= left[0] and len(alive) == 2:
                left.pop(0)
                os.kill(alive[0], signal.SIGKILL)
            if driver_dies and accepted >= driver_dies * rows:
                run.kill()
                died = time.monotonic()
        if died:
            time.sleep(8.0)
        out = "" if run.stdout is None else run.stdout.read()
        for pid in ours:
            if "ray" in command_of(pid):
                os.kill(pid, signal.SIGKILL)
        counts = server.ask(f"stats {limit or FLIGHT}")
        summary = json.loads(out) if out.startswith("{") else {}
        lines = [json.loads(line)["custom_id"] for line in (Path(folder) / "out.jsonl").open()] if summary else []
    accepted = accepted_of(counts)
    span = counts["last_arrival"] - counts["first_arrival"]
    return {
        "run": name,
        "attained": round(counts["steady_per_second"] / limit, 4) if limit else None,
        "whole": round((accepted - 1) / span / limit, 4) if limit else None,
        "most_in_a_second": counts["most_in_a_second"],
        "refused": counts["refused"],
        "sent_twice": accepted - rows if summary else None,
        "in_order": lines == [f"row-{index:07}" for index in range(rows)] if summary else None,
        "first_seconds": round(counts["first_arrival"] - begun, 1),
        "silence_seconds": round(counts["last_arrival"] - died, 1) if died else None,
        "worker_rss_mb": [round(each) for each in seen.rss_mb.values()],
        **seen.figures,
        "load": round(os.getloadavg()[0], 1),
    }


def accepted_of(counts: dict[str, float]) -> int:
    """Requests that the server let in."""
    return int(counts["requests"] - counts["refused"])


def write(folder: Path, port: int, rows: int, limit: int, in_flight: int, shard_rows: int) -> Path:
    """An input and its config. in_flight: where there is no limit."""
    with (folder / "in.jsonl").open("w") as file:
        file.writelines(json.dumps({"custom_id": f"row-{index:07}", "prompt": f"row-{index:07}"}) + "\n" for index in range(rows))
    limits = {"requests_per_second": limit, "max_in_flight": max(50, limit // 10)} if limit else {"max_in_flight": in_flight}
    config = {
        "source": {"path": "in.jsonl"},
        "request": {"url": "/v1/chat/completions", "body": {"model": "m", "messages": [{"role": "user", "content": "{prompt}"}]}},
        "provider": {"base_url": f"http://127.0.0.1:{port}/v1"},
        "limits": limits,
        "sink": {"path": "out.jsonl"},
        "engine": {"ray": {"shard_rows": max(1, shard_rows)}},
    }
    path = folder / "c.yaml"
    path.write_text(json.dumps(config))
    return path


if __name__ == "__main__":
    main()
