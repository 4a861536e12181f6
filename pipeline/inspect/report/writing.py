"""`report(config)`: reads a run's files and writes its report."""

from __future__ import annotations

import os
import platform
import shlex
import time
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.config.load import given_config, load_config
from pipeline.core.answers.secrets import Secrets
from pipeline.core.output.words import duration
from pipeline.errors import ConfigError, UsageError
from pipeline.inspect.report.findings import findings_of
from pipeline.inspect.report.gathered import gather
from pipeline.inspect.report.page import Report, page_of
from pipeline.inspect.report.plots import plots_of
from pipeline.inspect.report.timeline import timeline_of
from pipeline.inspect.results import run_directory
from pipeline.runs.lanes import lanes_of
from pipeline.runs.providers import credentials, secrets_of
from pipeline.values import Record
from pipeline.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.config import Config
    from pipeline.inspect.report.gathered import Gathered
    from pipeline.inspect.report.timeline import Timeline

MODE = 0o600  # messages of providers may be confidential


class ReportFile(Record, frozen=True):
    """What `report` wrote. path: of the file. headline: its first sentence."""

    path: str
    headline: str


def report(config: Config | str | os.PathLike[str], out: str | os.PathLike[str] | None = None) -> ReportFile:
    """Write a report about a config's run: one HTML file, which works offline. A run that goes on may be reported too.

    config: or the path of one, which then is shown in the report and named in its commands. out: the file, which is replaced if it is
    a report; None is beside the output, ending in `.report.html`.
    Raises: InputError, where no run has begun; JournalError; UsageError, where the file cannot be written.
    """
    if isinstance(config, (str, os.PathLike)):
        return report_of_file(os.fspath(config), out)
    return _written(given_config(config), "", "(made in Python)", "headrace run CONFIG", out)


def report_of_file(path: str, out: str | os.PathLike[str] | None = None, overrides: Sequence[str] = ()) -> ReportFile:
    """The same for a config in a file, with overrides as `--set` gives them."""
    config = load_config(path, overrides)
    text = Path(path).read_text(encoding="utf-8-sig") + "".join(f"\n# --set {each}" for each in overrides)
    words = ["headrace", "run", path, *(word for each in overrides for word in ("--set", each))]
    if run_directory(config) is not None and config.engine.kind.value == "local":
        words += ["--engine", "ray"]
    return _written(config, path, text, shlex.join(words), out)


def _written(config: Config, name: str, text: str, command: str, out: str | os.PathLike[str] | None) -> ReportFile:
    target = Path(f"{config.sink.path}.report.html" if out is None else out)
    gathered = gather(config)
    timeline = timeline_of(gathered.sessions)
    limits = {state.name: state.allowed for state in lanes_of(config).states}
    findings = findings_of(gathered, timeline, config, limits, command)
    page = page_of(
        Report(
            title=f"{_short(config.source.path)} → {Path(config.sink.path).name}",
            findings=findings,
            gathered=gathered,
            timeline=timeline,
            limits=limits,
            plots=plots_of(timeline, config, limits),
            config=text,
            facts=_facts(config, gathered, timeline, name),
            output=config.sink.path,
        )
    )
    _write(target, Secrets(_keys_of(config)).hidden_in(page))
    return ReportFile(str(target), findings.headline)


def _short(path: str | Sequence[str]) -> str:
    """What people call an input."""
    if isinstance(path, str):
        return Path(path).name if path != "-" else "stdin"
    return f"{Path(path[0]).name} and {len(path) - 1} more" if len(path) > 1 else Path(path[0]).name


def _keys_of(config: Config) -> tuple[str, ...]:
    """The keys that the config names, as far as they are set: a report may be written where they are not."""
    try:
        return secrets_of(credentials(config))
    except ConfigError:
        return ()


def _facts(config: Config, gathered: Gathered, timeline: Timeline, name: str) -> list[tuple[str, str]]:
    state = gathered.state
    began = min((history.utc for history in gathered.sessions), default=0.0) or state.committed_at
    when = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(began))
    rows = f"{state.recorded:,}" if state.rows is None else f"{state.rows:,}"
    return [
        ("began", when),
        ("took", duration(timeline.seconds) + (f", in {len(gathered.sessions)} sessions" if len(gathered.sessions) > 1 else "")),
        ("headrace", VERSION),
        ("Python", f"{platform.python_version()}, {platform.system()} {platform.machine()}"),
        ("input", f"{_short(config.source.path)}, {rows} rows"),
        ("results", f"{config.sink.path}, {state.written:,} lines"),
        ("digest", f"sha256 {state.digest}, over the bytes of the results" if state.digest else "–"),
        ("config", name or "made in Python"),
    ]


def _write(target: Path, text: str) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists() and b"<title>headrace report" not in target.read_bytes()[:2000]:
            raise UsageError(f"{target} is no report, so it is not replaced; name another file with --out")
        part = target.with_name(target.name + ".part")
        with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, MODE), "wb") as file:  # noqa: PTH123  the mode is ours
            file.write(text.encode("utf-8", "replace"))
        part.replace(target)
    except OSError as error:
        raise UsageError(f"{error.filename or target}: {error.strerror or error}") from error
