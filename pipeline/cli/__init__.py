"""The command line: flags and exit codes, and nothing else. What a command does is imported when it runs, so that `--help` is quick."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING

import click

from pipeline.cli.frame import INTERRUPTED, USAGE, hold_standard_streams
from pipeline.edges.process.early_signals import ending_at_once
from pipeline.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["headrace", "main"]


# Where each command is, in the order in which they are listed. A module is imported when its command is asked for.
MODULES = {
    "run": "pipeline.cli.running",
    "run-batch": "pipeline.cli.batch",
    "check": "pipeline.cli.commands",
    "verify": "pipeline.cli.commands",
    "status": "pipeline.cli.commands",
    "export": "pipeline.cli.commands",
    "report": "pipeline.cli.commands",
    "collect": "pipeline.cli.collecting",
    "init": "pipeline.cli.starting",
    "schema": "pipeline.cli.starting",
    "simulate": "pipeline.cli.commands",
    "serve": "pipeline.cli.serving",
}


class Commands(click.Group):
    """The commands, each imported when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Their names."""
        del ctx
        return sorted(MODULES)

    def get_command(self, ctx: click.Context | None, cmd_name: str) -> click.Command | None:
        """One of them, by its name."""
        del ctx
        if cmd_name not in MODULES:
            return None
        command: click.Command = getattr(import_module(MODULES[cmd_name]), f"{cmd_name.replace('-', '_')}_command")
        return command


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(VERSION, prog_name="headrace")
def headrace() -> None:
    """A file of prompts in, one ordered result each out, at the rate limit.

    Exit codes: 0 every row succeeded, 1 some rows failed, 2 wrong usage, config or input (nothing was sent), 3 aborted, 130 interrupted.
    """


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and give its exit code. arguments: None takes the process's own."""
    hold_standard_streams()
    try:
        with ending_at_once():
            code = headrace.main(args=None if arguments is None else list(arguments), prog_name="headrace", standalone_mode=False)
    except click.ClickException as error:
        error.show(file=sys.stderr)
        return error.exit_code
    except OverflowError as error:
        if "timestamp" not in str(error):
            raise
        click.echo("error: the clock of this machine is at a year beyond 2262, which Python cannot represent; set the clock", err=True)
        return USAGE
    except click.Abort:  # Ctrl-C before a command began
        return INTERRUPTED
    return code if isinstance(code, int) else 0
