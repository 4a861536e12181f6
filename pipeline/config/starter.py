"""The configs that `headrace init` writes: a short one for one provider, or a complete one with every setting behind a comment."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from pipeline.config.vendors import VENDORS
from pipeline.errors import UsageError

if TYPE_CHECKING:
    from pipeline.config.vendors import VendorFacts

STARTER = Path(__file__).with_name("starter.yaml")
SCHEMA = Path(__file__).with_name("headrace.schema.json")

PLAIN = re.compile(r"[A-Za-z0-9_./-]*[A-Za-z0-9_/-]")


class Wishes(Struct, frozen=True, kw_only=True):
    """What a config is to be for. template: None where the rows are requests already."""

    provider: str = "openai"
    source: str = "prompts.jsonl"
    sink: str = "results.jsonl"
    model: str | None = None
    template: str | None = "{prompt}"


def short_config(wishes: Wishes, schema: str) -> str:
    """A config with what must be chosen. schema: its address, for editors."""
    facts = VENDORS[wishes.provider]
    request = (
        "" if wishes.template is None else REQUEST.format(model=_text(wishes.model or facts.model), template=json.dumps(wishes.template))
    )
    return SHORT.format(
        schema=schema,
        title=facts.title,
        note=facts.note,
        source=_text(wishes.source),
        request=request,
        provider=_provider(facts),
        limits="\n".join(f"  {line}" for line in facts.limits),
        sink=_text(wishes.sink),
    )


def complete_config(wishes: Wishes, schema: str) -> str:
    """A config with every setting: those that must be chosen, and the others behind `#` with their defaults."""
    facts = VENDORS[wishes.provider]
    text = STARTER.read_text(encoding="utf-8")
    text = text.replace("  path: prompts.jsonl\n", f"  path: {_text(wishes.source)}\n").replace(
        "    model: gpt-4o-mini\n", f"    model: {_text(wishes.model or facts.model)}\n"
    )
    key = f"api_key_env: {facts.key_env}" if facts.key_env is not None else "#api_key_env: null"
    address = f"base_url: {facts.base_url}" if facts.base_url else "simulate: {}"
    text = text.replace("  base_url: https://api.openai.com/v1\n", f"  {address}\n").replace(
        "  api_key_env: OPENAI_API_KEY\n", f"  {key}\n"
    )
    return f"{MODELINE.format(schema=schema)}\n{text}"


def schema_address(config: str) -> str:
    """Where an editor finds the schema of the installed version: relative to the config where that stays short, else absolute."""
    folder = Path(config).absolute().parent
    return os.path.relpath(SCHEMA, folder) if SCHEMA.is_relative_to(folder) else str(SCHEMA)


def write_config(path: str, text: str) -> None:
    """Write a config to a file that is not there yet.

    Raises: UsageError, where it is there or cannot be written.
    """
    try:
        with Path(path).open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise UsageError(f"{path} exists and is not overwritten; name another file") from None
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: {getattr(error, 'strerror', None) or error}") from None


def _provider(facts: VendorFacts) -> str:
    if not facts.base_url:
        return "  simulate: {latency: {median_seconds: 0.2}}"
    lines = [f"  base_url: {facts.base_url}"]
    if facts.key_env is not None:
        lines.append(f"  api_key_env: {facts.key_env:<19}  # the name of the variable that holds the key, never the key itself")
    if facts.key_header is not None:
        lines.append(f"  api_key_header: {facts.key_header}")
    return "\n".join(lines)


def _text(value: str) -> str:
    """A text as YAML: plain where nothing in it could mean something else."""
    return value if PLAIN.fullmatch(value) and not re.fullmatch(r"[0-9.]*|true|false|null|yes|no|on|off", value) else json.dumps(value)


MODELINE = "# yaml-language-server: $schema={schema}"
REQUEST = """
request:                            # {{name}} takes the row's field of that name
  url: /v1/chat/completions
  body:
    model: {model}
    max_tokens: 500
    messages: [{{role: user, content: {template}}}]
"""
SHORT = """\
# yaml-language-server: $schema={schema}
# {title}. {note}
# Then: headrace check THIS_FILE, headrace run THIS_FILE. Every other setting: headrace init --complete.

source:
  path: {source}
{request}
provider:
{provider}

limits:                             # ceilings: the pace below them is found by itself
{limits}

sink:
  path: {sink}
  shape: flat                       # a plain object per row; batch writes OpenAI Batch output lines
"""
