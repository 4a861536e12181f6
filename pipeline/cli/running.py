"""`headrace run`: loads the config, runs it, and tells what came of it, also of a run that was stopped."""

from __future__ import annotations

import os
import shlex
from functools import partial
from typing import TYPE_CHECKING

import click

from pipeline.cli.flags import common
from pipeline.cli.frame import OK, SOME_FAILED, answer, guarded, leaves

if TYPE_CHECKING:
    from pipeline.cli.frame import Talk
    from pipeline.config import Config
    from pipeline.records import Summary


class _RunCommand(click.Command):
    """Reads `--retry-failed` without a value, which must not take the next argument for its value."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, ["--retry-failed=transient" if arg == "--retry-failed" else arg for arg in args])


def _read_choice(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    from pipeline.core.output.written import FailureChoice

    try:
        if value is not None:
            FailureChoice.parse(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None
    return value


@click.command("run", cls=_RunCommand)
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Take only the first N rows.")
@click.option("--fresh", is_flag=True, help="Start over: an existing output is moved aside, never deleted.")
@click.option("--accept-changes", is_flag=True, help="Go on although the input, config or output has changed; changed rows are sent again.")
@click.option(
    "--retry-failed",
    metavar="[=transient|all|CODE,…]",
    callback=_read_choice,
    help="Send failed rows again: those whose cause may have passed (transient), all, or those with the given error codes or "
    "statuses. Rows that were never sent always count.",
)
@common
def run_command(
    config_path: str,
    overrides: tuple[str, ...],
    progress: str,
    limit: int | None,
    verbose: int,
    *,
    as_json: bool,
    fresh: bool,
    accept_changes: bool,
    retry_failed: str | None,
) -> int:
    """Run a pipeline to its end; run it again to go on where it was stopped.

    One result for each row of CONFIG's input, in order. The first Ctrl-C lets what is in flight finish, the second cancels it.
    """

    def work(terminal: Talk) -> int:
        from pipeline.cli.launch import RunChoices, launch
        from pipeline.config import load_config
        from pipeline.errors import RunStopped

        config = load_config(config_path, overrides, environment=os.environ)
        command = shlex.join(["headrace", "run", config_path, *(part for each in overrides for part in ("--set", each))])
        show = partial(_show_summary, terminal, config, command, as_json=as_json)
        choices = RunChoices(limit=limit, fresh=fresh, accept_changes=accept_changes, retry_failed=retry_failed or False)
        try:
            summary = launch(config, terminal, progress, choices, telling=verbose > 0)
        except* RunStopped as group:
            show(next(error.summary for error in leaves(group)))
            raise
        show(summary)
        return SOME_FAILED if summary.failed else OK

    return guarded(work, verbose)


def _show_summary(terminal: Talk, config: Config, command: str, summary: Summary | None, *, as_json: bool) -> None:
    if summary is None:
        return
    import json

    import attrs

    from pipeline.cli.summary import summary_text
    from pipeline.config.environment import sends_no_key

    value = attrs.asdict(summary)
    if terminal.takes_objects:
        terminal.say(json.dumps({"event": "summary", **value}))
    else:
        in_order, without_key = config.sink.order.value == "input", any(map(sends_no_key, config.lanes))
        terminal.say(summary_text(summary, config.sink.path, command, in_order=in_order, without_key=without_key))
    if as_json:
        answer(value)
