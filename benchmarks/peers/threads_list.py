"""The article's first program: threads, one shared requests.Session, one shared list; an error is printed and its row is gone."""

from __future__ import annotations

import threading

import requests

from benchmarks.peers.task import Task, body, cpu_seconds


def run(task: Task) -> list[str | None]:
    """A thread per prompt, as many at a time as may be in flight; answers in the order of their coming."""
    session = requests.Session()
    session.headers.update(task.headers)
    results: list[str | None] = []

    def ask(prompt: str) -> None:
        try:
            response = session.post(task.url, json=body(prompt), timeout=task.timeout_seconds)
            response.raise_for_status()
            results.append(response.json()["choices"][0]["message"]["content"])
        except Exception as error:
            print(error)

    for start in range(0, len(task.prompts), task.in_flight):
        threads = [threading.Thread(target=ask, args=(prompt,)) for prompt in task.prompts[start : start + task.in_flight]]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return results


if __name__ == "__main__":
    work = Task.load()
    ready = cpu_seconds()
    work.finish(run(work), ready=ready)
