"""headrace from Python: a list in and a list out, results as they come, and a whole run of files with its summary.

Everything here talks to the embedded provider, so it needs no key. Run it as `python examples/library.py`.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import trio

import pipeline

CONFIG = """
source: {path: prompts.jsonl}
request:
  url: /v1/chat/completions
  body: {model: gpt-4o, max_tokens: 100, messages: [{role: user, content: "{prompt}"}]}
provider:
  simulate: {faults: {http_429: 0.2, reset_before: 0.1}}
limits: {requests_per_second: 50, max_in_flight: 10}
sink: {path: results.jsonl}
"""


def list_in_list_out(config: pipeline.Config) -> None:
    """The plain blocking call, for scripts and notebooks."""
    outcomes = pipeline.run_batch(["What is a weir?", "What is a sluice?", {"no": "prompt"}], config)

    for outcome in outcomes:
        if isinstance(outcome, pipeline.Success):
            print(outcome.custom_id, pipeline.content_of(outcome), outcome.usage.output_tokens)
        else:
            print(outcome.custom_id, outcome.kind.value, outcome.message)


async def results_as_they_come(config: pipeline.Config) -> None:
    """In order, and with backpressure: no more rows are taken than this loop keeps up with."""
    prompts = (f"Question {number}" for number in range(1_000_000))

    async with pipeline.stream(config, prompts) as outcomes:
        async for outcome in outcomes:
            print(outcome.index, pipeline.content_of(outcome))
            if outcome.index == 4:
                break


async def files_with_a_summary(config: pipeline.Config) -> None:
    """What `headrace run` does, and an early stop in good order."""
    stop = trio.Event()

    def watch(progress: pipeline.Progress) -> None:
        if progress.rows_failed > 100:
            stop.set()

    try:
        summary = await pipeline.run(config, stop=stop, progress=watch)
    except pipeline.RunStopped as error:
        print("stopped:", error.reason)
    else:
        print(f"{summary.succeeded} of {summary.total} rows in {summary.attempts} attempts")


def main() -> None:
    """One after the other."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "config.yaml")
        path.write_text(CONFIG, encoding="utf-8")
        Path(folder, "prompts.jsonl").write_text('{"prompt": "What is a weir?"}\n' * 20, encoding="utf-8")
        config = pipeline.load_config(path)

        list_in_list_out(config)
        trio.run(results_as_they_come, config)
        trio.run(files_with_a_summary, config)


if __name__ == "__main__":
    main()
