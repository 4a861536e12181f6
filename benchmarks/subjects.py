"""Who is measured, and how each is told its work and judged by its answers.

headrace runs as a user runs it: a config file, a file of prompts, a file of results, the default journal. A peer is a program
of `benchmarks.peers`.
"""

from __future__ import annotations

import json
import shutil
import sys
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from attrs import frozen

from benchmarks.latency import mean_latency
from benchmarks.peers.task import KEY, MAX_TOKENS, MODEL, NUMBER_END, body, judge

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.scenarios import Scenario

KEY_VARIABLE = "HEADRACE_BENCH_KEY"


@frozen
class Subject:
    """One program.

    module: the peer's, None for headrace and for what is no Python. needs: import names. packages: whose versions to note. slow: gets
    fewer rows. program: of a load generator, which sends one request over and over.
    """

    name: str
    title: str
    module: str | None
    needs: tuple[str, ...]
    packages: tuple[str, ...]
    slow: bool = False
    program: str | None = None

    def missing(self) -> list[str]:
        """The imports that are not installed."""
        programs = [] if self.program is None or shutil.which(self.program) else [self.program]
        return [name for name in self.needs if not installed(name)] + programs

    def versions(self) -> dict[str, str]:
        """Of the packages that it stands on."""
        return {package: version_of(package) for package in self.packages}


def peer(name: str, title: str, *packages: str, needs: tuple[str, ...] = (), slow: bool = False) -> Subject:
    """A peer whose module has its name."""
    imports = needs or tuple(package.replace("-", "_") for package in packages)
    return Subject(name, title, name.replace("-", "_"), imports, packages, slow)


SUBJECTS: dict[str, Subject] = {
    subject.name: subject
    for subject in (
        Subject("headrace", "headrace run (file, journal, order, file)", None, ("pipeline.cli",), ("headrace", "trio", "httptools")),
        peer("aiohttp-gather", "aiohttp gather + semaphore, answers in a list, then a file", "aiohttp"),
        peer("aiohttp-workers", "aiohttp workers, file to file", "aiohttp"),
        peer("pyreqwest-workers", "pyreqwest workers (Rust), file to file", "pyreqwest"),
        peer(
            "headrace-serve",
            "headrace serve: upload, batch, download",
            "anycorn",
            "starlette",
            needs=("pipeline.serve", "anycorn", "starlette"),
        ),
        Subject("hey", "hey (Go): one fixed request, no files, answers not read", None, (), (), program="hey"),
        Subject("wrk", "wrk (C): one fixed request, no files, answers not read", None, (), (), program="wrk"),
        peer("aiohttp-stream", "aiohttp, a line at a time, json.loads of each", "aiohttp"),
        peer("openai-stream", "openai SDK, stream=True", "openai", slow=True),
        peer("aiohttp-limiter", "the same with aiolimiter", "aiohttp", "aiolimiter"),
        peer("raw-sockets", "raw Trio sockets (the floor)", "trio"),
        peer("transport-bytes", "headrace's transport, prepared bytes", needs=("pipeline.edges.http",)),
        peer("transport-request", "headrace's transport, ready httpx.Request", "httpx", needs=("pipeline.edges.http",)),
        peer("transport-client", "headrace's transport behind httpx.AsyncClient", "httpx", needs=("pipeline.edges.http",)),
        peer("stages", "headrace's stages: no network, no files, no journal", "trio", needs=("pipeline.stages.flow",)),
        peer("stages-durable", "headrace's stages with files and journal: no network", "trio", needs=("pipeline.runs.run",)),
        peer("threads-list", "threads, shared session, shared list", "requests", slow=True),
        peer("thread-pool", "thread pool, semaphore, locks", "requests", slow=True),
        peer("async-semaphore", "asyncio, aiohttp, semaphore", "aiohttp"),
        peer("httpx-shared", "one shared httpx.AsyncClient", "httpx", slow=True),
        peer("openai-sdk", "openai SDK", "openai", slow=True),
        peer("openai-sdk-20", "openai SDK, 20 in flight", "openai", slow=True),
        peer("openai-aiohttp", "openai SDK on aiohttp", "openai", "httpx-aiohttp", needs=("openai", "httpx_aiohttp"), slow=True),
        Subject("litellm", "litellm.acompletion", "litellm_sdk", ("litellm",), ("litellm",), slow=True),
        Subject(
            "async-batch-llm", "async-batch-llm", "async_batch", ("async_batch_llm", "openai"), ("async-batch-llm", "openai"), slow=True
        ),
    )
}


def installed(name: str) -> bool:
    """Whether a dotted name can be imported, as far as finding it tells."""
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:
        return False


def version_of(package: str) -> str:
    """An installed version, or "" if it is none."""
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def prompt(number: int) -> str:
    """A row's prompt: its name, so that its answer can be told from others, and some 150 bytes of text."""
    return (
        f"row-{number:07d} Say in one sentence, for somebody who has never seen a water mill, what a headrace is and why its flow is even."
    )


def write_input(path: Path, rows: int, prompt_bytes: int = 0) -> None:
    """A file of prompts, one object a line. prompt_bytes: each is made at least this long."""
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps({"prompt": longer(prompt(number), prompt_bytes)}) + "\n" for number in range(rows))


def longer(text: str, length: int) -> str:
    """A text that is repeated until it has a length."""
    return text if len(text) >= length else ((text + " ") * (length // (len(text) + 1) + 1))[:length]


def headrace_config(scenario: Scenario, base_url: str, source: str, sink: str) -> dict[str, Any]:
    """The config by which a user runs a scenario."""
    message = {"role": "user", "content": "{prompt}"}
    stream = {"stream": True} if scenario.events else {}
    return {
        "source": {"path": source},
        "request": {"url": "/v1/chat/completions", "body": {"model": MODEL, "max_tokens": MAX_TOKENS, "messages": [message], **stream}},
        "provider": {"base_url": base_url, "api_key_env": KEY_VARIABLE},
        "limits": {"requests_per_second": scenario.rate, "max_in_flight": scenario.in_flight},
        "timeouts": {"total_seconds": scenario.timeout_seconds},
        "sink": {"path": sink},
        **scenario.settings,
    }


def prepare(subject: Subject, scenario: Scenario, base_url: str, folder: Path) -> list[str]:
    """Write what the subject needs into an empty folder; the command that runs it."""
    if subject.program is not None:
        return generator(subject.program, scenario, base_url, folder)
    source = folder / "prompts.jsonl"
    write_input(source, scenario.rows, scenario.prompt_bytes)
    if subject.module is None:
        config = folder / "config.yaml"
        config.write_text(json.dumps(headrace_config(scenario, base_url, source.name, "results.jsonl"), indent=1))  # JSON is YAML
        return [sys.executable, "-m", "pipeline", "run", str(config), "--json", "--progress", "none"]
    task = folder / "task.json"
    keys = {
        "stream": scenario.events > 0,
        "in_flight": scenario.in_flight,
        "rate": scenario.rate,
        "timeout_seconds": scenario.timeout_seconds,
    }
    task.write_text(json.dumps({"input": str(source), "base_url": base_url, "report": str(folder / "report.json"), **keys}))
    return [sys.executable, "-m", f"benchmarks.peers.{subject.module}", str(task)]


def generator(program: str, scenario: Scenario, base_url: str, folder: Path) -> list[str]:
    """The command of a load generator, which offers the same load with the prompt of the first row. wrk counts time and not requests."""
    url, request = f"{base_url}/chat/completions", json.dumps(body(prompt(0)))
    if program == "hey":
        (folder / "request.json").write_text(request)
        each = max(1, scenario.rows // scenario.in_flight) * scenario.in_flight
        how = ["-m", "POST", "-T", "application/json", "-D", str(folder / "request.json"), "-H", f"Authorization: Bearer {KEY}"]
        return [found("hey"), "-n", str(each), "-c", str(min(scenario.in_flight, scenario.rows)), "-t", "0", *how, url]
    script = f'wrk.method = "POST"\nwrk.body = {json.dumps(request)}\nwrk.headers["Content-Type"] = "application/json"\n'
    (folder / "request.lua").write_text(f'{script}wrk.headers["Authorization"] = "Bearer {KEY}"\n')
    seconds = max(1, round(scenario.rows * mean_latency(scenario.latency, scenario.rows) / scenario.in_flight))
    return [found("wrk"), "-t", "1", "-c", str(scenario.in_flight), "-d", f"{seconds}s", "-s", str(folder / "request.lua"), url]


def found(program: str) -> str:
    """Where a program is."""
    return shutil.which(program) or program


def environment() -> dict[str, str]:
    """What every subject finds in its environment besides the machine's own. All start from bytecode, as what pip installed does."""
    return {"PYTHONDONTWRITEBYTECODE": "", KEY_VARIABLE: KEY, "OPENAI_API_KEY": KEY, "LITELLM_LOCAL_MODEL_COST_MAP": "True"}


def verdict(subject: Subject, scenario: Scenario, folder: Path) -> dict[str, float]:
    """What came of the rows: a peer's own report, or the lines that headrace wrote."""
    if subject.program is not None:
        return {}
    if subject.module is None:
        return judge([prompt(number)[:NUMBER_END] for number in range(scenario.rows)], written(folder / "results.jsonl"))
    report = folder / "report.json"
    if not report.exists():
        return {"rows": scenario.rows, "right": 0, "misplaced": 0, "lost": scenario.rows}
    figures: dict[str, float] = json.loads(report.read_text())
    return figures


def written(path: Path) -> list[str | None]:
    """The content of each line of results, None for a failure."""
    if not path.exists():
        return []
    with path.open(encoding="utf-8") as lines:
        return [content(json.loads(line)) for line in lines]


def content(line: dict[str, Any]) -> str | None:
    """The answer in an OpenAI Batch output line."""
    response = line["response"]
    if response is None or response["status_code"] != 200:
        return None
    answer: str = response["body"]["choices"][0]["message"]["content"]
    return answer
