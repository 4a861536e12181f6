"""`headrace serve`: loads the config, listens, and says where."""

from __future__ import annotations

import gc
import os
from typing import TYPE_CHECKING

import click

from pipeline.cli.flags import json_flag, verbose_flag
from pipeline.cli.frame import INTERRUPTED, OK, answer, guarded

if TYPE_CHECKING:
    from pipeline.cli.frame import Talk
    from pipeline.config import Config


@click.command("serve")
@click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen. Other machines need a key: serve.api_key_env.")
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="0 takes a free one.")
@click.option("--data", metavar="DIR", type=click.Path(), help="Where files and batches are kept; headrace-data beside CONFIG if left out.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Set a dotted key to a YAML value. Repeatable.")
@json_flag
@verbose_flag
@click.argument("config_path", metavar="CONFIG", type=click.Path())
def serve_command(
    config_path: str, host: str, port: int, data: str | None, overrides: tuple[str, ...], verbose: int, *, as_json: bool
) -> int:
    """Serve OpenAI's Files and Batches API.

    Clients upload a file of requests and create a batch; its rows go to CONFIG's provider under CONFIG's limits, which all batches
    share. Files and batches survive a restart. A web page at the address shows them. The first Ctrl-C lets what is in flight finish,
    the second cancels it. Exit code 0 if no batch is unfinished then, else 130: the next start goes on with them.
    """

    def work(terminal: Talk) -> int:
        gc.disable()  # nothing of what the imports make is garbage, and to look for it takes a tenth of the start
        try:
            import trio

            from pipeline.cli.launch import spare_the_collector
            from pipeline.cli.narrator import Narrator
            from pipeline.config import load_serve
            from pipeline.edges.process.signals import stop_on_signals
            from pipeline.serve.serving import serve
        except ImportError as error:
            from pipeline.errors import UsageError

            raise UsageError(f"`headrace serve` needs packages that are not installed: pip install 'headrace[serve]' ({error})") from None
        finally:
            gc.enable()

        config = load_serve(config_path, overrides, data=data, environment=os.environ)
        key = _key_of(config)
        narrator = Narrator(terminal.say) if verbose else None
        spare_the_collector()

        def listening(url: str) -> None:
            terminal.say(f"serving the Batch API at {url}/v1, and a page at {url} (Ctrl-C stops it)")
            if as_json:
                answer({"url": url})

        async def main() -> int:
            stop, give_up = trio.Event(), trio.Event()
            async with trio.open_nursery() as nursery:
                await nursery.start(stop_on_signals, stop, give_up.set, terminal.say)
                unfinished = await serve(
                    config, host=host, port=port, key=key, stop=stop, give_up=give_up, listening=listening, observer=narrator
                )
                nursery.cancel_scope.cancel()
            return unfinished

        unfinished = trio.run(main)
        if unfinished:
            terminal.say(f"{unfinished:,} batches are unfinished; the same command goes on with them")
        return INTERRUPTED if unfinished else OK

    return guarded(work, verbose)


def _key_of(config: Config) -> str | None:
    """The key that clients must show. Raises UsageError if its variable is not set."""
    from pipeline.errors import UsageError

    name = config.serve.api_key_env
    if name is None:
        return None
    key = os.environ.get(name, "").strip()
    if not key:
        raise UsageError(f"the environment variable {name} is not set (serve.api_key_env): put the key in it that clients must show")
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise UsageError(f"the environment variable {name} (serve.api_key_env) must hold printable ASCII without spaces")
    return key
