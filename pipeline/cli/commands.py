"""The commands and their flags. Each loads its config, calls the function that does the work, and shows what came of it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, TypedDict, TypeVar

import click

from pipeline.cli.frame import OK, SOME_FAILED, answer, guarded, leaves, say

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.cli.display import Display
    from pipeline.config import Config
    from pipeline.records import Summary

COLLECT_AFTER = 50_000  # new objects; some 10 MB of them at the most

Body = TypeVar("Body", bound="Callable[..., object]")


class RunChoices(TypedDict):
    """What the flags of `run` say besides the config; see `pipeline.run`."""

    limit: int | None
    fresh: bool
    accept_changes: bool
    retry_failed: bool


verbose_flag = click.option(
    "-v", "--verbose", count=True, help="Log what happens; shows the traceback of a defect. -vv logs every attempt."
)
json_flag = click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object on stdout.")


def common(body: Body) -> Body:
    """What every command that works on a config takes."""
    for part in (
        verbose_flag,
        json_flag,
        click.option("--progress", type=click.Choice(["auto", "live", "plain", "none"]), default="auto", help="How progress is shown."),
        click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Set a dotted key to a YAML value. Repeatable."),
        click.argument("config_path", metavar="CONFIG"),
    ):
        body = part(body)
    return body


@click.command("run")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Take only the first N rows.")
@click.option("--fresh", is_flag=True, help="Start over: an existing output is moved aside, never deleted.")
@click.option("--accept-changes", is_flag=True, help="Go on although the input, the config or the output is another than before.")
@click.option(
    "--retry-failed", is_flag=True, help="Send rows again that failed for a reason that may have passed; each result goes in its place."
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
    retry_failed: bool,
) -> int:
    """Run a pipeline to its end; run it again to go on where it was stopped.

    One result for each row of CONFIG's input, in order. The first Ctrl-C lets what is in flight finish, the second cancels it.
    """

    def work() -> int:
        from pipeline.config import load_config
        from pipeline.errors import RunStopped

        config = load_config(config_path, overrides)
        choices = RunChoices(limit=limit, fresh=fresh, accept_changes=accept_changes, retry_failed=retry_failed)
        try:
            with _display(progress) as display:
                summary = _launch(config, display, choices)
        except* RunStopped as group:
            _show_summary(next(error.summary for error in leaves(group)), config, as_json=as_json)
            say("not all rows are done; the same command goes on from here")
            raise
        _show_summary(summary, config, as_json=as_json)
        return SOME_FAILED if summary.failed else OK

    return guarded(work, verbose)


@click.command("check")
@common
def check_command(config_path: str, overrides: tuple[str, ...], progress: str, verbose: int, *, as_json: bool) -> int:
    """Say what a run would take, and send nothing.

    Reads CONFIG and its whole input: rows, bad rows, estimated tokens, time under the limits, cost.
    """
    del progress

    def work() -> int:
        import attrs

        from pipeline.cli.texts import report_text
        from pipeline.config import load_config
        from pipeline.inspect.check import check
        from pipeline.runs.assembly import api_key, open_provider

        config = load_config(config_path, overrides)
        report = check(config)
        say(report_text(report))
        if as_json:
            answer(attrs.asdict(report))
        open_provider(config, api_key(config.provider))  # opens nothing yet, but refuses what a run would refuse
        return OK

    return guarded(work, verbose)


@click.command("verify")
@common
def verify_command(config_path: str, overrides: tuple[str, ...], progress: str, verbose: int, *, as_json: bool) -> int:
    """Hold the output against the input.

    Exit code 0 if every row of CONFIG's input is there once and in its place, else 1.
    """
    del progress

    def work() -> int:
        import attrs

        from pipeline.cli.texts import verification_text
        from pipeline.config import load_config
        from pipeline.inspect.verify import verify

        config = load_config(config_path, overrides)
        found = verify(config)
        say(verification_text(found, config.sink.path))
        if as_json:
            answer(attrs.asdict(found))
        return OK if found.ok else SOME_FAILED

    return guarded(work, verbose)


@click.command("status")
@common
def status_command(config_path: str, overrides: tuple[str, ...], progress: str, verbose: int, *, as_json: bool) -> int:
    """Say how far a run is.

    Reads the journal of CONFIG's run, finished, stopped or going on just now, and disturbs nothing.
    """
    del progress

    def work() -> int:
        import time

        import attrs

        from pipeline.cli.texts import status_text
        from pipeline.config import load_config
        from pipeline.inspect.status import status

        config = load_config(config_path, overrides)
        found = status(config)
        say(status_text(found, config.sink.path, time.time()))
        if as_json:
            answer(attrs.asdict(found))
        return OK

    return guarded(work, verbose)


@click.command("export")
@click.option("--neutralise-formulas", is_flag=True, help="Put an apostrophe before text that a spreadsheet would work out.")
@click.option("--out", "target", default="-", metavar="PATH", help="A new file; stdout if left out.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Set a dotted key to a YAML value. Repeatable.")
@verbose_flag
@click.argument("config_path", metavar="CONFIG")
def export_command(config_path: str, target: str, overrides: tuple[str, ...], verbose: int, *, neutralise_formulas: bool) -> int:
    """Write the results as CSV.

    Takes what CONFIG's output holds so far, one row for each line. The output stays as it is.
    """

    def work() -> int:
        from pipeline.config import load_config
        from pipeline.inspect.export import export_csv

        rows = export_csv(load_config(config_path, overrides), target, neutralise_formulas=neutralise_formulas)
        say(f"{rows:,} rows exported" + ("" if target == "-" else f" to {target}"))
        return OK

    return guarded(work, verbose)


@click.command("init")
@verbose_flag
@click.argument("path", default="headrace.yaml")
def init_command(path: str, verbose: int) -> int:
    """Write a commented starter config.

    PATH is headrace.yaml if it is left out. An existing file is never overwritten.
    """

    def work() -> int:
        from pipeline.config.starter import write_starter

        write_starter(path)
        say(f"{path} is written; look through it, then: headrace check {path}")
        return OK

    return guarded(work, verbose)


@click.command("simulate")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="0 takes a free one.")
@click.option("--host", default="127.0.0.1", help="A loopback address.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="As in `provider.simulate`: --set latency.median_seconds=0.2")
@json_flag
@verbose_flag
def simulate_command(host: str, port: int, overrides: tuple[str, ...], verbose: int, *, as_json: bool) -> int:
    """Serve a simulated provider on loopback.

    It speaks OpenAI's API, with latency, limits and faults that can be set, until it is interrupted.
    """

    def work() -> int:
        import trio

        from pipeline.config.load import load_simulate
        from pipeline.edges.process.signals import stop_on_signals
        from pipeline.simulate import serve

        config = load_simulate(overrides)

        async def main() -> None:
            stop = trio.Event()
            async with trio.open_nursery() as nursery:
                await nursery.start(stop_on_signals, stop, stop.set, lambda _: None)
                base_url: str = await nursery.start(lambda task_status: serve(config, host=host, port=port, task_status=task_status))
                say(f"simulated provider at {base_url} (Ctrl-C stops it)")
                if as_json:
                    address = base_url.removeprefix("http://").removesuffix("/v1")
                    answer({"host": address.rpartition(":")[0], "port": int(address.rpartition(":")[2]), "base_url": base_url})
                await stop.wait()
                nursery.cancel_scope.cancel()

        trio.run(main)
        return OK

    return guarded(work, verbose)


def _launch(config: Config, display: Display, choices: RunChoices) -> Summary:
    """Run, and let signals stop it: the first in good order, the second at once."""
    import trio

    from pipeline.edges.process.signals import stop_on_signals
    from pipeline.runs.run import run

    _spare_the_collector()

    async def main() -> Summary:
        stop, give_up = trio.Event(), trio.Event()
        async with trio.open_nursery() as nursery:
            await nursery.start(stop_on_signals, stop, give_up.set, display.say)
            summary = await run(config, **choices, stop=stop, give_up=give_up, progress=display.show)
            nursery.cancel_scope.cancel()
        return summary

    return trio.run(main)


def _spare_the_collector() -> None:
    """Let the garbage collector look at what a run makes, less often, and no more at what the imports made.

    Nearly everything is freed by its reference count; the default threshold of 700 costs 5 to 10 % of a run's CPU. To collect
    what the imports left would free 1 MB and cost 9 ms.
    """
    import gc

    gc.freeze()
    gc.set_threshold(COLLECT_AFTER, 20, 20)


def _display(kind: str) -> Display:
    """How progress is shown; "auto" is live on a terminal and plain elsewhere."""
    from pipeline.cli.display import Display, LiveDisplay, PlainDisplay

    if kind == "auto":
        kind = "live" if sys.stderr is not None and sys.stderr.isatty() else "plain"
    return {"live": LiveDisplay, "plain": PlainDisplay, "none": Display}[kind](say)


def _show_summary(summary: Summary | None, config: Config, *, as_json: bool) -> None:
    if summary is None:
        return
    import attrs

    from pipeline.cli.texts import summary_text

    say(summary_text(summary, config.sink.path))
    if as_json:
        answer(attrs.asdict(summary))
