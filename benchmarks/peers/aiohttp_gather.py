"""THE reference: aiohttp's `gather` over all rows with a semaphore, the answers in a list, then a file. No retries, no journal."""

from __future__ import annotations

import asyncio
import json

import aiohttp

from benchmarks.peers.task import Task, body, cpu_seconds


async def run(task: Task) -> list[str | None]:
    """One task per prompt, all at once, as many in flight as allowed; the answers in the order of the prompts."""
    semaphore = asyncio.Semaphore(task.in_flight)
    connector = aiohttp.TCPConnector(limit=0)
    timeout = aiohttp.ClientTimeout(total=task.timeout_seconds)
    async with aiohttp.ClientSession(headers=task.headers, connector=connector, timeout=timeout) as session:

        async def ask(prompt: str) -> str | None:
            try:
                async with semaphore, session.post(task.url, json=body(prompt)) as response:
                    answer = await response.json()
                    content: str = answer["choices"][0]["message"]["content"]
                    return content
            except Exception as error:
                print(error)
                return None

        return await asyncio.gather(*[ask(prompt) for prompt in task.prompts])


def main() -> None:
    """Ask, then write a line for each prompt."""
    task = Task.load()
    ready = cpu_seconds()
    answers = asyncio.run(run(task))
    with task.report.with_name("answers.jsonl").open("w", encoding="utf-8") as file:
        file.writelines(json.dumps({"answer": answer}) + "\n" for answer in answers)
    task.finish(answers, ready=ready)


if __name__ == "__main__":
    main()
