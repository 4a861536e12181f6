"""`headrace collect`: puts the parts of a run by several workers together."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from pipeline.cli.flags import json_flag, verbose_flag
from pipeline.cli.frame import OK, answer, guarded, tell

if TYPE_CHECKING:
    from pipeline.cli.frame import Talk


@click.command("collect")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Set a dotted key to a YAML value. Repeatable.")
@json_flag
@verbose_flag
@click.argument("config_path", metavar="CONFIG", type=click.Path())
def collect_command(config_path: str, overrides: tuple[str, ...], verbose: int, *, as_json: bool) -> int:
    """Put the parts of a run by several workers together in one file.

    For CONFIGs with `engine.ray.collect: parts`; otherwise the run does it by itself. The parts stay.
    """

    def work(terminal: Talk) -> int:
        from pipeline.config import load_config
        from pipeline.edges.store.files import real
        from pipeline.engines.collect import collect
        from pipeline.engines.rundir import RunDirectory
        from pipeline.engines.shipping import fetch_parts
        from pipeline.errors import InputError

        config = load_config(config_path, overrides)
        directory = RunDirectory.of(config)
        if not directory.exists:
            raise InputError(f"{directory.path}: there is no run directory; `headrace run --engine ray` makes it")
        with directory.locked():
            fetch_parts(directory)
            made = collect(directory, real(config.sink.path))
        tell(terminal, f"{made.rows:,} lines in {made.path}" + ("" if made.moved is None else f"; the one before is {made.moved}"), ok=True)
        if as_json:
            answer({"path": str(made.path), "rows": made.rows, "bytes": made.bytes, "digest": made.digest})
        return OK

    return guarded(work, verbose)
