"""`headrace run`: loads the config, runs it, and reports the result, also of a run that was stopped."""

from __future__ import annotations

import os
import shlex
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import click

from pipeline.cli.flags import common, is_quiet
from pipeline.cli.frame import OK, SOME_FAILED, answer, guarded, leaves, tell

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pipeline.cli.frame import Talk
    from pipeline.cli.launch import RunChoices
    from pipeline.config import Config
    from pipeline.summaries import Summary

WORDS = "headrace.words"  # where a command keeps the words that it was given

Body = TypeVar("Body", bound="Callable[..., object]")


class RunCommand(click.Command):
    """Reads `--retry-failed` without a value, which must not take the next argument for its value, and keeps the words it was given."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the words of a call."""
        ctx.meta[WORDS] = [arg for arg in args if not arg.startswith("--retry-failed")]
        return super().parse_args(ctx, ["--retry-failed=transient" if arg == "--retry-failed" else arg for arg in args])


def given_words(context: click.Context) -> list[str]:
    """The words after the name of the command, without `--retry-failed`."""
    words: list[str] = context.meta[WORDS]
    return words


def _read_choice(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    if value is None:
        return None
    from pipeline.core.output.written import FailureChoice

    try:
        FailureChoice.parse(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None
    return value


def run_flags(body: Body) -> Body:
    """What `run` and `run-batch` have in common beyond the flags of all commands."""
    for part in (
        click.option(
            "--retry-failed",
            metavar="[=transient|all|CODE,…]",
            callback=_read_choice,
            help="Retry failed rows: those whose cause may have passed (transient), all, or those with the given error codes or "
            "statuses. Rows that were never sent always count.",
        ),
        click.option("--accept-changes", is_flag=True, help="Continue although the input, config or output has changed."),
        click.option("--fresh", is_flag=True, help="Start over: an existing output is moved aside, never deleted."),
        click.option("--dry-run", is_flag=True, help="Send nothing: check the input and estimate tokens, time and cost."),
        click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Take only the first N rows."),
    ):
        body = part(body)
    return body


def engine_flags(body: Body) -> Body:
    """By how many processes a config is run."""
    for part in (
        click.option("--address", metavar="ADDRESS", help="Of the Ray cluster: local (one for this run), auto, or host:port. Implies ray."),
        click.option("--workers", type=click.IntRange(min=1), metavar="N", help="Processes that send. Implies --engine ray."),
        click.option("--engine", type=click.Choice(["local", "ray"]), help="One process, or the workers of a Ray cluster."),
    ):
        body = part(body)
    return body


def engine_settings(engine: str | None, workers: int | None, address: str | None) -> list[str]:
    """The same as overrides of the config. Raises click's errors where they do not fit together."""
    if engine == "local" and not (workers is None and address is None):
        raise click.UsageError("--workers and --address are for --engine ray")
    given = {"engine.ray.workers": workers, "engine.ray.address": address}
    settings = [f"{key}={value}" for key, value in given.items() if value is not None]
    return [f"engine.kind={engine or 'ray'}", *settings] if engine or settings else []


@click.command("run", cls=RunCommand)
@run_flags
@engine_flags
@common
def run_command(
    config_path: str,
    overrides: tuple[str, ...],
    progress: str,
    limit: int | None,
    verbose: int,
    engine: str | None,
    workers: int | None,
    address: str | None,
    *,
    as_json: bool,
    fresh: bool,
    accept_changes: bool,
    retry_failed: str | None,
    dry_run: bool,
) -> int:
    """Run a pipeline to its end; run it again to continue where it was stopped.

    One result for each row of CONFIG's input, in order. The first Ctrl-C lets what is in flight finish, the second cancels it.
    """
    given = [config_path, *set_flags(overrides)]
    overrides = (*overrides, *engine_settings(engine, workers, address))

    def work(terminal: Talk) -> int:
        from pipeline.config import load_config

        if dry_run:
            from pipeline.cli.checking import check_file

            return check_file(terminal, config_path, overrides, as_json=as_json)
        read = partial(load_config, config_path, overrides, environment=os.environ)
        config = read()
        flags = {"--engine": engine, "--workers": workers, "--address": address, "--limit": limit}
        again = [word for flag, value in flags.items() if value is not None for word in (flag, str(value))]
        command = shlex.join(["headrace", "run", *given, *again])
        report = shlex.join(["headrace", "report", *given])
        choices: RunChoices = {
            "limit": limit,
            "fresh": fresh,
            "accept_changes": accept_changes,
            "retry_failed": retry_failed or False,
        }
        return run_and_report(
            terminal, config, command, choices, progress, report=report, as_json=as_json, telling=verbose > 0, read_again=read
        )

    return guarded(work, verbose)


def set_flags(overrides: Sequence[str]) -> list[str]:
    """The words that give the same overrides again."""
    return [part for each in overrides for part in ("--set", each)]


def run_and_report(
    terminal: Talk,
    config: Config,
    command: str,
    choices: RunChoices,
    progress: str,
    *,
    report: str = "",
    as_json: bool,
    telling: bool,
    at_the_end: Callable[[], None] = lambda: None,
    read_again: Callable[[], Config] | None = None,
) -> int:
    """Run a config, show its summary, and give the exit code.

    command, report: what continues the run and what writes its report, for the summary's advice. at_the_end: called
    before the summary, also of a run that was stopped.
    read_again: reads the config again, None where there is none.
    """
    from pipeline.cli.launch import launch
    from pipeline.errors import RunStopped

    try:
        summary = launch(config, terminal, "none" if is_quiet() else progress, choices, telling=telling, read_again=read_again)
    except* RunStopped as group:
        at_the_end()
        _show_summary(terminal, config, (command, report), next(error.summary for error in leaves(group)), as_json=as_json)
        raise
    at_the_end()
    _show_summary(terminal, config, (command, report), summary, as_json=as_json)
    return SOME_FAILED if summary.failed else OK


def _higher(config: Config) -> dict[str, float]:
    """Twice of each part of the run's budget, by its setting: what the summary proposes when it is used up."""
    budget = config.budget
    parts = {"cost": budget.cost, "tokens": budget.tokens, "requests": budget.requests, "seconds": budget.seconds}
    return {f"budget.{name}": 2 * value or 1 for name, value in parts.items() if value is not None}


def _show_summary(terminal: Talk, config: Config, commands: tuple[str, str], summary: Summary | None, *, as_json: bool) -> None:
    if summary is None:
        return
    from pipeline.cli.summary import advice_on, summary_object, summary_text
    from pipeline.config.environment import sends_no_key

    where = config.sink.path
    if config.engine.kind.value == "ray":
        from pipeline.engines.rundir import results_path

        where = results_path(config)
    without_key = any(map(sends_no_key, config.lanes))
    command, report = commands
    advice = advice_on(summary, command, report=report, without_key=without_key, learns=config.limits.learn, more=_higher(config))
    if terminal.takes_objects:
        from pipeline.cli.announcer import as_event

        terminal.say(as_event("summary", summary_object(summary, advice)))
    else:
        text = summary_text(summary, where, advice, in_order=config.sink.order.value == "input")
        tell(terminal, text, ok=not summary.failed and summary.stopped is None)
    if as_json:
        answer(summary_object(summary, advice))
