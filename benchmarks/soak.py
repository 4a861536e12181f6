"""The soak: ten minutes at a thousand rows a second with faults; memory, descriptors, threads and tasks must stay flat.

    python -m benchmarks.soak --seconds 600 --rate 1000 --out benchmarks/results/soak.json

The provider is the embedded one in a process of its own. The run is `pipeline.run` in this one, watched from inside.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import trio

from benchmarks.conditions import conditions
from pipeline import Summary, load_config
from pipeline import run as run_pipeline

if TYPE_CHECKING:
    from collections.abc import Iterator

SAMPLE_SECONDS = 5.0
WARM_UP_SHARE = 0.2  # of the samples: connections open, caches fill
# Few 429s: each pauses everybody for the 0.1 s that its Retry-After asks for, and one in a hundred would halve the rate.
FAULTS = {"http_429": 0.0002, "http_500": 0.02, "http_502": 0.005, "reset_before": 0.005, "broken_json": 0.005, "cut_body": 0.005}
CONFIG = """
source: {{path: prompts.jsonl}}
request: {{url: /v1/chat/completions, body: {{model: soak, max_tokens: 64, messages: [{{role: user, content: "{{prompt}}"}}]}}}}
provider: {{base_url: "{base_url}"}}
limits: {{requests_per_second: {rate}, max_in_flight: 400}}
timeouts: {{idle_seconds: 20, total_seconds: 40}}
retry: {{attempts: 8, base_seconds: 0.1, cap_seconds: 2}}
sink: {{path: results.jsonl}}
"""


@click.command()
@click.option("--seconds", default=600, show_default=True, help="How long, at the rate.")
@click.option("--rate", default=1000, show_default=True, help="Requests a second.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Where the JSON goes; standard output if not given.")
def main(seconds: int, rate: int, out: Path | None) -> None:
    """Run the soak and tell what grew."""
    with tempfile.TemporaryDirectory(prefix="soak-") as folder, provider() as base_url:
        place = Path(folder)
        write_prompts(place / "prompts.jsonl", seconds * rate)
        (place / "soak.yaml").write_text(CONFIG.format(base_url=base_url, rate=rate), encoding="utf-8")
        samples, summary = trio.run(soak, place / "soak.yaml")
    figures = {"growth": growth(samples), **told(summary)}
    result = {"conditions": conditions(), "rate": rate, "rows": seconds * rate, **figures, "samples": samples}
    text = json.dumps(result, indent=1) + "\n"
    if out is None:
        click.echo(text)
    else:
        out.write_text(text, encoding="utf-8")
    click.echo(json.dumps(figures), err=True)


class provider:  # noqa: N801  a context manager, named as it reads
    """The embedded provider in a process of its own; gives its base URL."""

    def __enter__(self) -> str:
        faults = ", ".join(f"{name}: {share}" for name, share in FAULTS.items())
        command = [sys.executable, "-m", "pipeline", "simulate", "--json", "--set", f"faults={{{faults}}}"]
        latency = ["--set", "latency={distribution: lognormal, median_seconds: 0.15, spread: 0.4, max_seconds: 2}"]
        self.process = subprocess.Popen([*command, *latency], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert self.process.stdout is not None
        base_url: str = json.loads(self.process.stdout.readline())["base_url"]
        return base_url

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait()


def write_prompts(path: Path, rows: int) -> None:
    """As many prompts as the soak takes, each another."""
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps({"prompt": f"{number}: what is the answer to question {number}?"}) + "\n" for number in range(rows))


async def soak(config: Path) -> tuple[list[dict[str, float]], Summary]:
    """Run it, sampling meanwhile."""
    samples: list[dict[str, float]] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(sample, samples)
        summary = await run_pipeline(load_config(config))
        nursery.cancel_scope.cancel()
    return samples, summary


async def sample(samples: list[dict[str, float]]) -> None:
    """What this process holds, every few seconds."""
    started = trio.current_time()
    while True:
        await trio.sleep(SAMPLE_SECONDS)
        samples.append(
            {
                "seconds": round(trio.current_time() - started, 1),
                "rss_mb": round(int(next(status("VmRSS"))) / 1024, 2),
                "descriptors": len(os.listdir("/proc/self/fd")),  # noqa: PTH208  a path object for each costs more than the look
                "threads": threading.active_count(),
                "tasks": trio.lowlevel.current_statistics().tasks_living,
            },
        )


def status(key: str) -> Iterator[str]:
    """A number of /proc/self/status."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(key):
            yield line.split()[1]


def growth(samples: list[dict[str, float]]) -> dict[str, Any]:
    """Each figure's largest value in the first quarter after the warm-up, in the last quarter, and their ratio."""
    calm = samples[int(len(samples) * WARM_UP_SHARE) :]
    early, late = calm[: max(1, len(calm) // 4)], calm[-max(1, len(calm) // 4) :]
    grown = {}
    for name in calm[0]:
        if name != "seconds":
            first, last = (max(one[name] for one in part) for part in (early, late))
            grown[name] = {"early": first, "late": last, "ratio": round(last / first, 3)}
    return grown


def told(summary: Summary) -> dict[str, Any]:
    """What the run says of itself."""
    keys = (
        "total",
        "succeeded",
        "failed",
        "attempts",
        "retries",
        "throttled",
        "unknown_outcome",
        "duration_seconds",
        "requests_per_second",
    )
    return {key: getattr(summary, key) for key in keys}


if __name__ == "__main__":
    main()
