"""What SIGHUP does to a run without a terminal: the config is read again, and what may change while a run goes on does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from pipeline.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from pipeline.config import Config
    from pipeline.runs.live import Changed, LiveConfig


def reloading(live: LiveConfig, read: Callable[[], Config], say: Callable[[str], None]) -> Callable[[], Awaitable[None]]:
    """What reads the config again and puts it in force. read: raises ConfigError; called in a thread. say: told what became of it."""

    async def reload() -> None:
        try:
            found = await live.replace(await trio.to_thread.run_sync(read))
        except ConfigError as error:
            say(f"the config was not read again, and nothing has changed:\n{error}")
        else:
            say(words_of(found))

    return reload


def words_of(found: Changed) -> str:
    """What became of a config that was read again, for people."""
    lines = ["the config was read again: " + ("; ".join(found.changes) if found.changes else "nothing has changed")]
    if found.kept:
        lines.append(f"not changed while a run goes on: {', '.join(found.kept)} (run the command again for that)")
    return "\n".join(lines)
