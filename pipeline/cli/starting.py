"""`headrace init` and `headrace schema`: how somebody gets to a config, and how an editor learns what may stand in it."""

from __future__ import annotations

import os
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline.cli.flags import verbose_flag
from pipeline.cli.frame import OK, guarded

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pipeline.cli.frame import Talk
    from pipeline.config.starter import Wishes
    from pipeline.core.rows.templates import JSON

PROVIDERS = (
    *("openai", "anthropic", "azure", "gemini", "mistral", "groq", "deepseek", "openrouter", "holysheep"),
    *("vllm", "ollama", "litellm", "simulate"),
)
INPUTS = (".jsonl", ".ndjson", ".csv", ".tsv", ".txt", ".json", ".parquet")
LIKELY_FIELDS = ("prompt", "text", "question", "input", "content", "instruction")


@click.command("init")
@click.option("--provider", type=click.Choice(PROVIDERS), help="Whose address, key and limits go into it. Default openai.")
@click.option("--input", "source", metavar="PATH", type=click.Path(), help="The file of rows or requests. Default prompts.jsonl.")
@click.option("--model", metavar="NAME", help="The model to ask.")
@click.option("--complete", is_flag=True, help="Write every setting, with its default and what it does.")
@verbose_flag
@click.argument("path", default="headrace.yaml", type=click.Path())
def init_command(path: str, provider: str | None, source: str | None, model: str | None, verbose: int, *, complete: bool) -> int:
    """Write a starter config.

    PATH is headrace.yaml if it is left out. On a terminal it asks for what the flags do not say. An existing file is never overwritten.
    """

    def work(terminal: Talk) -> int:
        from pipeline.config.starter import complete_config, schema_address, short_config, write_config
        from pipeline.errors import UsageError

        if os.path.lexists(path):
            raise UsageError(f"{path} exists and is not overwritten; name another file")
        asks = sys.stdin is not None and sys.stdin.isatty() and terminal.output.isatty()
        wishes = _wishes(provider, source, model, asks=asks, path=path)
        make = complete_config if complete else short_config
        write_config(path, make(wishes, schema_address(path)))
        terminal.say(f"{path} is written; look through it, then: headrace check {path}")
        for line in _still_to_do(wishes, os.environ):
            terminal.say(line)
        return OK

    return guarded(work, verbose)


@click.command("schema")
@verbose_flag
def schema_command(verbose: int) -> int:
    """Print the JSON Schema of the config, for editors."""

    def work(_: Talk) -> int:
        from pipeline.cli.frame import print_text
        from pipeline.config.json_schema import schema_text

        print_text(schema_text())
        return OK

    return guarded(work, verbose)


def _wishes(provider: str | None, source: str | None, model: str | None, *, asks: bool, path: str) -> Wishes:
    """What the config is to be for: what the flags say, else what somebody answers, else the defaults."""
    from pipeline.config.starter import Wishes
    from pipeline.config.vendors import VENDORS

    def ask(question: str, default: str, choices: Sequence[str] = ()) -> str:
        if not asks:
            return default
        try:
            return str(click.prompt(question, default=default, err=True, type=click.Choice(choices) if choices else str))
        except click.Abort:
            raise KeyboardInterrupt from None

    provider = provider or ask("Provider", PROVIDERS[0], PROVIDERS)
    source = source or ask("File of rows or requests", _only_input() or "prompts.jsonl")
    model = model or ask("Model", VENDORS[provider].model)
    template = "{prompt}" if source == "-" else _template_for(str(Path(path).parent / source))
    if template is not None:
        template = ask("Prompt, with {fields} of the row", template)
    return Wishes(provider=provider, source=source, model=model, template=template)


def _only_input() -> str | None:
    """The file in this folder that can be an input, if there is exactly one."""
    found = [entry.name for entry in os.scandir() if entry.is_file() and entry.name.lower().endswith(INPUTS)]
    return found[0] if len(found) == 1 else None


def _template_for(source: str) -> str | None:
    """A prompt that takes the likeliest field of the first row; None if the rows are requests already."""
    from pipeline.core.rows.formats import is_whole_request
    from pipeline.edges.sources.opening import open_source
    from pipeline.errors import InputError

    try:
        with closing(open_source(source)) as rows:
            fields = _fields_of(rows.take(1)[0].data)
    except (InputError, IndexError):  # it is not there yet, or empty
        return "{prompt}"
    if is_whole_request(fields):
        return None
    texts = [name for name, value in fields.items() if isinstance(value, str)]
    return "{" + next((name for name in (*LIKELY_FIELDS, *texts) if name in fields), "prompt") + "}"


def _fields_of(data: bytes | Mapping[str, JSON] | None) -> Mapping[str, JSON]:
    import msgspec

    if isinstance(data, bytes):
        try:
            data = msgspec.json.decode(data)
        except (msgspec.DecodeError, UnicodeError):
            return {}
    return data if isinstance(data, dict) else {}


def _still_to_do(wishes: Wishes, environment: Mapping[str, str]) -> list[str]:
    from pipeline.config.vendors import VENDORS

    key = VENDORS[wishes.provider].key_env
    return [f"before a run: export {key}=…"] if key is not None and not environment.get(key) else []
