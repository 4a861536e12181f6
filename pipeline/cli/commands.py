"""The commands beside `run`. Each loads its config, calls the function that does the work, and shows what came of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from pipeline.cli.flags import common, json_flag, verbose_flag
from pipeline.cli.frame import OK, SOME_FAILED, answer, guarded, tell

if TYPE_CHECKING:
    from pipeline.cli.frame import Talk


@click.command("check")
@common
def check_command(config_path: str, overrides: tuple[str, ...], progress: str, verbose: int, *, as_json: bool) -> int:
    """Estimate rows, tokens, time and cost without sending anything.

    Reads CONFIG and its whole input. Exit code 1 if any row is bad, 2 if none can be sent.
    """
    del progress

    def work(terminal: Talk) -> int:
        from pipeline.cli.checking import check_file

        return check_file(terminal, config_path, overrides, as_json=as_json)

    return guarded(work, verbose)


@click.command("verify")
@common
def verify_command(config_path: str, overrides: tuple[str, ...], progress: str, verbose: int, *, as_json: bool) -> int:
    """Check that the output has exactly one correct line per input row.

    Exit code 0 if every row of CONFIG's input is there once and in its place, else 1.
    """
    del progress

    def work(terminal: Talk) -> int:
        from pipeline.cli.texts import verification_text
        from pipeline.config import load_config
        from pipeline.inspect.verify import verify

        config = load_config(config_path, overrides)
        found = verify(config)
        tell(terminal, verification_text(found, config.sink.path), ok=found.ok)
        if as_json:
            import attrs  # 20 ms

            answer(attrs.asdict(found))
        return OK if found.ok else SOME_FAILED

    return guarded(work, verbose)


@click.command("status")
@common
def status_command(config_path: str, overrides: tuple[str, ...], progress: str, verbose: int, *, as_json: bool) -> int:
    """Show the progress of a run.

    Reads the journal of CONFIG's run, finished, stopped or going on just now, and disturbs nothing.
    """
    del progress

    def work(terminal: Talk) -> int:
        import time

        from msgspec.structs import asdict

        from pipeline.cli.texts import status_text
        from pipeline.config import load_config
        from pipeline.inspect.status import status

        config = load_config(config_path, overrides)
        found = status(config)
        tell(terminal, status_text(found, config.sink.path, time.time()), ok=True)
        if as_json:
            import attrs  # 20 ms

            answer(attrs.asdict(found) | {"lanes": [asdict(lane) for lane in found.lanes]})
        return OK

    return guarded(work, verbose)


@click.command("export")
@click.option("--neutralise-formulas", is_flag=True, help="Put an apostrophe before text that a spreadsheet would take for a formula.")
@click.option("-o", "--out", "target", default="-", metavar="PATH", type=click.Path(), help="A new file; stdout if left out.")
@click.option(
    "--format", "form", type=click.Choice(["csv", "tsv", "jsonl", "parquet", "arrow"]), help="By the name of the file if left out."
)
@click.option(
    "--columns", multiple=True, metavar="NAMES", help='Fields of the input to add, with commas between; "*" adds all. Repeatable.'
)
@click.option("--excel", is_flag=True, help="Begin a CSV file with the mark by which Excel knows UTF-8.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Set a dotted key to a YAML value. Repeatable.")
@verbose_flag
@click.argument("config_path", metavar="CONFIG", type=click.Path())
def export_command(
    config_path: str,
    target: str,
    form: str | None,
    columns: tuple[str, ...],
    overrides: tuple[str, ...],
    verbose: int,
    *,
    excel: bool,
    neutralise_formulas: bool,
) -> int:
    """Write the results as a table: CSV, TSV, JSON Lines, Parquet or Arrow.

    Takes what CONFIG's output holds so far, one row for each line. The output stays as it is.
    """

    def work(terminal: Talk) -> int:
        from pipeline.config import load_config
        from pipeline.inspect.export import export

        names = [name.strip() for each in columns for name in each.split(",") if name.strip()]
        config = load_config(config_path, overrides)
        rows = export(config, target, form=form, columns=names, excel=excel, neutralise_formulas=neutralise_formulas)
        tell(terminal, f"{rows:,} rows exported" + ("" if target == "-" else f" to {target}"), ok=True)
        return OK

    return guarded(work, verbose)


@click.command("report")
@click.option("-o", "--out", "target", metavar="PATH", type=click.Path(), help="The file; beside the output if left out.")
@click.option("--open", "opens", is_flag=True, help="Show it in the browser.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Set a dotted key to a YAML value. Repeatable.")
@json_flag
@verbose_flag
@click.argument("config_path", metavar="CONFIG", type=click.Path())
def report_command(config_path: str, target: str | None, overrides: tuple[str, ...], verbose: int, *, opens: bool, as_json: bool) -> int:
    """Write a report with plots about a run as one HTML file.

    It works offline and fetches nothing. CONFIG's run may be finished, stopped or going on just now.
    """

    def work(terminal: Talk) -> int:
        from pipeline.inspect.report.writing import report_of_file

        made = report_of_file(config_path, target, overrides)
        terminal.say(f"{made.headline}\n{made.path}")
        if as_json:
            import attrs  # 20 ms

            answer(attrs.asdict(made))
        if opens:
            import webbrowser
            from pathlib import Path

            webbrowser.open(Path(made.path).absolute().as_uri())
        return OK

    return guarded(work, verbose)


@click.command("simulate")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="0 takes a free one.")
@click.option("--host", default="127.0.0.1", help="A loopback address.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="As in `provider.simulate`: --set latency.median_seconds=0.2")
@json_flag
@verbose_flag
@click.argument("settings", required=False, metavar="[SETTINGS]", type=click.Path())
def simulate_command(host: str, port: int, settings: str | None, overrides: tuple[str, ...], verbose: int, *, as_json: bool) -> int:
    """Serve a simulated provider on loopback.

    It answers in the shapes of OpenAI, Anthropic, Gemini, Cohere and Ollama, with latency, limits and faults that can be set, until it
    is interrupted. SETTINGS is a YAML file of them, or a run's config, of which `provider.simulate` is taken.
    """

    def work(terminal: Talk) -> int:
        import trio

        from pipeline.config.load import load_simulate
        from pipeline.edges.process.signals import stop_on_signals
        from pipeline.simulate import serve

        config = load_simulate(overrides, settings)

        async def main() -> None:
            stop = trio.Event()
            async with trio.open_nursery() as nursery:
                await nursery.start(stop_on_signals, stop, stop.set, lambda _: None)
                base_url: str = await nursery.start(lambda task_status: serve(config, host=host, port=port, task_status=task_status))
                tell(terminal, f"simulated provider at {base_url} (Ctrl-C stops it)", ok=True)
                if as_json:
                    address = base_url.removeprefix("http://").removesuffix("/v1")
                    answer({"host": address.rpartition(":")[0], "port": int(address.rpartition(":")[2]), "base_url": base_url})
                await stop.wait()
                nursery.cancel_scope.cancel()

        trio.run(main)
        return OK

    return guarded(work, verbose)
