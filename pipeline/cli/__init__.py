"""The command line: flags and exit codes, and nothing else. What a command does is imported when it runs, so that `--help` is quick."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from pipeline.cli.batch import run_batch_command
from pipeline.cli.collecting import collect_command
from pipeline.cli.commands import check_command, export_command, report_command, simulate_command, status_command, verify_command
from pipeline.cli.frame import INTERRUPTED, USAGE, hold_standard_streams
from pipeline.cli.running import run_command
from pipeline.cli.serving import serve_command
from pipeline.cli.starting import init_command, schema_command
from pipeline.edges.process.early_signals import ending_at_once
from pipeline.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["headrace", "main"]


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(VERSION, prog_name="headrace")
def headrace() -> None:
    """A file of prompts in, one ordered result each out, at the rate limit.

    Exit codes: 0 every row succeeded, 1 some rows failed, 2 wrong usage, config or input (nothing was sent), 3 aborted, 130 interrupted.
    """


for command in (
    run_command,
    run_batch_command,
    check_command,
    verify_command,
    status_command,
    export_command,
    report_command,
    collect_command,
    init_command,
    schema_command,
    simulate_command,
    serve_command,
):
    headrace.add_command(command)


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
