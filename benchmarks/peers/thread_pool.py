"""The article's second program: a thread pool and a semaphore, locks around a list of results and one of errors, a summary."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import requests

from benchmarks.peers.task import Task, body, cpu_seconds


class HolySheepAIClient:
    """Keeps every result and every error, each under its lock; says which errors are worth another try, but does not try."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.session = requests.Session()
        self.session.mount("http", requests.adapters.HTTPAdapter(pool_maxsize=task.in_flight))
        self.session.headers.update(task.headers)
        self.semaphore = threading.Semaphore(task.in_flight)
        self.results_lock = threading.Lock()
        self.errors_lock = threading.Lock()
        self.results: list[dict[str, Any]] = []
        self.errors: list[dict[str, Any]] = []

    def ask(self, index: int, prompt: str) -> None:
        """One request, its outcome kept."""
        try:
            with self.semaphore:
                response = self.session.post(self.task.url, json=body(prompt), timeout=self.task.timeout_seconds)
            if response.status_code == 200:
                answer = response.json()
                content, usage = answer["choices"][0]["message"]["content"], answer["usage"]
                with self.results_lock:
                    self.results.append({"index": index, "content": content, "usage": usage})
            else:
                self.note(index, response.text, status_code=response.status_code)
        except requests.Timeout as error:
            self.note(index, str(error), retryable=True)
        except Exception as error:
            self.note(index, str(error))

    def note(self, index: int, message: str, *, status_code: int | None = None, retryable: bool = False) -> None:
        """Keep an error."""
        with self.errors_lock:
            self.errors.append({"index": index, "error": message, "status_code": status_code, "retryable": retryable})

    def run(self) -> dict[str, int]:
        """All prompts through the pool."""
        with ThreadPoolExecutor(max_workers=self.task.in_flight) as pool:
            for index, prompt in enumerate(self.task.prompts):
                pool.submit(self.ask, index, prompt)
        return {"total": len(self.task.prompts), "success": len(self.results), "errors": len(self.errors)}


if __name__ == "__main__":
    work = Task.load()
    ready = cpu_seconds()
    client = HolySheepAIClient(work)
    print(client.run())
    kept = {result["index"]: result["content"] for result in client.results}
    work.finish([kept.get(index) for index in range(len(work.prompts))], ready=ready)
