"""The commands of `python -m benchmarks`; no measuring here."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import click

from benchmarks.scenarios import SCENARIOS, Scenario
from benchmarks.subjects import SUBJECTS, headrace_config, write_input

RESULTS = Path(__file__).parent / "results"
PORT = 8089


@click.group()
def main() -> None:
    """Measure headrace and its peers."""


@main.command("list")
def list_() -> None:
    """What can be measured, and with whom."""
    for scenario in SCENARIOS.values():
        click.echo(f"{scenario.name:<16} {scenario.title} ({scenario.rows:,} rows)")
    click.echo()
    for subject in SUBJECTS.values():
        missing = subject.missing()
        click.echo(f"{subject.name:<18} {subject.title}" + (f"  [not installed: {', '.join(missing)}]" if missing else ""))


@main.command()
@click.argument("names", nargs=-1, metavar="[SCENARIO]...")
@click.option("--quick", is_flag=True, help="Few rows, one run, no warm-up, slow peers only if named: correctness only.")
@click.option("--runs", default=5, show_default=True, help="Runs that count; one more warms up.")
@click.option("--peers", help="Only these, comma-separated.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Where the JSON goes; standard output if not given.")
def run(names: tuple[str, ...], *, quick: bool, runs: int, peers: str | None, out: Path | None) -> None:
    """Measure SCENARIOs (all of them if none is named)."""
    from benchmarks.harness import measure

    scenarios = [scenario.quick() if quick else scenario for scenario in chosen(names)]
    wanted = peers.split(",") if peers else [name for name, subject in SUBJECTS.items() if not (quick and subject.slow)]
    if unknown := set(wanted) - set(SUBJECTS):
        raise click.UsageError(f"unknown peers: {', '.join(sorted(unknown))}; `list` shows them")
    result = measure(scenarios, wanted, 1 if quick else runs, warm_up=not quick, say=lambda line: click.echo(line, err=True))
    text = json.dumps(result, indent=1)
    if out is None:
        click.echo(text)
    else:
        out.write_text(text + "\n", encoding="utf-8")


def chosen(names: tuple[str, ...]) -> list[Scenario]:
    """Scenarios by name, or a whole family by its."""
    found: list[Scenario] = []
    for name in names or tuple(SCENARIOS):
        family = [scenario for scenario in SCENARIOS.values() if scenario.family == name]
        if name not in SCENARIOS and not family:
            raise click.UsageError(f"no scenario {name!r}; `list` shows them")
        found += [SCENARIOS[name]] if name in SCENARIOS else family
    return found


@main.command()
@click.argument("before", type=click.Path(exists=True, path_type=Path))
@click.argument("after", type=click.Path(exists=True, path_type=Path))
def compare(before: Path, after: Path) -> None:
    """What changed from one result to another."""
    from benchmarks.compare import changes

    for line in changes(json.loads(before.read_text()), json.loads(after.read_text())):
        click.echo(line)


@main.command()
@click.argument("result", type=click.Path(exists=True, path_type=Path))
@click.option("--into", type=click.Path(path_type=Path, file_okay=False), default=RESULTS, show_default=True)
@click.option("--page", help="Only a page of this name with the tables: for a result of a few scenarios beside the whole one.")
def report(result: Path, into: Path, page: str | None) -> None:
    """Write README.md with tables, and plots as SVG; with what soak.json beside them says, if it is there."""
    from benchmarks.report import markdown

    measured = json.loads(result.read_text())
    into.mkdir(parents=True, exist_ok=True)
    if page is not None:
        (into / page).write_text(markdown(measured, [], result.name, whole=False), encoding="utf-8")
        return
    from benchmarks.plots import draw

    plots = draw(measured, into)
    soaked = json.loads((into / "soak.json").read_text()) if (into / "soak.json").exists() else None
    (into / "README.md").write_text(markdown(measured, plots, result.name, soaked), encoding="utf-8")


@main.command()
@click.argument("name", metavar="SCENARIO")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option("--port", default=PORT, show_default=True)
def config(name: str, folder: Path, port: int) -> None:
    """Write a SCENARIO into FOLDER as an ordinary config with its input, for `headrace run`."""
    (scenario,) = chosen((name,))
    folder.mkdir(parents=True, exist_ok=True)
    write_input(folder / "prompts.jsonl", scenario.rows, scenario.prompt_bytes)
    settings = headrace_config(scenario, f"http://127.0.0.1:{port}/v1", "prompts.jsonl", "results.jsonl")
    settings["provider"]["api_key_env"] = None
    from ruamel.yaml import YAML

    yaml = YAML()
    yaml.default_flow_style = False
    with (folder / f"{name}.yaml").open("w", encoding="utf-8") as file:
        file.write(f"# {scenario.title}.\n# Its provider: python -m benchmarks serve {name}\n")
        yaml.dump(settings, file)
    click.echo(f"python -m benchmarks serve {name} --port {port} &\nheadrace run {folder / name}.yaml")


@main.command()
@click.argument("name", metavar="SCENARIO")
@click.option("--port", default=PORT, show_default=True)
def serve(name: str, port: int) -> None:
    """Serve a SCENARIO's provider (without TLS) until standard input ends or Ctrl-C."""
    from benchmarks.provider import ROOT, server_command

    (scenario,) = chosen((name,))
    where = [str(port)] if scenario.simulate is not None else ["--port", str(port)]
    with subprocess.Popen([*server_command(scenario), *where], cwd=ROOT, stdin=subprocess.PIPE) as process:
        try:
            process.wait()
        except KeyboardInterrupt:
            process.terminate()
