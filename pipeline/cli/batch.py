"""`headrace run-batch`: a run without a YAML file, for users of vLLM's run-batch and of OpenAI's Batch API."""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING, Any

import click

from pipeline.cli.flags import common_flags
from pipeline.cli.frame import guarded, tell
from pipeline.cli.running import RunCommand, given_words, run_and_report, run_flags

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.cli.frame import Talk
    from pipeline.cli.launch import RunChoices
    from pipeline.cli.without_config import Flags
    from pipeline.config import Config

LOOKED_AT = 20  # rows at the start of an input; if none of them is a request, the input is another kind of file
ONCE = frozenset({"--fresh", "--accept-changes", "--dry-run", "--json"})  # flags that a later run does not need again
EXAMPLES = """\b
Examples:
  headrace run-batch -i in.jsonl -o out.jsonl --base-url http://localhost:8000/v1
  headrace run-batch -i rows.csv -o out.jsonl --base-url https://api.openai.com/v1
    --api-key-env OPENAI_API_KEY --model gpt-4o-mini --template 'Translate: {text}'
"""
HOW_TO_MAKE_REQUESTS = (
    "A request is a line with custom_id, method, url and body. To make requests of plain rows, add --model and --template, "
    "such as --template '{prompt}'"
)


@click.command("run-batch", cls=RunCommand, epilog=EXAMPLES)
@click.option("-i", "--input-file", "source", required=True, metavar="PATH", type=click.Path(), help='Requests, or rows; "-" is stdin.')
@click.option("-o", "--output-file", "sink", required=True, metavar="PATH", type=click.Path(), help="One result per row, in order.")
@click.option("--base-url", metavar="URL", help="Where requests go, such as http://localhost:8000/v1.")
@click.option("--simulate", is_flag=True, help="Rehearse: an embedded provider takes the place of --base-url. Free, needs no key.")
@click.option("--model", metavar="NAME", help="Replaces the model in each request; required with --template.")
@click.option("--api-key-env", metavar="NAME", help="The environment variable that holds the key.")
@click.option("--rpm", type=float, metavar="N", help="Requests a minute at most. The pace below it is found by itself.")
@click.option("--tpm", type=float, metavar="N", help="Tokens a minute at most.")
@click.option("--max-inflight", type=int, metavar="N", help="Requests under way at once. Default 50.")
@click.option(
    "--template", metavar="TEXT", help="Makes a prompt of each row: {name} is the row's field; {prompt} is a line of a .txt file."
)
@click.option("--max-tokens", type=click.IntRange(min=1), metavar="N", help="The longest answer, with --template.")
@click.option("--url", default="/v1/chat/completions", metavar="PATH", help="The endpoint of requests made by --template.")
@click.option(
    "--output-shape", "shape", type=click.Choice(["batch", "flat"]), default="batch", help="OpenAI Batch lines, or plain objects."
)
@click.option("--error-file", metavar="PATH", type=click.Path(), help="Failures go here, and only successes to -o, as OpenAI does.")
@run_flags
@common_flags
@click.pass_context
def run_batch_command(
    context: click.Context,
    /,
    overrides: tuple[str, ...],
    progress: str,
    limit: int | None,
    verbose: int,
    *,
    as_json: bool,
    fresh: bool,
    accept_changes: bool,
    retry_failed: str | None,
    dry_run: bool,
    **given: Any,
) -> int:
    """Run a file of requests without a config. The same command again continues where it was stopped.

    The input holds OpenAI Batch lines (custom_id, method, url, body), or rows of which --template makes prompts.
    """

    def work(terminal: Talk) -> int:
        from pipeline.cli.checking import check_config, see_that_it_could_start
        from pipeline.cli.without_config import Flags, config_of_flags

        flags = Flags(**given)
        config = config_of_flags(flags, overrides, os.environ)
        if flags.template is None and flags.source != "-":
            _see_that_there_are_requests(config, flags.source)
        if dry_run:
            code = check_config(terminal, config, as_json=as_json)
            see_that_it_could_start(config)
            return code
        command = shlex.join(["headrace", "run-batch", *(word for word in given_words(context) if word not in ONCE)])
        choices: RunChoices = {
            "limit": limit,
            "fresh": fresh,
            "accept_changes": accept_changes,
            "retry_failed": retry_failed or False,
        }
        split = _splitting(terminal, flags, fresh=fresh)
        return run_and_report(terminal, config, command, choices, progress, as_json=as_json, telling=verbose > 0, at_the_end=split)

    return guarded(work, verbose)


def _see_that_there_are_requests(config: Config, name: str) -> None:
    """Refuse an input of which none of the first rows is a request, before its rows fail one by one.

    Raises: UsageError.
    """
    from contextlib import closing

    from pipeline.errors import UsageError
    from pipeline.records import Failure
    from pipeline.runs.inputs import job_maker, source_opener

    with closing(job_maker(config)) as jobs, closing(source_opener(config)()) as source:
        made = jobs.make_jobs(source.take(LOOKED_AT), 0)
    failures = [item.message for item in made if isinstance(item, Failure)]
    if made and len(failures) == len(made):
        raise UsageError(f"-i {name}: none of its first rows is a request. The first one: {failures[0]}\n{HOW_TO_MAKE_REQUESTS}")


def _splitting(terminal: Talk, flags: Flags, *, fresh: bool) -> Callable[[], None]:
    """What puts successes and failures into files of their own at the end of a run, if that was asked for."""
    failures = flags.error_file
    if failures is None:
        return lambda: None
    from pipeline.inspect.split import make_room, split_output

    make_room(flags.output, (flags.sink, failures), fresh=fresh)

    def split() -> None:
        succeeded, failed = split_output(flags.output, flags.sink, failures)
        tell(terminal, f"{succeeded:,} successes in {flags.sink}, {failed:,} failures in {failures}", ok=not failed)

    return split
