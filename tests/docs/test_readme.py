"""What the documentation says is so: its configs load, its programs run, its commands and links lead somewhere."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pipeline.cli import headrace
from pipeline.config import load_config_text
from pipeline.core.output.keys import KEYS
from tests.docs.documents import DOCUMENTS, READMES, ROOT, Block, all_blocks, blocks, commands, links

if TYPE_CHECKING:
    from collections.abc import Iterable

README, README_JA = READMES
BASE = {
    "source": "source: {path: input.jsonl}",
    "request": 'request: {url: /v1/chat/completions, body: {model: m, input: "{prompt}"}}',
    "provider": "provider: {simulate: {}}",
    "sink": "sink: {path: output.jsonl}",
}
SECTION = re.compile(r"^(\w+):", re.MULTILINE)
CHECK = re.compile(r"check: (\w+\.py):(\w+)")
PEM_FILE = re.compile(r"\w+\.pem")
FOLDER = re.compile(r"root: ([./\w]+)")
COMMENT = re.compile(r"\s*#.*$", re.MULTILINE)
TARGET = re.compile(r"^([a-z]+):", re.MULTILINE)


def programs() -> list[Block]:
    """Every Python block once: the two READMEs have the same."""
    return [block for block in all_blocks("python") if block.document != README_JA]


def names(blocks_: Iterable[Block]) -> list[str]:
    return [str(block) for block in blocks_]


def without_comments(text: str) -> str:
    return COMMENT.sub("", text)


def simple_commands() -> list[tuple[str, list[str]]]:
    """Every command that the documents show, as its words, pipelines and lists taken apart, with its place."""
    return [(f"{block}: {command}", part) for block in all_blocks("console") for command in commands(block) for part in parts_of(command)]


def parts_of(command: str) -> Iterable[list[str]]:
    """The simple commands of a line."""
    lexer = shlex.shlex(command, posix=True, punctuation_chars="|&")
    lexer.whitespace_split = True
    words = list(lexer)
    while words:
        end = next((at for at, word in enumerate(words) if word in {"|", "&&"}), len(words))
        yield words[:end]
        words = words[end + 1 :]


COMMANDS = [pytest.param(part, id=f"{place} ({number})") for number, (place, part) in enumerate(simple_commands())]


@pytest.mark.parametrize("block", all_blocks("yaml"), ids=names(all_blocks("yaml")))
def test_yaml_block_is_a_config_or_a_part_of_one(block: Block, tmp_path: Path) -> None:
    sections = set(SECTION.findall(block.text))
    sections |= {"provider"} if "providers" in sections else set()
    rest = [text for name, text in BASE.items() if name not in sections]
    for name in PEM_FILE.findall(block.text):
        (tmp_path / name).touch()  # a config that names a missing one does not load

    for name in FOLDER.findall(block.text):
        (tmp_path / name).mkdir()
    for name, function in CHECK.findall(block.text):
        (tmp_path / name).write_text(f"def {function}(value, request): return None\n")
    load_config_text("\n".join([block.text, *rest]), str(block), folder=tmp_path)


@pytest.mark.parametrize("block", programs(), ids=names(programs()))
def test_python_block_runs(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(ROOT / "configs", tmp_path / "configs", ignore=shutil.ignore_patterns("*results*"))
    monkeypatch.chdir(tmp_path)

    exec(compile(block.text, str(block), "exec"), {"__name__": "__main__"})


@pytest.mark.parametrize("block", all_blocks("jsonl"), ids=names(all_blocks("jsonl")))
def test_shown_output_has_the_keys_of_its_shape(block: Block) -> None:
    lines = [json.loads(line) for line in block.text.splitlines()]
    shape = "flat" if "status" in lines[0] else "batch"

    assert lines
    assert all(line.keys() == KEYS[shape] for line in lines)


@pytest.mark.parametrize(
    "command", [pytest.param(part, id=f"{place} ({number})") for number, (place, part) in enumerate(simple_commands())]
)
def test_command_is_one_that_exists(command: list[str]) -> None:
    program, *arguments = command
    if program == "make":
        assert set(arguments) <= set(TARGET.findall((ROOT / "Makefile").read_text(encoding="utf-8")))
    elif Path(program).name == "headrace":
        name, *flags = arguments
        if name.startswith("-"):
            assert any(name in option.opts for option in headrace.params)
        else:
            known = headrace.get_command(None, name)
            assert known is not None
            known.make_context(name, flags)
    paths = [argument for argument in arguments if argument.startswith(("configs/", "examples/"))]
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_first_command_of_the_readme_runs_the_quickstart_and_the_second_the_tests() -> None:
    shown = [command for block in blocks(README, "console") for command in commands(block) if command.startswith("make")]

    assert shown == ["make install && .venv/bin/headrace run configs/quickstart.yaml", "make test"]
    assert "make test" in (ROOT / ".ci/run").read_text(encoding="utf-8")


def test_both_readmes_show_the_same_code() -> None:
    english, japanese = ([(block.language, without_comments(block.text)) for block in blocks(readme)] for readme in READMES)

    assert english == japanese


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    local = [link.partition("#")[0] for link in links(document) if "://" not in link]

    assert [link for link in local if link and not (document.parent / link).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_anchors_are_headings(document: Path) -> None:
    for link in links(document):
        path, _, anchor = link.partition("#")
        if anchor and "://" not in link:
            target = (document.parent / path).resolve() if path else document
            assert anchor in anchors(target), link


def anchors(document: Path) -> set[str]:
    """The anchors of a document's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", document.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_test_that_the_architecture_names_is_there() -> None:
    text = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(tests/[\w/.]+)`", text))

    assert named
    assert [path for path in sorted(named) if not (ROOT / path).exists()] == []


def test_every_module_that_the_architecture_names_is_there() -> None:
    text = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:core|edges|stages|config|cli|simulate)/[\w/.]*|[a-z]+\.py)`", text)) - {"watch.py"}

    assert named
    assert [path for path in sorted(named) if not (ROOT / "pipeline" / path).exists()] == []
