"""The shipped configs load and are ready to run, and the starter config documents every setting with its default."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from pipeline.cli import main
from pipeline.config import Config, load_config, load_config_text
from pipeline.config.build import all_keys
from pipeline.config.nodes import parse
from pipeline.config.starter import STARTER
from pipeline.inspect.check import check
from pipeline.simulate import SimulateConfig

if TYPE_CHECKING:
    from pipeline.config.nodes import Node

CONFIGS = Path(__file__).parent.parent.parent / "configs"
SHIPPED = sorted(CONFIGS.glob("*.yaml"))
NAMES = ["anthropic", "azure-openai", "embeddings", "holysheep", "litellm", "ollama", "openai", "quickstart", "vllm"]
COMMENTED_SETTING = re.compile(r"^( *)#(?=[a-z0-9_]+:)", re.MULTILINE)

starter = STARTER.read_text(encoding="utf-8")
complete = COMMENTED_SETTING.sub(r"\1", starter)  # with every setting that stands behind a # in force


def test_all_configs_are_there() -> None:
    assert [path.stem for path in SHIPPED] == NAMES


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_config_loads_and_every_row_of_its_input_makes_a_request(path: Path) -> None:
    report = check(load_config(path))

    assert (report.rows, report.requests, report.bad_rows) == (164, 164, 0)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_config_says_what_it_is_for_and_how_to_run_it(path: Path) -> None:
    text = path.read_text()

    assert text.startswith("# ")
    assert path.stem in ("vllm", "azure-openai") or f"headrace run configs/{path.name}" in text
    assert load_config(path).sink.path == str(CONFIGS / f"{path.stem}-results.jsonl")  # what .gitignore knows


def test_config_of_the_article_keeps_its_workload() -> None:
    config = load_config(CONFIGS / "holysheep.yaml")

    assert config.request is not None
    assert config.request.body is not None
    assert (config.request.body["model"], config.request.body["max_tokens"]) == ("gpt-4o", 500)
    assert (config.limits.requests_per_second, config.limits.max_in_flight) == (100.0, 50)
    assert (config.provider.base_url, config.provider.api_key_env) == ("https://api.holysheep.ai/v1", "HOLYSHEEP_API_KEY")


def test_prompts_come_with_their_licence() -> None:
    assert "MIT License" in (CONFIGS / "data" / "humaneval.LICENSE").read_text()


def test_quickstart_succeeds_and_shows_retries(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["run", str(CONFIGS / "quickstart.yaml"), "--json", "--set", f"sink.path={tmp_path}/out.jsonl"])

    summary = json.loads(capsys.readouterr().out)
    assert code == 0
    assert summary["total"] == summary["succeeded"] == 164
    assert summary["retries"] > 0
    assert summary["throttled"] > 0


def test_starter_loads_as_it_is() -> None:
    config = load_config_text(starter, "starter.yaml")

    assert config.provider.api_key_env == "OPENAI_API_KEY"


def keys_of(node: Node, path: str = "") -> set[str]:
    found: set[str] = set()
    for name, child in node.value.items() if isinstance(node.value, dict) else ():
        key = f"{path}.{name}" if path else name
        found |= {key} | keys_of(child, key)
    return found


def test_starter_documents_every_setting_and_no_other() -> None:
    written = keys_of(parse(complete, "starter.yaml", []))

    assert {key for key in written if not key.startswith("request.body.")} == set(all_keys(Config))


def test_what_stands_behind_a_comment_is_the_default() -> None:
    config = load_config_text(
        complete, "starter.yaml", ["provider.base_url=null", "prices=null", "cache=null", "answers.expect=null", "request.files=null"]
    )
    minimal = load_config_text(starter, "starter.yaml")

    assert config.provider.simulate == SimulateConfig()
    assert replace(config, provider=minimal.provider) == minimal


def test_every_setting_is_explained() -> None:
    """A setting has a comment on its line, or right above it or its section; a bare name tells nobody what it does."""
    lines = starter.splitlines()
    self_explaining = {"url", "body", "model", "max_tokens", "messages", "median_seconds", "requests_per_second", "requests_per_minute",
                       "tokens_per_minute", "prompt_per_million", "output_per_million", "connect_seconds", "simulate", "latency", "limits",
                       "max_in_flight", "sink", "path", "journal", "timeouts", "retry", "source", "provider"}  # fmt: skip
    bare = []
    for above, line in zip(["", *lines], lines, strict=False):
        setting = re.match(r" *#?([a-z0-9_]+):(.*)", line)
        if setting and "#" not in setting[2] and not above.lstrip().startswith("# ") and setting[1] not in self_explaining:
            bare.append(line)

    assert bare == []
