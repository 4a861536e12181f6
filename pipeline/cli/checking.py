"""What `check` and `--dry-run` do: estimate a run, and refuse what a run would refuse before it sends anything."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pipeline.cli.frame import OK, SOME_FAILED, USAGE, answer, tell

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.cli.frame import Talk
    from pipeline.config import Config


def check_file(terminal: Talk, path: str, overrides: Sequence[str], *, as_json: bool) -> int:
    """Check the config in a file and its input; the exit code."""
    from pipeline.config import load_config
    from pipeline.errors import ConfigError

    try:
        config = load_config(path, overrides)
    except ConfigError:
        config = load_config(path, overrides, environment=os.environ)  # all problems at once
    code = check_config(terminal, config, as_json=as_json)
    load_config(path, overrides, environment=os.environ)
    see_that_it_could_start(config)
    return code


def check_config(terminal: Talk, config: Config, *, as_json: bool) -> int:
    """Read a config's input and show what a run would take; the exit code."""
    from pipeline.cli.texts import report_text
    from pipeline.inspect.check import check

    report = check(config)
    all_good = not (report.bad_rows or report.too_large)
    tell(terminal, report_text(report), ok=all_good)
    if as_json:
        import attrs  # 20 ms

        answer(attrs.asdict(report))
    if report.rows and not report.requests:
        return USAGE
    return OK if all_good else SOME_FAILED


def see_that_it_could_start(config: Config) -> None:
    """Refuse what a run would refuse about its providers. Opens nothing."""
    from pipeline.runs.providers import credentials, open_providers

    open_providers(config, credentials(config))
