"""Makes a config of flags, for `run-batch`: an input, an output and an address are enough.

Sends nothing and opens nothing. Problems are reported with the flag that caused them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from pipeline.config import load_config_text
from pipeline.errors import ConfigError, Problem, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pipeline.config import Config

SOURCE = "run-batch"
CHAT = "/v1/chat/completions"
COMPLETE = ".complete.jsonl"  # of an output whose failures go to a file of their own
TABLES = (".csv", ".tsv", ".txt", ".parquet", ".arrow", ".feather")
FLAG_OF = {
    "source.path": "-i",
    "sink.path": "-o",
    "provider.base_url": "--base-url",
    "provider.api_key_env": "--api-key-env",
    "provider.model": "--model",
    "request.body.model": "--model",
    "request.body": "--template",
    "request.url": "--url",
    "limits.requests_per_minute": "--rpm",
    "limits.tokens_per_minute": "--tpm",
    "limits.max_in_flight": "--max-inflight",
}


class Flags(Struct, frozen=True, kw_only=True):
    """What the flags say; None where one is left out."""

    source: str
    sink: str
    base_url: str | None = None
    simulate: bool = False
    url: str = CHAT
    model: str | None = None
    api_key_env: str | None = None
    rpm: float | None = None
    tpm: float | None = None
    max_inflight: int | None = None
    template: str | None = None
    max_tokens: int | None = None
    shape: str = "batch"
    error_file: str | None = None

    @property
    def output(self) -> str:
        """Where the run keeps a line for every row, in order; the file of `-o` itself unless failures go elsewhere."""
        return self.sink if self.error_file is None else self.sink + COMPLETE


def config_of_flags(flags: Flags, overrides: Sequence[str], environment: Mapping[str, str]) -> Config:
    """The config that flags and `--set` describe.

    Raises: UsageError (ConfigError), with every problem at once and the flag that it belongs to.
    """
    if flags.source.startswith(("http://", "https://")):
        raise UsageError(
            f"-i {flags.source}: an input is a file; download it first, or pipe it in: curl -s URL | headrace run-batch -i - …"
        )
    if flags.base_url is None and not flags.simulate:
        raise UsageError("--base-url is missing: the address of the API, such as https://api.openai.com/v1; or --simulate to rehearse")
    if flags.template is None and _plain(flags.source).endswith(TABLES):
        raise UsageError(
            f"-i {flags.source}: its rows are not requests yet; add --template with a column in braces, 'Summarise: {{text}}', and --model"
        )
    if flags.error_file is not None and _same(flags.error_file, flags.sink):
        raise UsageError("--error-file is the file of -o; failures need a file of their own")
    try:
        return load_config_text(json.dumps(_sections(flags)), SOURCE, overrides, environment=environment)
    except ConfigError as error:
        raise ConfigError([_named_by_flag(problem) for problem in error.problems]) from None


def _sections(flags: Flags) -> dict[str, object]:
    limits = {"requests_per_minute": flags.rpm, "tokens_per_minute": flags.tpm, "max_in_flight": flags.max_inflight}
    provider: dict[str, object] = {"simulate": {}} if flags.simulate else {"base_url": flags.base_url}
    if flags.api_key_env is not None:
        provider["api_key_env"] = flags.api_key_env
    sections: dict[str, object] = {
        "source": {"path": flags.source},
        "provider": provider,
        "limits": {name: value for name, value in limits.items() if value is not None},
        "sink": {"path": flags.output, "shape": flags.shape},
    }
    if flags.template is not None:
        sections["request"] = {"url": flags.url, "body": _body(flags, flags.template)}
    elif flags.model is not None:
        provider["model"] = flags.model
    return sections


def _body(flags: Flags, template: str) -> dict[str, object]:
    """The request body that asks an endpoint for a template's text."""
    if flags.model is None:
        raise UsageError("--model is missing: the requests that --template makes need one")
    messages = {"messages": [{"role": "user", "content": template}]}
    asks: dict[str, dict[str, object]] = {
        "chat/completions": dict(messages),
        "messages": dict(messages),
        "completions": {"prompt": template},
        "responses": {"input": template},
        "embeddings": {"input": template},
    }
    endpoint = next((name for name in asks if flags.url.rstrip("/").endswith(f"/{name}")), None)
    if endpoint is None:
        raise UsageError(f"--url {flags.url}: --template can make bodies for {', '.join(asks)}; for others write a config: headrace init")
    name = "max_output_tokens" if endpoint == "responses" else "max_tokens"
    longest = {} if flags.max_tokens is None else {name: flags.max_tokens}
    return {"model": flags.model, **longest, **asks[endpoint]}


def _named_by_flag(problem: Problem) -> Problem:
    if problem.source != SOURCE:
        return problem
    keys = [problem.key.rsplit(".", count)[0] for count in range(problem.key.count(".") + 1)]
    flag = next((FLAG_OF[key] for key in keys if key in FLAG_OF), None)
    return Problem(problem.key, problem.message, SOURCE) if flag is None else Problem("", problem.message, flag)


def _plain(path: str) -> str:
    return path.lower().removesuffix(".gz").removesuffix(".zst")


def _same(one: str, other: str) -> bool:
    return Path(one).resolve() == Path(other).resolve()
