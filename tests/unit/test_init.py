"""`headrace init`: the config that it writes loads, is short, fits the input, and is never written over another file."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.cli import main
from pipeline.cli.starting import PROVIDERS
from pipeline.config import load_config
from pipeline.config.starter import SCHEMA, Wishes, schema_address, short_config
from pipeline.config.vendors import VENDORS

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_flag_offers_every_provider_that_is_known() -> None:
    assert set(PROVIDERS) == set(VENDORS)


@pytest.mark.parametrize("complete", [False, True], ids=["short", "complete"])
@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_config_for_each_provider_loads_and_says_who_is_asked(provider: str, complete: bool) -> None:  # noqa: FBT001
    Path("prompts.jsonl").write_text('{"prompt": "a"}\n')

    code = main(["init", "--provider", provider, *(["--complete"] if complete else [])])

    facts = VENDORS[provider]
    config = load_config("headrace.yaml")
    assert code == 0
    assert (config.provider.base_url or "", config.provider.api_key_env) == (facts.base_url, facts.key_env)
    assert config.request is not None
    assert config.request.body is not None
    assert config.request.body["model"] == facts.model


def test_a_short_config_has_at_most_25_lines() -> None:
    assert all(len(short_config(Wishes(provider=name), "s").splitlines()) <= 25 for name in PROVIDERS)


@pytest.mark.parametrize(
    "name, text, template",
    [
        ("a.jsonl", '{"prompt": "x"}\n', "{prompt}"),
        ("a.jsonl", '{"n": 1, "question": "x"}\n', "{question}"),
        ("a.jsonl", '{"n": 1, "phrase": "x"}\n', "{phrase}"),
        ("a.csv", "id,text\n1,x\n", "{text}"),
        ("a.txt", "one\n", "{prompt}"),
        ("a.jsonl", '{"custom_id": "1", "method": "POST", "url": "/v1/chat/completions", "body": {"model": "m"}}\n', None),
        ("a.jsonl", "", "{prompt}"),
        ("a.jsonl", "{no json\n", "{prompt}"),
        ("a.jsonl", None, "{prompt}"),
    ],
)
def test_the_config_fits_the_input(name: str, text: str | None, template: str | None) -> None:
    if text is not None:
        Path(name).write_text(text)

    main(["init", "--provider", "simulate", "--input", name, "c.yaml"])

    request = load_config("c.yaml").request
    messages = None if request is None or request.body is None else request.body["messages"]
    assert messages == (None if template is None else [{"role": "user", "content": template}])


def test_names_that_yaml_would_misread_are_quoted() -> None:
    main(["init", "--provider", "simulate", "--input", "odd: name #1.jsonl", "--model", "true", "c.yaml"])

    config = load_config("c.yaml")
    assert Path(config.source.name).name == "odd: name #1.jsonl"
    assert config.request is not None
    assert config.request.body is not None
    assert config.request.body["model"] == "true"


def test_the_key_that_is_missing_is_named(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)

    main(["init"])

    assert "export OPENAI_API_KEY=" in capsys.readouterr().err


def test_the_first_line_leads_an_editor_to_the_schema(folder: Path) -> None:
    main(["init"])

    address = Path("headrace.yaml").read_text().partition("\n")[0].partition("$schema=")[2]
    assert (folder / address).samefile(SCHEMA)


def test_the_address_is_relative_where_the_schema_lies_below_the_config() -> None:
    assert schema_address(str(SCHEMA.parent.parent / "c.yaml")) == "config/headrace.schema.json"


def test_on_a_terminal_it_asks_for_what_the_flags_do_not_say(folder: Path) -> None:
    (folder / "rows.csv").write_text("id,text\n1,x\n")

    said, code = on_a_terminal(["init", "--provider", "vllm"], answers="\ntiny\nSay {text}\n")

    request = load_config("headrace.yaml").request
    assert code == 0, said
    assert "rows.csv" in said
    assert request is not None
    assert request.body == {"model": "tiny", "max_tokens": 500, "messages": [{"role": "user", "content": "Say {text}"}]}


def on_a_terminal(arguments: list[str], answers: str) -> tuple[str, int]:
    """What a command says on a terminal of its own, and its exit code. answers: typed in at once."""
    ours, theirs = pty.openpty()
    try:
        with subprocess.Popen([sys.executable, "-m", "pipeline", *arguments], stdin=theirs, stdout=theirs, stderr=theirs) as process:
            os.close(theirs)
            os.write(ours, answers.encode())
            said = b""
            while select.select([ours], [], [], 30)[0]:
                try:
                    piece = os.read(ours, 4096)
                except OSError:  # the other end is closed
                    break
                if not piece:
                    break
                said += piece
        return said.decode(), process.returncode
    finally:
        os.close(ours)
