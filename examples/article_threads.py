"""The program that everybody writes first: a thread for each prompt, one shared list, and errors that are only printed.

It even waits and asks again after a 429. Run it beside `article_headrace.py`, which does the same work on the same provider.
"""

from __future__ import annotations

import json
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import trio

import pipeline
from pipeline import SimulateConfig, expected_answer, serve_simulated

HERE = Path(__file__).parent
TIMEOUT_SECONDS = 2.0

results: list[str] = []


def request_body(prompt: str) -> dict[str, Any]:
    """The request for a prompt."""
    return {"model": "gpt-4o", "max_tokens": 500, "messages": [{"role": "user", "content": prompt}]}


def post(url: str, prompt: str) -> str:
    """Ask once."""
    headers = {"Content-Type": "application/json", "Authorization": "Bearer no-key-needed"}
    request = urllib.request.Request(url, json.dumps(request_body(prompt)).encode(), headers)
    with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as response:
        return str(json.load(response)["choices"][0]["message"]["content"])


def ask(url: str, prompt: str) -> None:
    """Ask, keep the answer, and be done with whatever goes wrong."""
    try:
        try:
            results.append(post(url, prompt))
        except urllib.error.HTTPError as error:
            if error.code != 429:
                raise
            time.sleep(1)
            results.append(post(url, prompt))
    except Exception as error:  # noqa: BLE001  the first of its faults: a printed error is a lost row
        print(f"error: {error}")


def start_provider(config: SimulateConfig) -> str:
    """Serve the embedded provider in a thread, for as long as this program runs; its base URL."""
    addresses: SimpleQueue[str] = SimpleQueue()

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            addresses.put(await nursery.start(serve_simulated, config))

    threading.Thread(target=trio.run, args=(main,), daemon=True).start()
    return addresses.get()


def main() -> None:
    """Ask a hundred questions, and see how many were answered, and where."""
    config = pipeline.load_config(HERE / "article.yaml")
    assert config.provider.simulate is not None
    url = start_provider(config.provider.simulate) + "/chat/completions"
    prompts = Path(config.source.path).read_text(encoding="utf-8").splitlines()

    threads = [threading.Thread(target=ask, args=(url, prompt)) for prompt in prompts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    in_place = sum(answer == expected_answer(request_body(prompt)) for prompt, answer in zip(prompts, results, strict=False))
    print(f"{len(results)} of {len(prompts)} results; results[i] answers prompts[i] in {in_place} places")


if __name__ == "__main__":
    main()
